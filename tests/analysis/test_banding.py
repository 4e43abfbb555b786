"""Banding kinds and band levels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from analysis.banding.band_level import count_bands, estimate_level, level_of
from analysis.banding.technique import estimate_banding
from analysis.evaluation.banding import drawn_from_table, evaluate_banding
from analysis.karyotyping.proposal_bands import banding_to_model
from analysis.straightening.crops import crops_of_cell
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.training.fits.banding_templates import drawn_cells, unbanded

SOME = ("1", "2", "3", "4", "6", "8", "9", "11", "12", "16", "17", "X") * 2


@pytest.mark.parametrize("kind", [BandingKind.G, BandingKind.R])
def test_drawn_bands_are_recognised(kind: BandingKind) -> None:
    (cell,) = drawn_cells(kind, 1, seed=11)
    judged = estimate_banding(cell.crops, fluorescent=cell.fluorescent)
    assert judged.kind is kind
    assert judged.mismatch_warning(kind.value) is None
    other = "R" if kind is BandingKind.G else "G"
    warning = judged.mismatch_warning(other)
    assert warning is not None
    assert f"resemble {kind.value} bands" in warning
    solid = unbanded(cell)
    none = estimate_banding(solid.crops, fluorescent=False)
    assert none.kind is BandingKind.NONE
    assert none.mismatch_warning("G") == "the protocol says G bands, but there are no bands"
    figures = evaluate_banding([cell, solid])
    assert figures["right"] == 1.0
    assert figures["confusion"] == {f"drawn {kind.value}": {kind.value: 1}, "drawn none": {"none": 1}}


def test_emitted_light_is_never_told_as_g_or_r() -> None:
    (cell,) = drawn_cells(BandingKind.DAPI, 1, seed=12)
    judged = estimate_banding(cell.crops, fluorescent=True)
    assert judged.kind in (BandingKind.Q, BandingKind.DAPI, BandingKind.NONE)


def test_of_few_chromosomes_nothing_is_told() -> None:
    judged = estimate_banding([], fluorescent=False)
    assert judged.kind is None
    assert judged.mismatch_warning("G") is None
    assert banding_to_model(judged).model_dump()["kind"] is None


def test_of_torn_chromosomes_nothing_is_told() -> None:
    (cell,) = drawn_cells(BandingKind.G, 1, seed=11)
    rng = np.random.default_rng(3)
    torn = []
    for crop in cell.crops:
        first = int(rng.integers(0, 60))
        piece = cv2.resize(crop.image[first : first + 36], crop.image.shape[::-1])
        torn.append(replace(crop, image=piece, relative_length=float(rng.uniform(0.4, 1.6))))
    judged = estimate_banding(torn, fluorescent=False)
    assert judged.kind is None
    assert judged.likeness
    assert judged.mismatch_warning("Q") is None


def test_an_uncertain_judgement_warns_of_nothing() -> None:
    assert BandingEstimate(BandingKind.R, 0.7, "", {}).mismatch_warning("G") is None
    assert BandingEstimate(BandingKind.R, 0.95, "", {}).mismatch_warning("G") is not None


def test_extremes_are_counted_and_noise_is_not() -> None:
    at = np.arange(96)
    waves = np.stack([1.0 + 0.5 * np.cos(2 * np.pi * at * count / 96) for count in (3, 6, 10)])
    counts = count_bands(waves)
    assert counts.tolist() == sorted(counts)
    np.testing.assert_allclose(counts, [2 * count + 1 for count in (3, 6, 10)], atol=1)
    noisy = waves[0] + np.random.default_rng(0).normal(0.0, 0.004, 96)
    assert abs(int(count_bands(noisy[None])[0]) - int(counts[0])) <= 1


def test_finer_tables_show_more_bands_and_blur_fewer() -> None:
    def bands(table: int, blur_px: float) -> int:
        rng = np.random.default_rng(0)
        objects = [drawn_from_table(name, table, 70, blur_px, rng) for name in SOME]
        level = estimate_level(crops_of_cell(objects), SOME)
        assert level is not None
        assert level.low <= level.bands <= level.high
        return level.bands

    assert bands(400, 0.8) < bands(550, 0.8)
    assert bands(550, 2.4) < 0.75 * bands(550, 0.8)


def test_levels_are_named_by_the_table_that_is_reached() -> None:
    assert [level_of(count, 0.0).level for count in (200.0, 340.0, 395.0, 440.0)] == [
        *("below 400", "400", "550", "850")
    ]
    assert estimate_level([], []) is None
