"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from station.errors import UsageError
from station.installation.packaged import resolve_protocol, resolve_rig
from station.suggestions import not_allowed

LONGEST_NAME: Final = 200
"""Characters of a slide's name or an accession: more fits on no label."""
DATA_VARIABLE: Final = "KARYOSCAN_DATA"
SPLITS: Final = ("train", "val", "test")
TSENG_SPLITS: Final = (*SPLITS, "fit", "test2")
"""Splits of the Tseng set, which has more than the others."""


def _split(value: str) -> str:
    if value not in SPLITS:
        raise UsageError(not_allowed("--split", value, SPLITS))
    return value


def _tseng_split(value: str) -> str:
    if value not in TSENG_SPLITS:
        raise UsageError(not_allowed("--split", value, TSENG_SPLITS))
    return value


def _rig(value: Path | None) -> Path | None:
    return None if value is None else resolve_rig(value)


def _protocol(value: Path) -> Path:
    return resolve_protocol(value)


def _protocols(values: list[Path]) -> list[Path]:
    return [resolve_protocol(value) for value in values]


def record_text(value: str) -> str:
    """A name that goes into the record and onto pages.

    Raises
    ------
    UsageError
        It holds control characters, bytes that aren't UTF-8, or more than a label can.
    """
    if not value.isprintable():
        raise UsageError(f"found {value!r}; allowed: printable characters in one line")
    if len(value) > LONGEST_NAME:
        raise UsageError(f"found a name of {len(value)} characters; allowed: at most {LONGEST_NAME}")
    return value.strip()


RigOption = Annotated[
    Path, typer.Option("--rig", callback=_rig, help="folder of the rig, or the name of a packaged one")
]
OptionalRigOption = Annotated[
    Path | None,
    typer.Option("--rig", callback=_rig, help="folder of the rig that shall run them, or a packaged one's name"),
]
RigArgument = Annotated[
    Path, typer.Argument(callback=_rig, help="folder of the rig, or the name of a packaged one")
]
ProtocolOption = Annotated[
    Path,
    typer.Option("--protocol", callback=_protocol, help="protocol file, or the name of a packaged protocol"),
]
ProtocolArgument = Annotated[
    Path, typer.Argument(callback=_protocol, help="protocol file, or the name of a packaged protocol")
]
ProtocolsArgument = Annotated[
    list[Path], typer.Argument(callback=_protocols, help="protocol files, or names of packaged protocols")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", envvar=DATA_VARIABLE, help="root of the labelled data sets")
]
SplitOption = Annotated[str, typer.Option("--split", callback=_split, help="train, val or test")]
TsengSplitOption = Annotated[
    str, typer.Option("--split", callback=_tseng_split, help="train, val, fit, test or test2")
]
LimitOption = Annotated[int | None, typer.Option("--limit", help="only as many, the first ones", min=1)]
JsonOption = Annotated[Path | None, typer.Option("--json", help="write the figures to this file as well")]
ReportOption = Annotated[Path | None, typer.Option("--report", help="folder for figures as pictures and tables")]
ResumeOption = Annotated[bool, typer.Option(help="resume from the last checkpoint")]
SeedOption = Annotated[int, typer.Option(help="seed of everything random")]
ProcessesOption = Annotated[int, typer.Option(help="processes at once", min=1)]


def data_root(given: Path | None) -> Path:
    """Root of the labelled data sets, as given or as the environment says.

    Raises
    ------
    UsageError
        Neither says anything.
    """
    if given is None:
        raise UsageError(
            f"no labelled data: set {DATA_VARIABLE} to the folder that holds the data sets, or give it with --data"
        )
    return given


def examples(*lines: str) -> str:
    """Examples for the end of a command's help, one a line."""
    return "\n\n".join(("[bold]Examples[/bold]", *(line.replace("[", r"\[") for line in lines)))
