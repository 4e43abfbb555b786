from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from analysis.banding.ideogram import RESOLUTIONS, ideogram
from analysis.karyogram.centromere import centromere_fractions, waist
from analysis.karyogram.chromosome_pictures import upright_pictures
from analysis.straightening.crops import crops_of_cell
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels
from simulators.specimen.chromosome import ChromosomeAppearance, RenderedChromosome, render_chromosome

NAMES = ("1", "2", "6", "9", "11", "14", "18", "X")


@pytest.fixture(scope="module")
def bodies() -> list[RenderedChromosome]:
    rng = np.random.default_rng(8)
    return [
        render_chromosome(name, rng, um_per_px=0.1024, appearance=ChromosomeAppearance(), bend_deg=15.0)
        for name in NAMES
    ]


def piece(body: RenderedChromosome) -> ObjectPixels:
    return ObjectPixels(gaussian_filter(body.od, 0.9), body.mask)


def test_centromeres_of_drawn_chromosomes_are_found(bodies: list[RenderedChromosome]) -> None:
    images = np.stack([crop.image for crop in crops_of_cell([piece(body) for body in bodies])])
    found = centromere_fractions(images, NAMES)
    truth = []
    for body in bodies:
        at = int(np.argmin(np.hypot(*(body.axis_px - np.array(body.centromere_px)).T)))
        truth.append(at / (len(body.axis_px) - 1))
    assert np.abs(found - truth).mean() < 0.025
    assert np.abs(found - truth).max() < 0.07


def test_without_a_class_the_waist_decides() -> None:
    width = np.full(96, 0.5)
    width[36:41] = 0.38
    assert abs(int(np.argmax(waist(width))) - 38) <= 1
    assert centromere_fractions(np.zeros((0, 96, 24), np.float32), ()).shape == (0,)


def test_pictures_know_the_row_of_their_centromere(bodies: list[RenderedChromosome]) -> None:
    pictures = upright_pictures([piece(body) for body in bodies], [False] * len(bodies), [0.4] * len(bodies))
    for entry, body in zip(pictures, bodies, strict=True):
        assert entry.centromere_px is not None
        assert entry.centromere_px / entry.picture.shape[0] == pytest.approx(0.4, abs=0.06)
        assert abs(entry.picture.shape[0] - np.ptp(np.nonzero(body.mask)[0])) < 12


def test_ideograms_cover_the_chromosome_and_name_their_bands() -> None:
    for resolution in RESOLUTIONS:
        for name in CLASS_NAMES:
            drawn = ideogram(name, resolution)
            edges = [(band.start, band.stop) for band in drawn.bands]
            assert edges[0][0] == 0.0
            assert edges[-1][1] == pytest.approx(1.0)
            # The source leaves a few bands out.
            assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(edges))
            assert 0.0 < drawn.centromere < 0.5
    assert ideogram("9", 550).band_at(0.999).startswith("q34")
    assert ideogram("1", 550).darkness(50).shape == (50,)
    with pytest.raises(ValueError, match="no ideogram"):
        ideogram("23")
