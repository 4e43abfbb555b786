"""The fitted scores of the segmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from analysis.errors import WeightsError
from analysis.parameters.store import load_parameters, write_parameters
from analysis.segmentation.contours.features import SINGLE_FEATURES, SPLIT_FEATURES
from analysis.segmentation.contours.plausibility import load_plausibility


def test_the_shipped_scores_say_where_they_come_from() -> None:
    manifest = load_parameters("plausibility").manifest
    assert "train" in manifest.split
    assert manifest.data["tseng pictures"] > 0
    assert set(manifest.metrics) == {"single_cross_entropy", "split_cross_entropy"}


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float64, (3, len(SPLIT_FEATURES)), elements={"min_value": -1e6, "max_value": 1e6}))
def test_scores_are_chances(rows: np.ndarray) -> None:
    scores = load_plausibility()
    for value in (*scores.split(rows), *scores.single(rows[:, : len(SINGLE_FEATURES)])):
        assert 0.0 <= value <= 1.0


def test_a_rod_is_more_of_a_chromosome_than_a_star() -> None:
    # In the order of SINGLE_FEATURES.
    rod = np.array([4.5, 0.85, 1.0, 5.3, 2, 0.97, 1.05, 0.0, 0, 0.25, 0.65, 1.0])
    star = np.array([14.0, 0.95, 1.7, 14.7, 6, 0.5, 1.3, 4.0, 1, 0.3, 0.6, 3.1])
    scores = load_plausibility().single(np.stack([rod, star]))
    assert scores[0] > 0.8
    assert scores[1] < 0.5


@pytest.mark.parametrize("damage", ["missing", "cut", "other features", "other shape"])
def test_damaged_scores_are_one_clear_line(tmp_path: Path, damage: str) -> None:
    shipped = load_parameters("plausibility")
    arrays, manifest = dict(shipped.arrays), shipped.manifest
    if damage == "other features":
        columns = {**manifest.columns, "single.hidden": ["colour", *manifest.columns["single.hidden"][1:]]}
        manifest = replace(manifest, columns=columns)
    elif damage == "other shape":
        arrays["split.output"] = np.append(arrays["split.output"], 0.0)
    if damage != "missing":
        path = write_parameters(tmp_path, arrays, manifest)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(WeightsError) as caught:
        load_plausibility(tmp_path)
    assert "\n" not in str(caught.value)
