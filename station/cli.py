"""The command ``karyoscan``."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from acquisition.records import RunStatus
from acquisition.run.control import RunCommand, RunControl, send_run_command
from acquisition.storage import write_json_atomic
from acquisition.storage.run_folder import CONTROL_NAME
from station.commands.evaluate.bands import BAND_STUDIES, evaluate_bands_command
from station.commands.evaluate.cells import CELL_STUDIES, evaluate_cells_command
from station.commands.evaluate.segmentation import evaluate_segmentation, train_peer, train_stream
from station.commands.find import find
from station.commands.karyotype import classify, karyotype
from station.commands.protocol import protocol_app, schema
from station.commands.review import review
from station.commands.train.bands import train_bands
from station.commands.train.finder import train_finder
from station.commands.train.fits import train_confidence, train_second_look
from station.commands.train.selection import train_selection
from station.errors import EXPECTED_ERRORS, UsageError

if TYPE_CHECKING:
    from station.run.scan import ScanResult

_log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_STOPPED = 130

DATA_VARIABLE = "KARYOSCAN_DATA"
DEFAULT_DATA = Path("../shared/data")

app = typer.Typer(
    name="karyoscan",
    help="Automated slide scanning, metaphase finding and karyotyping. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(help="Train the weights that the product ships.", no_args_is_help=True)
app.add_typer(train_app, name="train")
rig_app = typer.Typer(help="Check and calibrate an instrument.", no_args_is_help=True)
app.add_typer(rig_app, name="rig")
app.add_typer(protocol_app, name="protocol")
app.command()(schema)
app.command()(karyotype)
app.command()(classify)
app.command()(find)
app.command()(review)
app.command()(evaluate_segmentation)
train_app.command("finder")(train_finder)
train_app.command("stream")(train_stream)
train_app.command("bands")(train_bands)
train_app.command("peer")(train_peer)
train_app.command("selection")(train_selection)
train_app.command("second-look")(train_second_look)
train_app.command("confidence")(train_confidence)


class EvaluationSet(StrEnum):
    """Labelled data sets."""

    TSENG = "tseng"
    GBAND612 = "gband612"
    BIOIMLAB = "bioimlab"
    MFISH = "mfish"
    CLUSTERS = "clusters"
    FINDER = "finder"
    CELLS = "cells"
    ANEUPLOIDY = "aneuploidy"
    RISK = "risk"
    STRUCTURAL = "structural"
    BANDING = "banding"
    LEVELS = "levels"


DataOption = Annotated[
    Path | None,
    typer.Option("--data", help=f"root of the data sets; default ${DATA_VARIABLE}, else {DEFAULT_DATA}"),
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="write the figures to this file as well")]


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="log to the terminal")] = False,
) -> None:
    # pymmcore-plus opens its own log file and terminal when it is imported; its records go the way of all others.
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


@app.command()
def scan(
    rig: Annotated[Path, typer.Option(help="folder of the rig")],
    protocol: Annotated[Path, typer.Option(help="protocol file")],
    out: Annotated[Path, typer.Option(help="folder of the run; must not hold another run")],
    specimen: Annotated[
        str, typer.Option(help="simulated rigs: 'rendered', or a folder of metaphase pictures")
    ] = "rendered",
    seed: Annotated[int, typer.Option(help="simulated rigs: seed of the slide")] = 1,
    cells: Annotated[int, typer.Option(help="simulated rigs: metaphases planted on the area", min=0)] = 12,
    slide: Annotated[str, typer.Option(help="name of the slide in the record")] = "slide-1",
    faults: Annotated[
        str, typer.Option(help="simulated rigs: what goes wrong on purpose, as 'karyoscan faults' lists it")
    ] = "",
) -> None:
    """Scan one slide: find metaphases, photograph them and propose karyograms."""
    from station.run.progress import RichListener
    from station.run.scan import ScanRequest, run_scan

    console = Console()
    control = RunControl()
    request = ScanRequest(
        rig, protocol, out, specimen=specimen, seed=seed, cells=cells, slide=slide, faults=faults
    )
    try:
        with RichListener(console) as listener, _stop_on_interrupt(control, listener.message):
            result = run_scan(request, control, listener)
    except KeyboardInterrupt:
        _complain(f"interrupted; the instrument was made safe, the record is in {out}")
        raise typer.Exit(EXIT_STOPPED) from None
    _end_run(console, result)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="folder of a run that was cut off, or ended early")],
    seed: Annotated[int | None, typer.Option(help="simulated rigs: another slide lies on the stage now")] = None,
) -> None:
    """Go on with a run at its first unfinished field, once its slide is recognised."""
    from station.run.progress import RichListener
    from station.run.resume import run_resume

    console = Console()
    control = RunControl()
    try:
        with RichListener(console) as listener, _stop_on_interrupt(control, listener.message):
            result = run_resume(folder, control, listener, seed=seed)
    except KeyboardInterrupt:
        _complain(f"interrupted; the instrument was made safe, the record is in {folder}")
        raise typer.Exit(EXIT_STOPPED) from None
    _end_run(console, result)


@app.command()
def control(
    folder: Annotated[Path, typer.Argument(help="folder of a run that goes on")],
    wish: Annotated[RunCommand, typer.Argument(help="what is wanted of it, at its next field or cell")],
) -> None:
    """Pause, continue, stop or abort a run from another terminal."""
    send_run_command(folder / CONTROL_NAME, wish)


@app.command()
def batch(
    rig: Annotated[Path, typer.Option(help="folder of the rig")],
    worklist: Annotated[Path, typer.Option(help="table (CSV): barcode, accession, protocol, priority")],
    out: Annotated[Path, typer.Option(help="folder of the batch; an earlier sitting in it is gone on with")],
    tray: Annotated[
        Path | None, typer.Option(help="simulated rigs: what is in the magazine (CSV): slot, barcode, cells, seed")
    ] = None,
    faults: Annotated[
        str, typer.Option(help="simulated rigs: what goes wrong on purpose, as 'karyoscan faults' lists it")
    ] = "",
) -> None:
    """Scan a tray of slides against a worklist; what can't be identified is parked, never guessed."""
    from station.report.batch_page import BATCH_PAGE_NAME
    from station.run.batch import BatchRequest, run_batch
    from station.run.progress import RichListener

    console = Console()
    control = RunControl()
    try:
        with RichListener(console) as listener, _stop_on_interrupt(control, listener.message):
            report = run_batch(BatchRequest(rig, worklist, out, tray, faults), control, listener)
    except KeyboardInterrupt:
        _complain(f"interrupted; the instrument was made safe, the record is in {out}")
        raise typer.Exit(EXIT_STOPPED) from None
    table = Table("slot", "barcode", "accession", "state", "cells", "why", title=f"batch {out.name}")
    for slide in report.slides:
        cells = "" if slide.cells is None else str(slide.cells)
        words = (slide.slot or "-", slide.barcode or "?", slide.accession or "", slide.status.value, cells)
        table.add_row(*(escape(word) for word in words), escape(slide.reason))
    console.print(table)
    console.print(f"Report: {out / BATCH_PAGE_NAME}", highlight=False, soft_wrap=True)
    if report.ended:
        _complain(f"no further slide was taken: {report.ended}")
        raise typer.Exit(EXIT_STOPPED if control.stop_requested else EXIT_FAILED)


