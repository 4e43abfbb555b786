"""Ways of cutting side by side: the classical peers, the table, the report."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.evaluation.baselines import BASELINES, convex_hull_splitting, threshold_alone, threshold_watershed
from analysis.evaluation.box_free.blob_classifier import BlobAnswer
from analysis.evaluation.box_free.external_blobs import judge_cut_blobs, outline_of
from analysis.evaluation.boxes_alone import BoxesAlone
from analysis.evaluation.clusters import evaluate_cut_blobs
from analysis.evaluation.segmentation_methods import SegmentationMethods
from analysis.evaluation.segmenters import CellOutcome, run_segmenters, segmenter_figures, write_report
from analysis.imaging.image_file import to_grey
from analysis.parameters.weights import WEIGHTS_DIR
from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou, match
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.region import Region
from analysis.structures.segmentation import Segmentation


def routes(outcomes: Sequence[CellOutcome]) -> dict[str, tuple[int, int]]:
    """How many instances took which route, and how many of those are right (IoU .5)."""
    taken: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one in outcomes:
        truth = one.entry.boxes_px.astype(np.float64)
        good = {j for _, j in match(box_iou(truth, one.boxes_px))}
        for number, instance in enumerate(one.detections):
            taken[instance.route] += 1
            right[instance.route] += number in good
    return {route: (taken[route], right[route]) for route in sorted(taken)}


def drawn(*, touching: bool) -> GreyImage:
    """Draw nine rods, two of them end to side where they touch."""
    density = np.zeros((300, 420), np.float32)
    for k in range(7):
        x, y = 30 + 90 * (k % 4), 30 + 100 * (k // 4)
        density[y : y + 60, x : x + 16] = 0.4
    density[220:236, 250:320] = 0.4
    gap = -1 if touching else 10
    density[236 + gap : 286 + gap, 277:293] = 0.4
    grey = 235.0 * 10.0 ** -cv2.GaussianBlur(density, (0, 0), 1.2)
    return to_grey(np.clip(grey, 0, 255).astype(np.uint8), "drawn")


@pytest.mark.parametrize("name", list(BASELINES))
def test_peers_find_rods_that_lie_apart(name: str) -> None:
    found = BASELINES[name](drawn(touching=False))
    assert len(found.instances) == 9
    for entry in found.instances:
        x0, y0, x1, y1 = entry.box_px
        assert entry.mask.shape == (y1 - y0, x1 - x0)
        assert max(entry.mask.shape) == pytest.approx(60, abs=12)


def test_peers_part_what_touches_and_the_floor_does_not() -> None:
    scene = drawn(touching=True)
    assert len(threshold_alone(scene).instances) == 8
    assert len(convex_hull_splitting(scene).instances) == 9


class _RodsProposed:
    """Proposes two rods of `drawn`, and the slide between them with a low score."""

    def candidates(self, relative: NDArray[np.float32], *, scale: float) -> BoxProposals:
        del relative, scale
        boxes = np.asarray([[24, 24, 52, 96], [114, 24, 142, 96], [60, 20, 100, 100]], np.float32)
        return BoxProposals(boxes, np.asarray([0.9, 0.6, 0.3], np.float32), np.full((3, 24), 1 / 24, np.float32))


def test_boxes_alone_are_the_likely_proposals_without_their_slide() -> None:
    segmented = BoxesAlone(DetectorSegmenter(_RodsProposed()))(drawn(touching=False))
    assert [entry.extent_px for entry in segmented.instances] == [
        pytest.approx((30, 30, 46, 90), abs=0.01),
        pytest.approx((120, 30, 136, 90), abs=0.01),
    ]
    assert [entry.score for entry in segmented.instances] == [pytest.approx(0.9), pytest.approx(0.6)]
    assert [entry.score for entry in segmented.left_out] == [pytest.approx(0.3)]
    for entry in segmented.instances:
        x0, y0, x1, y1 = entry.box_px
        assert entry.mask.shape == (y1 - y0, x1 - x0)


def test_another_detector_is_measured_beside_the_products() -> None:
    beside = SegmentationMethods(other_detector=WEIGHTS_DIR, boxes_alone=True).segmenters()
    assert {"detector", "other detector", "other detector, boxes alone"} <= set(beside)
    assert "other detector, boxes alone" not in SegmentationMethods(other_detector=WEIGHTS_DIR).segmenters()


def test_the_watershed_parts_at_a_narrow_neck() -> None:
    pixels = drawn(touching=False).pixels.copy()
    # A thread between the ends of two rods, darker than any threshold.
    pixels[88:132, 37:40] = 90
    scene = to_grey(pixels, "thread")
    assert len(threshold_alone(scene).instances) == 8
    assert len(threshold_watershed(scene).instances) == 9


@pytest.mark.parametrize("name", list(BASELINES))
def test_peers_refuse_an_empty_slide(name: str) -> None:
    with pytest.raises(NoMetaphaseError):
        BASELINES[name](to_grey(np.full((200, 200), 230, np.uint8), "empty"))


BOXES = [(20, 20, 60, 80), (100, 20, 140, 80), (20, 110, 60, 170)]


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    """Make a Tseng set of four pictures of two cases, one of them difficult."""
    folder = tmp_path / "tseng"
    (folder / "images").mkdir(parents=True)
    listed = ["image,case,split,difficult"]
    boxes = ["image,class,xmin,ymin,xmax,ymax"]
    grey = np.full((200, 200), 200, np.uint8)
    # A picture whose pixels are all alike isn't read.
    grey[190:, 190:] = 60
    for number in range(4):
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), grey)
        listed.append(f"{number},{number // 2},val,{int(number == 3)}")
        boxes += [f"{number},{k + 1},{','.join(map(str, box))}" for k, box in enumerate(BOXES)]
    (folder / "images.csv").write_text("\n".join(listed), encoding="utf-8")
    (folder / "boxes.csv.gz").write_bytes(gzip.compress("\n".join(boxes).encode()))
    return folder


def found_at(*boxes: tuple[int, int, int, int]) -> Segmentation:
    """Instances whose padded boxes are these."""
    inner = [(x0 + 7, y0 + 8, x1 - 5, y1 - 4) for x0, y0, x1, y1 in boxes]
    instances = tuple(
        Instance(box, np.ones((box[3] - box[1], box[2] - box[0]), np.bool_), 0.9, SegmentationRoute.LABEL)
        for box in inner
    )
    return Segmentation(instances, np.zeros((200, 200), np.float32), np.zeros((200, 200), np.bool_))


def everything(_image: GreyImage) -> Segmentation:
    return found_at(*BOXES)


def a_false_one_for_one(_image: GreyImage) -> Segmentation:
    return found_at(*BOXES[:2], (130, 120, 180, 190))


def nothing(_image: GreyImage) -> Segmentation:
    raise NoMetaphaseError("nothing")


def test_figures_of_each_way(small_set: Path) -> None:
    ways = {"all": everything, "some": a_false_one_for_one, "none": nothing}
    outcomes = run_segmenters(small_set, "val", ways)
    whole, some, none = (segmenter_figures(outcomes[name]) for name in ways)
    assert (whole["images"], whole["difficult_images"], whole["ordinary_images"]) == (4, 1, 3)
    assert (whole["wcr"], whole["aer"], whole["acc"]) == (1.0, 0.0, 1.0)
    assert whole["box_ap50"] == pytest.approx(1.0)
    assert some["aer"] == pytest.approx(2 / 3)
    assert some["acc"] == pytest.approx(2 / 4)
    assert some["aer_ci95_low"] <= some["aer"] <= some["aer_ci95_high"]
    assert some["box_ap50_ci95_low"] <= some["box_ap50"] + 1e-9
    assert (none["aer"], none["box_ap50"]) == (1.0, 0.0)
    assert routes(outcomes["some"]) == {"label": (12, 8)}


def test_the_report_shows_the_worst_first(small_set: Path, tmp_path: Path) -> None:
    outcomes = run_segmenters(small_set, "val", {"some": a_false_one_for_one}, limit=2)
    write_report(tmp_path / "report", outcomes)
    table = (tmp_path / "report" / "figures.csv").read_text(encoding="utf-8").splitlines()
    rows = {row["figure"]: row["some"] for row in csv.DictReader(table)}
    assert float(rows["images"]) == 2
    names = sorted(path.name for path in (tmp_path / "report" / "some").iterdir())
    assert [name[:3] for name in names] == ["02-", "02-"]
    picture = cv2.imread(str(tmp_path / "report" / "some" / names[0]))
    assert picture is not None
    assert tuple(picture[20, 40]) == (60, 160, 40)
    assert tuple(picture[110, 40]) == (40, 40, 230)
    assert tuple(picture[120, 155]) == (230, 120, 20)


def cut_out(*rods: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Draw a crop as another system exports it: bands as white as the slide, a grey outline."""
    crop = np.full((120, 120), 255, np.uint8)
    for x0, y0, x1, y1 in rods:
        crop[y0:y1, x0:x1] = 246
        for y in range(y0 + 1, y1 - 1, 6):
            crop[y : y + 3, x0 + 1 : x1 - 1] = 60
    return crop


