"""Who is told, and of what."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from acquisition.protocol.fields import Strict


class Occasion(StrEnum):
    """Of what somebody may want to hear."""

    FINISHED = "finished"
    PARKED = "parked"
    FAILED = "failed"
    ATTENTION = "attention"


_ALL = (Occasion.FINISHED, Occasion.PARKED, Occasion.FAILED, Occasion.ATTENTION)
Occasions = Annotated[tuple[Occasion, ...], Field(min_length=1)]


class NotifyFile(Strict):
    """One JSON object a line is appended to a file."""

    type: Literal["file"] = Field(description="kind of target")
    path: Path = Field(description="file to append to; relative to the run's folder")
    on: Occasions = Field(default=_ALL, description="of what to give notice")


class NotifyCommand(Strict):
    """A program is started with the message as JSON on its standard input; no shell is between."""

    type: Literal["command"] = Field(description="kind of target")
    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="program and its arguments")
    timeout_s: Annotated[float, Field(gt=0, le=600, json_schema_extra={"unit": "s"})] = Field(
        default=30.0, description="a program that takes longer is ended"
    )
    on: Occasions = Field(default=_ALL, description="of what to give notice")


NotifyTarget = Annotated[NotifyFile | NotifyCommand, Field(discriminator="type")]
