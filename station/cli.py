"""The command ``karyoscan``: the commands of `station.commands`, assembled."""

from __future__ import annotations

import logging
import sys
from importlib import metadata
from typing import Annotated, Final

import typer

from station.commands.casebook import casebook_app
from station.commands.diagnosis import doctor, list_faults
from station.commands.evaluate import evaluate_app
from station.commands.evaluate.segmentation import segmentation
from station.commands.find import find
from station.commands.import_karyograms import import_karyograms
from station.commands.karyotype import classify, karyotype
from station.commands.messages import complain
from station.commands.options import examples
from station.commands.protocol import protocol_app, schema
from station.commands.refine import refine
from station.commands.review import review
from station.commands.rig import rig_app
from station.commands.run import batch, control, resume, scan, status
from station.commands.serve import serve
from station.commands.train import train_app
from station.errors import EXPECTED_ERRORS
from station.exit_codes import ExitCode

_log = logging.getLogger(__name__)

RUN_PANEL: Final = "Runs"
SETUP_PANEL: Final = "Protocols and instruments"
ANALYSIS_PANEL: Final = "Pictures"
DEVELOPMENT_PANEL: Final = "Evaluation and training"


def make_app() -> typer.Typer:
    """The application with all its commands, in the order in which its help lists them."""
    app = typer.Typer(
        name="karyoscan",
        help="Automated slide scanning, metaphase finding and karyotyping. Research use only.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        epilog=examples(
            "karyoscan scan --rig simulated --protocol demo --out runs/demo",
            "karyoscan karyotype picture.jpg --out karyograms",
        ),
    )
    app.callback()(_options)
    _add_run_commands(app)
    app.add_typer(casebook_app, name="casebook", rich_help_panel=RUN_PANEL)
    app.add_typer(protocol_app, name="protocol", rich_help_panel=SETUP_PANEL)
    app.add_typer(rig_app, name="rig", rich_help_panel=SETUP_PANEL)
    app.command(
        rich_help_panel=RUN_PANEL,
        epilog=examples(
            "karyoscan review runs/demo --list", "karyoscan review runs/demo --reject cand-0003 --reason debris"
        ),
    )(review)
    _add_picture_commands(app)
    app.add_typer(evaluate_app, name="evaluate", rich_help_panel=DEVELOPMENT_PANEL)
    # The name of earlier versions.
    app.command("evaluate-segmentation", hidden=True)(segmentation)
    app.add_typer(train_app, name="train", rich_help_panel=DEVELOPMENT_PANEL)
    app.command(rich_help_panel=SETUP_PANEL, epilog=examples("karyoscan schema protocol"))(schema)
    app.command("faults", rich_help_panel=SETUP_PANEL, epilog=examples("karyoscan faults"))(list_faults)
    app.command(rich_help_panel=SETUP_PANEL, epilog=examples("karyoscan doctor", "karyoscan doctor --rigs rigs"))(
        doctor
    )
    return app


def _add_picture_commands(app: typer.Typer) -> None:
    app.command(
        rich_help_panel=ANALYSIS_PANEL,
        epilog=examples(
            "karyoscan karyotype cell-1.jpg cell-2.tif --out karyograms",
            "karyoscan karyotype --cells case-7 --out karyograms/case-7 --ideograms 550",
            "karyoscan karyotype --edit karyograms/cell-1.json --out corrected",
        ),
    )(karyotype)
    app.command(
        rich_help_panel=ANALYSIS_PANEL,
        epilog=examples(
            "karyoscan refine karyograms/cell-1.json --edits edits.json --out corrected --author 'A. Weber'",
            "karyoscan refine corrected/cell-1.json --undo 1 --out corrected",
            "karyoscan schema edits",
        ),
    )(refine)
    app.command(
        rich_help_panel=ANALYSIS_PANEL,
        epilog=examples("karyoscan classify crops --cells cells.csv --json classes.json"),
    )(classify)
    app.command(
        rich_help_panel=ANALYSIS_PANEL,
        epilog=examples("karyoscan find field.tif --um-per-px 0.645 --json candidates.json"),
    )(find)
    app.command(
        "import-karyograms",
        rich_help_panel=ANALYSIS_PANEL,
        epilog=examples(
            "karyoscan import-karyograms archive --out imported",
            "karyoscan import-karyograms archive --out imported --metaphase-pattern '{cell}_meta' "
            "--karyogram-pattern '{cell}_kary' --layout our-sheets.yaml",
        ),
    )(import_karyograms)


def _add_run_commands(app: typer.Typer) -> None:
    app.command(
        rich_help_panel=RUN_PANEL,
        epilog=examples(
            "karyoscan scan --rig simulated --protocol demo --out runs/demo",
            "karyoscan scan --rig rigs/room-3 --protocol ward_7.yaml --out runs/B1 --slide B1 --accession 24-0117",
        ),
    )(scan)
    app.command(rich_help_panel=RUN_PANEL, epilog=examples("karyoscan resume runs/demo"))(resume)
    app.command(
        rich_help_panel=RUN_PANEL,
        epilog=examples("karyoscan serve --data laboratory", "karyoscan serve --data laboratory --port 0"),
    )(serve)
    app.command(
        rich_help_panel=RUN_PANEL,
        epilog=examples(
            "karyoscan batch --rig simulated-feeder --worklist night.csv --out runs/night",
            "karyoscan batch --check --rig simulated-feeder --worklist night.csv --out runs/night",
            "karyoscan batch --rig simulated-feeder --worklist night.csv --tray tray.csv --out runs/night",
        ),
    )(batch)
    app.command(
        rich_help_panel=RUN_PANEL,
        epilog=examples("karyoscan control runs/demo pause", "karyoscan control runs/night stop --timeout 300"),
    )(control)
    app.command(
        rich_help_panel=RUN_PANEL,
        epilog=examples("karyoscan status runs/demo", "karyoscan status runs/night --json status.json"),
    )(status)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"karyoscan {metadata.version('karyoscan')}")
        raise typer.Exit


def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="log to the terminal")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="say which version this is", callback=_version, is_eager=True)
    ] = False,
) -> None:
    # pymmcore-plus opens its own log file and terminal when it is imported; its records go where all others go.
    library = logging.getLogger("pymmcore-plus")
    for handler_of_its_own in library.handlers[:]:
        library.removeHandler(handler_of_its_own)
        handler_of_its_own.close()
    library.propagate = True
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO if verbose else logging.CRITICAL)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]


app = make_app()


def main(arguments: list[str] | None = None) -> None:
    """Entry point: expected failures become one line and a non-zero exit."""
    try:
        app(args=arguments)
    except EXPECTED_ERRORS as error:
        _log.debug("refused", exc_info=True)
        complain(str(error))
        sys.exit(ExitCode.FAILED)


if __name__ == "__main__":
    main()
