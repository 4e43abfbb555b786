"""A night of slides: who they are is settled before any of them is scanned, and none of them ends the night."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from acquisition.batch.barcodes import near_misses
from acquisition.batch.report import BatchReport, SlideReport, SlideStatus, in_order, write_report
from acquisition.batch.tray import SlideTray
from acquisition.batch.worklist import Worklist, WorklistEntry
from acquisition.errors import AcquisitionError
from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from acquisition.run.listener import RunListener
from scanner.coordinates import SlideFrame
from scanner.counted import counted
from scanner.errors import ScannerError
from scanner.portable.file_names import file_name_part

_log = logging.getLogger(__name__)

_NAMED_BYTES: Final = 50
"""Of slot and barcode within the name of a slide's folder, which is a name part itself where it is read back."""

FINISHED = (RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS)
"""How a run ends that did what its protocol asks for."""


@dataclass(frozen=True, slots=True)
class SlideJob:
    """One slide to scan; it lies under the objective, and its label was read twice.

    Attributes
    ----------
    slot
        Where it came from.
    entry
        What the worklist says of it.
    folder
        Folder of its run; holds an unfinished run where one is to be gone on with.
    frame
        How it lies on the stage.
    """

    slot: str
    entry: WorklistEntry
    folder: Path
    frame: SlideFrame


@dataclass(frozen=True, slots=True)
class SlideResult:
    """How the run of a slide ended.

    Attributes
    ----------
    status, error
        As in the run's record.
    cells
        Metaphases found.
    enough
        Whether these are as many as the protocol asks for.
    """

    status: RunStatus
    error: str | None
    cells: int
    enough: bool


@dataclass(frozen=True, slots=True)
class IdentifiedSlide:
    """A slide whose label was read and stands on the worklist, once."""

    slot: str
    entry: WorklistEntry


