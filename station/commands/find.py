"""The command ``karyoscan find``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from acquisition.storage import write_json_atomic
from scanner.counted import counted
from station.commands.messages import printable_text

if TYPE_CHECKING:
    from analysis.finder import Candidate

_QUALITY = ("spread", "overlap", "completeness", "contrast", "chromosomes")


def find(
    image: Annotated[Path, typer.Argument(help="one field")],
    um_per_px: Annotated[float, typer.Option(help="size of a pixel on the specimen, um")],
    model: Annotated[str, typer.Option(help="which finder: default or rules")] = "default",
    min_score: Annotated[float, typer.Option(help="candidates below are left out", min=0.0, max=1.0)] = 0.05,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the candidates to this file")] = None,
) -> None:
    """List the metaphase candidates of a field, best first, as a run would find them."""
    from analysis.imaging.image_file import read_image
    from station.run.finders import choose_finder

    chosen = choose_finder(model)
    candidates = chosen.finder(read_image(image).pixels, um_per_px, min_score=min_score)
    if json_file is not None:
        write_json_atomic(json_file, [row(candidate) for candidate in candidates])
    table = Table(
        "x px", "y px", "radius px", "score", "analysable", "rank", title=counted(len(candidates), "candidate")
    )
    for candidate in candidates:
        places = (candidate.x_px, candidate.y_px, candidate.radius_px)
        chances = (candidate.score, candidate.analysable, candidate.rank)
        table.add_row(
            *(f"{value:.1f}" for value in places), *("-" if value is None else f"{value:.2f}" for value in chances)
        )
    console = Console()
    console.print(table)
    console.print(f"Found by {printable_text(str(chosen))}.", highlight=False)


def row(candidate: Candidate) -> dict[str, float | None]:
    """A candidate as plain values; what the finder doesn't say is None."""
    quality = dict.fromkeys(_QUALITY) if candidate.quality is None else asdict(candidate.quality)
    return {
        "x_px": round(candidate.x_px, 2),
        "y_px": round(candidate.y_px, 2),
        "radius_px": round(candidate.radius_px, 2),
        "score": round(candidate.score, 4),
        "analysable": _rounded(candidate.analysable),
        "rank": round(candidate.rank, 4),
        **{name: _rounded(value) for name, value in quality.items()},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
