from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.classification.fusion import detector_log_prob, fuse_class_evidence, load_fusion_weights
from analysis.structures.class_evidence import ClassScores
from analysis.structures.instance import Instance, SegmentationRoute


def scores_of(prob: np.ndarray, none: np.ndarray | None = None) -> ClassScores:
    count = len(prob)
    nothing = np.full(count, 0.01) if none is None else none
    return ClassScores(
        np.log(prob).astype(np.float32),
        np.log(nothing).astype(np.float32),
        np.zeros(count, np.bool_),
        np.ones(count, np.float32),
        np.zeros((count, 24), np.float32),
    )


def sure_of(*classes: int, sure: float = 0.6) -> np.ndarray:
    table = np.full((len(classes), 24), (1.0 - sure) / 23)
    table[np.arange(len(classes)), classes] = sure
    return table


def test_the_surer_net_decides_and_agreement_makes_sure() -> None:
    scores = scores_of(sure_of(3, 3, 7))
    detected = np.log(np.concatenate([sure_of(5, sure=0.9), sure_of(3), sure_of(7)]))
    told = np.exp(fuse_class_evidence(scores, detected, np.full(3, 0.9)).log_prob)
    assert told.argmax(axis=1).tolist() == [5, 3, 7]
    assert told.sum(axis=1) == pytest.approx(1.0)
    assert told[1, 3] > 0.9


def test_what_the_detector_did_not_see_keeps_the_classifiers_word() -> None:
    scores = scores_of(sure_of(3, 4))
    mask = np.ones((4, 4), np.bool_)
    instances = [
        Instance(
            (0, 0, 4, 4),
            mask,
            0.9,
            SegmentationRoute.DETECTOR_CONTOUR,
            (),
            np.log(sure_of(8, sure=0.99))[0].astype(np.float32),
        ),
        Instance((4, 0, 8, 4), mask, 0.9, SegmentationRoute.CUT),
    ]
    detected = detector_log_prob(instances)
    assert np.isnan(detected[1]).all()
    evidence = fuse_class_evidence(scores, detected, np.full(2, 0.9))
    assert evidence.fused
    assert evidence.log_prob.argmax(axis=1).tolist() == [8, 4]
    np.testing.assert_allclose(evidence.log_prob[1], scores.log_prob[1], atol=1e-6)
    alone = fuse_class_evidence(scores, detector_log_prob(instances[1:] * 2), np.full(2, 0.9))
    assert not alone.fused
    np.testing.assert_array_equal(alone.log_prob, scores.log_prob)
    np.testing.assert_array_equal(alone.log_none, scores.log_none)


def test_a_poor_box_and_a_poor_look_make_no_chromosome() -> None:
    scores = scores_of(sure_of(3, 3, 3, 3), np.array([0.01, 0.01, 0.9, 0.9]))
    detected = np.log(sure_of(3, 3, 3, 3))
    none = np.exp(fuse_class_evidence(scores, detected, np.array([0.95, 0.3, 0.95, 0.3])).log_none)
    assert none[0] == none.min()
    assert none[3] == none.max()
    assert none[3] > 0.5 > none[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000))
def test_evidence_stays_a_probability_whatever_it_is_given(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = scores_of(rng.dirichlet(np.full(24, 0.05), count) + 1e-12, rng.uniform(1e-9, 1.0, count))
    detected = np.log(rng.dirichlet(np.full(24, 0.05), count) + 1e-6)
    detected[rng.random(count) < 0.3] = np.nan
    evidence = fuse_class_evidence(scores, detected, rng.uniform(0, 1, count), load_fusion_weights())
    assert np.isfinite(evidence.log_prob).all()
    assert evidence.log_none is not None
    assert ((evidence.log_none <= 0) & np.isfinite(evidence.log_none)).all()
    assert np.exp(evidence.log_prob).sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_no_objects() -> None:
    evidence = fuse_class_evidence(scores_of(np.zeros((0, 24)) + 1e-9), np.zeros((0, 24)), np.zeros(0))
    assert evidence.log_prob.shape == (0, 24)
