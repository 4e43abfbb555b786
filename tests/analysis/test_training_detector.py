"""The detector's trainer, on drawn cells."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from analysis.detection.detector import BoxProposals, Detector
from analysis.errors import DatasetError
from analysis.nets.detector_net import DetectorNet, DetectorOutput, points
from analysis.parameters.weights import read_manifest
from analysis.training.detector.augmentation import PADDING_PX, DetectorAugmentation, draw_example
from analysis.training.detector.data import NO_CLASS, DetectorCell, Single, centre_shift, prepare_cells
from analysis.training.detector.figures import typical_shift
from analysis.training.detector.loss import DetectorLossWeights, Target, assign_points, detector_loss
from analysis.training.detector.trainer import (
    DetectorCells,
    DetectorTask,
    DetectorTrainSettings,
    detector_trainer,
    train_detector,
)
from analysis.training.engine.progress import Budget, silent

TINY = DetectorTrainSettings(
    width=8,
    batch=2,
    threads=2,
    checkpoint_steps=2,
    validate_steps=4,
    validate_images=1,
    bfloat16=False,
    augment=DetectorAugmentation(window_px=160),
)


def metaphase(seed: int, side: int = 300) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Draw upright and lying rods, and boxes as the labellers drew them: 7, 8, 5, 4 px of slide."""
    rng = np.random.default_rng(seed)
    density = np.zeros((side, side), np.float32)
    boxes = []
    for row in range(4):
        for column in range(4):
            w, h = (14, int(rng.integers(30, 50)))
            if rng.random() < 0.5:
                w, h = h, w
            x, y = 16 + 70 * column, 16 + 70 * row
            density[y : y + h, x : x + w] = 0.4
            boxes.append((x - 7, y - 8, x + w + 5, y + h + 4))
    grey = 235.0 * 10.0 ** -cv2.GaussianBlur(density, (0, 0), 1.0)
    noisy = grey + rng.normal(0.0, 1.0, grey.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), boxes


@pytest.fixture
def drawn_set(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "tseng"
    (folder / "images").mkdir(parents=True)
    listed, drawn = [], []
    for number, split in enumerate(("train", "train", "val")):
        picture, boxes = metaphase(number)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), picture)
        listed.append({"image": number, "case": number, "split": split})
        drawn += [
            dict(zip(("image", "class", "xmin", "ymin", "xmax", "ymax"), (number, 1 + k, *box), strict=True))
            for k, box in enumerate(boxes)
        ]
    for path, rows in ((folder / "images.csv", listed), (folder / "boxes.csv.gz", drawn)):
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        text = table.getvalue().encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return tmp_path / "data"


def test_boxes_are_centred_on_their_chromosomes(drawn_set: Path, tmp_path: Path) -> None:
    (cell,) = prepare_cells(drawn_set / "tseng", tmp_path / "cache", "val")
    assert len(cell.boxes_px) == 16
    assert (cell.boxes_px - cell.truth_px)[0] == pytest.approx([1, 2, 1, 2], abs=0.6)
    assert len(cell.singles) == 10
    assert cell.density.max() > 100
    again = prepare_cells(drawn_set / "tseng", tmp_path / "cache", "val")
    assert (again[0].density == cell.density).all()


def test_the_test_split_is_never_trained_on(drawn_set: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="isn't trained"):
        prepare_cells(drawn_set / "tseng", tmp_path / "cache", "test")


def test_shift_of_a_cell_leans_on_the_usual_one() -> None:
    none = centre_shift(np.zeros((0, 4), np.float32))
    many = centre_shift(np.tile(np.array([[4.0, 4.0, 4.0, 4.0]], np.float32), (200, 1)))
    assert none.tolist() == [1.0, 2.0]
    assert many == pytest.approx([0.0, 0.0], abs=0.05)


def cell_of(boxes: list[tuple[float, float, float, float]], side: int = 400) -> DetectorCell:
    density = np.zeros((side, side), np.uint8)
    for x0, y0, x1, y1 in boxes:
        pad = int(PADDING_PX)
        density[int(y0) + pad : int(y1) - pad, int(x0) + pad : int(x1) - pad] = 150
    array = np.asarray(boxes, np.float32)
    return DetectorCell("drawn", "1", density, array, array, np.arange(len(boxes)), ())


@pytest.mark.parametrize("seed", range(8))
def test_boxes_follow_what_is_turned_and_scaled(seed: int) -> None:
    cell = cell_of([(100, 80, 140, 180), (220, 200, 330, 240)])
    calm = DetectorAugmentation(
        window_px=320, gain=0.0, gamma=0.0, offset=0.0, noise_fraction=0.0, add_fraction=0.0
    )
    example = draw_example(cell, (), np.random.default_rng(seed), calm)
    assert len(example.boxes_px) == 2
    for box in example.boxes_px:
        x0, y0, x1, y1 = (int(v) for v in np.rint(box))
        rows, columns = np.nonzero(example.image[y0:y1, x0:x1] > 0.5)
        slide = (columns.min(), rows.min(), x1 - x0 - 1 - columns.max(), y1 - y0 - 1 - rows.max())
        # 6 px of the set at two thirds, whatever the size of the chromosome was drawn to.
        assert slide == pytest.approx((4, 4, 4, 4), abs=1.6)


