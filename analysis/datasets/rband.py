"""The sample of R-band chromosomes, cut by another system."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from analysis.datasets.tables import table_rows
from analysis.errors import DatasetError

_NUMBER_DIGITS: Final = 3
"""Of a crop's number at the end of its name; the flips of the train cell carry one digit more."""


def rband_crops(folder: Path, part: str) -> tuple[tuple[Path, str], ...]:
    """List the crops of the R-band cell of a part, once of their four flips: path and class of each.

    Parameters
    ----------
    folder
        Of the set.
    part
        ``"train"`` or ``"val"``.

    Raises
    ------
    DatasetError
        If the set isn't there, lacks a column, or has no such cell.
    """
    path = folder / "crops.csv"
    rows = [
        row
        for row in table_rows(path, ("file", "class", "band", "part"))
        if row["band"] == "Rband" and row["part"] == part
    ]
    kept = [row for row in rows if len(Path(row["file"]).stem.rsplit("_", 1)[-1]) == _NUMBER_DIGITS]
    if not kept:
        raise DatasetError(f"there is no R-band cell of part {part!r}", path=path)
    return tuple((folder / row["file"], row["class"]) for row in kept)
