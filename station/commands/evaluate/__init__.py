"""The group ``karyoscan evaluate``: a subcommand a data set or a question."""

from __future__ import annotations

import typer

from station.commands.evaluate.bands import banding, levels, structural
from station.commands.evaluate.cells import aneuploidy, cells, risk
from station.commands.evaluate.datasets import bioimlab, clusters, gband612, mfish, tseng
from station.commands.evaluate.drawn import drawn, labels, padding
from station.commands.evaluate.finder import finder
from station.commands.evaluate.group import EvaluationGroup
from station.commands.evaluate.segmentation import segmentation
from station.commands.options import examples

evaluate_app = typer.Typer(
    cls=EvaluationGroup,
    help="Measure the analysis on labelled data, or on drawn cells whose truth is certain.",
    no_args_is_help=True,
    epilog=examples("karyoscan evaluate finder --split val", "karyoscan evaluate tseng --split test --data DATA"),
)
evaluate_app.command(epilog=examples("karyoscan evaluate tseng --split val --limit 20"))(tseng)
evaluate_app.command(epilog=examples("karyoscan evaluate gband612 --split val"))(gband612)
evaluate_app.command(epilog=examples("karyoscan evaluate bioimlab --split test"))(bioimlab)
evaluate_app.command(epilog=examples("karyoscan evaluate mfish --split val"))(mfish)
evaluate_app.command(epilog=examples("karyoscan evaluate clusters --limit 50"))(clusters)
evaluate_app.command(epilog=examples("karyoscan evaluate finder --split val --finder rules --report figures"))(
    finder
)
evaluate_app.command(epilog=examples("karyoscan evaluate cells --split val --jobs 2 --report figures"))(cells)
evaluate_app.command(
    epilog=examples(
        "karyoscan evaluate drawn --split val --predictions now.jsonl",
        "karyoscan evaluate drawn --split fit --predictions now.jsonl --before before.jsonl --corrected",
    )
)(drawn)
evaluate_app.command(epilog=examples("karyoscan evaluate labels --split fit --aneuploid --out labels"))(labels)
evaluate_app.command(epilog=examples("karyoscan evaluate padding --limit 60"))(padding)
evaluate_app.command(epilog=examples("karyoscan evaluate aneuploidy --split val --jobs 2"))(aneuploidy)
evaluate_app.command(epilog=examples("karyoscan evaluate risk --split val --report figures"))(risk)
evaluate_app.command(epilog=examples("karyoscan evaluate structural --split val --limit 16"))(structural)
evaluate_app.command(epilog=examples("karyoscan evaluate banding"))(banding)
evaluate_app.command(epilog=examples("karyoscan evaluate levels"))(levels)
evaluate_app.command(
    epilog=examples(
        "karyoscan evaluate segmentation tseng --split val --baselines --limit 20",
        "karyoscan evaluate segmentation clusters --mask-net training/mask-net",
        "karyoscan evaluate segmentation mfish --split test --weights training/composed-detector",
    )
)(segmentation)

__all__ = ["evaluate_app"]
