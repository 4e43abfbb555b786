"""Brings the casebook to what the journal says: a run that was cut off may have written one and not the other."""

from __future__ import annotations

from acquisition.errors import ResumeError
from acquisition.records import CandidateStatus
from acquisition.run.context import RunContext
from acquisition.run.ranking import candidate_records
from acquisition.run.run_log import Progress


def reconcile(context: RunContext, progress: Progress) -> None:
    """Record what the casebook lacks; nothing is recorded twice.

    Candidates that were never ranked for good are taken out: the run goes on and ranks them anew.

    Parameters
    ----------
    context
        The run.
    progress
        What the journal says.

    Raises
    ------
    CasebookError
        It can't be written.
    ResumeError
        Casebook and journal contradict each other.
    """
    casebook, uid = context.casebook, context.run_uid
    recorded = {record.index for record in casebook.fields(uid)}
    for index, record in sorted(progress.searched.items()):
        if index not in recorded:
            casebook.record_field(uid, record)
    if progress.ranked is None:
        casebook.remove_candidates(uid)
        return
    _candidates(context, progress)
    captured = {record.uid: record for record in casebook.captures(uid)}
    for capture in progress.captures.values():
        if capture.uid not in captured:
            casebook.record_capture(uid, capture)
        elif captured[capture.uid] != capture:
            raise ResumeError(
                f"capture {capture.uid} differs between casebook and journal: one of them was altered",
                path=casebook.path,
            )
    statuses = {candidate.uid: candidate.status for candidate in casebook.candidates(uid)}
    strangers = statuses.keys() ^ {candidate.uid for candidate in progress.ranked}
    if strangers:
        raise ResumeError(
            f"casebook and journal name different candidates ({', '.join(sorted(strangers)[:3])}): "
            "one of them belongs to another run",
            path=casebook.path,
        )
    for cell in progress.captures:
        if statuses[cell] is not CandidateStatus.CAPTURED:
            casebook.set_candidate_status(uid, cell, CandidateStatus.CAPTURED)
    for cell, reason in progress.failed_captures.items():
        if statuses[cell] is not CandidateStatus.FAILED:
            casebook.set_candidate_status(uid, cell, CandidateStatus.FAILED, reason)


def _candidates(context: RunContext, progress: Progress) -> None:
    casebook, uid = context.casebook, context.run_uid
    if progress.ranked is None or len(casebook.candidates(uid)) == len(progress.ranked):
        return
    casebook.remove_candidates(uid)
    casebook.record_candidates(
        uid, candidate_records(progress.ranked, progress.finds, context.protocol.capture.number)
    )
