"""The commands ``karyoscan protocol`` and ``karyoscan schema``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acquisition.storage import write_json_atomic

if TYPE_CHECKING:
    from acquisition.plan.density import Forecast
    from station.protocol.protocols import Explanation

protocol_app = typer.Typer(help="Check, explain and begin scan protocols.", no_args_is_help=True)

_EXIT_REFUSED = 1
_MB, _GB = 1e6, 1e9

RigOption = Annotated[Path, typer.Option(help="folder of the rig")]
ProtocolArgument = Annotated[Path, typer.Argument(help="protocol file")]


@protocol_app.command("check")
def check(
    protocols: Annotated[list[Path], typer.Argument(help="protocol files")],
    rig: Annotated[Path | None, typer.Option(help="folder of the rig that shall run them")] = None,
) -> None:
    """Say whether protocols can be read, and whether a rig can carry them out."""
    from station.compose import agreed_rig
    from station.protocol.protocols import check_protocol

    instrument = agreed_rig(rig) if rig is not None else None
    refused = False
    for path in protocols:
        verdict = check_protocol(path, instrument)
        refused = refused or verdict.refused
        if verdict.error is not None:
            typer.echo(f"refused  {verdict.error}")
            continue
        for finding in verdict.findings:
            typer.echo(f"{finding.level.value:8} {verdict.where(finding)}: {finding}")
        if not verdict.findings:
            typer.echo(f"ok       {path}")
    if refused:
        raise typer.Exit(_EXIT_REFUSED)


@protocol_app.command("explain")
def explain(
    protocol: ProtocolArgument,
    rig: RigOption,
    measured: Annotated[
        Path | None, typer.Option(help="folder of an earlier run on this computer, whose own figures are used")
    ] = None,
    cells: Annotated[int | None, typer.Option(help="usable cells expected on the slide", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="where the run would write: is there room?")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the figures to this file as well")
    ] = None,
) -> None:
    """Dry run: what a run would take, and what would be refused, before anything moves."""
    from station.protocol.protocols import explain_protocol

    explanation = explain_protocol(protocol, rig, measured=measured, cells=cells, out=out)
    _show(explanation, Console(), at_most=cells is None)
    if json_file is not None:
        write_json_atomic(json_file, explanation.estimate.to_json())
    if explanation.estimate.refused:
        raise typer.Exit(_EXIT_REFUSED)


@protocol_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="name of the protocol, and of its file")],
    like: Annotated[str, typer.Option(help="shipped protocol to start from")] = "constitutional_blood",
    folder: Annotated[Path, typer.Option(help="where to write it")] = Path(),
) -> None:
    """Begin a protocol from a shipped one, comments included."""
    from station.protocol.protocols import new_protocol

    typer.echo(f"Written: {new_protocol(name, like, folder)}")


def schema(
    what: Annotated[str, typer.Argument(help="protocol or rig")],
) -> None:
    """Print the JSON Schema of a file, for editors and other programs."""
    from station.errors import UsageError
    from station.protocol.protocols import SchemaOf, schema_text

    try:
        wanted = SchemaOf(what)
    except ValueError as error:
        raise UsageError(f"schema: found {what!r}; allowed: {', '.join(SchemaOf)}") from error
    typer.echo(schema_text(wanted), nl=False)


def _show(explanation: Explanation, console: Console, *, at_most: bool) -> None:
    result, verdict = explanation.estimate, explanation.verdict
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
        table.add_row("oil", f"{result.oil_drops} drop{'s' * (result.oil_drops != 1)}", "", end_section=True)
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
        line = f"[{colours[level]}]{level}[/] {escape(verdict.where(finding))}: {escape(str(finding))}"
        console.print(line, highlight=False, soft_wrap=True)


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


def clock(seconds: float) -> str:
    """A duration for people: ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes:02d} min"


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / _GB:.2f} GB" if count >= _GB else f"{count / _MB:.1f} MB"
