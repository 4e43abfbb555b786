"""``karyoscan train cover``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, SeedOption, data_root
from station.commands.train.outputs import OutFolder, command_line, report_location


def cover(
    out: OutFolder = Path("training/mask-cover"),
    data: DataOption = None,
    scenes: Annotated[int, typer.Option(help="simulated scenes", min=2)] = 40,
    trials: Annotated[int, typer.Option(help="settings tried", min=1)] = 20,
    seed: SeedOption = 33,
) -> None:
    """Fit how masks of a pile are weighed, on simulated piles (gband612 val; five minutes)."""
    from analysis.segmentation.mask_net.mask_cover import load_cover_settings
    from analysis.segmentation.mask_net.predictor import MaskPredictor
    from analysis.training.fits.mask_cover import cover_errors, fit_cover, simulated_piles, write_cover
    from analysis.training.masks.singles import load_bank

    out.mkdir(parents=True, exist_ok=True)
    bank = load_bank(data_root(data), out, "val", sources=("gband612",))
    piles = list(simulated_piles(bank, scenes, seed=seed))
    predictor, start = MaskPredictor.load(), load_cover_settings()
    settings = fit_cover(
        piles,
        predictor,
        start,
        trials=trials,
        seed=seed,
        progress=lambda done, least: typer.echo(f"{done} of {trials}: {least:.3f} errors a chromosome"),
    )
    errors = cover_errors(piles, predictor, settings)
    before = cover_errors(piles, predictor, start)
    typer.echo(f"{len(piles)} piles, errors a chromosome {before:.3f} before, {errors:.3f} after")
    command = command_line("cover", scenes=scenes, trials=trials, seed=seed)
    report_location(write_cover(settings, out, piles=len(piles), errors=errors, seed=seed, command=command))
