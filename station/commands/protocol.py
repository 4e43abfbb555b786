"""The commands ``karyoscan protocol`` and ``karyoscan schema``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acquisition.storage import write_json_atomic
from scanner.counted import counted
from station.commands.messages import printable_text, say
from station.commands.options import (
    JsonOption,
    OptionalRigOption,
    ProtocolArgument,
    ProtocolsArgument,
    RigOption,
    examples,
)
from station.exit_codes import ExitCode
from station.quantities import clock, size

if TYPE_CHECKING:
    from acquisition.plan.density import Forecast
    from station.protocol.explanation import Explanation

protocol_app = typer.Typer(help="Check, explain, begin and export scan protocols.", no_args_is_help=True)


@protocol_app.command(
    "check",
    epilog=examples("karyoscan protocol check demo", "karyoscan protocol check ward_7.yaml --rig simulated"),
)
def check(
    protocols: ProtocolsArgument,
    rig: OptionalRigOption = None,
) -> None:
    """Say whether protocols can be read, and whether a rig can carry them out."""
    from station.compose import agreed_rig
    from station.protocol.checking import check_protocol

    instrument = agreed_rig(rig) if rig is not None else None
    refused = False
    for path in protocols:
        checked = check_protocol(path, instrument)
        refused = refused or checked.refused
        if checked.error is not None:
            say(f"refused  {checked.error}")
            continue
        for finding in checked.findings:
            say(f"{finding.level.value:8} {checked.where(finding)}: {finding}")
        if not checked.findings:
            say(f"ok       {path}")
    if refused:
        raise typer.Exit(ExitCode.FAILED)


@protocol_app.command(
    "explain",
    epilog=examples(
        "karyoscan protocol explain demo --rig simulated",
        "karyoscan protocol explain ward_7.yaml --rig simulated --measured runs/demo --cells 20",
    ),
)
def explain(
    protocol: ProtocolArgument,
    rig: RigOption,
    measured: Annotated[
        Path | None, typer.Option(help="folder of an earlier run on this computer, whose own figures are used")
    ] = None,
    cells: Annotated[int | None, typer.Option(help="usable cells expected on the slide", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="where the run would write: is there room?")] = None,
    json_file: JsonOption = None,
) -> None:
    """Dry run: what a run would take, and what would be refused, before anything moves."""
    from station.protocol.explanation import explain_protocol

    explanation = explain_protocol(protocol, rig, measured=measured, cell_count=cells, out=out)
    _show(explanation, Console(), at_most=cells is None)
    if json_file is not None:
        write_json_atomic(json_file, explanation.estimate.to_json())
    if explanation.estimate.refused:
        raise typer.Exit(ExitCode.FAILED)


@protocol_app.command("new", epilog=examples("karyoscan protocol new ward_7 --like constitutional_blood"))
def new(
    name: Annotated[str, typer.Argument(help="name of the protocol, and of its file")],
    like: Annotated[str, typer.Option(help="shipped protocol to start from")] = "constitutional_blood",
    folder: Annotated[Path, typer.Option(help="where to write it")] = Path(),
) -> None:
    """Begin a protocol from a shipped one, comments included."""
    from station.protocol.template import new_protocol

    say(f"Written: {new_protocol(name, like, folder)}")


@protocol_app.command("export", epilog=examples("karyoscan protocol export demo --rig simulated --out demo.json"))
def export(
    protocol: ProtocolArgument,
    rig: RigOption,
    out: Annotated[Path, typer.Option(help="file for the sequence (JSON)")],
) -> None:
    """Write the fields of the scan as a useq MDASequence, for other acquisition software."""
    from station.protocol.export import scan_sequence, write_sequence

    sequence = scan_sequence(protocol, rig)
    write_sequence(sequence, out)
    say(f"{counted(len(sequence.stage_positions), 'field')} -> {out}")


def schema(
    kind: Annotated[str, typer.Argument(help="protocol, rig, proposal or edits")],
) -> None:
    """Print the JSON Schema of a file, for editors and other programs."""
    from station.errors import UsageError
    from station.protocol.schema import SchemaOf, schema_text
    from station.suggestions import not_allowed

    try:
        wanted = SchemaOf(kind)
    except ValueError as error:
        raise UsageError(not_allowed("schema", kind, SchemaOf)) from error
    typer.echo(schema_text(wanted), nl=False)


def _show(explanation: Explanation, console: Console, *, at_most: bool) -> None:
    result, checked = explanation.estimate, explanation.check
    bound = "at most " if at_most else ""
    table = Table("what", "count", "estimate", title=f"{result.protocol} on {result.rig}")
    for phase in result.phases:
        table.add_row(phase.name, f"{phase.count} {phase.unit}", clock(phase.seconds))
    if result.phases:
        table.add_row("[bold]time[/bold]", "", f"[bold]{bound}{clock(result.seconds)}[/bold]", end_section=True)
    for part in result.disk:
        table.add_row(part.name, str(part.count), size(part.size_bytes) + ("" if part.stays else ", passing"))
    if result.disk:
        stored, needed = size(result.stored_bytes), size(result.needed_bytes)
        table.add_row(
            "[bold]disk[/bold]", "", f"[bold]{bound}{stored}[/bold]; {needed} must be free", end_section=True
        )
        table.add_row("oil", counted(result.oil_drops, "drop"), "", end_section=True)
    for reach in result.reach:
        ways, allowed = f"{reach.low_um:.0f} .. {reach.high_um:.0f}", f"{reach.min_um:g} .. {reach.max_um:g}"
        table.add_row(f"{reach.axis} um", ways, f"allowed {allowed}")
    console.print(table)
    if result.forecast is not None:
        console.print(_cells(result.forecast), highlight=False)
    console.print(f"Figures of software and disk: {result.source}.", highlight=False)
    colours = {"refused": "red", "warning": "yellow"}
    for finding in result.findings:
        level = finding.level.value
        line = f"[{colours[level]}]{level}[/] {escape(checked.where(finding))}: {escape(str(finding))}"
        console.print(printable_text(line), highlight=False, soft_wrap=True)


def _cells(forecast: Forecast) -> str:
    expected, per_mm2 = forecast.expected, forecast.per_mm2
    told = (
        f"Analysable cells on a slide like that run's: about {expected.mean:.0f} "
        f"({expected.low:.0f} to {expected.high:.0f}), {per_mm2.mean:.2f} per mm2 "
        f"({per_mm2.low:.2f} to {per_mm2.high:.2f})."
    )
    if forecast.enough_fraction is not None:
        told += f" The stop rule is likely to end the scan after {forecast.enough_fraction:.0%} of the area."
    return told
