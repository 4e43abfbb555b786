"""Whole cells by what is drawn: predictions as files, stain and fragments, figures, and corrected labels."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.datasets.label_corrections import (
    LabelAction,
    LabelCorrection,
    corrected_labels,
    read_label_corrections,
)
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng, load_tseng_for_training
from analysis.errors import DatasetError
from analysis.evaluation.case_figures import case_figures, compare_cases
from analysis.evaluation.cell_predictions import (
    CellPrediction,
    PredictedAlternative,
    append_prediction,
    predicted_object,
    read_predictions,
)
from analysis.evaluation.drawn_cells import MeasuredCell, compare_cells, drawn_figures, measure_cell
from analysis.evaluation.label_disagreements import (
    DisagreementKind,
    draw_disagreement,
    find_disagreements,
)
from analysis.evaluation.mask_padding import calibrate_mask_padding
from analysis.metrics.drawn_masks import labelled_stain, mask_fragments, stain_cover
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute

HEIGHT_PX, WIDTH_PX, PITCH_PX = 60, 12, 40
LEFT, TOP, RIGHT, BOTTOM = (int(side) for side in TSENG_PADDING_PX)
NORMAL = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]


class Rods:
    """A drawn metaphase of upright dark rods in rows, none of which touches another."""

    def __init__(self, classes: list[str], case: str = "a", name: str = "a1") -> None:
        columns = 12
        rows = -(-len(classes) // columns)
        self.size_px = (20 + rows * (HEIGHT_PX + PITCH_PX), 40 + columns * (WIDTH_PX + PITCH_PX))
        pixels = np.full(self.size_px, 235, np.uint8)
        self.rods: list[tuple[int, int, int, int]] = []
        for number in range(len(classes)):
            x = 30 + (number % columns) * (WIDTH_PX + PITCH_PX)
            y = 20 + (number // columns) * (HEIGHT_PX + PITCH_PX)
            pixels[y : y + HEIGHT_PX, x : x + WIDTH_PX] = 60
            self.rods.append((x, y, x + WIDTH_PX, y + HEIGHT_PX))
        self.image = GreyImage(pixels, "drawn", inverted=False)
        boxes = [(x0 - LEFT, y0 - TOP, x1 + RIGHT, y1 + BOTTOM) for x0, y0, x1, y1 in self.rods]
        self.labels = TsengImage(name, case, Path("nowhere.jpg"), np.array(boxes, np.int32), tuple(classes))

    def prediction(
        self,
        boxes_px: list[tuple[int, int, int, int]] | None = None,
        classes: list[str] | None = None,
        masks: list[NDArray[np.bool_]] | None = None,
        iscn: str | None = "46,XY",
    ) -> CellPrediction:
        """What a karyotyper would say that draws these rods (all of them where none are given)."""
        boxes_px = self.rods if boxes_px is None else boxes_px
        names = list(self.labels.classes) if classes is None else classes
        shapes = masks or [np.ones((y1 - y0, x1 - x0), np.bool_) for x0, y0, x1, y1 in boxes_px]
        objects = tuple(
            predicted_object(class_name, 0.99, Instance(box, mask, 0.9, SegmentationRoute.SINGLE), self.size_px)
            for class_name, box, mask in zip(names, boxes_px, shapes, strict=True)
        )
        return CellPrediction(
            image=self.labels.name,
            case=self.labels.case,
            split="val",
            size_px=self.size_px,
            objects=objects,
            iscn=iscn,
            level="auto",
            reasons=(),
            unexplained_px=(),
            alternatives=(),
            seconds=0.5,
        )

    def measured(self, prediction: CellPrediction | None = None) -> MeasuredCell:
        """The same, measured."""
        return measure_cell(prediction or self.prediction(), self.labels, self.image)


def test_a_right_cell_is_right_by_every_measure() -> None:
    cell = Rods(NORMAL).measured()
    assert (cell.by_mask.matched, cell.by_mask.false, cell.by_mask.missed) == (46, 0, 0)
    assert cell.classes_right == 46
    assert cell.class_set_right
    assert cell.cover.fraction == 1.0
    assert (cell.cover.pieces, cell.fragments, cell.corrections.total, cell.corrections_strict.total) == (
        0,
        0,
        0,
        0,
    )
    assert not cell.aneuploid
    assert cell.called_normal


def test_a_scrap_of_a_mask_counts_though_the_inner_box_is_right() -> None:
    rods = Rods(NORMAL)
    whole = rods.prediction()
    x0, y0, x1, _ = rods.rods[3]
    scrap = rods.prediction([*rods.rods[:3], (x0, y0, x1, y0 + 15), *rods.rods[4:]])
    extents = tuple(
        replace(drawn, extent_px=tuple(float(side) for side in other.box_px))
        for drawn, other in zip(scrap.objects, whole.objects, strict=True)
    )
    cell = rods.measured(replace(scrap, objects=extents))
    assert (cell.by_extent.false, cell.by_extent.missed) == (0, 0)
    assert (cell.by_mask.false, cell.by_mask.missed) == (1, 1)
    assert cell.corrections.total == 1
    assert cell.cover.fraction == pytest.approx(1.0 - 0.75 / 46, abs=1e-3)
    assert cell.cover.pieces == 1


def test_fragments_and_bare_stain_are_counted_and_rims_are_not() -> None:
    split = np.ones((HEIGHT_PX, WIDTH_PX), np.bool_)
    split[20:30] = False
    assert mask_fragments([split, np.ones((5, 5), np.bool_), np.zeros((3, 3), np.bool_)]) == 1
    rods = Rods(["1", "1", "2"])
    stain = labelled_stain(rods.image.pixels, rods.labels.boxes_px)
    assert int(stain.sum()) == 3 * HEIGHT_PX * WIDTH_PX
    covered = np.zeros(rods.size_px, np.bool_)
    (x0, y0, x1, y1), (a0, b0, a1, b1), _ = rods.rods
    covered[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] = True
    covered[b0 : b1 - 20, a0:a1] = True
    cover = stain_cover(stain, rods.labels.boxes_px, covered)
    assert cover.pieces == 2
    assert cover.covered_px == (HEIGHT_PX - 4) * (WIDTH_PX - 4) + (HEIGHT_PX - 20) * WIDTH_PX


def test_a_nucleus_that_reaches_into_a_box_is_told_apart() -> None:
    stain = np.zeros((220, 340), np.bool_)
    stain[20:200, 200:320] = True
    boxes = np.array([(150, 80, 215, 140)], np.int32)
    cover = stain_cover(stain, boxes, np.zeros(stain.shape, np.bool_))
    assert cover.fraction == 0.0
    assert cover.nucleus_px == cover.stained_px == 15 * 60
    assert cover.pieces == 0


def test_aneuploid_cells_called_normal_and_errors_of_auto_are_counted() -> None:
    trisomy = Rods([*NORMAL, "21"], case="b", name="b1")
    missed = trisomy.prediction(trisomy.rods[:46], NORMAL)
    cells = [Rods(NORMAL).measured(), trisomy.measured(missed)]
    figures = drawn_figures(cells)
    assert figures["aneuploid cells"].value == 1
    assert figures["aneuploid: called normal"].value == figures["aneuploid: called normal and auto"].value == 1
    assert figures["auto: with a wrong class set"].value == figures["auto: with any error"].value == 1
    assert figures["corrections: mean"].value == 0.5
    assert figures["corrections: mean"].low <= 0.5 <= figures["corrections: mean"].high
    told = trisomy.measured(replace(trisomy.prediction(), iscn="47,XY,+21"))
    differences = compare_cells(cells, [cells[0], told])
    assert differences["aneuploid: called normal"].value == -1
    assert differences["corrections: mean"].value == -0.5
    with pytest.raises(ValueError, match="same cells"):
        compare_cells(cells, cells[:1])


def test_alternatives_are_measured_as_corrections() -> None:
    rods = Rods(["1", "1", "2"])
    (x0, y0, x1, y1), *rest = rods.rods
    upper, lower = (x0, y0, x1, y0 + 25), (x0, y0 + 25, x1, y1)
    halves = rods.prediction([upper, lower, *rest], ["1", "19", "1", "2"])
    right = rods.prediction().objects[0]
    offered = replace(halves, alternatives=(PredictedAlternative((0, 1), (right,), 0.4),))
    cell = rods.measured(offered)
    assert cell.corrections.total == 1
    assert cell.corrections_strict.total == 1
    assert cell.corrections_plain.total >= 1


def test_predictions_survive_the_file(tmp_path: Path) -> None:
    rods = Rods(["1", "1", "2"])
    prediction = rods.prediction()
    prediction = replace(
        prediction,
        alternatives=(PredictedAlternative((0, 1), prediction.objects[:1], 0.25),),
        unexplained_px=((1, 2, 3, 4),),
        reasons=("unclassified",),
    )
    path = tmp_path / "cells.jsonl"
    append_prediction(path, prediction)
    append_prediction(path, replace(prediction, image="a2", iscn=None, objects=()))
    with path.open("a") as stream:
        stream.write('{"format": "karyoscan-cell-pre')
    first, second = read_predictions(path)
    assert first == prediction
    assert (second.image, second.iscn, second.objects) == ("a2", None, ())
    assert np.array_equal(first.masks()[1], np.ones((HEIGHT_PX, WIDTH_PX), np.bool_))
    path.write_text('{"format": "another"}\n')
    with pytest.raises(DatasetError, match="line 1"):
        read_predictions(path)


def test_the_padding_is_measured_from_masks_to_labels() -> None:
    rods = Rods(NORMAL)
    measured = calibrate_mask_padding([(rods.prediction(), rods.labels)])
    assert measured.sides_px == TSENG_PADDING_PX
    assert measured.chromosomes == 46
    larger = [(x0 - 1, y0 - 2, x1 + 1, y1) for x0, y0, x1, y1 in rods.rods]
    assert calibrate_mask_padding([(rods.prediction(larger), rods.labels)]).sides_px == (6.0, 6.0, 4.0, 4.0)
    with pytest.raises(ValueError, match="no chromosome"):
        calibrate_mask_padding([])


def test_cases_are_compared_by_the_rule_for_clones() -> None:
    trisomy = [
        Rods([*NORMAL, "21"], case="t", name=f"t{k}").measured(
            replace(Rods([*NORMAL, "21"], case="t", name=f"t{k}").prediction(), iscn=iscn)
        )
        for k, iscn in enumerate(["47,XY,+21", "47,XY,+21", "45,XY,inc"])
    ]
    normal = [
        Rods(NORMAL, case="n", name=f"n{k}").measured(
            replace(Rods(NORMAL, case="n", name=f"n{k}").prediction(), iscn=iscn)
        )
        for k, iscn in enumerate(["46,XY", "47,XY,+8", "47,XY,+8"])
    ]
    alone = Rods(NORMAL, case="o", name="o1").measured()
    cases = {each.case: each for each in compare_cases([*trisomy, *normal, alone])}
    assert set(cases) == {"t", "n"}
    assert cases["t"].clones_right
    assert (cases["t"].cells, cases["t"].complete) == (3, 2)
    assert cases["n"].false_clones == ("47,XY,+8",)
    assert case_figures(list(cases.values())) == {
        "aneuploid cases": 1,
        "aneuploid cases: clones right": 1,
        "aneuploid cases: extra and missing classes right": 1,
        "normal cases": 1,
        "normal cases: with a false clone": 1,
    }


def test_disagreements_are_found_and_drawn() -> None:
    rods = Rods(NORMAL)
    assert find_disagreements(rods.prediction(), rods.labels, rods.image) == ()
    lacking = replace(rods.labels, boxes_px=rods.labels.boxes_px[:-1], classes=rods.labels.classes[:-1])
    (unlabelled,) = find_disagreements(rods.prediction(), lacking, rods.image)
    assert (unlabelled.kind, unlabelled.proposed) == (DisagreementKind.UNLABELLED, "Y")
    renamed = replace(rods.labels, classes=("2", *rods.labels.classes[1:]))
    (other,) = find_disagreements(rods.prediction(), renamed, rods.image)
    assert (other.kind, other.label, other.proposed) == (DisagreementKind.OTHER_CLASS, "2", "1")
    twice = replace(
        rods.labels,
        boxes_px=np.concatenate([rods.labels.boxes_px, rods.labels.boxes_px[:1], [[2, 2, 18, 18]]]).astype(
            np.int32
        ),
        classes=(*rods.labels.classes, "1", "5"),
    )
    kinds = {each.kind for each in find_disagreements(rods.prediction(), twice, rods.image)}
    assert kinds == {DisagreementKind.LABELLED_TWICE, DisagreementKind.EMPTY_LABEL}
    karyogram = np.full((50, 70, 3), 255, np.uint8)
    picture = draw_disagreement(rods.prediction(), lacking, rods.image, unlabelled, karyogram)
    x0, y0, _, _ = unlabelled.box_px
    assert picture.dtype == np.uint8
    assert tuple(int(value) for value in picture[2 * y0, 2 * x0 + 30]) == (0, 0, 230)
    assert picture.shape[1] > 2 * rods.size_px[1] + 70


def test_labels_are_corrected_by_the_list() -> None:
    boxes = np.array([(0, 0, 10, 10), (20, 0, 30, 10), (20, 0, 30, 10)], np.int32)
    entries = [
        LabelCorrection(LabelAction.RENAME, "X", (0, 0, 10, 10), "X, not 8"),
        LabelCorrection(LabelAction.REMOVE, "2", (20, 0, 30, 10), "labelled twice"),
        LabelCorrection(LabelAction.ADD, "Y", (50, 0, 60, 10), "not labelled"),
    ]
    labels = corrected_labels(boxes, ["8", "1", "2"], entries)
    assert labels is not None
    assert labels[1] == ("X", "1", "Y")
    assert labels[0].tolist() == [[0, 0, 10, 10], [20, 0, 30, 10], [50, 0, 60, 10]]
    gone = LabelCorrection(LabelAction.LEAVE_OUT, "", (0, 0, 0, 0), "two cells")
    assert corrected_labels(boxes, ["8", "1", "2"], [gone]) is None
    with pytest.raises(DatasetError, match="no label has the box"):
        corrected_labels(boxes[:1], ["8"], entries[1:])


def test_the_list_of_corrections_has_a_reason_for_every_entry(tmp_path: Path) -> None:
    for entries in read_label_corrections().values():
        for entry in entries:
            assert len(entry.reason) > 10
            assert entry.action is LabelAction.LEAVE_OUT or entry.class_name in CLASS_NAMES
    path = tmp_path / "list.csv"
    header = "image,action,class,xmin,ymin,xmax,ymax,reason\n"
    path.write_text(header + "1,remove,2,0,0,1,1,\n")
    with pytest.raises(DatasetError, match="without a reason"):
        read_label_corrections(path)
    other = tmp_path / "other.csv"
    other.write_text(header + "1,forget,2,0,0,1,1,why\n")
    with pytest.raises(DatasetError, match="no action"):
        read_label_corrections(other)


@pytest.mark.data
def test_corrections_fit_the_published_labels_and_spare_the_test_splits(tseng_folder: Path) -> None:
    corrected = set()
    for split in ("train", "val", "fit"):
        published = {each.name: each for each in load_tseng(tseng_folder, split)}
        labels = {each.name: each for each in load_tseng(tseng_folder, split, corrected=True)}
        for name in set(read_label_corrections()) & set(published):
            corrected.add(name)
            assert name not in labels or labels[name].classes != published[name].classes
    assert corrected == set(read_label_corrections())


@pytest.mark.data
@pytest.mark.parametrize("split", ["test", "test2"])
def test_training_is_refused_the_test_splits(tseng_folder: Path, split: str) -> None:
    assert load_tseng(tseng_folder, split)
    with pytest.raises(DatasetError, match="nothing is trained"):
        load_tseng_for_training(tseng_folder, split)


def test_trainers_read_cells_by_the_loader_that_refuses_test_splits() -> None:
    composing = {"sources.py", "quality.py"}  # fields of the finder's test split are composed of test cells
    root = Path(__file__).parents[2] / "analysis" / "training"
    direct = {path.name for path in root.rglob("*.py") if re.search(r"\bload_tseng\b", path.read_text("utf-8"))}
    assert direct == composing


@pytest.fixture
def tseng_folder() -> Path:
    folder = Path(os.environ.get("KARYOSCAN_DATA", "../shared/data")) / "tseng"
    if not folder.is_dir():
        pytest.skip(f"the Tseng set isn't there: {folder}")
    return folder
