"""What the finder thinks of a cell, from the worker through the journal to the ranked record."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from acquisition.journal import Journal, read_journal
from acquisition.plan.candidates import CandidateScore, Sighting, merge
from acquisition.protocol import Ranking
from acquisition.records import EventLevel, FieldRecord, FieldStatus
from acquisition.run.context import RunFinders
from acquisition.run.drift_alarm import DriftAlarm
from acquisition.run.field_scores import candidate_score_of, search_image, write_crops
from acquisition.run.ranking import candidate_records, rank
from acquisition.run.run_log import RankedCandidate, RecordedFind, RunLog, read_progress
from acquisition.run.search_task import SearchTask, search_field
from acquisition.storage import FrameSpool
from acquisition.storage.spool import frame_checksum
from analysis.finder import Candidate, CellQuality
from analysis.finder.drift import FieldSummary, ReferenceStatistics, summarise_field
from scanner.coordinates import CameraFrame, ObjectiveView, SlidePoint, StagePoint
from scanner.frame import Exposure

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
FIELD = FieldRecord(3, 0, 3, 500.0, 500.0, 500.0, 500.0, 3.0, FieldStatus.DONE, NOON, 35.0, 1.0, 10.0, 60.0, 1)
JUDGED = Candidate(150.0, 90.0, 25.0, 0.97, 0.81, CellQuality(0.9, 0.1, 1.0, 0.6, 45.5), 0.77)
UM_PER_PX = 0.645


def field_with_a_cell(shape=(180, 260)):
    """Bright ground with a few dark rods about (150, 90)."""
    rng = np.random.default_rng(2)
    od = np.zeros(shape, np.float32)
    for _ in range(30):
        x, y = rng.normal((150, 90), 12)
        ends = (round(x - 2), round(y - 1)), (round(x + 2), round(y + 2))
        cv2.line(od, *ends, 0.5, 2)
    return (3000 * np.exp(-od) + rng.normal(0, 8, shape)).astype(np.uint16)


def finder(pixels, um_per_px):
    return [JUDGED]


def sighting(x_um, score, assessment=None, *, edge_um=300.0, index=0):
    return Sighting(index, SlidePoint(x_um, 0.0), 20.0, score, edge_um, assessment)


def test_a_finder_that_only_scores_gives_no_judgement():
    assert candidate_score_of(Candidate(1.0, 2.0, 3.0, 0.9)) is None
    plain = sighting(0.0, 0.9)
    assert (plain.chance, plain.rank) == (0.9, 0.9)


def test_a_judgement_keeps_everything_the_finder_says():
    assessment = CandidateScore(0.81, 0.77, 0.9, 0.1, 1.0, 0.6, 45.5)
    assert candidate_score_of(JUDGED) == assessment
    judged = sighting(0.0, 0.97, assessment)
    assert (judged.chance, judged.rank) == (pytest.approx(0.97 * 0.81), 0.77)
    without = Candidate(1.0, 1.0, 9.0, 0.97, 0.81, None, 0.77)
    assert candidate_score_of(without) == CandidateScore(0.81, 0.77)


def test_a_cell_seen_cut_and_whole_is_judged_by_the_view_that_shows_it_whole():
    whole, cut = CandidateScore(0.9, 0.9), CandidateScore(0.2, 0.2)
    (cell,) = merge([sighting(5.0, 0.99, cut, edge_um=6.0, index=1), sighting(0.0, 0.95, whole)])
    assert (cell.field_index, cell.score, cell.assessment) == (0, 0.99, whole)


def test_the_best_to_karyotype_come_first_unless_the_score_is_asked_for():
    finds = [
        RecordedFind(sighting(0.0, 0.99, CandidateScore(0.3, 0.3)), "a"),
        RecordedFind(sighting(200.0, 0.90, CandidateScore(0.9, 0.8)), "b", "b.crop.png", 0.01),
        RecordedFind(sighting(400.0, 0.95, CandidateScore(0.9, 0.8)), "c"),
    ]
    assert [c.sighting.where.x_um for c in rank(finds)] == [400.0, 200.0, 0.0]
    assert [c.sighting.where.x_um for c in rank(finds, Ranking.SCORE)] == [0.0, 400.0, 200.0]
    assert rank(finds) == rank(finds[::-1])
    records = candidate_records(rank(finds), finds, wanted=2)
    assert [(r.thumbnail, r.crop, r.noise_od) for r in records] == [
        ("c", None, None), ("b", "b.crop.png", 0.01), ("a", None, None),
    ]  # fmt: skip
    assert [(r.rank, r.rank_score, r.analysable) for r in records] == [(1, 0.8, 0.9), (2, 0.8, 0.9), (3, 0.3, 0.3)]
    assert records[0].status != records[2].status


def test_candidates_of_a_finder_that_only_scores_are_ranked_by_score_and_recorded_without_judgement():
    finds = [RecordedFind(sighting(0.0, 0.7), "a"), RecordedFind(sighting(200.0, 0.8), "b")]
    first, second = candidate_records(rank(finds), finds, wanted=1)
    assert (first.thumbnail, second.thumbnail) == ("b", "a")
    assert (first.rank_score, first.analysable, first.chromosomes) == (None, None, None)


def test_the_journal_gives_back_what_a_field_says_about_its_slide(tmp_path):
    reading = FieldSummary({"noise_od": 0.0125, "focus": 0.4}, (0.02, 0.97))
    with Journal.create(tmp_path / "journal.log") as journal:
        RunLog(journal).searched(FIELD, [], None, reading)
    progress = read_progress(read_journal(tmp_path / "journal.log"), tmp_path)
    assert progress.readings == {FIELD.index: reading}


def test_the_journal_gives_back_what_was_judged(tmp_path):
    judged = RecordedFind(
        sighting(0.0, 0.97, candidate_score_of(JUDGED)), "finds/a.png", "finds/a.crop.png", 0.012
    )
    plain = RecordedFind(sighting(300.0, 0.6), "finds/b.png")
    candidates = tuple(rank([judged, plain]))
    with Journal.create(tmp_path / "journal.log") as journal:
        log = RunLog(journal)
        log.searched(FIELD, [judged, plain], None)
        log.ranked(candidates)
    progress = read_progress(read_journal(tmp_path / "journal.log"), tmp_path)
    assert progress.finds == [judged, plain]
    assert progress.ranked == candidates


def test_a_journal_of_before_is_read_with_nothing_judged(tmp_path):
    """The keys that a run of an earlier version lacks."""
    path = tmp_path / "journal.log"
    old = {"field_index": 3, "where": {"x_um": 1.0, "y_um": 2.0}, "radius_um": 20.0, "score": 0.9, "edge_um": 50.0}
    record = json.loads(json.dumps({**{k: getattr(FIELD, k) for k in FIELD.__slots__}, "taken_at": str(NOON)}))
    with Journal.create(path) as journal:
        journal.append(
            "found", record=record, finds=[{"sighting": old, "thumbnail": "finds/a.png"}], landmark=None
        )
        journal.append("ranked", candidates=[{"uid": "cell-0001", "rank": 1, "sighting": old}])
    progress = read_progress(read_journal(path), path)
    expected = Sighting(3, SlidePoint(1.0, 2.0), 20.0, 0.9, 50.0)
    assert progress.finds == [RecordedFind(expected, "finds/a.png")]
    assert progress.ranked == (RankedCandidate("cell-0001", 1, expected),)


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "finds").mkdir()
    return tmp_path


def test_the_worker_keeps_what_the_finder_had_of_each_candidate(run_dir):
    pixels = field_with_a_cell()
    camera = CameraFrame(pixels.shape[1], pixels.shape[0], UM_PER_PX)
    exposure = Exposure(ObjectiveView(StagePoint(0.0, 0.0), camera), 0.0, "10x", 5.0, NOON)
    spool = FrameSpool.create(run_dir / "spool.raw", pixels.shape, 1)
    slot = spool.put(pixels)
    answer = search_field(SearchTask(7, spool.path, slot, pixels.shape, exposure, 0.5, finder, run_dir))
    spool.close()
    assert (answer.error, answer.candidates) == (None, (JUDGED,))
    assert answer.crops.paths == ("finds/f00007-00.crop.png",)
    assert 0 < (answer.crops.noise_od or 0.0) < 0.02
    crop = cv2.imread(str(run_dir / answer.crops.paths[0]), cv2.IMREAD_UNCHANGED)
    assert (crop.shape, crop.dtype) == ((128, 128), np.uint8)
    # Level 20 is the background, a hundred levels are one optical density; the cell lies in the middle.
    assert np.median(crop) == pytest.approx(20, abs=3)
    dark = np.argwhere(crop > 45)
    assert dark.mean(axis=0) == pytest.approx([64, 64], abs=6)


def test_crops_have_the_scale_of_the_finder_whatever_the_camera_has(run_dir):
    fine = cv2.resize(field_with_a_cell(), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    twice = Candidate(2 * 150.0 + 0.5, 2 * 90.0 + 0.5, 50.0, 0.97)
    (path,) = write_crops(run_dir, 1, fine, UM_PER_PX / 2, [twice]).paths
    (plain,) = write_crops(run_dir, 2, field_with_a_cell(), UM_PER_PX, [JUDGED]).paths
    one, other = (cv2.imread(str(run_dir / p), cv2.IMREAD_UNCHANGED).astype(float) for p in (path, plain))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


@dataclass(frozen=True)
class Statistics:
    background: float
    noise_od: float

    def measured(self):
        return {"background": self.background, "noise_od": self.noise_od, "focus": 0.4}


@dataclass(frozen=True)
class Finds:
    candidates: list[Candidate]
    statistics: Statistics
    scores: tuple[float, ...]


class Searcher:
    """A finder that sums the field up as well."""

    def __init__(self, *candidates):
        self.candidates = list(candidates)

    def search(self, pixels, um_per_px, *, min_score):
        return Finds(self.candidates, Statistics(3000.0, float("nan")), (0.97, np.float32(0.25)))


def test_a_finder_that_sums_fields_up_is_asked_for_it():
    seen = search_image(Searcher(JUDGED), np.zeros((4, 4), np.uint16), UM_PER_PX, min_score=0.5, full_scale=4000)
    assert seen.candidates == (JUDGED,)
    assert seen.reading == FieldSummary({"background": 0.75, "focus": 0.4}, (0.97, 0.25))
    plain = search_image(finder, np.zeros((4, 4), np.uint16), UM_PER_PX, min_score=0.98, full_scale=4000)
    assert (plain.candidates, plain.reading) == ((), None)


def test_the_focus_of_a_field_with_nothing_but_specks_says_nothing():
    reading = summarise_field(Finds([], Statistics(3000.0, 0.01), ()), 4000)
    assert reading == FieldSummary({"background": 0.75, "noise_od": 0.01})


@pytest.mark.parametrize("wrong", [{"score": float("nan")}, {"analysable": float("inf")}, {"x_px": float("nan")}])
def test_a_candidate_that_can_neither_be_ranked_nor_recorded_is_a_failure_of_the_search(wrong):
    with pytest.raises(ValueError, match="number that is none"):
        search_image(
            Searcher(replace(JUDGED, **wrong)), np.zeros((4, 4), np.uint16), 1.0, min_score=0.5, full_scale=1
        )


class Context:
    """What the drift alarm needs of a run."""

    def __init__(self, reference):
        self.run_uid, self.casebook, self.noted = "r", self, []
        self.finders = RunFinders(lambda pixels, um_per_px: [], reference=reference)

    def events(self, run_uid):
        return [SimpleNamespace(kind=kind, context=context) for _, kind, _, context in self.noted]

    def note(self, level, kind, message, **context):
        self.noted.append((level, kind, message, context))


def readings(number, noise_od):
    return {index: FieldSummary({"noise_od": noise_od, "focus": 0.5}) for index in range(number)}


def test_a_slide_that_differs_from_the_reference_is_reported_once_in_whatever_session():
    context = Context({"noise_od": ReferenceStatistics(0.01, 0.001), "focus": ReferenceStatistics(0.5, 0.1)})
    alarm = DriftAlarm(context, {})
    for index, reading in readings(49, 0.02).items():
        alarm.take(index, reading)
    alarm.take(60, None)
    assert context.noted == []
    alarm.take(49, readings(50, 0.02)[49])
    ((level, kind, message, values),) = context.noted
    assert (level, kind, values["statistic"], values["fields"]) == (EventLevel.WARNING, "drift", "noise_od", 50)
    assert values["reference_low"] == pytest.approx(0.006, abs=1e-4)
    assert "noise od is 0.02, typical are 0.006 to 0.014" in message
    for index in range(200, 300):
        alarm.take(index, readings(1, 0.02)[0])
    later = DriftAlarm(context, readings(300, 0.02))
    later.check()
    assert len(context.noted) == 1


def test_a_slide_like_the_reference_is_not_reported_and_without_a_reference_nothing_is():
    for reference in ({"noise_od": ReferenceStatistics(0.02, 0.001)}, {}):
        context = Context(reference)
        alarm = DriftAlarm(context, readings(80, 0.02))
        alarm.check()
        alarm.take(81, readings(1, 0.02)[0])
        assert context.noted == []


def test_a_field_without_candidates_costs_nothing(run_dir):
    assert write_crops(run_dir, 1, np.zeros((4, 4), np.uint16), UM_PER_PX, []).paths == ()


@pytest.mark.parametrize("change", ["blank", "one pixel", "none"])
def test_a_frame_that_was_changed_on_the_disk_is_no_empty_field(run_dir, change):
    pixels = field_with_a_cell()
    exposure = Exposure(
        ObjectiveView(StagePoint(0.0, 0.0), CameraFrame(pixels.shape[1], pixels.shape[0], UM_PER_PX)),
        0.0,
        "10x",
        5.0,
        NOON,
    )
    spool = FrameSpool.create(run_dir / "spool.raw", pixels.shape, 1)
    slot = spool.put(pixels)
    spool.close()
    on_disk = np.memmap(run_dir / "spool.raw", np.uint16, "r+", shape=pixels.shape)
    if change == "blank":
        on_disk[:] = 4000
    elif change == "one pixel":
        on_disk[5, 5] += 1
    on_disk.flush()
    task = SearchTask(
        7, spool.path, slot, pixels.shape, exposure, 0.5, finder, run_dir, checksum=frame_checksum(pixels)
    )
    answer = search_field(task)
    if change == "none":
        assert (answer.error, answer.candidates) == (None, (JUDGED,))
    else:
        assert "not the one that was photographed" in answer.error
        assert answer.candidates == ()
