"""The commands that drive a run: ``scan``, ``resume``, ``batch``, ``control`` and ``status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acquisition.records import RunStatus
from acquisition.run.control import RunCommand, RunControl
from acquisition.run.interruption import interruptions_handled
from scanner.counted import counted
from station.commands.messages import complain, printable_text
from station.commands.options import ProtocolOption, RigOption, record_text
from station.errors import UsageError
from station.exit_codes import ExitCode
from station.output import optional_output

if TYPE_CHECKING:
    from acquisition.batch.report import BatchReport
    from station.run.batch_request import BatchRequest
    from station.run.scan import ScanResult

TrustNoticesOption = Annotated[
    bool,
    typer.Option(
        "--trust-notices",
        help="send the notices of a run whose protocol is not on this machine: its programs are started",
    ),
]
RecordedProtocolOption = Annotated[
    bool,
    typer.Option(
        "--recorded-protocol",
        help="go on with the protocol that the record has, though its file has other values by now",
    ),
]
FaultsOption = Annotated[
    str, typer.Option(help="simulated rigs: what goes wrong on purpose, as 'karyoscan faults' lists it")
]


def scan(
    rig: RigOption,
    protocol: ProtocolOption,
    out: Annotated[Path, typer.Option(help="folder of the run; must not hold another run")],
    specimen: Annotated[
        str, typer.Option(help="simulated rigs: 'rendered', or a folder of metaphase pictures")
    ] = "rendered",
    seed: Annotated[int, typer.Option(help="simulated rigs: seed of the slide")] = 1,
    cells: Annotated[int, typer.Option(help="simulated rigs: metaphases planted on the area", min=0)] = 12,
    slide: Annotated[str, typer.Option(callback=record_text, help="name of the slide in the record")] = "slide-1",
    accession: Annotated[
        str, typer.Option(callback=record_text, help="the case: written on report, karyograms and captures")
    ] = "",
    faults: FaultsOption = "",
) -> None:
    """Scan one slide: find metaphases, photograph them and propose karyograms."""
    from station.run.progress import RichListener
    from station.run.scan import ScanRequest, run_scan

    console = Console()
    control = RunControl()
    request = ScanRequest(
        rig,
        protocol,
        out,
        specimen=specimen,
        seed=seed,
        cells=cells,
        slide=slide,
        faults=faults,
        accession=accession,
    )
    try:
        with RichListener(console) as listener, interruptions_handled(control, listener.message):
            result = run_scan(request, control, listener)
    except KeyboardInterrupt:
        _end_interrupted(out)
    else:
        _end_run(console, result)


def resume(
    folder: Annotated[Path, typer.Argument(help="folder of a run that was cut off, or ended early")],
    seed: Annotated[int | None, typer.Option(help="simulated rigs: another slide lies on the stage now")] = None,
    trust_notices: TrustNoticesOption = False,
    recorded_protocol: RecordedProtocolOption = False,
) -> None:
    """Go on with a run at its first unfinished field, once its slide is recognised."""
    from station.run.progress import RichListener
    from station.run.resume import run_resume

    console = Console()
    control = RunControl()
    try:
        with RichListener(console) as listener, interruptions_handled(control, listener.message):
            result = run_resume(
                folder,
                control,
                listener,
                seed=seed,
                trust_notices=trust_notices,
                recorded_protocol=recorded_protocol,
            )
    except KeyboardInterrupt:
        _end_interrupted(folder)
    else:
        _end_run(console, result)


def batch(
    rig: RigOption,
    worklist: Annotated[Path, typer.Option(help="table (CSV): barcode, accession, protocol, priority")],
    out: Annotated[Path, typer.Option(help="folder of the batch; one that was stopped there is continued")],
    tray: Annotated[
        Path | None, typer.Option(help="simulated rigs: what is in the magazine (CSV): slot, barcode, cells, seed")
    ] = None,
    faults: FaultsOption = "",
    check: Annotated[
        bool, typer.Option("--check", help="dry run: what would become of each row, how long, how much room")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="with --check: write it to this file as well")
    ] = None,
    trust_notices: TrustNoticesOption = False,
    recorded_protocol: RecordedProtocolOption = False,
) -> None:
    """Scan a tray of slides against a worklist; what can't be identified is parked, never guessed."""
    from station.run.batch_request import BatchRequest

    request = BatchRequest(rig, worklist, out, tray, faults)
    if check:
        from station.commands.batch_check import print_check

        print_check(request, json_file)
        return
    if json_file is not None:
        raise UsageError("--json goes with --check; the record of a night is batch.json in --out")
    _run_batch(request, trust_notices=trust_notices, recorded_protocol=recorded_protocol)


