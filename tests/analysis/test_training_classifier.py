from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.classification.classifier import Classifier
from analysis.datasets.labelled_cells import LabelledCell, match_classes
from analysis.errors import DatasetError
from analysis.parameters.weights import read_manifest
from analysis.training.classifier.augmentation import CropAugmentation, augment
from analysis.training.classifier.crops import AxisCache, ClassifierCropTable, load_tables, table_of_cells
from analysis.training.classifier.losses import ClassCentres, batch_hard_triplet_loss, polarity_loss
from analysis.training.classifier.rendered_cells import rendered_cells
from analysis.training.classifier.trainer import TrainSettings, train_on_crops

TINY = TrainSettings(width=4, batch=24, threads=1, checkpoint_s=0.4, source_fractions={"drawn": 1.0})


def table(count: int, seed: int = 1) -> ClassifierCropTable:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 25, count)
    images = np.zeros((count, 96, 24), np.uint8)
    for row, label in enumerate(classes):
        images[row, :, 6:18] = 60
        images[row, 3 * label : 3 * label + 9, 6:18] = 200
    polarity = rng.integers(-1, 1, count)
    features = rng.normal(0, 0.1, (count, 3)).astype(np.float32)
    return ClassifierCropTable(
        np.stack([images, images], 1), features, classes, polarity, np.zeros(count, np.int64)
    )


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    written = table(7)
    written.save(tmp_path / "sub" / "drawn-train.npz")
    read = ClassifierCropTable.load(tmp_path / "sub" / "drawn-train.npz")
    assert (read.images == written.images).all()
    assert (read.classes == written.classes).all()
    assert read.densities().max() <= 4.1
    assert len(read.select(np.array([1, 2]))) == 2


def test_training_writes_weights_that_load_and_resumes(tmp_path: Path) -> None:
    table(200).save(tmp_path / "drawn-train.npz")
    table(60, seed=2).save(tmp_path / "drawn-val.npz")
    out = tmp_path / "out"
    lines: list[str] = []
    first = train_on_crops(tmp_path, out, minutes=0.02, settings=TINY, progress=lines.append)
    assert first.weights_path.is_file()
    assert first.steps > 0
    assert set(first.metrics) >= {"drawn_top1", "drawn_polarity", "drawn_refused_right"}
    manifest = read_manifest("classifier", out)
    assert manifest.data == {"drawn": 200}
    Classifier.load(folder=out)
    again = train_on_crops(tmp_path, out, minutes=0.03, settings=TINY)
    assert again.steps > first.steps
    spent = train_on_crops(tmp_path, out, minutes=0.03, settings=TINY)
    assert spent.steps == again.steps


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no prepared crops"):
        train_on_crops(tmp_path, tmp_path / "out", minutes=0.01, settings=TINY)


def test_loss_is_marginal_where_the_polarity_is_unknown() -> None:
    logits = torch.full((1, 49), -20.0)
    logits[0, 5], logits[0, 24 + 5] = 3.0, 3.0
    five = torch.tensor([5])
    known = polarity_loss(logits, five, torch.tensor([0]), 0.0)
    unknown = polarity_loss(logits, five, torch.tensor([-1]), 0.0)
    assert float(known) == pytest.approx(np.log(2), abs=1e-4)
    assert float(unknown) == pytest.approx(0.0, abs=1e-4)
    none = polarity_loss(logits, torch.tensor([24]), torch.tensor([-1]), 0.0)
    assert float(none) > 20


def test_augmentation_is_seeded_and_mild() -> None:
    images = torch.from_numpy(table(40).densities())
    features = torch.zeros((40, 3))
    one, other = (
        augment(images, features, torch.Generator().manual_seed(4), CropAugmentation()) for _ in range(2)
    )
    assert torch.equal(one[0], other[0])
    assert one[0].shape == images.shape
    assert float(one[0].min()) >= 0
    assert 0.5 < float(one[0].mean() / images.mean()) < 2.0
    still = replace(
        CropAugmentation(),
        stretch=0.0,
        end_fraction=0.0,
        width=0.0,
        bend=0.0,
        shear=0.0,
        contrast=0.0,
        gamma=0.0,
        noise=0.0,
        feature_noise=0.0,
        blur=0.0,
        neighbour=0.0,
        bite=0.0,
    )
    calm, same = augment(images, features, torch.Generator().manual_seed(4), still)
    symmetric = torch.from_numpy(table(40).densities())
    assert float((calm - symmetric).abs().mean()) < 0.15
    assert torch.equal(same, features)


