"""The commands ``karyoscan doctor`` and ``karyoscan faults``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from station.exit_codes import ExitCode
from station.installation.packaged import PACKAGED_RIGS


def doctor(
    rigs: Annotated[
        Path | None, typer.Option(help="folder of rigs; default: the packaged ones", show_default=False)
    ] = None,
) -> None:
    """Say what is installed, which adapters fit, which rigs load, which weights are intact, and what to do."""
    from station.installation.doctor import examine

    findings = examine(rigs or PACKAGED_RIGS)
    table = Table("what", "state", "detail", title="karyoscan doctor")
    for finding in findings:
        state = "[green]ok[/green]" if finding.ok else "[red]fault[/red]"
        remedy = f"\n[bold]To do:[/bold] {escape(finding.remedy)}" if finding.remedy else ""
        table.add_row(escape(finding.what), state, f"{escape(finding.detail)}{remedy}")
    Console().print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def list_faults() -> None:
    """List everything that a simulated rig can be told to do wrong, and what the instrument does about it."""
    from simulators.fault_catalogue import DEVICE_FAULTS, SERIAL_FAULTS, STORAGE_FAULTS
    from simulators.fault_plan import GRAMMAR

    console = Console()
    for title, faults in (
        ("Devices", DEVICE_FAULTS),
        ("Serial lines and controllers", SERIAL_FAULTS),
        ("Disk and process", STORAGE_FAULTS),
    ):
        table = Table("fault", "what goes wrong", "what the instrument does", "error", title=title)
        for fault in faults:
            table.add_row(f"{fault.kind}@{fault.target}", fault.what, fault.answer, fault.error)
        console.print(table)
    console.print(f"--faults takes {GRAMMAR}, several separated by ';'.", highlight=False, markup=False)
