"""Put the report page together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from acquisition.records import (
    CandidateRecord,
    CaptureRecord,
    EventLevel,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
)
from acquisition.run.drift_alarm import KIND as DRIFT_KIND
from acquisition.storage import write_bytes_atomic
from acquisition.storage.run_folder import REPORT_NAME
from station.report.pictures import (
    KARYOGRAM_WIDTH_PX,
    THUMBNAIL_WIDTH_PX,
    Picture,
    capture_picture,
    plain_picture,
)
from station.report.record import ReportedTrueCell, RunOnDisk, read_run
from station.report.slide_map import draw_map
from station.report.timing import field_timing

ABSENT = "—"
NOTHING_PHOTOGRAPHED = "nothing_photographed"
"""Kind of the event that says why a completed run has no picture."""


@dataclass(frozen=True, slots=True)
class CaptureCard:
    """A capture beside the find it came from."""

    capture: CaptureRecord
    candidate: CandidateRecord
    karyotype: KaryotypeRecord | None
    cell: ReportedTrueCell | None
    has_truth: bool
    thumbnail: Picture
    picture: Picture


@dataclass(frozen=True, slots=True)
class KaryogramCard:
    """A proposal with its picture."""

    karyotype: KaryotypeRecord
    candidate_uid: str
    cell: ReportedTrueCell | None
    picture: Picture


def build_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run's folder: one page that needs neither server nor network.

    Parameters
    ----------
    run_dir
        Folder of the run; read are run.json, truth.json, casebook.sqlite, captures, karyograms and finds.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        There is no record of a run, it is damaged, or the page can't be written.
    CasebookError
        The casebook is damaged or newer than this software.
    """
    run = read_run(run_dir)
    page = (
        page_environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            about=run.circumstances,
            figures=run.figures,
            map=draw_map(run),
            cells=run.cells,
            judged=any(item.analysable is not None for item in run.candidates),
            remarks=[event for event in run.events if event.kind == NOTHING_PHOTOGRAPHED],
            drifts=[event for event in run.events if event.kind == DRIFT_KIND],
            cards=_capture_cards(run),
            karyograms=_karyogram_cards(run),
            uncaptured=_uncaptured(run),
            failed_fields=[field for field in run.fields if field.status is FieldStatus.FAILED],
            problems=[event for event in run.events if event.level is not EventLevel.INFO],
            timing=field_timing(run.fields),
            made_at=datetime.now(UTC),
        )
    )
    path = run_dir / REPORT_NAME
    write_bytes_atomic(path, page.encode("utf-8", errors="replace"))
    return path


def page_environment() -> Environment:
    """Templates of the pages, which escape what they are given and refuse what they are not."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        known=_known, share=_share, time=_time, clock=_clock, seconds=_seconds, words=_words
    )
    return environment


def _capture_cards(run: RunOnDisk) -> list[CaptureCard]:
    candidates = {item.uid: item for item in run.candidates}
    karyotypes = {item.capture_uid: item for item in run.karyotypes}
    cards = [
        CaptureCard(
            capture=capture,
            candidate=candidates[capture.candidate_uid],
            karyotype=karyotypes.get(capture.uid),
            cell=_cell(run, capture.candidate_uid),
            has_truth=run.truth is not None,
            thumbnail=plain_picture(
                run.folder,
                candidates[capture.candidate_uid].thumbnail,
                width_px=THUMBNAIL_WIDTH_PX,
                stretched=True,
            ),
            picture=capture_picture(run.folder, capture.path),
        )
        for capture in run.captures
    ]
    return sorted(cards, key=lambda card: card.candidate.rank)


def _karyogram_cards(run: RunOnDisk) -> list[KaryogramCard]:
    candidate_of = {item.uid: item.candidate_uid for item in run.captures}
    rank_of = {item.uid: item.rank for item in run.candidates}
    proposed = [item for item in run.karyotypes if item.status is KaryotypeStatus.PROPOSED]
    proposed.sort(key=lambda item: rank_of[candidate_of[item.capture_uid]])
    return [
        KaryogramCard(
            item,
            candidate_of[item.capture_uid],
            _cell(run, candidate_of[item.capture_uid]),
            plain_picture(run.folder, item.picture_path, width_px=KARYOGRAM_WIDTH_PX),
        )
        for item in proposed
    ]


def _uncaptured(run: RunOnDisk) -> list[CandidateRecord]:
    captured = {capture.candidate_uid for capture in run.captures}
    return [item for item in run.candidates if item.uid not in captured]


def _cell(run: RunOnDisk, candidate_uid: str) -> ReportedTrueCell | None:
    return None if run.truth is None else run.truth.cell(candidate_uid)


def _known(value: object) -> str:
    return ABSENT if value is None else str(value)


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _time(value: datetime | None) -> str:
    return ABSENT if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _clock(value: datetime) -> str:
    return f"{value.astimezone(UTC):%H:%M:%S}"


def _seconds(value: float) -> str:
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _words(value: object) -> str:
    return str(value).replace("_", " ")
