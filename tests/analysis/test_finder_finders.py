"""The finder of two stages: proposals, the net's word on each, one find a cell; in this process and in others."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from analysis.errors import AnalysisError, ImageError, WeightsError
from analysis.finder import (
    FINDERS,
    Candidate,
    FieldCandidates,
    MetaphaseFinder,
    crops_at,
    find_metaphases,
    finder_of,
    load_finder,
    propose,
)
from analysis.finder.finders import suppress_same_cell
from analysis.nets.finder_net import FinderNet
from analysis.parameters.weights import Manifest, write_weights

UM_PER_PX = 0.645
CELLS = [(150, 150), (450, 180), (260, 330)]


def picture(*, um_per_px: float = UM_PER_PX, cells: list[tuple[int, int]] | None = None) -> np.ndarray:
    rng = np.random.default_rng(4)
    od = np.zeros((450, 600), np.float32)
    for x, y in CELLS if cells is None else cells:
        for _ in range(44):
            angle, way = rng.uniform(0, 2 * np.pi), 20.0 * rng.uniform() ** 0.5
            centre = (x + way * np.cos(angle) / um_per_px, y + way * np.sin(angle) / um_per_px)
            size = (rng.uniform(2, 6) / um_per_px, 1.1 / um_per_px)
            box = cv2.boxPoints((centre, size, float(rng.uniform(0, 180))))
            cv2.fillPoly(od, [np.round(box * 8).astype(np.int32)], 0.5, cv2.LINE_AA, shift=3)
    od = cv2.GaussianBlur(od, (0, 0), 0.8)
    return np.clip(3000 * np.exp(-od) + rng.normal(0, 25, od.shape), 0, 4095).astype(np.uint16)


def write_net(folder: Path, *, logit: float = 2.0, seed: int = 1, **calibration: float) -> Path:
    """A net that says the same of whatever it sees, but for its offset, which is what nets begin with."""
    torch.manual_seed(seed)
    net = FinderNet(2)
    with torch.no_grad():
        net.maps.weight.zero_()
        net.head[-1].weight.zero_()
        net.head[-1].bias.zero_()
        net.head[-1].bias[0] = logit
    manifest = Manifest(
        name="stub",
        net="FinderNet",
        arguments={"width": 2},
        data={},
        split="none",
        command="none",
        settings={},
        metrics={},
        seed=seed,
        steps=0,
        calibration=calibration,
    )
    write_weights(folder, dict(net.state_dict()), manifest)
    return folder


@pytest.fixture
def finder(tmp_path: Path) -> MetaphaseFinder:
    return finder_of("stub", write_net(tmp_path))


def assert_on_cells(candidates: list[Candidate], *, tolerance_px: float = 12.0) -> None:
    assert len(candidates) == len(CELLS)
    for x, y in CELLS:
        assert any(np.hypot(c.x_px - x, c.y_px - y) < tolerance_px for c in candidates), (x, y, candidates)


def test_finds_are_the_proposals_with_the_nets_word(finder: MetaphaseFinder) -> None:
    candidates = finder(picture(), UM_PER_PX)
    assert_on_cells(candidates)
    for candidate in candidates:
        assert candidate.score == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-5)
        assert candidate.analysable == pytest.approx(0.5)
        assert candidate.rank == pytest.approx(candidate.score * 0.5, abs=1e-5)
        assert candidate.radius_px == pytest.approx(20.0 / UM_PER_PX, rel=1e-4)
        assert candidate.quality is not None
        assert candidate.quality.spread == pytest.approx(0.5)
        assert candidate.quality.chromosomes == pytest.approx(46.0)


def test_places_are_in_px_of_the_picture_that_was_given(finder: MetaphaseFinder) -> None:
    small = picture()
    large = np.ascontiguousarray(np.kron(small, np.ones((2, 2), np.uint16)))
    ones, twos = finder(small, UM_PER_PX), finder(large, UM_PER_PX / 2)
    key = lambda candidate: candidate.x_px  # noqa: E731 - a name for what is sorted by
    for one, two in zip(sorted(ones, key=key), sorted(twos, key=key), strict=True):
        assert (two.x_px + 0.5, two.y_px + 0.5) == pytest.approx((2 * one.x_px + 1, 2 * one.y_px + 1), abs=0.1)
        assert two.radius_px == pytest.approx(2 * one.radius_px, rel=1e-3)


def test_calibration_of_the_manifest_counts(tmp_path: Path) -> None:
    sure = finder_of("stub", write_net(tmp_path / "sure"))
    cautious = finder_of("stub", write_net(tmp_path / "cautious", metaphase_temperature=4.0))
    assert sure(picture(), UM_PER_PX)[0].score == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-5)
    assert cautious(picture(), UM_PER_PX)[0].score == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-5)


def test_scores_below_are_left_out_but_told(tmp_path: Path) -> None:
    finds = finder_of("stub", write_net(tmp_path, logit=-1.0)).search(picture(), UM_PER_PX, min_score=0.5)
    assert finds.candidates == []
    assert finds.scores == pytest.approx([1 / (1 + np.e)] * 3, abs=1e-5)


def test_threads_of_the_process_are_left_as_they_were(finder: MetaphaseFinder) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        finder(picture(), UM_PER_PX)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_finds_of_one_cell_become_one() -> None:
    best = Candidate(100.0, 100.0, 30.0, 0.9)
    others = [
        Candidate(110.0, 104.0, 12.0, 0.6),
        Candidate(108.0, 100.0, 30.0, 0.8),
        Candidate(140.0, 100.0, 30.0, 0.7),
    ]
    assert suppress_same_cell([others[0], best, *others[1:]], UM_PER_PX) == [best, others[2]]
    # Neighbours lie further apart than 10 um, however small they are.
    assert len(suppress_same_cell([Candidate(0.0, 0.0, 1.0, 0.5), Candidate(16.0, 0.0, 1.0, 0.5)], UM_PER_PX)) == 2


def test_a_finder_is_sent_without_its_net(finder: MetaphaseFinder) -> None:
    packed = pickle.dumps(finder)
    assert len(packed) < 1000
    assert pickle.loads(packed) == finder  # noqa: S301 - packed above


def test_other_processes_find_the_same(finder: MetaphaseFinder) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(finder.search, picture(), UM_PER_PX).result(timeout=120)
    here = finder.search(picture(), UM_PER_PX)
    assert isinstance(there, FieldCandidates)
    assert there.statistics == here.statistics
    assert [(c.x_px, c.y_px) for c in there.candidates] == [(c.x_px, c.y_px) for c in here.candidates]
    assert [c.score for c in there.candidates] == pytest.approx([c.score for c in here.candidates], abs=1e-6)


def test_weights_that_were_changed_since_are_refused(tmp_path: Path, finder: MetaphaseFinder) -> None:
    write_net(tmp_path, seed=2)
    # A process that had loaded the old ones goes on with them; a new one must not mix the two.
    stranger = MetaphaseFinder(finder.weights, finder.folder / ".", "0" * 64)
    with pytest.raises(WeightsError, match="no longer those"):
        stranger.prepare()


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = write_net(tmp_path) / "stub.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        finder_of("stub", tmp_path)


def test_finders_go_by_name() -> None:
    assert "rules" in FINDERS
    rules = load_finder("rules")
    rules.prepare()
    assert rules(picture(), UM_PER_PX) == find_metaphases(picture(), UM_PER_PX)
    with pytest.raises(AnalysisError, match="there are rules, default"):
        load_finder("oracle")


@pytest.mark.parametrize("name", ["rules", "stub"])
def test_statistics_say_what_the_picture_is_like(name: str, finder: MetaphaseFinder) -> None:
    chosen = load_finder("rules") if name == "rules" else finder
    sharp = chosen.search(picture(), UM_PER_PX).statistics
    assert sharp.background == pytest.approx(3000, rel=0.02)
    assert sharp.noise_od == pytest.approx(25 / 3000, rel=0.1)
    assert 0.005 < sharp.dark_fraction < 0.05
    assert 0.0 < sharp.p95_od < 0.5
    assert sharp.focus is not None
    blurred = cv2.GaussianBlur(picture().astype(np.float32), (0, 0), 2.0)
    blurred = (blurred + np.random.default_rng(0).normal(0, 25, blurred.shape)).astype(np.uint16)
    dull = chosen.search(blurred, UM_PER_PX).statistics
    assert dull.focus is not None
    assert dull.focus < 0.6 * sharp.focus
    empty = chosen.search(picture(cells=[]), UM_PER_PX)
    assert empty.statistics.focus is None
    assert "focus" not in empty.statistics.measured()
    assert empty.candidates == []


def test_what_cannot_be_searched_is_refused(finder: MetaphaseFinder) -> None:
    with pytest.raises(ImageError, match="grey image"):
        finder(np.zeros((0, 5), np.uint8), UM_PER_PX)
    with pytest.raises(ImageError, match="pixel size"):
        finder(np.zeros((50, 50), np.uint8), 7.0)


def test_proposals_are_bounded_the_best_covered_first() -> None:
    cells = [(x, y) for y in range(0, 450, 45) for x in range(0, 600, 45)]
    crowds = propose(picture(cells=cells), UM_PER_PX).crowds
    assert len(crowds) <= 40
    assert [c.cover for c in crowds] == sorted((c.cover for c in crowds), reverse=True)


def glowing(*, brightness: float, nuclei: float = 0.0) -> np.ndarray:
    """The picture's cells as light on a dark ground that is brighter towards one side, between bright nuclei."""
    rng = np.random.default_rng(5)
    light = np.clip(-np.log(np.maximum(picture(), 1) / 3000.0), 0.05, None) - 0.05
    lamp = np.linspace(0.7, 1.0, light.shape[1])
    for x, y in [(40, 300), (330, 60), (560, 400), (90, 420), (400, 400)]:
        light += cv2.GaussianBlur(cv2.circle(np.zeros_like(light), (x, y), 9, nuclei, -1), (0, 0), 1.0)
    grey = (150 + brightness * light) * lamp
    return np.clip(grey + rng.normal(0, 6, grey.shape), 0, 4095).astype(np.uint16)


