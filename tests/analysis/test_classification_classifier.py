from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.classification.classifier import Classifier
from analysis.nets.embedding import EmbeddingNet
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS, ChromosomeCrop


@pytest.fixture
def classifier() -> Classifier:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    return Classifier(EmbeddingNet(4))


def crops(count: int) -> list[ChromosomeCrop]:
    rng = np.random.default_rng(11)
    images = rng.random((count, CROP_ROWS, CROP_COLUMNS), dtype=np.float32)
    images[:, : CROP_ROWS // 2] *= 0.4
    return [ChromosomeCrop(image, 1.0, 0.9, 1.1) for image in images]


def test_scores_are_probabilities(classifier: Classifier) -> None:
    scores = classifier.score(crops(70))
    assert scores.log_prob.shape == (70, 24)
    assert np.exp(scores.log_prob).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    assert scores.flipped.dtype == np.bool_
    assert (scores.polarity_margin >= 0).all()
    assert (scores.polarity_margin <= 1).all()
    assert (scores.log_none < 0).all()


def test_a_turned_crop_has_the_same_classes_and_the_other_polarity(classifier: Classifier) -> None:
    upright = crops(9)
    turned = [ChromosomeCrop(np.ascontiguousarray(crop.image[::-1, ::-1]), 1.0, 0.9, 1.1) for crop in upright]
    one, other = classifier.score(upright), classifier.score(turned)
    assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    assert one.log_none == pytest.approx(other.log_none, abs=1e-4)
    clear = one.polarity_margin > 1e-3
    assert clear.any()
    assert (one.flipped != other.flipped)[clear].all()


def test_polarity_follows_the_class_that_was_decided_on(classifier: Classifier) -> None:
    scores = classifier.score(crops(3))
    assert (scores.flipped_as(["?"] * 3) == scores.flipped).all()
    for name in ("1", "Y"):
        expected = scores.turned_log_odds[:, CLASS_NAMES.index(name)] > 0
        assert (scores.flipped_as([name] * 3) == expected).all()


def test_nothing_to_score(classifier: Classifier) -> None:
    scores = classifier.score([])
    assert len(scores) == 0
    assert scores.log_prob.shape == (0, 24)


def test_the_shipped_classifier_loads() -> None:
    torch.set_num_threads(1)
    assert len(Classifier.load().score(crops(2))) == 2
