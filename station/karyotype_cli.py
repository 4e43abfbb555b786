"""The commands ``karyoscan karyotype`` and ``karyoscan classify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acquisition.storage import write_json_atomic
from analysis.errors import AnalysisError
from station.errors import UsageError

_EXIT_REFUSED = 1


def classify(
    crops: Annotated[Path, typer.Argument(help="folder of pictures, one chromosome each")],
    cells: Annotated[
        Path | None, typer.Option(help="table (CSV): file, cell; chromosomes of a cell are assigned jointly")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the classes to this file")] = None,
) -> None:
    """Classify chromosomes that another system cut out."""
    from analysis.classify import CropClassifier, read_cells

    table = read_cells(cells) if cells is not None else {}
    done, refused = CropClassifier.load().classify_folder(crops, table)
    if json_file is not None:
        write_json_atomic(json_file, [entry.to_json() for entry in done])
    else:
        for entry in done:
            way = "  short arm down" if entry.flipped else ""
            typer.echo(f"{entry.file}  {entry.class_name}  {entry.probability:.3f}{way}")
    for other in refused:
        complain(other.reason if other.file in other.reason else f"{other.file}: {other.reason}")
    typer.echo(f"{len(done)} classified, {len(refused)} refused")
    if refused:
        raise typer.Exit(_EXIT_REFUSED)


def karyotype(
    images: Annotated[list[Path], typer.Argument(help="metaphase pictures")],
    out: Annotated[Path, typer.Option(help="folder for <stem>.json and <stem>.karyogram.png")],
) -> None:
    """Propose a karyogram for each picture."""
    from analysis.image import read_image
    from analysis.karyotype import load_karyotyper, write_karyotype

    stems = [stem_of(image) for image in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise UsageError(f"several pictures would be written to {twice[0]}.json; karyotype them apart")
    karyotyper = load_karyotyper()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: can't be made: {error.strerror}") from error
    refused = 0
    for image, stem in zip(images, stems, strict=True):
        try:
            result = karyotyper.karyotype(read_image(image))
            write_karyotype(result, out / f"{stem}.json", out / f"{stem}.karyogram.png")
        except AnalysisError as error:
            refused += 1
            complain(str(error) if str(image) in str(error) else f"{image}: {error}")
            continue
        text = result.iscn.text or f"no ISCN: {result.iscn.reason}"
        typer.echo(f"{image}: {text}, {len(result.chromosomes)} chromosomes, {result.seconds:.2f} s")
    if refused:
        raise typer.Exit(_EXIT_REFUSED)


def stem_of(path: Path) -> str:
    """Name of a picture without its ending."""
    for ending in (".ome.tiff", ".ome.tif"):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def complain(text: str) -> None:
    """Say on the terminal's error channel what was refused."""
    typer.echo(f"karyoscan: {text}", err=True)