def assert_proposed(pixels: np.ndarray) -> None:
    crowds = propose(pixels, UM_PER_PX).crowds
    assert len(crowds) <= 12
    for x, y in CELLS:
        assert any(np.hypot(crowd.x_px - x, crowd.y_px - y) < 12 for crowd in crowds), (x, y, crowds)


def test_pale_cells_are_proposed_under_uneven_light() -> None:
    rng = np.random.default_rng(6)
    pale = 3000.0 * (picture() / 3000.0) ** 0.25 * np.linspace(0.6, 1.0, 600)
    assert_proposed((pale + rng.normal(0, 20, pale.shape)).astype(np.uint16))


@pytest.mark.parametrize(("brightness", "nuclei"), [(2000.0, 0.0), (200.0, 0.0), (400.0, 5.0)])
def test_glowing_cells_are_proposed_however_bright_their_nuclei(brightness: float, nuclei: float) -> None:
    assert propose(glowing(brightness=brightness, nuclei=nuclei), UM_PER_PX).field.fluorescence
    assert_proposed(glowing(brightness=brightness, nuclei=nuclei))


def test_crops_show_the_density_round_their_places() -> None:
    field = propose(picture(), UM_PER_PX).field
    middle, corner, outside = crops_at(field, np.array([[150, 150], [0, 0], [-500, 3000]], np.float32))
    expected = np.rint((field.od[150 - 64 : 150 + 64, 150 - 64 : 150 + 64] + 0.2) * 100)
    assert np.abs(middle - expected).max() <= 1
    assert (corner[:64] == 20).all()
    assert (corner[:, :64] == 20).all()
    assert corner[64, 64] == pytest.approx((field.od[0, 0] + 0.2) * 100, abs=1)
    assert (outside == 20).all()
