"""The command ``karyoscan train bands``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.train.outputs import DEFAULT_DATA, DataFolder, OutFolder, command_line, tell_where


def train_bands(
    data: DataFolder = DEFAULT_DATA,
    out: OutFolder = Path("training/bands"),
    step: Annotated[int, typer.Option(help="every so many-th train cell", min=1)] = 2,
    cut: Annotated[int, typer.Option(help="pictures the software cuts itself", min=1)] = 200,
) -> None:
    """Fit what normal homologues and the banding techniques look like (train splits, ten minutes)."""
    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.banding_templates import learn_templates, write_templates
    from analysis.training.fits.reference_statistics import (
        learn_norms,
        normal_cells,
        norms_by_cuts,
        norms_manifest,
        own_cut_cells,
        tseng_pictures,
        write_norms,
    )

    command = command_line("bands", step=step, cut=cut)
    cells = list(normal_cells(data / "gband612", "train", step))
    pictures = tseng_pictures(data / "tseng", "train", cut)
    own_cells = list(own_cut_cells(pictures, load_karyotyper()))
    norms = norms_by_cuts(learn_norms(cells), own_cells)
    manifest = norms_manifest(
        norms, cells=len(cells), own_cells=len(own_cells), settings={"step": step, "cut": cut}, command=command
    )
    tell_where(write_norms(norms, out, manifest))
    tell_where(write_templates(learn_templates(data, step=step), out, step=step, command=command))
    typer.echo(f"pairs are flagged from a score of {norms.threshold:.2f}")
