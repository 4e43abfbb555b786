"""Detections and contours together, on drawn scenes with boxes given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.detection.preprocessing import SCALE
from analysis.errors import NoMetaphaseError
from analysis.imaging.fluorescence import as_absorbing, fluorescence_levels
from analysis.imaging.image_file import to_grey
from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.box_geometry import tight_boxes
from analysis.segmentation.segmenter import (
    DetectorSegmenter,
    detector_scale,
    load_detector_segmenter,
)
from analysis.selection.initial_selection import class_certainty, load_selection_settings, select_proposals
from analysis.selection.measurements import ProposalMeasurements
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import SegmentationRoute
from analysis.structures.segmentation import Segmentation
from simulators.specimen.cell import render_cell

WIDTH_PX = 16
PADDING_PX = 6


@dataclass
class Drawn:
    """A drawn metaphase and the boxes of its chromosomes."""

    height: int = 620
    width: int = 720
    density: NDArray[np.float32] = field(init=False)
    boxes: list[list[float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    sure: float = 1.0

    def __post_init__(self) -> None:
        self.density = np.zeros((self.height, self.width), np.float32)

    def rod(self, x: float, y: float, length: float, angle_deg: float, *, gap: bool = False) -> None:
        """Add a chromosome and its box; with a gap it is unstained in the middle."""
        rad = np.deg2rad(angle_deg)
        step = np.array([np.cos(rad), np.sin(rad)])
        start, end = np.array([x, y]) - step * length / 2, np.array([x, y]) + step * length / 2
        mask = np.zeros(self.density.shape, np.uint8)
        cv2.line(mask, tuple(np.rint(start).astype(int)), tuple(np.rint(end).astype(int)), 1, WIDTH_PX - 2)
        rows, columns = np.nonzero(mask)
        along = (columns - start[0]) * step[0] + (rows - start[1]) * step[1]
        stain = 0.35 * (1.0 + 0.22 * np.sin(along / 5.0 + x))
        if gap:
            stain[np.abs(along - length / 2) < 5.0] = 0.0
        self.density[rows, columns] += stain.astype(np.float32)
        self.propose(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 0.9)

    def propose(self, x0: float, y0: float, x1: float, y1: float, score: float) -> None:
        """Propose a box, whatever is in it."""
        pad = PADDING_PX
        self.boxes.append([x0 - pad, y0 - pad, x1 + pad, y1 + pad])
        self.scores.append(score)

    def disc(self, x: int, y: int, radius: int) -> None:
        mask = np.zeros(self.density.shape, np.uint8)
        cv2.circle(mask, (x, y), radius, 1, -1)
        self.density = np.maximum(self.density, 0.3 * mask.astype(np.float32))

    def singles(self) -> int:
        rng = np.random.default_rng(5)
        for k in range(20):
            self.rod(
                80 + 130 * (k % 5), 70 + 110 * (k // 5), float(rng.uniform(30, 85)), float(rng.uniform(0, 180))
            )
        return 20

    def image(self) -> GreyImage:
        smooth = cv2.GaussianBlur(self.density, (0, 0), 1.3)
        grey = 235.0 * 10.0 ** (-smooth) + np.random.default_rng(1).normal(0.0, 1.5, smooth.shape)
        return to_grey(np.clip(grey, 0, 255).astype(np.uint8), "scene")

    def candidates(self, relative: NDArray[np.float32], *, scale: float) -> BoxProposals:
        """Propose the boxes; every chromosome is of a class of its own."""
        assert scale == pytest.approx(SCALE)
        assert relative.shape == self.density.shape
        order = np.argsort(-np.asarray(self.scores), kind="stable")
        classes = self.sure * np.eye(24, dtype=np.float32)[order % 24] + (1.0 - self.sure) / 24.0
        return BoxProposals(
            np.asarray(self.boxes, np.float32)[order],
            np.asarray(self.scores, np.float32)[order],
            classes.astype(np.float32),
        )

    def segment(self) -> Segmentation:
        image = self.image()
        found = DetectorSegmenter(self)(image)
        for number, entry in enumerate(found.instances):
            x0, y0, x1, y1 = entry.box_px
            assert entry.mask.shape == (y1 - y0, x1 - x0)
            assert entry.mask[0].any()
            assert entry.mask[:, -1].any()
            assert all(number in found.instances[other].overlaps for other in entry.overlaps)
        return found


def at(found: Segmentation, x: int, y: int) -> list[int]:
    owners = []
    for number, entry in enumerate(found.instances):
        x0, y0, x1, y1 = entry.box_px
        if x0 <= x < x1 and y0 <= y < y1 and entry.mask[y - y0, x - x0]:
            owners.append(number)
    return owners


def test_instances_have_the_classes_of_their_proposals() -> None:
    drawn = Drawn()
    drawn.singles()
    found = drawn.segment()
    given = np.asarray(drawn.boxes)
    for entry in found.instances:
        assert entry.class_log_prob is not None
        assert entry.class_log_prob.dtype == np.float32
        nearest = int(np.abs(given[:, :2] + PADDING_PX - entry.box_px[:2]).sum(axis=1).argmin())
        assert int(entry.class_log_prob.argmax()) == nearest
        assert entry.class_log_prob.max() == pytest.approx(0.0, abs=1e-3)


def test_extents_and_what_was_left_out() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.propose(560, 500, 600, 590, 0.1)
    drawn.propose(500, 500, 520, 540, 0.2)
    found = drawn.segment()
    assert len(found.instances) == planted
    for entry in found.instances:
        assert entry.extent_px is not None
        assert np.abs(np.subtract(entry.extent_px, entry.box_px)).max() <= 3.0
    assert [round(entry.score, 2) for entry in found.left_out] == [0.2, 0.1]
    assert found.left_out[1].extent_px == pytest.approx((560.0, 500.0, 600.0, 590.0))


def test_classes_of_given_boxes() -> None:
    drawn = Drawn()
    drawn.singles()
    segmenter, image = DetectorSegmenter(drawn), drawn.image()
    boxes = np.asarray(drawn.boxes)[[3, 17, 8]]
    assert segmenter.classes_at(image, boxes).argmax(axis=1).tolist() == [3, 17, 8]
    bare = boxes + PADDING_PX * np.asarray([1, 1, -1, -1])
    assert segmenter.classes_at(image, bare, padded=False).argmax(axis=1).tolist() == [3, 17, 8]
    nowhere = segmenter.classes_at(image, np.asarray([[690.0, 590.0, 710.0, 615.0]]))
    np.testing.assert_allclose(nowhere, np.log(1.0 / 24.0), atol=1e-6)


def test_what_the_choice_rests_on_can_be_asked_for() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.propose(500, 500, 540, 560, 0.08)
    known, extents_px = DetectorSegmenter(drawn).measure(drawn.image())
    rows = select_proposals(known, load_selection_settings())
    assert len(known.score) == planted + 1
    assert sorted(rows) == list(range(planted))
    assert extents_px[rows].tolist() == [
        pytest.approx(np.add(box, np.asarray([1, 1, -1, -1]) * PADDING_PX)) for box in drawn.boxes[:planted]
    ]


def test_a_piece_with_one_box_is_the_mask() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.disc(640, 540, 62)
    found = drawn.segment()
    assert len(found.instances) == planted
    assert {entry.route for entry in found.instances} == {SegmentationRoute.DETECTOR_CONTOUR}
    assert found.nuclei[540, 640]
    for entry, box in zip(found.instances, drawn.boxes, strict=True):
        tight = np.asarray(box) + np.asarray([1, 1, -1, -1]) * PADDING_PX
        assert np.asarray(entry.box_px) == pytest.approx(tight, abs=2.5)


def test_touching_chromosomes_are_cut_where_their_boxes_part() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.rod(200, 540, 80, 0)
    drawn.rod(200, 576, 44, 90)
    found = drawn.segment()
    assert len(found.instances) == planted + 2
    (first,), (second,) = at(found, 230, 540), at(found, 200, 585)
    assert first != second
    assert second in found.instances[first].overlaps
    assert found.instances[first].route in {SegmentationRoute.DETECTOR_CUT, SegmentationRoute.DETECTOR_WATERSHED}


def test_crossing_chromosomes_both_own_the_shared_area() -> None:
    drawn = Drawn()
    drawn.singles()
    drawn.rod(360, 540, 100, 20)
    drawn.rod(360, 540, 100, 110)
    found = drawn.segment()
    owners = at(found, 360, 540)
    assert len(owners) == 2
    assert all(found.instances[k].route == SegmentationRoute.DETECTOR_CROSSING for k in owners)


def test_what_hangs_on_a_chromosome_is_clipped() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.rod(200, 540, 60, 0)
    box = drawn.boxes[-1]
    drawn.rod(236, 560, 60, 90)
    del drawn.boxes[-1], drawn.scores[-1]
    found = drawn.segment()
    assert len(found.instances) == planted + 1
    (owner,) = at(found, 190, 540)
    assert found.instances[owner].box_px[2] < box[2] + 2
    assert found.instances[owner].route == SegmentationRoute.DETECTOR_BOX


def test_a_chromosome_that_fell_apart_is_one() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.rod(300, 540, 90, 0, gap=True)
    found = drawn.segment()
    assert len(found.instances) == planted + 1
    (owner,) = at(found, 270, 540)
    assert at(found, 330, 540) == [owner]
    assert cv2.connectedComponents(found.instances[owner].mask.astype(np.uint8))[0] == 2


@pytest.mark.parametrize(
    ("kept", "sure", "expected"),
    [(slice(None, None, 2), 0.4, 20), (slice(2, None), 0.4, 18), (slice(None, None, 2), 1.0, 10)],
)
def test_contours_are_asked_where_the_detector_knows_little(kept: slice, sure: float, expected: int) -> None:
    # Many free bodies are chromosomes where it is unsure of what it found too; else it knows why it left them.
    drawn = Drawn(sure=sure)
    drawn.singles()
    drawn.boxes, drawn.scores = drawn.boxes[kept], drawn.scores[kept]
    found = drawn.segment()
    assert sum(entry.class_log_prob is not None for entry in found.instances) == len(drawn.boxes)
    assert len(found.instances) == expected


def test_poor_proposals_and_doubles_are_left_out() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    drawn.propose(500, 500, 540, 560, 0.08)
    x0, y0, x1, y1 = np.asarray(drawn.boxes[3]) + np.asarray([1, 1, -1, -1]) * PADDING_PX
    drawn.propose(x0 + 2, y0 + 2, x1 + 4, y1 + 1, 0.6)
    assert len(drawn.segment().instances) == planted


def test_fluorescence_is_left_to_the_contours() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    inverted = to_grey(255 - drawn.image().pixels, "dapi")
    drawn.boxes.clear()
    found = DetectorSegmenter(drawn)(inverted)
    assert len(found.instances) == planted
    assert all(not entry.route.by_detector for entry in found.instances)


def test_fluorescence_becomes_density_in_proportion_to_the_dye() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(256).reshape(256, 256)
    given = GreyImage(levels, "ramp", inverted=True)
    made = as_absorbing(given)
    density = np.log10(256.0 / (made.pixels[:, 0].astype(float) + 1.0))
    dye = (255.0 - np.arange(256)) / 255.0
    assert not made.inverted
    assert density == pytest.approx(0.7 * dye, abs=0.01)
    assert fluorescence_levels(made.pixels[:, 0].astype(np.float32)) == pytest.approx(np.arange(256), abs=4.0)
    bright = GreyImage(levels, "ramp")
    assert as_absorbing(bright) is bright


def test_fluorescence_can_be_shown_to_the_detector() -> None:
    drawn = Drawn()
    planted = drawn.singles()
    grey = drawn.image()
    dark = GreyImage(grey.pixels, "scene", inverted=True)
    found = DetectorSegmenter(drawn, fluorescence=True)(dark)
    assert len(found.instances) == planted
    assert {entry.route for entry in found.instances} == {SegmentationRoute.DETECTOR_CONTOUR}
    assert np.median(found.background) == pytest.approx(np.median(grey.pixels), abs=4.0)


def test_no_detections_no_metaphase() -> None:
    drawn = Drawn()
    drawn.singles()
    del drawn.boxes[5:], drawn.scores[5:]
    with pytest.raises(NoMetaphaseError, match="scene"):
        DetectorSegmenter(drawn)(drawn.image())


@pytest.mark.parametrize(
    ("width_px", "factor", "expected"),
    [(17.0, 1.0, 0.667), (13.0, 1.0, 0.667), (15.0, 0.7, 0.667 / 0.7), (15.0, 3.0, 0.667 * 17 / 15)],
)
def test_size_is_changed_only_where_it_is_clearly_another(width_px: float, factor: float, expected: float) -> None:
    empty = np.zeros((9, 9), np.float32)
    working = WorkingImage(factor, empty, empty, np.zeros((9, 9), np.bool_), width_px)
    assert detector_scale(working) == pytest.approx(expected)


def test_slide_is_taken_off_boxes_but_not_all_of_them() -> None:
    boxes = np.asarray([[10, 10, 50, 90], [10, 10, 16, 40]], np.float32)
    assert tight_boxes(boxes, 6.0).tolist() == [[16, 16, 44, 84], [12, 16, 14, 34]]


def evidence(
    scores: list[float], overlap: dict[tuple[int, int], float], classes: list[int], *, sure: float = 0.9
) -> ProposalMeasurements:
    """Proposals on one large piece of stain each, unless they overlap."""
    count = len(scores)
    matrix = np.zeros((count, count))
    for (i, j), value in overlap.items():
        matrix[i, j] = matrix[j, i] = value
    chance = np.full((count, 24), (1.0 - sure) / 23)
    chance[np.arange(count), classes] = sure
    return ProposalMeasurements(np.asarray(scores), matrix, chance, np.full(count, -1), np.zeros(0))


def test_overlapping_proposals_of_one_class_are_one_chromosome() -> None:
    settings = replace(
        load_selection_settings(), threshold=0.45, slope=1.5, overlap_start=0.3, overlap_price=2.0, other_class=0.8
    )
    alike = evidence([0.9, 0.6], {(0, 1): 0.7}, [3, 3])
    other = evidence([0.9, 0.6], {(0, 1): 0.55}, [3, 12])
    assert select_proposals(alike, settings).tolist() == [0]
    assert select_proposals(other, settings).tolist() == [0, 1]


def test_nothing_speaks_for_a_number_of_chromosomes() -> None:
    # Class 5 is held by one good proposal; a poor one of it stays poor.
    found = select_proposals(evidence([0.9, 0.2], {}, [5, 5]), load_selection_settings())
    assert found.tolist() == [0]
    # A good third one is a trisomy.
    assert len(select_proposals(evidence([0.9, 0.8, 0.8], {}, [20, 20, 20]), load_selection_settings())) == 3


def test_a_third_of_a_class_counts_only_where_classes_are_known() -> None:
    # What the detector takes for one class throughout, in a picture of another kind, are chromosomes all the same.
    settings = load_selection_settings()
    known = {sure: evidence([0.7] * 12, {}, [5] * 12, sure=sure) for sure in (0.9, 0.4)}
    assert len(select_proposals(known[0.9], settings)) == 2
    assert len(select_proposals(known[0.4], settings)) == 12
    assert class_certainty(known[0.9], settings) == pytest.approx(0.9)
    assert class_certainty(known[0.4], settings) == pytest.approx(0.4)


def test_of_whatever_kind_a_cell_has_no_more_than_48_unless_they_are_sure() -> None:
    settings = load_selection_settings()
    assert len(select_proposals(evidence([0.7] * 60, {}, [5] * 60, sure=0.4), settings)) == 48
    assert len(select_proposals(evidence([0.97] * 60, {}, [5] * 60, sure=0.4), settings)) == 60


def test_nothing_proposed_nothing_chosen() -> None:
    assert class_certainty(evidence([], {}, []), load_selection_settings()) == 0.0
    assert len(select_proposals(evidence([], {}, []), load_selection_settings())) == 0


@pytest.mark.parametrize("kind", ["grey", "colour", "16 bits", "inverted"])
def test_the_product_finds_the_chromosomes_of_a_drawn_cell(kind: str) -> None:
    rng = np.random.default_rng(11)
    cell = render_cell([*(str(k) for k in range(1, 23)), "X"] * 2, rng)
    light = 230.0 * 10.0 ** -cv2.GaussianBlur(cell.od, (0, 0), 1.0)
    grey = np.clip(light + rng.normal(0.0, 2.0, light.shape), 0, 255).astype(np.uint8)
    given = {
        "grey": grey,
        "colour": np.stack([grey, grey, (0.9 * grey).astype(np.uint8)], axis=2),
        "16 bits": grey.astype(np.uint16) * 17 + 300,
        "inverted": 255 - grey,
    }[kind]
    found = load_detector_segmenter()(to_grey(given, "drawn"))
    assert len(found.instances) == pytest.approx(46, abs=4)
    # Bright on dark is taken for fluorescence, in which the detector sees chromosomes too.
    assert all(entry.route.by_detector for entry in found.instances)
