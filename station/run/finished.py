"""Whether the folder of a slide holds a complete run, whatever a record beside it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acquisition.batch.batch import SlideResult
from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import AcquisitionError
from acquisition.journal import read_journal
from acquisition.protocol import Protocol, load_protocol
from acquisition.run.run_log import read_progress
from acquisition.run.unfinished import FINISHED, unfinished_work
from acquisition.storage.run_folder import CASEBOOK_NAME, JOURNAL_NAME


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What the folder of a slide says of its run.

    Attributes
    ----------
    result
        How the run ended; None where it is not complete.
    lacks
        What it lacks, for people; empty where it is complete.
    """

    result: SlideResult | None
    lacks: str = ""


def finished_run(folder: Path, barcode: str, protocol: Protocol) -> FinishedRun:
    """Hold a folder against what a complete run of a slide consists of.

    Parameters
    ----------
    folder
        Where the run should be.
    barcode
        The slide: the run of another one does not count.
    protocol
        What the worklist asks for: how many cells are enough.
    """
    journal = folder / JOURNAL_NAME
    if not journal.is_file() or not (folder / CASEBOOK_NAME).is_file():
        return FinishedRun(None, f"{folder.name} holds no run")
    try:
        with open_casebook(folder / CASEBOOK_NAME, create=False) as casebook:
            return _finished_run(casebook, folder, barcode, protocol)
    except AcquisitionError as error:
        return FinishedRun(None, str(error))


def cells_wanted(protocol: Protocol) -> int:
    """How many cells make a slide a good one."""
    return protocol.stop.cells or protocol.capture.number


def _finished_run(casebook: Casebook, folder: Path, barcode: str, protocol: Protocol) -> FinishedRun:
    runs = casebook.runs()
    if len(runs) != 1 or runs[0].record.slide != barcode:
        slides = ", ".join(run.record.slide for run in runs) or "no slide"
        return FinishedRun(None, f"its casebook is about {slides}")
    (run,) = runs
    journal = folder / JOURNAL_NAME
    # Going on with a run makes up for what its own protocol asks for, whatever the worklist names now.
    own = load_protocol(folder / CASEBOOK_NAME, text=run.record.protocol_yaml)
    lacking = unfinished_work(
        casebook,
        run.record.uid,
        folder,
        read_progress(read_journal(journal), journal),
        karyotypes=own.karyotype.enabled,
        derived=True,
    )
    if run.status not in FINISHED:
        return FinishedRun(None, f"its run is {run.status}" + (f": {run.error}" if run.error else ""))
    if lacking:
        return FinishedRun(None, f"it lacks {', '.join(lacking)}")
    cells = len(casebook.candidates(run.record.uid))
    return FinishedRun(SlideResult(run.status, run.error, cells, enough=cells >= cells_wanted(protocol)))
