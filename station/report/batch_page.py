"""One page about a night of slides, with a link to the report of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from acquisition.batch.report import BATCH_NAME, BatchReport, SlideReport, SlideStatus, read_report
from acquisition.errors import StorageError
from acquisition.storage import write_bytes_atomic
from acquisition.storage.run_folder import REPORT_NAME
from station.report.page import page_environment

BATCH_PAGE_NAME = "batch.html"

# Words and colours of report.css: what needs a person stands out.
_CLASS = {
    SlideStatus.FINISHED: "completed",
    SlideStatus.PARKED: "failed",
    SlideStatus.NOT_NEEDED: "idle",
    SlideStatus.NOT_REACHED: "running",
    SlideStatus.MISSING: "running",
}


@dataclass(frozen=True, slots=True)
class SlideRow:
    """A slide as the page shows it.

    Attributes
    ----------
    slide
        Its record.
    at
        When it came to its status; None where that is not known.
    colour
        Class of its status.
    report
        Relative address of its run's report; None where there is none.
    """

    slide: SlideReport
    at: datetime | None
    colour: str
    report: str | None


def build_batch_page(folder: Path) -> Path:
    """Write ``batch.html`` into a batch's folder: one page that needs neither server nor network.

    Parameters
    ----------
    folder
        Folder of the batch; read is batch.json, linked are the reports of its runs.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        There is no record of a batch, it is damaged, or the page can't be written.
    """
    batch = read_report(folder)
    if batch is None:
        raise StorageError("there is no record of a batch", path=folder / BATCH_NAME)
    rows = [_row(folder, slide) for slide in batch.slides]
    page = (
        page_environment()
        .get_template("batch.html.j2")
        .render(
            name=folder.resolve().name,
            batch=batch,
            rows=rows,
            needing=[row for row in rows if row.slide.status in (SlideStatus.PARKED, SlideStatus.MISSING)],
            counts=[(status.value, batch.count(status)) for status in SlideStatus],
            started_at=_moment(batch.started_at),
            finished_at=_moment(batch.finished_at),
            state=_state(batch),
            made_at=datetime.now(UTC),
        )
    )
    path = folder / BATCH_PAGE_NAME
    write_bytes_atomic(path, page.encode("utf-8", errors="replace"))
    return path


def _row(folder: Path, slide: SlideReport) -> SlideRow:
    report = None
    # A folder that a damaged record names may lie anywhere: only one of the batch's own is linked.
    if (
        slide.folder
        and Path(slide.folder).name == slide.folder
        and (folder / slide.folder / REPORT_NAME).is_file()
    ):
        report = f"{quote(slide.folder)}/{REPORT_NAME}"
    return SlideRow(slide, _moment(slide.at), _CLASS[slide.status], report)


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    # A moment without its zone says nothing.
    return None if moment is None or moment.tzinfo is None else moment


def _state(batch: BatchReport) -> tuple[str, str]:
    """Class and words of how the batch stands."""
    if batch.ended:
        return "failed", "ended early"
    if batch.finished_at is None:
        return "running", "not finished"
    if batch.needs_person:
        return "completed_with_errors", "finished, slides need a person"
    return "completed", "finished"