def _end_run(console: Console, result: ScanResult) -> None:
    _print_run(console, result.summary)
    console.print(f"Report: {result.report}", highlight=False, soft_wrap=True)
    status = RunStatus(result.summary["status"])
    if status in {RunStatus.FAILED, RunStatus.PARKED, RunStatus.ABORTED}:
        _complain(f"run {status}: {result.summary['error']}")
        raise typer.Exit(EXIT_FAILED)
    if status is RunStatus.STOPPED:
        raise typer.Exit(EXIT_STOPPED)


@contextmanager
def _stop_on_interrupt(control: RunControl, tell: Callable[[str], None]) -> Iterator[None]:
    """First Ctrl-C: stop at the next field. Second: give up waiting. None interrupts the safe state."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if control.ending:
            return
        if control.stop_requested:
            raise KeyboardInterrupt
        control.request_stop()
        tell("stopping after this field; light off and focus down follow")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_run(console: Console, summary: dict[str, Any]) -> None:
    table = Table(title=f"Run {summary['status']}")
    for column in ("planted", "found", "false finds", "captured", "karyotyped", "chromosomes right"):
        table.add_column(column, justify="right")

    def shown(key: str) -> str:
        value = summary[key]
        return "—" if value is None else str(value)

    right, true = summary["chromosomes_right"], summary["chromosomes_true"]
    share = f" ({right / true:.1%})" if true else ""
    table.add_row(
        shown("planted"),
        shown("found"),
        shown("false_finds"),
        shown("captured"),
        shown("karyotyped"),
        "—" if true is None else f"{right} of {true}{share}",
    )
    console.print(table)
    seconds = ", ".join(f"{phase} {value:.1f} s" for phase, value in summary["seconds"].items())
    console.print(f"Time: {seconds}", highlight=False)


@app.command()
def evaluate(
    dataset: Annotated[EvaluationSet, typer.Argument(help="labelled data set")],
    data: DataOption = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    limit: Annotated[int | None, typer.Option(help="only the first of them", min=1)] = None,
    contours: Annotated[bool, typer.Option("--contours", help="tseng: cut by contours, no detector")] = False,
    finder: Annotated[str, typer.Option(help="finder: rules, default, or a folder of weights")] = "default",
    report: Annotated[Path | None, typer.Option(help="finder, cells: folder for figures as pictures")] = None,
    jobs: Annotated[int, typer.Option(help="cells: processes", min=1)] = 1,
    json_file: JsonOption = None,
) -> None:
    """Measure the analysis on labelled data; cells, aneuploidy and risk take tseng and gband612."""
    console = Console()
    if dataset.value in CELL_STUDIES:
        evaluate_cells_command(
            console,
            dataset.value,
            data_root(data),
            split,
            limit=limit,
            jobs=jobs,
            json_file=json_file,
            report=report,
        )
        return
    if dataset.value in BAND_STUDIES:
        evaluate_bands_command(console, dataset.value, data_root(data), split, limit=limit, json_file=json_file)
        return
    if dataset is EvaluationSet.FINDER:
        from station.commands.evaluate.finder import evaluate_finder_command

        evaluate_finder_command(
            console, data_root(data), split, finder=finder, limit=limit, json_file=json_file, report=report
        )
        return
    from station.evaluation.datasets import evaluate as evaluate_set

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(dataset.value)
        figures = evaluate_set(
            dataset.value,
            data_root(data),
            split,
            limit=limit,
            contours=contours,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    table = Table("figure", "value", title=f"{dataset.value}, {split}")
    for key, value in figures.items():
        table.add_row(key, _shown(value))
    console.print(table)
    if json_file is not None:
        write_json_atomic(json_file, figures)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return " .. ".join(_shown(part) for part in value)
    return str(value)


@train_app.command("classifier")
def train_classifier(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path("training/classifier"),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="stop after this time", min=0.1)] = 50.0,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = True,
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 20,
) -> None:
    """Train the chromosome classifier; resumable."""
    from station.training.nets import train_classifier as train

    train(data_root(data), out, minutes=minutes, resume=resume, seed=seed, tell=typer.echo)


@train_app.command("detector")
def train_detector(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path("training/detector"),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="stop after this time in all", min=0.1)] = 90.0,
    decay_steps: Annotated[
        int | None, typer.Option(help="take the rate to nothing in as many steps and write weights", min=1)
    ] = None,
    decay_from: Annotated[
        float, typer.Option(help="share of the rate a decay begins with", min=0.0, max=1.0)
    ] = 1.0,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = True,
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 20,
) -> None:
    """Train the chromosome detector; resumable. Without --decay-steps the rate stays constant."""
    from station.training.nets import train_detector as train

    train(
        data_root(data),
        out,
        minutes=minutes,
        decay_steps=decay_steps,
        decay_from=decay_from,
        resume=resume,
        seed=seed,
        tell=typer.echo,
    )


@app.command()
def doctor(
    rigs: Annotated[Path, typer.Option(help="folder of rigs")] = Path("hardware_configs"),
) -> None:
    """Say what is installed, which rigs load, which weights are intact, and what the machine offers."""
    from station.installation.doctor import examine

    console = Console()
    table = Table("what", "state", "detail", title="karyoscan doctor")
    findings = examine(rigs)
    for finding in findings:
        table.add_row(finding.what, "[green]ok[/green]" if finding.ok else "[red]fault[/red]", finding.detail)
    console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command("faults")
def list_faults() -> None:
    """List everything that a simulated rig can be told to do wrong, and what the instrument does about it."""
    from simulators.fault_catalogue import DEVICE_FAULTS, SERIAL_FAULTS, STORAGE_FAULTS
    from simulators.fault_plan import GRAMMAR

    console = Console()
    for title, entries in (
        ("Devices", DEVICE_FAULTS),
        ("Serial lines and controllers", SERIAL_FAULTS),
        ("Disk and process", STORAGE_FAULTS),
    ):
        table = Table("fault", "what goes wrong", "what the instrument does", "error", title=title)
        for entry in entries:
            table.add_row(f"{entry.kind}@{entry.target}", entry.what, entry.answer, entry.error)
        console.print(table)
    console.print(f"--faults takes {GRAMMAR}, several parted by ';'.", highlight=False, markup=False)


@rig_app.command("check")
def rig_check(
    rig: Annotated[Path, typer.Argument(help="folder of the rig")],
    home: Annotated[bool, typer.Option("--home", help="drive the stage to its end switches first")] = False,
) -> None:
    """Load an instrument, move everything a little, take a picture, and say what is in order."""
    from station.instrument.rig_check import RigCheckState, check_rig

    colours = {RigCheckState.OK: "green", RigCheckState.FAULT: "red", RigCheckState.NOT_JUDGED: "yellow"}
    steps = check_rig(rig, home=home)
    table = Table("step", "state", "detail", title=f"rig check {rig.name}")
    for step in steps:
        table.add_row(step.what, f"[{colours[step.state]}]{step.state}[/]", escape(step.detail))
    Console().print(table)
    if any(step.state is RigCheckState.FAULT for step in steps):
        raise typer.Exit(EXIT_FAILED)


@rig_app.command("oil")
def rig_oil(
    rig: Annotated[Path, typer.Argument(help="folder of the rig")],
    clean: Annotated[
        list[str] | None,
        typer.Option(help="slide that carries no oil any more, as it is listed; repeat for several"),
    ] = None,
) -> None:
    """List the slides that carry oil; declare one clean after a person has looked."""
    from scanner.rig import load_rig
    from station.compose import open_oil_ledger

    description, _ = load_rig(rig)
    ledger = open_oil_ledger(description)
    for slide in clean or ():
        if not ledger.is_oiled(slide):
            known = ", ".join(sorted(ledger.oiled_slides())) or "none"
            raise UsageError(f"--clean: slide {slide!r} carries no oil in the record; those that do: {known}")
        ledger.declare_clean(slide)
    table = Table("slide", "drops", title=f"oil on {description.name}")
    for slide in sorted(ledger.oiled_slides()):
        table.add_row(escape(slide), str(len(ledger.drops(slide))))
    Console().print(table)


@rig_app.command("calibrate")
def rig_calibrate(
    rig: Annotated[Path, typer.Argument(help="folder of the rig")],
    what: Annotated[
        list[str] | None,
        typer.Option(help="pixels, backlash, field, read-out, motion, offsets; repeat for several, default all"),
    ] = None,
    slide_x_um: Annotated[float | None, typer.Option(help="place with cells, slide um; default: here")] = None,
    slide_y_um: Annotated[float | None, typer.Option(help="place with cells, slide um; default: here")] = None,
    focus_um: Annotated[float | None, typer.Option(help="where focus is expected; default mid-envelope")] = None,
    oil: Annotated[bool, typer.Option("--oil", help="there is oil on the slide: measure oil objectives")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="measure, but write nothing")] = False,
) -> None:
    """Let an instrument measure itself on a slide, and write what was found into its rig file."""
    from scanner.calibration.session import procedures_of
    from scanner.coordinates import SlidePoint
    from station.instrument.calibrate import CalibrationRequest, described, run_calibration

    if (slide_x_um is None) != (slide_y_um is None):
        raise UsageError("--slide-x-um and --slide-y-um belong together")
    at = None if slide_x_um is None or slide_y_um is None else SlidePoint(slide_x_um, slide_y_um)
    request = CalibrationRequest(rig, procedures_of(what or ()), at, focus_um, oil_allowed=oil, write=not dry_run)
    table = Table("measured", "value", "residual", title=f"rig calibrate {rig.name}")
    for result in run_calibration(request):
        table.add_row(*described(result))
    console = Console()
    console.print(table)
    if not oil:
        console.print("Oil objectives were left out; --oil measures them.", highlight=False)
    console.print("Nothing was written." if dry_run else f"Written: {rig}", highlight=False, soft_wrap=True)


def data_root(given: Path | None) -> Path:
    """Root of the data sets: as given, else from the environment, else beside the checkout."""
    if given is not None:
        return given
    return Path(os.environ.get(DATA_VARIABLE, "") or DEFAULT_DATA)


def _complain(text: str) -> None:
    typer.echo(f"karyoscan: {text}", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: expected failures become one line and a non-zero exit."""
    try:
        app(args=arguments)
    except EXPECTED_ERRORS as error:
        _log.debug("refused", exc_info=True)
        _complain(" ".join(str(error).split()))
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