def test_bands_as_white_as_the_slide_are_still_inside() -> None:
    outline = outline_of(cut_out((40, 10, 56, 100)))
    assert np.count_nonzero(outline) == 16 * 90


def waist(level: NDArray[np.float32], pieces: list[Region]) -> list[BlobAnswer]:
    """Judge by the height alone."""
    return [BlobAnswer(1.0, 0.8 if np.ptp(np.nonzero(p.mask)[1]) > 25 else 0.2, 0.5) for p in pieces]


def test_a_crop_with_two_bodies_is_several_whatever_the_judge_says() -> None:
    single, pair = cut_out((40, 10, 56, 100)), cut_out((20, 10, 36, 100), (70, 10, 86, 100))

    def one(level: NDArray[np.float32], pieces: list[Region]) -> list[BlobAnswer]:
        return [BlobAnswer(1.0, 0.1, 0.5) for _ in pieces]

    assert [answer.connected for answer in judge_cut_blobs([single, pair], one)] == [0.1, 1.0]


def test_the_line_is_drawn_on_other_cells_than_it_is_measured_on(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = ["file,cell,kind"]
    for cell in range(4):
        for number, kind in enumerate(("single", "single", "cluster")):
            name = f"{cell}-{number}.png"
            cross = [(10, 45, 100, 61)] if kind == "cluster" else []
            cv2.imwrite(str(tmp_path / "images" / name), cut_out((40, 10, 56, 100), *cross))
            rows.append(f"{name},{cell},{kind}")
    (tmp_path / "blobs.csv").write_text("\n".join(rows), encoding="utf-8")
    figures = evaluate_cut_blobs(tmp_path, waist)
    assert figures["blobs"] == 12
    assert 0.2 < figures["line"] < 0.8
    assert (figures["accuracy"], figures["single_recall"], figures["cluster_recall"]) == (1.0, 1.0, 1.0)