def _run_batch(request: BatchRequest, *, trust_notices: bool, recorded_protocol: bool) -> None:
    from station.run.batch import run_batch
    from station.run.progress import RichListener

    console = Console()
    control = RunControl()
    try:
        with RichListener(console) as listener, interruptions_handled(control, listener.message):
            report = run_batch(
                request,
                control,
                listener,
                trust_notices=trust_notices,
                recorded_protocol=recorded_protocol,
            )
    except KeyboardInterrupt:
        _end_interrupted(request.out)
    else:
        _end_batch(console, request.out, report, stopped=control.stop_requested)


def control(
    folder: Annotated[Path, typer.Argument(help="folder of a run or of a batch that is running")],
    command: Annotated[RunCommand, typer.Argument(help="what it shall do at its next field or cell")],
    timeout: Annotated[
        float, typer.Option(help="s to wait until the run has taken the command up; 0: don't wait", min=0.0)
    ] = 60.0,
) -> None:
    """Pause, continue, stop or abort a run, or a whole batch, from another terminal."""
    from station.run.remote_control import send_and_wait

    typer.echo(send_and_wait(folder, command, timeout_s=timeout))


def status(
    folder: Annotated[Path, typer.Argument(help="folder of a run or of a batch, running or ended")],
    json_file: Annotated[Path | None, typer.Option("--json", help="write the state to this file as well")] = None,
) -> None:
    """Say how far a run or a batch is, and how long it will still take; needs no instrument."""
    from acquisition.storage import write_json_atomic
    from station.run.status import read_status

    state = read_status(folder)
    Console().print("\n".join(map(printable_text, state.lines())), highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        write_json_atomic(json_file, state.to_json())


def _end_interrupted(folder: Path) -> None:
    complain(f"interrupted; the instrument was made safe, the record is in {folder}")
    raise typer.Exit(ExitCode.STOPPED) from None


def _end_run(console: Console, result: ScanResult) -> None:
    with optional_output():
        _print_run(console, result.summary)
        console.print(f"Report: {printable_text(str(result.report))}", highlight=False, soft_wrap=True)
    status = RunStatus(result.summary["status"])
    if status in {RunStatus.FAILED, RunStatus.PARKED, RunStatus.ABORTED}:
        complain(f"run {status}: {result.summary['error']}")
        raise typer.Exit(ExitCode.FAILED)
    if status is RunStatus.STOPPED:
        complain(f"run stopped before its end; continue it with: karyoscan resume {result.report.parent}")
        raise typer.Exit(ExitCode.STOPPED)
    if result.summary["remark"]:
        complain(result.summary["remark"])
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _end_batch(console: Console, folder: Path, report: BatchReport, *, stopped: bool) -> None:
    from acquisition.batch.report import SlideStatus
    from station.report.batch_page import BATCH_PAGE_NAME

    table = Table("slot", "barcode", "accession", "state", "cells", "why", title=f"batch {escape(folder.name)}")
    for slide in report.slides:
        cells = "" if slide.cells is None else str(slide.cells)
        values = (slide.slot or "-", slide.barcode or "?", slide.accession or "", slide.status.value, cells)
        table.add_row(*(escape(value) for value in values), escape(slide.reason))
    with optional_output():
        console.print(table)
        console.print(f"Report: {printable_text(str(folder / BATCH_PAGE_NAME))}", highlight=False, soft_wrap=True)
    if report.ended:
        complain(f"no further slide was taken: {report.ended}")
        raise typer.Exit(ExitCode.STOPPED if stopped else ExitCode.FAILED)
    if not report.count(SlideStatus.FINISHED):
        complain("no slide was scanned; the table says why for each")
        raise typer.Exit(ExitCode.NOTHING_DONE)
    if report.needs_person:
        parked, missing = report.count(SlideStatus.PARKED), report.count(SlideStatus.MISSING)
        complain(
            f"{counted(parked, 'slide')} {'was' if parked == 1 else 'were'} parked and {missing} "
            f"{'is' if missing == 1 else 'are'} missing; the table says why for each"
        )
        raise typer.Exit(ExitCode.PARTLY_DONE)


def _print_run(console: Console, summary: dict[str, Any]) -> None:
    table = Table(title=f"Run {summary['status']}")
    for column in ("planted", "found", "false finds", "captured", "karyotyped", "chromosomes right"):
        table.add_column(column, justify="right")

    def shown(key: str) -> str:
        value = summary[key]
        return "—" if value is None else str(value)

    right, true = summary["chromosomes_right"], summary["chromosomes_true"]
    fraction = f" ({right / true:.1%})" if true else ""
    table.add_row(
        shown("planted"),
        shown("found"),
        shown("false_finds"),
        shown("captured"),
        shown("karyotyped"),
        "—" if true is None else f"{right} of {true}{fraction}",
    )
    console.print(table)
    seconds = ", ".join(f"{phase} {value:.1f} s" for phase, value in summary["seconds"].items())
    console.print(f"Time: {seconds}", highlight=False)
