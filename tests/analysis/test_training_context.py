from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.classification.classifier import Classifier
from analysis.errors import WeightsError
from analysis.nets.embedding import ContextNet, EmbeddingNet
from analysis.parameters.weights import Manifest, read_manifest, write_weights
from analysis.structures.crop import ChromosomeCrop
from analysis.training.classifier.context import (
    ContextSettings,
    EmbeddedCells,
    context_logits,
    error_rate,
    train_context,
    whole_cells,
)
from analysis.training.classifier.crops import ClassifierCropTable
from analysis.training.classifier.finish import finish

NORMAL = np.array([*np.repeat(np.arange(22), 2), 22, 23])
SETTINGS = ContextSettings(
    steps=40, batch_cells=4, rounds=2, source_fractions={"drawn": 1.0}, learning_rate=3e-3, feature_noise=0.02
)


def table(cells: int, seed: int = 4) -> ClassifierCropTable:
    """Cells whose picture tells two classes that follow one another from the rest, and the size which of them."""
    rng = np.random.default_rng(seed)
    classes = np.tile(NORMAL, cells)
    images = np.zeros((len(classes), 2, 96, 24), np.uint8)
    for row, label in enumerate(classes):
        images[row, :, :, 6:18] = 60
        images[row, :, 6 * (label // 2) : 6 * (label // 2) + 14, 6:18] = 220
    features = rng.normal(0, 0.02, (len(classes), 3)).astype(np.float32)
    features[:, 0] += 0.5 * (classes % 2)
    return ClassifierCropTable(
        images, features, classes, np.zeros(len(classes), np.int64), np.repeat(np.arange(cells), len(NORMAL))
    )


@pytest.fixture
def net() -> EmbeddingNet:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return EmbeddingNet(4).eval()


def example(count: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    presented, turned = (
        torch.nn.functional.normalize(torch.randn((1, count, 128), generator=generator), dim=2) for _ in range(2)
    )
    logits = 3 * torch.randn((1, count, 49), generator=generator)
    return presented, turned, logits, torch.randn((1, count, 3), generator=generator)


def woken(seed: int = 2) -> ContextNet:
    torch.manual_seed(seed)
    context = ContextNet().eval()
    torch.nn.init.normal_(context.leave.weight)
    return context


def test_untrained_it_changes_nothing() -> None:
    presented, turned, logits, features = example()
    assert torch.equal(ContextNet().eval()((presented, turned), logits, features), logits)


def test_the_order_of_the_objects_is_nothing_and_a_turned_crop_turns_its_answer() -> None:
    context, (presented, turned, logits, features) = woken(), example()
    with torch.no_grad():
        plain = context((presented, turned), logits, features)
        back = torch.arange(8, -1, -1)
        shuffled = context((presented[:, back], turned[:, back]), logits[:, back], features[:, back])
        other = torch.cat([logits[..., 24:48], logits[..., :24], logits[..., 48:]], dim=2)
        flipped = context((turned, presented), other, features)
    assert torch.allclose(shuffled[:, back], plain, atol=1e-4)
    assert torch.allclose(flipped[..., :24], plain[..., 24:48], atol=1e-4)
    assert torch.allclose(flipped[..., 48], plain[..., 48], atol=1e-4)


def test_padding_is_not_seen() -> None:
    context, (presented, turned, logits, features) = woken(), example()
    longer = [torch.cat([each, 5 * torch.ones_like(each[:, :4])], dim=1) for each in (presented, turned, features)]
    padding = torch.arange(13)[None] >= 9
    more = torch.cat([logits, torch.zeros((1, 4, 49))], dim=1)
    with torch.no_grad():
        plain = context((presented, turned), logits, features)
        padded = context((longer[0], longer[1]), more, longer[2], padding)
    assert torch.allclose(padded[:, :9], plain, atol=1e-4)


def test_small_cells_are_left_out() -> None:
    two = table(2)
    cut = two.select(np.arange(len(two)) < 60)
    assert len(whole_cells(cut)) == 46


def test_training_uses_what_the_sizes_say(net: EmbeddingNet) -> None:
    made = table(4)
    classes = torch.from_numpy(made.classes)
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(net.class_vectors, dim=1)
        # Halfway between two classes: which of them it is, only the size tells.
        between = torch.nn.functional.normalize(
            vectors[classes - classes % 2] + vectors[classes - classes % 2 + 1], dim=1
        )
        away = torch.nn.functional.normalize(-vectors.mean(0, keepdim=True), dim=1).expand(len(classes), -1)
    rows = tuple(np.flatnonzero(made.cells == number) for number in range(4))
    cells = EmbeddedCells(
        between[None].bfloat16(), away[None].bfloat16(), torch.from_numpy(made.features), classes, rows
    )
    context = train_context(net, {"drawn": cells}, SETTINGS)
    alone, seen = context_logits(net, context, cells)
    assert error_rate(alone, classes) > 0.3
    assert error_rate(seen, classes) < 0.1


def test_finished_weights_load_and_look_at_the_cell(tmp_path: Path, net: EmbeddingNet) -> None:
    written = Manifest(
        name="classifier",
        net="EmbeddingNet",
        arguments={"width": 4},
        data={},
        split="train",
        command="none",
        settings={},
        metrics={},
        seed=1,
        steps=2,
        date="2026-01-01",
    )
    write_weights(tmp_path, net.state_dict(), written)
    tables = {"drawn": table(3)}
    done = finish(tmp_path, "classifier", tables, tables, settings=replace(SETTINGS, steps=12, rounds=1))
    assert 0 <= done.figures["drawn_assigned_seen"] <= 1
    assert done.figures.keys() >= {"drawn_top1_alone", "drawn_normal_cells_right_seen"}
    assert read_manifest("classifier", tmp_path).calibration.keys() == {"temperature", "sharpness"}
    loaded = Classifier.load(folder=tmp_path)
    rng = np.random.default_rng(1)
    crops = [ChromosomeCrop(rng.random((96, 24), dtype=np.float32), 1.0, 1.0, 1.0) for _ in range(9)]
    alone, seen = loaded.score(crops, one_cell=False), loaded.score(crops)
    assert not np.allclose(alone.log_prob, seen.log_prob)
    few = loaded.score(crops[:3])
    assert np.allclose(few.log_prob, alone.log_prob[:3], atol=1e-4)
    assert loaded.embed(crops).shape == (9, 2, 128)
    assert np.allclose(loaded.score(crops, banding="Q").log_prob.sum(), seen.log_prob.sum()) is False


def test_only_an_embedding_is_finished(tmp_path: Path) -> None:
    other = Manifest(
        name="classifier",
        net="AnotherNet",
        arguments={"width": 4},
        data={},
        split="",
        command="",
        settings={},
        metrics={},
        seed=1,
        steps=1,
    )
    write_weights(tmp_path, EmbeddingNet(4).state_dict(), other)
    with pytest.raises(WeightsError, match="another kind"):
        finish(tmp_path, "classifier", {}, {}, settings=SETTINGS)
    with pytest.raises(WeightsError, match="no classifier"):
        Classifier.load(folder=tmp_path)