def test_boxes_take_the_class_of_the_one_they_cover() -> None:
    truth = [(3, (0.0, 0.0, 27.0, 67.0)), (8, (100.0, 0.0, 127.0, 67.0))]
    found = [(4, 4, 24, 64), (100, 4, 124, 30), (0, 200, 20, 240), (4, 4, 124, 64)]
    assert match_classes(found, truth) == (3, -1, 24, 24)
    assert match_classes(found[:1], []) == (24,)
    assert match_classes([], truth) == ()


def test_drawn_cell_becomes_a_table() -> None:
    (cell,) = rendered_cells(1, seed=5)
    few = LabelledCell(cell.objects[::6], cell.classes[::6], cell.polarity[::6])
    made = table_of_cells([few])
    assert len(made) == 8
    assert set(made.polarity.tolist()) <= {0, 1}
    assert made.features[0, 0] > made.features[-2, 0]
    assert made.densities().mean() > 0.1


def test_triplets_pull_a_class_together_and_push_others_away() -> None:
    axes = torch.eye(4)
    classes = torch.tensor([0, 0, 1, 1])
    apart = batch_hard_triplet_loss(axes[[0, 0, 1, 1]], classes)
    mixed = batch_hard_triplet_loss(axes[[0, 1, 0, 1]], classes)
    assert float(apart) == 0.0
    # The farthest of the own class is sqrt(2) away, the nearest other one at the very place.
    assert float(mixed) == pytest.approx(2**0.5 + 0.2, abs=1e-2)
    alone = batch_hard_triplet_loss(axes, torch.tensor([0, 1, 2, 24]))
    assert float(alone) == 0.0


def test_unknown_polarity_follows_the_centre_of_the_class() -> None:
    up, down = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    centres = ClassCentres(2)
    three = torch.tensor([3])
    centres.update(up, three, torch.tensor([0]))
    assert torch.equal(centres.upright((up, down), three, torch.tensor([-1])), up)
    assert torch.equal(centres.upright((down, up), three, torch.tensor([-1])), up)
    assert torch.equal(centres.upright((up, down), three, torch.tensor([1])), down)


@pytest.mark.parametrize("loss", ["triplet", "cross-entropy"])
def test_every_loss_trains(tmp_path: Path, loss: str) -> None:
    table(120).save(tmp_path / "drawn-train.npz")
    table(30, seed=2).save(tmp_path / "drawn-val-000.npz")
    result = train_on_crops(
        tmp_path, tmp_path / "out", minutes=0.01, settings=replace(TINY, loss=loss, use_sizes=False)
    )
    assert 0.0 <= result.metrics["drawn_top1"] <= 1.0
    manifest = read_manifest("classifier", tmp_path / "out")
    assert manifest.settings["loss"] == loss
    assert manifest.arguments["use_sizes"] is False


def test_parts_of_a_source_are_one_table_with_cells_apart(tmp_path: Path) -> None:
    for part in range(2):
        table(9, seed=part).save(tmp_path / f"drawn-train-{part:03d}.npz")
    joined = load_tables(tmp_path, "train")["drawn"]
    assert len(joined) == 18
    assert np.unique(joined.cells).tolist() == [0, 1]


def test_an_axis_is_found_once_for_every_mask() -> None:
    (cell,) = rendered_cells(1, seed=5)
    cache = AxisCache()
    first, again = cache.axes(cell.objects[:2]), cache.axes(cell.objects[:2])
    assert all(a is b for a, b in zip(first, again, strict=True))
