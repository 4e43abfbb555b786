"""Where fitted parameter sets go, and the command line that their manifests record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OutFolder = Annotated[Path, typer.Option(help="folder for the parameter set: content and manifest")]

FormerProcesses = Annotated[int | None, typer.Option("--processes", hidden=True, help="has no effect any more")]
"""An option of fits that don't segment any picture: command lines that have it still work."""

FormerData = Annotated[Path | None, typer.Option("--data", hidden=True, help="has no effect any more")]
"""An option of fits that read what `karyoscan train proposals` gathered: command lines that have it still work."""


def parameters_folder(out: Path) -> Path:
    """Folder of an ``--out`` option; of a JSON file, which the option asked for once, the folder it is in."""
    return out.parent if out.suffix == ".json" else out


def command_line(command: str, **options: float | None) -> str:
    """Compose the line that a manifest records.

    Parameters
    ----------
    command
        Name of the command, such as ``selection``.
    options
        Those that change what is fitted, with ``_`` for ``-``; None where an option wasn't given.
    """
    given = [f" --{name.replace('_', '-')} {value:g}" for name, value in options.items() if value is not None]
    return f"karyoscan train {command}{''.join(given)}"


def report_location(path: Path) -> None:
    """Say where a parameter set lies and how the product gets it."""
    from analysis.parameters.store import PARAMETERS_FOLDER

    typer.echo(f"{path} and its manifest are written; copy both to {PARAMETERS_FOLDER} to ship them")