def test_added_chromosomes_bring_box_and_class() -> None:
    cell = cell_of([(100, 80, 140, 180), (220, 200, 330, 240)])
    piece = np.zeros((60, 24), np.uint8)
    piece[4:-4, 4:-4] = 150
    always = DetectorAugmentation(window_px=320, add_fraction=1.0, noise_fraction=0.0, gamma=0.0)
    examples = [draw_example(cell, (Single(piece, 17),), np.random.default_rng(k), always) for k in range(6)]
    added = [(e, box) for e in examples for box, c in zip(e.boxes_px, e.classes, strict=True) if c == 17]
    assert len(added) > 6
    for example, (x0, y0, x1, y1) in added:
        assert (example.image[int(y0) : int(y1), int(x0) : int(x1)] > 0.5).sum() > 150


def sure_output(places: torch.Tensor, boxes: torch.Tensor, net: DetectorNet) -> DetectorOutput:
    """Answer rightly everywhere inside the first box and say "nothing" elsewhere."""
    sides = torch.cat([places - boxes[0, :2], boxes[0, 2:] - places], dim=1)
    logits = -((sides[..., None] - net.distances) ** 2)
    inside = (sides > 0).all(1)
    score = torch.where(inside, 6.0, -6.0)
    classes = torch.zeros(len(places), 24)
    classes[:, 4] = 9.0
    return DetectorOutput(score[None], classes[None], logits[None])


def test_right_answers_cost_less() -> None:
    net, places = DetectorNet(8), points(96, 96)
    boxes = torch.tensor([[20.0, 16.0, 44.0, 76.0]])
    right = sure_output(places, boxes, net)
    target = Target(boxes, torch.tensor([4]), torch.zeros(0, 4))
    weights = DetectorLossWeights()
    chosen = assign_points(net, places, right.score[0], right.borders[0], boxes)
    assert len(chosen.point) == 9
    assert ((places[chosen.point] > boxes[0, :2]) & (places[chosen.point] < boxes[0, 2:])).all()
    assert float(chosen.goal.max()) > 0.85
    good = detector_loss(net, places, right, [target], weights)
    moved = Target(boxes + 6.0, torch.tensor([7]), torch.zeros(0, 4))
    bad = detector_loss(net, places, right, [moved], weights)
    for part in ("overlap", "offset", "distribution", "classes"):
        assert float(good[part]) < float(bad[part])
    nothing = detector_loss(net, places, right, [Target(torch.zeros(0, 4), torch.zeros(0).long(), boxes)], weights)
    assert set(nothing) == {"score"}
    assert float(nothing["score"]) < 0.1


def test_a_chromosome_without_a_class_teaches_its_box_alone() -> None:
    net, places = DetectorNet(8), points(96, 96)
    boxes = torch.tensor([[20.0, 16.0, 44.0, 76.0]])
    output = sure_output(places, boxes, net)
    labelled, unlabelled = (
        detector_loss(
            net, places, output, [Target(boxes, torch.tensor([each]), torch.zeros(0, 4))], DetectorLossWeights()
        )
        for each in (7, NO_CLASS)
    )
    assert float(labelled["classes"]) > 1.0
    assert float(unlabelled["classes"]) == 0.0
    assert float(unlabelled["overlap"]) == float(labelled["overlap"])


def test_typical_shift_is_measured() -> None:
    cell = cell_of([(100, 80, 140, 180), (220, 200, 330, 240)])
    boxes = cell.truth_px + np.asarray([1, 2, 1, 2], np.float32)
    found = BoxProposals(boxes, np.ones(2, np.float32), np.full((2, 24), 1 / 24, np.float32))
    assert typical_shift([found], [cell]).tolist() == [-1.0, -2.0]


def test_stints_decay_and_resumption(drawn_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="no checkpoint"):
        train_detector(drawn_set, out, minutes=1.0, decay_steps=2, settings=TINY)
    first = train_detector(drawn_set, out, minutes=0.005, settings=TINY)
    assert first.steps > 0
    assert first.weights_path is None
    spent = train_detector(drawn_set, out, minutes=0.005, settings=TINY)
    assert spent.steps == first.steps
    cut_short = train_detector(drawn_set, out, minutes=0.0001, decay_steps=5, settings=TINY)
    assert (cut_short.weights_path, cut_short.steps) == (None, first.steps + 1)
    decayed = train_detector(drawn_set, out, minutes=5.0, decay_steps=5, settings=TINY)
    assert decayed.steps == first.steps + 5
    assert set(decayed.metrics) >= {"ap50", "map", "mar", "aer", "acc", "wcr", "class_top1"}
    manifest = read_manifest("detector", out)
    assert (manifest.data, manifest.steps) == ({"tseng": 2}, decayed.steps)
    Detector.load(out).candidates(np.zeros((100, 120), np.float32))
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    # What comes next goes on from the decay's end.
    longer = train_detector(drawn_set, out, minutes=5.0, decay_steps=3, decay_from=0.5, settings=TINY)
    assert longer.steps == decayed.steps + 3
    assert read_manifest("detector", out).settings["decay_from"] == 0.5


