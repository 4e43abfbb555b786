"""Captures on their way through the analysis: given to workers, retried as the protocol says, recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from acquisition.handoff import Handoff, KaryotypeTask
from acquisition.records import CaptureRecord, EventLevel, KaryotypeRecord, KaryotypeStatus
from acquisition.run.context import RunContext
from acquisition.run.integrity import recorded_proposal
from acquisition.run.run_log import RunLog
from scanner.counted import counted

POLL_S: Final = 0.5
"""How soon a stop is heard while the analysis is waited for."""


class CaptureKaryotyping:
    """Gives captures to the analysis and records its answers.

    A capture on which the analysis failed is tried again as often as the protocol says (``errors.karyotype``). One
    that fails all the same is recorded as failed; a resumed run tries it again.

    Parameters
    ----------
    context
        The run.
    log
        Its journal.
    handoff
        The workers; None where the protocol asks for no karyotypes.
    """

    def __init__(self, context: RunContext, log: RunLog, handoff: Handoff | None) -> None:
        self._context = context
        self._log = log
        self._handoff = handoff
        self._failures: Counter[str] = Counter()
        self._captures: dict[str, CaptureRecord] = {}
        self.records: list[KaryotypeRecord] = []

    def submit(self, capture: CaptureRecord) -> None:
        """Give a capture to the analysis, and record what it has answered by now.

        Raises
        ------
        StorageError, CasebookError
            An answer can't be recorded.
        WorkerError
            No worker can be started.
        """
        if self._handoff is None:
            return
        self._give(capture)
        self._take_in(self._handoff.collect(timeout_s=0))

    def resubmit(self, captures: Iterable[CaptureRecord]) -> None:
        """Give captures to the analysis that an earlier session photographed.

        Raises
        ------
        WorkerError
            No worker can be started.
        """
        if self._handoff is None:
            return
        for capture in captures:
            self._give(capture)

    def finish(self) -> None:
        """Wait for the analysis, until it is through or the run is asked to stop; light off, focus down.

        Raises
        ------
        StorageError, CasebookError, WorkerError
            As `submit`.
        """
        if self._handoff is None:
            return
        context = self._context
        context.listener.phase("karyotype", self._handoff.waiting + len(self.records))
        for record in self.records:
            context.listener.step("karyotype", record.iscn or "")
        while self._handoff.waiting and not self._is_stopped():
            self._take_in(self._handoff.collect(timeout_s=POLL_S), report=True)
        if self._handoff.waiting:
            context.note(
                EventLevel.WARNING,
                "karyotypes_left",
                f"{counted(self._handoff.waiting, 'capture')} not karyotyped: the run was stopped",
                left=self._handoff.waiting,
            )

    def _give(self, capture: CaptureRecord) -> None:
        if self._handoff is None:
            return
        self._captures[capture.uid] = capture
        context = self._context
        self._handoff.submit(
            KaryotypeTask(
                capture.uid,
                str(context.folder.path),
                capture.path,
                context.protocol.banding,
                capture.sha256,
                context.accession,
            )
        )

    def _is_stopped(self) -> bool:
        self._context.control.poll()
        return self._context.control.stop_requested

    def _take_in(self, records: Sequence[KaryotypeRecord], *, report: bool = False) -> None:
        for record in records:
            if self._is_tried_again(record):
                continue
            self._context.casebook.record_karyotype(self._context.run_uid, record)
            self._log.karyotyped(record.capture_uid, recorded_proposal(self._context.folder.path, record))
            self.records.append(record)
            if record.status is not KaryotypeStatus.PROPOSED:
                self._context.note(
                    EventLevel.WARNING,
                    f"karyotype_{record.status.value}",
                    f"{record.capture_uid}: {record.error}",
                    capture=record.capture_uid,
                )
            if report:
                self._context.listener.step("karyotype", record.iscn or record.status.value)

    def _is_tried_again(self, record: KaryotypeRecord) -> bool:
        if record.status is not KaryotypeStatus.FAILED or self._context.control.stop_requested:
            return False
        self._failures[record.capture_uid] += 1
        if self._failures[record.capture_uid] > self._context.protocol.errors.karyotype.retries:
            return False
        self._context.note(
            EventLevel.WARNING,
            "karyotype_retried",
            f"{record.capture_uid}: {record.error}; tried again",
            capture=record.capture_uid,
        )
        self._give(self._captures[record.capture_uid])
        return True
