"""The yardsticks themselves."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.datasets.clusters import load_clusters
from analysis.datasets.labelled_boxes import instances_from_boxes, padded_boxes, ranked_boxes
from analysis.datasets.mfish import load_mfish, mfish_instances
from analysis.datasets.root import data_root
from analysis.datasets.tseng import load_tseng
from analysis.errors import DatasetError
from analysis.evaluation.clusters import evaluate_clusters, lay_out
from analysis.evaluation.mfish import evaluate_mfish
from analysis.evaluation.tseng import evaluate_tseng
from analysis.metrics.coco import CocoImage, CocoObject, coco_figures
from analysis.metrics.enumeration import Count, enumeration_figures, enumeration_intervals
from analysis.metrics.interactions import Interactions, count_interactions, interaction_figures
from analysis.structures.boxes import box_areas, box_intersections, box_iou, match
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation, UnselectedProposal

DATA = Path(os.environ.get("KARYOSCAN_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def needs(folder: str) -> Path:
    path = DATA / folder
    if not path.is_dir():
        pytest.skip(f"no data at {path}: set KARYOSCAN_DATA")
    return path


Boxes = list[tuple[int, int, int, int]]


def edits(truth: Boxes, truth_classes: list[str], pieces: Boxes, piece_classes: list[str]) -> Interactions:
    first = np.asarray(truth, np.float64).reshape(-1, 4)
    second = np.asarray(pieces, np.float64).reshape(-1, 4)
    shared = box_intersections(first, second)
    return count_interactions(shared, box_areas(first), box_areas(second), truth_classes, piece_classes)


box = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(5, 60), st.integers(5, 60)).map(
    lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3])
)
cells = st.lists(st.tuples(box, st.sampled_from(["1", "2", "21", "X"])), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(cells, st.randoms(use_true_random=False))
def test_an_equal_proposal_needs_no_edit(cell: list[tuple[tuple[int, int, int, int], str]], rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(cell)
    rng.shuffle(shuffled)
    assert edits(*map(list, zip(*cell, strict=True)), *map(list, zip(*shuffled, strict=True))).total == 0


@settings(max_examples=40, deadline=None)
@given(cells, cells)
def test_no_edit_means_equal_counts_and_classes(first, second) -> None:  # type: ignore[no-untyped-def]
    result = edits(*map(list, zip(*first, strict=True)), *map(list, zip(*second, strict=True)))
    assert min(result.separations, result.joins, result.adds, result.deletes, result.moves) >= 0
    if result.total == 0:
        assert sorted(name for _, name in first) == sorted(name for _, name in second)
    # Everything could be deleted and added anew.
    assert result.adds <= len(first)
    assert result.deletes <= len(second)


@settings(max_examples=40, deadline=None)
@given(cells)
def test_one_lost_or_one_wrong_is_seen(cell) -> None:  # type: ignore[no-untyped-def]
    assume(len({entry[0] for entry in cell}) == len(cell))
    boxes, classes = map(list, zip(*cell, strict=True))
    assert edits(boxes, classes, boxes[1:], classes[1:]).total > 0
    assert edits(boxes, classes, boxes, ["22", *classes[1:]]).moves == 1


spoilt = st.lists(st.sampled_from(["merge", "cut", "lose", "add", "swap", "move", "tray", "debris"]), max_size=8)


@settings(max_examples=40, deadline=None)
@given(spoilt)
def test_what_was_spoilt_is_counted_by_kind(deeds: list[str]) -> None:
    truth: Boxes = []
    truth_classes: list[str] = []
    pieces: Boxes = []
    piece_classes: list[str] = []
    for number, deed in enumerate([*deeds, "none"]):
        x = 100 * number
        pair: Boxes = [(x, 0, x + 20, 60), (x + 22, 0, x + 42, 60)]
        truth += pair
        truth_classes += ["1", "2"]
        made: dict[str, tuple[Boxes, list[str]]] = {
            "merge": ([(x, 0, x + 42, 60)], ["1"]),
            "cut": ([(x, 0, x + 20, 29), (x, 31, x + 20, 60), pair[1]], ["1", "9", "2"]),
            "lose": ([pair[1]], ["2"]),
            "add": ([*pair, (x, 200, x + 20, 260)], ["1", "2", "9"]),
            "debris": ([*pair, (x, 200, x + 20, 260)], ["1", "2", "?"]),
            "swap": (pair, ["2", "1"]),
            "move": (pair, ["1", "7"]),
            "tray": (pair, ["1", "?"]),
            "none": (pair, ["1", "2"]),
        }
        pieces += made[deed][0]
        piece_classes += made[deed][1]
    result = edits(truth, truth_classes, pieces, piece_classes)
    assert result == Interactions(
        deeds.count("merge"),
        deeds.count("cut"),
        deeds.count("lose"),
        deeds.count("add") + deeds.count("debris"),
        deeds.count("swap") + deeds.count("move") + deeds.count("tray"),
        swaps=deeds.count("swap"),
        tray=deeds.count("debris"),
    )
    assert result.total == len(deeds)
    assert result.pieces == len(deeds) - result.moves


def test_edits_of_cells_are_summed_up_by_kind() -> None:
    cells = [Interactions(1, 0, 0, 0, 3, swaps=1), Interactions(0, 0, 1, 0, 0), Interactions(0, 0, 0, 0, 0, 2)]
    figures = interaction_figures(cells, ["a", "b", "c"])
    assert figures["mean"] == pytest.approx(5 / 3)
    assert figures["mean_10_cells"] == pytest.approx(50 / 3)
    assert (figures["share_le2"], figures["pieces_share_le2"]) == (pytest.approx(2 / 3), 1.0)
    assert figures["none"] == pytest.approx(1 / 3)
    low, high = figures["share_le2_ci95"]
    assert low <= figures["share_le2"] <= high
    assert figures["by_kind"]["moves"] == {
        "mean": 1.0,
        "of_all": pytest.approx(0.6),
        "cells": pytest.approx(1 / 3),
    }
    assert figures["by_kind"]["flips"]["mean"] == pytest.approx(2 / 3)


def test_every_kind_of_edit_counts_once() -> None:
    left, right = (0, 0, 20, 60), (22, 0, 42, 60)
    both = (0, 0, 42, 60)
    upper, lower = (0, 0, 20, 29), (0, 31, 20, 60)
    far = (200, 200, 220, 260)
    names = ["1", "2"]
    assert edits([left, right], names, [both], ["1"]) == Interactions(1, 0, 0, 0, 0)
    assert edits([left], ["1"], [upper, lower], ["1", "5"]) == Interactions(0, 1, 0, 0, 0)
    assert edits([left, right], names, [left], ["1"]) == Interactions(0, 0, 1, 0, 0)
    assert edits([left], ["1"], [left, far], names) == Interactions(0, 0, 0, 1, 0)
    assert edits([left, right], names, [left, right], ["2", "1"]) == Interactions(0, 0, 0, 0, 1, swaps=1)
    assert edits([left, right, far], ["1", "2", "3"], [left, right, far], ["2", "3", "1"]).moves == 3
    assert edits([left], ["1"], [], []) == Interactions(0, 0, 1, 0, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(box, max_size=8), st.lists(box, max_size=8))
def test_matches_are_one_to_one(first: Boxes, second: Boxes) -> None:
    a, b = np.asarray(first, np.float64).reshape(-1, 4), np.asarray(second, np.float64).reshape(-1, 4)
    iou = box_iou(a, b)
    pairs = match(iou)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(iou[i, j] >= 0.5 for i, j in pairs)


def test_enumeration_pools_and_averages() -> None:
    counts = [Count("a", 40, 0, 0), Count("a", 10, 10, 10), Count("b", 40, 0, 0)]
    figures = enumeration_figures(counts)
    assert figures["wcr"] == pytest.approx(2 / 3)
    assert figures["aer"] == pytest.approx(20 / 100)
    assert figures["acc"] == pytest.approx(90 / 110)
    assert figures["aer_per_image"] == pytest.approx(1 / 3)
    assert figures["acc_per_image"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    intervals = enumeration_intervals(counts)
    for name in ("wcr", "aer", "acc"):
        assert intervals[f"{name}_ci95_low"] <= figures[name] <= intervals[f"{name}_ci95_high"]


def test_coco_figures_of_perfect_and_of_nothing() -> None:
    mask = np.ones((20, 10), np.bool_)
    truth = [CocoObject((5, 5, 15, 25), mask), CocoObject((40, 5, 50, 25), mask)]
    perfect = [CocoImage(100, 100, truth, [CocoObject(t.box_px, t.mask, 0.9) for t in truth])]
    for kind in ("bbox", "segm"):
        assert coco_figures(perfect, kind) == pytest.approx({"ap50": 1.0, "map": 1.0, "mar": 1.0})
    assert coco_figures([CocoImage(100, 100, truth, [])], "bbox")["ap50"] == 0.0


def rod_instance(x0: int, y0: int, x1: int, y1: int, score: float = 1.0) -> Instance:
    return Instance((x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), np.bool_), score, SegmentationRoute.SINGLE)


def test_masks_from_boxes_leave_the_neighbour_out() -> None:
    stained = np.zeros((200, 200), np.bool_)
    stained[20:80, 20:34] = True
    stained[24:84, 40:54] = True
    stained[100:150, 100:112] = True
    pixels = np.where(stained, 90, 240).astype(np.uint8)
    boxes = np.asarray([(17, 17, 44, 83), (37, 21, 57, 87), (97, 97, 115, 153), (160, 160, 190, 190)])
    found = [rod_instance(40, 24, 54, 84)]
    made = instances_from_boxes(GreyImage(pixels, "drawn"), boxes, found, stained, padding_px=(3, 3, 3, 3))
    assert len(made) == 4
    assert made[1] is found[0]
    x0, y0, _, _ = made[0].box_px
    assert made[0].mask[30 - y0, 25 - x0]
    assert not made[0].mask[30 - y0, 40 - x0 :].any()
    assert made[2].mask.sum() == 50 * 12
    assert made[3].mask.any()
    grown = padded_boxes(found, (3, 3, 3, 3), (200, 200))
    assert grown.tolist() == [[37.0, 21.0, 57.0, 87.0]]


def test_the_extent_goes_before_the_box_of_the_mask() -> None:
    hidden = replace(rod_instance(40, 24, 54, 60), extent_px=(39.5, 24.0, 54.0, 83.5))
    boxes = padded_boxes([hidden, rod_instance(0, 0, 10, 10)], (7, 8, 5, 4), (200, 200))
    assert boxes.tolist() == [[32.5, 16.0, 59.0, 87.5], [0.0, 0.0, 15.0, 14.0]]
    besides = [UnselectedProposal((100.0, 100.0, 120.0, 120.0), 0.2)]
    ranked = ranked_boxes(boxes[:1], [hidden], besides, (7, 8, 5, 4), (200, 123))
    assert [entry.score for entry in ranked] == [hidden.score, 0.2]
    assert ranked[1].box_px == (93.0, 92.0, 123.0, 124.0)


def test_homologues_share_a_class_and_overlaps_belong_to_both() -> None:
    classmap = np.zeros((100, 100), np.uint8)
    classmap[10:40, 10:20] = 1
    classmap[10:40, 60:70] = 1
    classmap[50:60, 10:50] = 2
    classmap[45:65, 28:34] = 3
    classmap[50:60, 28:34] = 255
    classmap[80, 80] = 2
    made = mfish_instances(classmap)
    assert len(made) == 4
    owners = 0
    for entry in made:
        x0, y0, x1, y1 = entry.box_px
        owners += bool(x0 <= 30 < x1 and y0 <= 55 < y1 and entry.mask[55 - y0, 30 - x0])
    assert owners == 2


@dataclass
class Proposed:
    class_name: str
    instance: Instance


@dataclass
class SegmentationHypotheses:
    chromosomes: tuple[Proposed, ...]
    left_out: tuple[UnselectedProposal, ...] = ()


class KnowsTheTruth:
    """A karyotyper that finds what was drawn."""

    def __init__(self, instances: list[Instance], classes: list[str]) -> None:
        self.instances = instances
        self.classes = classes

    def karyotype(self, image: GreyImage) -> SegmentationHypotheses:
        return SegmentationHypotheses(tuple(map(Proposed, self.classes, self.instances)))

    def classify_instances(self, image: GreyImage, instances: list[Instance]) -> list[Proposed]:
        return list(map(Proposed, self.classes[: len(instances)], instances))


def tseng_folder(tmp_path: Path) -> tuple[Path, list[Instance], list[str]]:
    """Draw a set of two images with twelve rods each."""
    pixels = np.full((300, 400), 240, np.uint8)
    instances = []
    for k in range(12):
        x, y = 30 + 60 * (k % 6), 40 + 130 * (k // 6)
        pixels[y : y + 80, x : x + 16] = 90
        instances.append(rod_instance(x, y, x + 16, y + 80))
    classes = [str(1 + k // 2) for k in range(12)]
    (tmp_path / "images").mkdir()
    rows = ["image,class,xmin,ymin,xmax,ymax"]
    for name in ("a1", "a2"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), pixels)
        for entry, label in zip(instances, classes, strict=True):
            x0, y0, x1, y1 = entry.box_px
            rows.append(f"{name},{label},{x0 - 7},{y0 - 8},{x1 + 5},{y1 + 4}")
    (tmp_path / "boxes.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (tmp_path / "images.csv").write_text("image,case,split\na1,a,test\na2,a,test\n")
    return tmp_path, instances, classes


def test_tseng_figures_of_one_who_knows(tmp_path: Path) -> None:
    folder, instances, classes = tseng_folder(tmp_path)
    seen: list[tuple[int, int]] = []
    figures = evaluate_tseng(
        folder, "test", KnowsTheTruth(instances, classes), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]
    assert figures["images"] == 2
    for name in ("box_ap50", "box_map", "box_mar", "wcr", "acc", "acc_per_image", "class_top1", "end_to_end_top1"):
        assert figures[name] == pytest.approx(1.0), name
    assert figures["aer"] == figures["aer_per_image"] == 0.0
    assert figures["interactions_mean"] == 0.0
    assert figures["share_le2"] == 1.0
    assert figures["seconds_median"] >= 0.0
    assert all(isinstance(value, float | int) for value in figures.values())


def test_tseng_figures_of_one_who_errs(tmp_path: Path) -> None:
    folder, instances, classes = tseng_folder(tmp_path)
    swapped = ["2", *classes[1:]]
    figures = evaluate_tseng(folder, "test", KnowsTheTruth(instances, swapped), limit=1)
    assert figures["images"] == 1
    assert figures["end_to_end_top1"] == pytest.approx(11 / 12)
    assert figures["interactions_mean"] == 1.0
    fewer = KnowsTheTruth(instances[:9], classes[:9])
    fewer.classify_instances = lambda image, given: [Proposed("1", one) for one in given]  # type: ignore[method-assign]
    figures = evaluate_tseng(folder, "test", fewer)
    assert figures["aer"] == pytest.approx(3 / 12)
    assert figures["wcr"] == 0.0


def test_clusters_are_judged_by_the_number_found(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = ["file,cell,kind"]
    for k, kind in enumerate(["single", "single", "cluster", "cluster"]):
        crop = np.full((60, 50), 255, np.uint8)
        crop[5:55, 5:20] = 80
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), crop)
        rows.append(f"{k}.png,c1,{kind}")
    (tmp_path / "blobs.csv").write_text("\n".join(rows))
    sheet = lay_out([np.full((60, 50), 255, np.uint8)] * 4, "c1")

    def one_each_and_two_in_the_last(image: GreyImage) -> Segmentation:
        found = [rod_instance(t[0] + 5, t[1] + 5, t[0] + 20, t[1] + 55) for t in sheet.tiles_px]
        found.append(rod_instance(*sheet.tiles_px[3]))
        size = image.pixels.shape
        return Segmentation(tuple(found), np.full(size, 255, np.float32), np.zeros(size, np.bool_))

    figures = evaluate_clusters(tmp_path, one_each_and_two_in_the_last)
    assert figures == {"blobs": 4, "accuracy": 0.75, "single_recall": 1.0, "cluster_recall": 0.5}


@pytest.mark.parametrize(
    "loader", [lambda p: load_tseng(p, "test"), lambda p: load_mfish(p, "test"), load_clusters]
)
def test_an_absent_set_is_one_clear_line(tmp_path: Path, loader) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DatasetError) as caught:
        loader(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
    assert "nowhere" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("image,case\n1,a\n", "split"),
        ("image,case,split\n1,a,train\n", "test"),
        ("image,case,split\n1,a,test\n", "no boxes"),
    ],
)
def test_a_broken_set_is_one_clear_line(tmp_path: Path, table: str, word: str) -> None:
    (tmp_path / "images.csv").write_text(table)
    (tmp_path / "boxes.csv.gz").write_bytes(gzip.compress(b"image,class,xmin,ymin,xmax,ymax\n7,1,0,0,9,9\n"))
    with pytest.raises(DatasetError, match=word):
        load_tseng(tmp_path, "test")


def test_a_truncated_table_is_one_clear_line(tmp_path: Path) -> None:
    whole = gzip.compress(b"image,class,xmin,ymin,xmax,ymax\n" + b"7,1,0,0,9,9\n" * 500)
    (tmp_path / "images.csv").write_text("image,case,split\n7,a,test\n")
    (tmp_path / "boxes.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="truncated"):
        load_tseng(tmp_path, "test")


@pytest.mark.data
def test_the_splits_share_no_case() -> None:
    folder = needs("tseng")
    cases = {split: {entry.case for entry in load_tseng(folder, split)} for split in ("train", "val", "test")}
    assert not cases["train"] & cases["val"]
    assert not cases["train"] & cases["test"]
    assert not cases["val"] & cases["test"]
    slides = {split: {cell.case for cell in load_mfish(needs("mfish"), split)} for split in ("train", "test")}
    assert not slides["train"] & slides["test"]


@pytest.mark.data
def test_mfish_evaluates() -> None:
    figures = evaluate_mfish(needs("mfish"), "test", limit=1)
    assert figures["images"] == 1
    assert 0.4 < figures["mask_ap50"] <= 1.0


def test_the_simulators_pad_labelled_pictures_as_the_set_does() -> None:
    from analysis.datasets.tseng import TSENG_PADDING_PX
    from simulators.specimen.pictures import LABEL_PADDING_PX

    assert LABEL_PADDING_PX == TSENG_PADDING_PX


def test_the_data_root_is_told_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KARYOSCAN_DATA", raising=False)
    with pytest.raises(DatasetError, match="KARYOSCAN_DATA"):
        data_root()
    assert data_root(tmp_path) == tmp_path
    monkeypatch.setenv("KARYOSCAN_DATA", str(tmp_path))
    assert data_root() == tmp_path
    with pytest.raises(DatasetError, match="no such folder"):
        data_root(tmp_path / "nowhere")
