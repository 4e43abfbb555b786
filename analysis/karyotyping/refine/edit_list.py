"""A list of edits as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.karyotyping.proposal_text import load_json, parse_strictly
from analysis.structures.cell_edit import CellEdit

EDITS_FORMAT: Final = "karyoscan-edits"


class EditList(BaseModel):
    """Edits of one cell, in the order in which they are carried out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["karyoscan-edits"]
    version: Literal[1] = 1
    edits: tuple[CellEdit, ...] = Field(description="each with its operation and what that takes")


def read_edits(path: Path) -> tuple[CellEdit, ...]:
    """Read a list of edits.

    Parameters
    ----------
    path
        The JSON file (``karyoscan schema edits``).

    Raises
    ------
    ProposalFileError
        It can't be read, or isn't a list of edits; with the place.
    """
    return parse_strictly(EditList, load_json(path), path, what="a list of edits").edits
