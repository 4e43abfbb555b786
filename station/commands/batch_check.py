"""``karyoscan batch --check`` on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from acquisition.storage import write_json_atomic
from scanner.counted import counted
from station.exit_codes import ExitCode
from station.quantities import clock, size
from station.run.batch_check import BatchCheck, CheckedRow, RowOutcome, check_batch
from station.run.batch_request import BatchRequest

_TEXTS: Final = {
    RowOutcome.SCANNED: "scanned",
    RowOutcome.IF_NEEDED: "scanned if its sisters give too few cells",
    RowOutcome.FINISHED_BEFORE: "finished before",
    RowOutcome.NOT_IN_TRAY: "no slide in the tray",
    RowOutcome.REFUSED: "refused, see below",
}


def print_check(request: BatchRequest, json_file: Path | None) -> None:
    """Print what a night would be.

    Parameters
    ----------
    request
        What is asked.
    json_file
        Written as well; None for none.

    Raises
    ------
    typer.Exit
        With the code of a failure, where something has to be put right before the night.
    """
    check = check_batch(request)
    console = Console()
    names = ("line", "barcode", "accession", "priority", "protocol", "time", "disk", "what happens")
    # Folded where the terminal is narrow: half a barcode is none.
    table = Table(*(Column(name, overflow="fold") for name in names), title="Night")
    for row in check.rows:
        table.add_row(*map(escape, _cells(row)))
    console.print(table)
    for line in _lines(check):
        console.print(escape(line), highlight=False, soft_wrap=True)
    if json_file is not None:
        write_json_atomic(json_file, check.to_json())
    if check.refused:
        raise typer.Exit(ExitCode.FAILED)


def _cells(row: CheckedRow) -> tuple[str, ...]:
    entry, result = row.entry, row.estimate
    time, disk = ("", "") if result is None else (clock(result.seconds), size(result.stored_bytes))
    names = (str(entry.line), entry.barcode, entry.accession, str(entry.priority), entry.protocol.name)
    return (*names, time, disk, _TEXTS[row.outcome])


def _lines(check: BatchCheck) -> list[str]:
    lines = [f"refused  {text}" for text in check.refusals]
    for protocol in check.protocols:
        if protocol.error is not None:
            lines.append(f"refused  {protocol.error}")
        lines += [f"{each.level.value:8} {protocol.where(each)}: {each}" for each in protocol.findings]
    lines += [f"warning  {check.worklist.path.name}: {text}" for text in check.worklist.warnings]
    lines += [
        f"warning  slot {slot} holds {barcode}, which is not on the worklist or is there twice: it is parked"
        for slot, barcode in check.strangers.items()
    ]
    if check.labels is None:
        lines.append(f"{check.slots} slots; which slides lie in them is read when the batch runs.")
    slides = sum(row.is_scanned for row in check.rows)
    changes = f", {clock(check.change_seconds)} of it for changing slides" if check.change_seconds else ""
    lines.append(f"Time: at most {clock(check.seconds)} for {counted(slides, 'slide')}{changes}.")
    lines.append(
        f"Disk: at most {size(check.stored_bytes)} stay; {size(check.needed_bytes)} must be free, "
        f"{size(check.free_bytes)} are."
    )
    return lines
