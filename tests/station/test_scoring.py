from datetime import UTC, datetime
from pathlib import Path

from acquisition.records import CandidateRecord, CandidateStatus, CaptureRecord
from scanner.coordinates import SlidePoint
from scanner.rig import load_rig
from station.run.scoring import ScoredTrueCell, TrueChromosome, match_cells, score_run

RIG, _ = load_rig(Path(__file__).parents[2] / "hardware_configs" / "simulated")


def cell(uid, x, y, chromosomes=()):
    return ScoredTrueCell(uid, SlidePoint(x, y), 30.0, "46,XX", tuple(chromosomes))


def candidate(uid, x, y):
    return CandidateRecord(uid, 0, x, y, 25.0, 0.9, 1, CandidateStatus.CAPTURED)


def capture(x, y):
    """A capture whose image centre shows slide point (x, y)."""
    offset = RIG.objective("63x").parcentric
    return CaptureRecord(
        uid="c1",
        candidate_uid="k1",
        path="captures/c1.ome.tiff",
        sha256="0" * 64,
        slide_x_um=x,
        slide_y_um=y,
        stage_x_um=x - offset.dx_um,
        stage_y_um=y - offset.dy_um,
        z_um=2000.0,
        objective="63x",
        um_per_px=RIG.objective("63x").um_per_px,
        exposure_ms=10.0,
        focus_score=1.0,
        centring_um=0.0,
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def box_px(box_um, centre):
    scale = RIG.objective("63x").um_per_px
    middle = ((RIG.camera.width_px) / 2, (RIG.camera.height_px) / 2)
    return [middle[k % 2] + (box_um[k] - centre[k % 2]) / scale for k in range(4)]


def test_each_cell_is_matched_once_to_its_nearest_candidate():
    cells = [cell("a", 0, 0), cell("b", 500, 0), cell("c", 900, 0)]
    candidates = [candidate("k1", 8, 0), candidate("k2", 2, 1), candidate("k3", 520, 0), candidate("k4", 700, 0)]
    assert match_cells(cells, candidates) == (("a", "k2"), ("b", "k3"))


def test_only_the_right_class_in_the_right_place_counts():
    centre = (1000.0, 2000.0)
    boxes = {"1": (990, 1990, 994, 1998), "2": (1000, 1990, 1003, 1997), "X": (1010, 2005, 1013, 2010)}
    truth = cell("a", *centre, [TrueChromosome(name, box) for name, box in boxes.items()])
    seen = [
        {"class": "1", "box_px": box_px(boxes["1"], centre)},
        {"class": "3", "box_px": box_px(boxes["2"], centre)},
        {"class": "X", "box_px": box_px((1030, 2005, 1033, 2010), centre)},
    ]
    score = score_run([truth], [candidate("k1", *centre)], [capture(*centre)], {"c1": {"chromosomes": seen}}, RIG)
    assert (score.chromosomes_true, score.chromosomes_right) == (3, 1)
    assert (score.planted, score.detected, score.false_finds) == (1, 1, 0)


def test_a_cell_that_was_missed_counts_all_its_chromosomes_as_lost():
    lost = cell("a", 0, 0, [TrueChromosome("1", (0, 0, 4, 8))] * 46)
    score = score_run([lost], [candidate("k1", 900, 900)], [], {}, RIG)
    assert (score.detected, score.false_finds, score.chromosomes_true, score.chromosomes_right) == (0, 1, 46, 0)


def test_an_empty_proposal_is_no_crash():
    truth = cell("a", 0, 0, [TrueChromosome("1", (0, 0, 4, 8))])
    score = score_run([truth], [candidate("k1", 0, 0)], [capture(0, 0)], {"c1": {"chromosomes": []}}, RIG)
    assert score.chromosomes_right == 0