def test_a_step_goes_down_the_gradient(drawn_set: Path, tmp_path: Path) -> None:
    cells = prepare_cells(drawn_set / "tseng", tmp_path / "cache", "train")
    settings = replace(TINY, warm_up_steps=1, weight_decay=0.0)
    task = DetectorTask(settings, DetectorCells(cells))
    before = [value.detach().clone() for value in task.net.parameters()]
    detector_trainer(task, settings, tmp_path, silent).run(Budget(steps=1))
    task.close()
    for value, was in zip(task.net.parameters(), before, strict=True):
        assert value.grad is not None
        # The first step of Adam is the sign of the gradient.
        clear = value.grad.abs() > 1e-4 * value.grad.abs().max()
        assert torch.equal(torch.sign(was - value.detach())[clear], torch.sign(value.grad)[clear])


def test_a_resumed_run_is_the_same_run(drawn_set: Path, tmp_path: Path) -> None:
    results = []
    for name, lengths in (("whole", (6,)), ("parts", (6, 6))):
        out = tmp_path / name
        train_detector(drawn_set, out, minutes=1e-9, settings=TINY)
        for part, steps in enumerate(lengths):
            stop = 1e-9 if part == 0 and len(lengths) > 1 else 5.0
            train_detector(drawn_set, out, minutes=stop, decay_steps=steps, settings=TINY)
        state = torch.load(out / "decay.ckpt", weights_only=True)
        results.append(state["net"])
    assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())


@pytest.fixture
def single_crops(tmp_path: Path) -> Path:
    """Crops of single chromosomes as gband612 has them, and nothing of the Tseng set."""
    folder = tmp_path / "crops" / "gband612"
    folder.mkdir(parents=True)
    rows = ["file,case,cell,class,split"]
    names = [*(str(1 + number // 2) for number in range(44)), "X", "mar"]
    with zipfile.ZipFile(folder / "crops.zip", "w") as archive:
        for cell, split in enumerate(("train", "train", "val")):
            for number in range(46):
                rod = np.zeros((70 - number, 30), np.float32)
                rod[6:-6, 8:-8] = 0.4
                rod[12:16, 8:-8] = 0.7
                grey = (255.0 * 10.0**-rod).astype(np.uint8)
                name = f"{cell}-{number}.png"
                archive.writestr(name, cv2.imencode(".png", grey)[1].tobytes())
                rows.append(f"{name},{cell},{cell},{names[number]},{split}")
    (folder / "crops.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "crops"


COMPOSED = replace(TINY, composed_fraction=1.0, composed_check_cells=2)


@pytest.mark.parametrize("drawers", [0, 2])
def test_composed_cells_alone_need_no_real_ones(single_crops: Path, tmp_path: Path, drawers: int) -> None:
    out = tmp_path / "out"
    settings = replace(COMPOSED, drawers=drawers)
    first = train_detector(single_crops, out, minutes=0.005, settings=settings)
    decayed = train_detector(single_crops, out, minutes=5.0, decay_steps=3, settings=settings)
    assert decayed.steps == first.steps + 3
    assert set(decayed.metrics) >= {"ap50", "map", "mar", "aer", "acc", "wcr", "class_top1"}
    manifest = read_manifest("detector", out)
    assert manifest.data == {"gband612": 2}
    assert "--composed-fraction 1" in manifest.command
    Detector.load(out).candidates(np.zeros((100, 120), np.float32))


def test_drawing_ahead_changes_nothing(single_crops: Path, tmp_path: Path) -> None:
    results = []
    for drawers in (0, 2):
        out = tmp_path / str(drawers)
        settings = replace(COMPOSED, drawers=drawers)
        train_detector(single_crops, out, minutes=1e-9, settings=settings)
        train_detector(single_crops, out, minutes=1e-9, decay_steps=4, settings=settings)
        train_detector(single_crops, out, minutes=5.0, decay_steps=4, settings=settings)
        results.append(torch.load(out / "decay.ckpt", weights_only=True)["net"])
    assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())


def test_real_and_composed_cells_are_mixed(drawn_set: Path, single_crops: Path, tmp_path: Path) -> None:
    (single_crops / "gband612").rename(drawn_set / "gband612")
    settings = replace(TINY, composed_fraction=0.5)
    train_detector(drawn_set, tmp_path / "out", minutes=1e-9, settings=settings)
    train_detector(drawn_set, tmp_path / "out", minutes=5.0, decay_steps=4, settings=settings)
    assert read_manifest("detector", tmp_path / "out").data == {"tseng": 2, "gband612": 2}


def test_training_leaves_the_arithmetic_of_the_process_as_it_was(tmp_path):
    before = torch.get_num_threads()
    with pytest.raises(DatasetError):
        train_detector(tmp_path / "nothing", tmp_path / "out", minutes=0.1)
    assert torch.get_num_threads() == before
    assert float(np.float64(5e-324)) * 1.0 != 0.0
