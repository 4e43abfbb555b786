"""What a run that is recorded as completed lacks all the same, and a resumed run makes up for."""

from __future__ import annotations

from pathlib import Path

from acquisition.casebook import Casebook
from acquisition.records import CaptureRecord, KaryotypeStatus, RunStatus
from acquisition.review import rejected_cells
from acquisition.run.run_log import Progress
from acquisition.storage.run_folder import REPORT_NAME, RUN_JSON_NAME
from scanner.counted import counted

FINISHED = (RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS)
"""How a run ends that did what its protocol asks for."""


def captures_to_karyotype(casebook: Casebook, run_uid: str, progress: Progress) -> tuple[CaptureRecord, ...]:
    """Captures that have no karyotype, or one that failed; those of rejected cells are left out.

    Parameters
    ----------
    casebook, run_uid
        The record of the run.
    progress
        What the journal says.

    Raises
    ------
    CasebookError
        It can't be read.
    """
    answered = {
        record.capture_uid
        for record in casebook.karyotypes(run_uid)
        if record.status is not KaryotypeStatus.FAILED
    }
    rejected = rejected_cells(casebook, run_uid)
    return tuple(
        capture
        for capture in progress.captures.values()
        if capture.uid not in answered and capture.candidate_uid not in rejected
    )


def unfinished_work(
    casebook: Casebook, run_uid: str, folder: Path, progress: Progress, *, karyotypes: bool, derived: bool
) -> tuple[str, ...]:
    """Name what a run lacks; empty where it is complete.

    Parameters
    ----------
    casebook, run_uid
        The record of the run.
    folder
        Its folder.
    progress
        What the journal says.
    karyotypes
        Whether captures are to be karyotyped.
    derived
        Whether figures and report are to be made.

    Raises
    ------
    CasebookError
        It can't be read.
    """
    lacking = []
    if karyotypes and (captures := captures_to_karyotype(casebook, run_uid, progress)):
        lacking.append(f"{counted(len(captures), 'capture')} without a karyotype")
    if progress.ended not in FINISHED:
        lacking.append("the end of the run in the journal")
    if derived:
        lacking += [name for name in (RUN_JSON_NAME, REPORT_NAME) if not (folder / name).is_file()]
    return tuple(lacking)