class SlideBatch:
    """Takes every slide of a tray through its protocol.

    Parameters
    ----------
    tray
        Where the slides come from.
    worklist
        What is wanted.
    run_slide
        Scans the slide under the objective; ends in the safe state and never raises for what a slide can do.
    folder
        Where ``batch.json`` and a folder a slide go; exists.
    control
        Carries the request to stop, heard between slides (and by each run).
    listener
        Hears of progress.
    done
        Slides that an earlier session has dealt with, by barcode; they are not scanned again.
    on_parked
        Called with each slide that is given up and whose run, if it had one, did not come to its own end.
    on_missing
        Called with each slide of the worklist that isn't in the tray, as soon as all labels have been read.
    now
        Time source of the dates.
    now_s
        Time source of the durations, which no setting of the clock changes.
    """

    def __init__(
        self,
        tray: SlideTray,
        worklist: Worklist,
        run_slide: Callable[[SlideJob], SlideResult],
        folder: Path,
        control: RunControl,
        listener: RunListener,
        *,
        done: dict[str, SlideReport] | None = None,
        on_parked: Callable[[SlideReport], None] = lambda _slide: None,
        on_missing: Callable[[SlideReport], None] = lambda _slide: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tray = tray
        self._worklist = worklist
        self._run_slide = run_slide
        self._folder = folder
        self._control = control
        self._listener = listener
        self._done = done or {}
        self._on_parked = on_parked
        self._on_missing = on_missing
        self._now = now
        self._now_s = now_s
        self._reports: dict[str, SlideReport] = {}
        self._ended = ""
        self._started_at: str | None = None
        self._finished_at: str | None = None
        self._start_s = 0.0
        self._read_barcodes: frozenset[str] = frozenset()

    def run(self) -> BatchReport:
        """Read all labels, then scan what is wanted in the order of the worklist.

        Returns
        -------
        BatchReport
            Every slide of tray and worklist with what became of it.

        Raises
        ------
        StorageError
            The record of the batch can't be written.
        ScannerError
            Not even the tray can be looked into; nothing was scanned.
        """
        self._started_at, self._start_s = self._now().isoformat(), self._now_s()
        self._tray.make_ready()
        slots = list(self._tray.slots())
        identified = self._identify(slots)
        self._report_missing()
        self._write()
        satisfied: set[str] = set()
        for slide in sorted(identified, key=lambda slide: (slide.entry.priority, slide.entry.line)):
            if self._is_over():
                self._report(slide, SlideStatus.NOT_REACHED, self._ended)
                continue
            self._take(slide, satisfied)
        self._finished_at = self._now().isoformat()
        return self._write()

    # -- who they are --------------------------------------------------------------------------------------

    def _identify(self, slots: list[str]) -> list[IdentifiedSlide]:
        """Read every label before anything is scanned: a name that is there twice can't be seen otherwise."""
        labels: dict[str, str] = {}
        self._listener.phase("labels", len(slots))
        for slot in slots:
            if self._is_over():
                self._report_slot(slot, None, SlideStatus.NOT_REACHED, self._ended)
                continue
            label = self._read_label(slot)
            if label is not None:
                labels[slot] = label
            self._listener.step("labels", label or "unreadable")
        counts = Counter(labels.values())
        identified = []
        for slot, label in labels.items():
            entry = self._worklist.find(label)
            if counts[label] > 1:
                twins = ", ".join(other for other, its in labels.items() if its == label and other != slot)
                self._park(slot, label, f"barcode {label} is there twice: slot {twins} too", entry)
            elif entry is None:
                hint = self._worklist.hint(label)
                reason = f"barcode {label} is not on the worklist {self._worklist.path.name}"
                self._park(slot, label, f"{reason}; {hint}" if hint else reason)
            else:
                identified.append(IdentifiedSlide(slot, entry))
        self._read_barcodes = frozenset(labels.values())
        return identified

    def _read_label(self, slot: str) -> str | None:
        try:
            self._tray.bring(slot)
            return self._tray.read_label(slot)
        except ScannerError as error:
            _log.exception("slot %s", slot)
            self._park(slot, None, str(error))
            return None
        finally:
            self._clear_stage(slot)

    # -- one slide -----------------------------------------------------------------------------------------

    def _take(self, slide: IdentifiedSlide, satisfied: set[str]) -> None:
        entry = slide.entry
        earlier = self._finished_before(entry)
        if earlier is not None and earlier.accession != entry.accession:
            self._give_up(
                slide,
                f"was scanned as {earlier.accession}, the worklist says {entry.accession} now: put the worklist "
                "right, or scan the slide anew into the folder of another batch",
            )
            return
        if earlier is not None:
            self._reports[slide.slot] = earlier
            if not earlier.poor:
                satisfied.add(entry.accession)
            return
        if entry.accession in satisfied:
            self._report(slide, SlideStatus.NOT_NEEDED, f"another slide of {entry.accession} gave enough cells")
            return
        self._listener.message(f"slot {slide.slot}: {entry.barcode} ({entry.accession})")
        start_s = self._now_s()
        try:
            self._scan(slide)
        finally:
            self._clear_stage(slide.slot)
        report = replace(self._reports[slide.slot], seconds=round(self._now_s() - start_s, 1))
        self._reports[slide.slot] = report
        if report.status is SlideStatus.FINISHED and not report.poor:
            satisfied.add(entry.accession)
        self._write()

    def _finished_before(self, entry: WorklistEntry) -> SlideReport | None:
        """Report of a slide that an earlier session finished, as long as its run is still there."""
        earlier = self._done.get(entry.barcode)
        if earlier is None or earlier.status is not SlideStatus.FINISHED:
            return None
        if earlier.folder is not None and not (self._folder / Path(earlier.folder).name).is_dir():
            return None
        return earlier

    def _scan(self, slide: IdentifiedSlide) -> None:
        entry = slide.entry
        folder = self._folder / slide_folder_name(slide.slot, entry.barcode)
        try:
            self._tray.bring(slide.slot)
            label = self._tray.read_label(slide.slot)
            if label != entry.barcode:
                reason = f"the label reads {label}, where {entry.barcode} was read before"
                self._give_up(slide, reason)
                return
            job = SlideJob(slide.slot, entry, folder, self._tray.frame(slide.slot))
            result = self._run_slide(job)
        except (ScannerError, AcquisitionError) as error:
            _log.exception("slot %s", slide.slot)
            self._give_up(slide, str(error), folder)
        except Exception as error:  # noqa: BLE001 - recorded as this slide's state; traceback in the log
            _log.exception("slot %s", slide.slot)
            self._give_up(slide, f"{type(error).__name__}: {error}", folder)
        else:
            self._take_in(slide, result, folder)

    def _take_in(self, slide: IdentifiedSlide, result: SlideResult, folder: Path) -> None:
        if result.status is RunStatus.STOPPED:
            # Also where it was the last slide, after which nobody asks any more: the batch isn't done.
            self._is_over()
            status, reason = SlideStatus.NOT_REACHED, result.error or "stopped by a person before its end"
        elif result.status in FINISHED:
            found = f"{counted(result.cells, 'metaphase')}" + (
                "" if result.enough else ", fewer than the protocol asks for"
            )
            status, reason = SlideStatus.FINISHED, found
        else:
            status, reason = SlideStatus.PARKED, f"{result.status.value}: {result.error}"
        self._report(slide, status, reason, folder, cells=result.cells, poor=not result.enough)

    # -- the tray ------------------------------------------------------------------------------------------

    def _clear_stage(self, slot: str) -> None:
        """Take the slide away, whatever became of it; where that fails and can't be mended, the night is over."""
        try:
            self._tray.make_ready()
            self._tray.put_back(slot)
        except ScannerError as error:
            _log.exception("slot %s: not put back", slot)
            self._try_to_recover(slot, error)

    def _try_to_recover(self, slot: str, first: ScannerError) -> None:
        try:
            self._tray.make_ready()
        except ScannerError as error:
            _log.exception("the tray can't be used any more")
            self._ended = f"slot {slot}: {error}"
            self._listener.message(f"no further slide: {self._ended}")
        else:
            self._listener.message(f"slot {slot}: {first}; recovered")

    def _is_over(self) -> bool:
        self._control.poll()
        if not self._ended and self._control.stop_requested:
            self._ended = "stopped by a person"
        return bool(self._ended)

    # -- record --------------------------------------------------------------------------------------------

    def _park(self, slot: str, barcode: str | None, reason: str, entry: WorklistEntry | None = None) -> None:
        self._listener.message(f"slot {slot} parked: {reason}")
        accession = None if entry is None else entry.accession
        self._put(slot, SlideReport(slot, barcode, accession, SlideStatus.PARKED, reason))
        self._on_parked(self._reports[slot])

    def _give_up(self, slide: IdentifiedSlide, reason: str, folder: Path | None = None) -> None:
        exists = folder is not None and folder.exists()
        self._report(slide, SlideStatus.PARKED, reason, folder if exists else None)
        self._on_parked(self._reports[slide.slot])

    def _put(self, key: str, report: SlideReport) -> None:
        self._reports[key] = replace(report, at=self._now().isoformat())

    def _report_slot(self, slot: str, barcode: str | None, status: SlideStatus, reason: str) -> None:
        self._put(slot, SlideReport(slot, barcode, None, status, reason))

    def _report(
        self,
        slide: IdentifiedSlide,
        status: SlideStatus,
        reason: str,
        folder: Path | None = None,
        *,
        cells: int | None = None,
        poor: bool = False,
    ) -> None:
        if status is SlideStatus.PARKED:
            self._listener.message(f"slot {slide.slot} parked: {reason}")
        self._put(
            slide.slot,
            SlideReport(
                slide.slot,
                slide.entry.barcode,
                slide.entry.accession,
                status,
                reason,
                None if folder is None else folder.name,
                cells,
                poor,
            ),
        )

    def _report_missing(self) -> None:
        """Name what is on the worklist and not in the tray before the hours of scanning, not after them."""
        reported = self._read_barcodes | {report.barcode for report in self._reports.values()}
        unread = sum(
            report.status is SlideStatus.PARKED and report.barcode is None for report in self._reports.values()
        )
        for entry in self._worklist.entries:
            if entry.barcode in reported:
                continue
            earlier = self._finished_before(entry)
            if earlier is not None:
                # Somebody took it away, its run done.
                self._reports[f"finished {entry.barcode}"] = earlier
                continue
            if self._ended:
                status, reason = SlideStatus.NOT_REACHED, f"{self._ended}, before all labels were read"
            else:
                status, reason = SlideStatus.MISSING, self._missing_reason(entry, unread)
            key = f"missing {entry.barcode}"
            self._put(key, SlideReport(None, entry.barcode, entry.accession, status, reason))
            if status is SlideStatus.MISSING:
                self._listener.message(
                    f"missing: {entry.barcode} ({entry.accession}, line {entry.line} of the worklist): {reason}"
                )
                self._on_missing(self._reports[key])

    def _missing_reason(self, entry: WorklistEntry, unread: int) -> str:
        reason = "no such label in the tray"
        if unread:
            reason += f"; {counted(unread, 'label')} could not be read"
        strangers = {
            report.barcode: report.slot
            for report in self._reports.values()
            if report.barcode is not None and self._worklist.find(report.barcode) is None
        }
        for label in near_misses(entry.barcode, list(strangers)):
            reason += f"; slot {strangers[label]} reads {label}, nearly the same"
        return reason

    def _write(self) -> BatchReport:
        slides = in_order(self._reports.values())
        name = self._worklist.path.name
        elapsed_s = round(self._now_s() - self._start_s, 1)
        report = BatchReport(slides, self._ended, name, self._started_at, self._finished_at, elapsed_s=elapsed_s)
        write_report(self._folder, report)
        return report


def slide_folder_name(slot: str, barcode: str) -> str:
    """Name of the folder in which a slide's run is.

    Parameters
    ----------
    slot
        Where the slide lies.
    barcode
        What its label says.
    """
    return f"slot-{file_name_part(slot, max_bytes=_NAMED_BYTES)}-{file_name_part(barcode, max_bytes=_NAMED_BYTES)}"
