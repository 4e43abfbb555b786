"""Notices about a night of slides; of its own end, a slide's run gives notice by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acquisition.batch.report import BatchReport, SlideReport, SlideStatus
from acquisition.batch.worklist import Worklist
from acquisition.notifier import send_notices
from acquisition.protocol import NotifyTarget, Occasion, Protocol


class BatchNotices:
    """Tells those whom the protocols of a worklist name.

    Of a slide that was given up without a run, or whose run could not tell, the targets of its protocol hear; of
    one that nobody asked for, and of the end of the night, those of all protocols, each once.

    Parameters
    ----------
    worklist, protocols
        What is wanted, and its protocols by path.
    folder
        Folder of the batch: files of targets are relative to it, and programs are started in it.
    trusted
        Whether the protocols are of this machine; see `send_notices`.
    now
        Time source.
    """

    def __init__(
        self,
        worklist: Worklist,
        protocols: Mapping[Path, Protocol],
        folder: Path,
        *,
        trusted: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._trusted = trusted
        self._worklist = worklist
        self._protocols = protocols
        self._folder = folder
        self._now = now
        self._faults: list[str] = []

    @property
    def failed_notices(self) -> tuple[str, ...]:
        """What could not be told, one line a target and notice."""
        return tuple(self._faults)

    def parked(self, slide: SlideReport) -> None:
        """A slide was given up, and no run of its own says so."""
        entry = None if slide.barcode is None else self._worklist.find(slide.barcode)
        targets = self._everyone() if entry is None else self._protocols[entry.protocol].notify
        message = {"slot": slide.slot, "slide": slide.barcode, "accession": slide.accession, "error": slide.reason}
        self._send(targets, (Occasion.PARKED,), message | {"status": slide.status.value})

    def missing(self, slide: SlideReport) -> None:
        """Give notice of an urgent slide that isn't in the tray; of others the end of the night says it."""
        entry = None if slide.barcode is None else self._worklist.find(slide.barcode)
        if entry is None or not entry.is_urgent:
            return
        message = {"slot": None, "slide": slide.barcode, "accession": slide.accession, "error": slide.reason}
        self._send(
            self._protocols[entry.protocol].notify,
            (Occasion.ATTENTION,),
            message | {"status": slide.status.value, "priority": entry.priority},
        )

    def ended(self, report: BatchReport, page: Path | None, *, by_a_person: bool) -> None:
        """The night is over; whoever stopped it knows of it.

        Parameters
        ----------
        report
            What became of each slide.
        page
            The batch's page; None where it could not be written.
        by_a_person
            Whether a person ended the batch: nobody is then notified.
        """
        if by_a_person:
            return
        occasions = (Occasion.FAILED, Occasion.ATTENTION) if report.ended else _occasions_of(report)
        given_up = [slide for slide in report.slides if slide.status is SlideStatus.PARKED]
        message = {
            "status": "ended_early" if report.ended else "finished",
            "error": report.ended or None,
            "counts": report.to_json()["counts"],
            "parked": [{"slot": s.slot, "slide": s.barcode, "error": s.reason} for s in given_up],
            "report": None if page is None else str(page),
        }
        self._send(self._everyone(), occasions, message)

    def failed(self, error: BaseException) -> None:
        """The night ended with an error of the batch itself."""
        message = {"status": "failed", "error": str(error) or type(error).__name__}
        self._send(self._everyone(), (Occasion.FAILED, Occasion.ATTENTION), message)

    def _everyone(self) -> tuple[NotifyTarget, ...]:
        targets: list[NotifyTarget] = []
        for protocol in self._protocols.values():
            targets.extend(target for target in protocol.notify if target not in targets)
        return tuple(targets)

    def _send(
        self, targets: Iterable[NotifyTarget], occasions: tuple[Occasion, ...], message: dict[str, Any]
    ) -> None:
        about = {"batch": self._folder.name, **message}
        self._faults.extend(
            send_notices(tuple(targets), occasions, about, self._folder, trusted=self._trusted, now=self._now)
        )


def _occasions_of(report: BatchReport) -> tuple[Occasion, ...]:
    return (Occasion.FINISHED, Occasion.ATTENTION) if report.needs_person else (Occasion.FINISHED,)
