from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from simulators.specimen.bands import CHROMOSOME_NAMES, RESOLUTIONS, Stain, bands_of
from simulators.specimen.chromosome import ChromosomeAppearance, draw_appearance, render_chromosome, upright_crop

PX = 0.1024


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("name", CHROMOSOME_NAMES)
def test_bands_cover_the_chromosome(name: str, resolution: int) -> None:
    bands = bands_of(name, resolution)
    assert bands[0].start == 0
    assert all(band.start < band.stop for band in bands)
    if resolution == 850:  # the one that is drawn from; the others have a gap here and there
        assert all(one.stop == other.start for one, other in itertools.pairwise(bands))
    assert [band.arm for band in bands] == sorted(band.arm for band in bands)
    assert {band.arm for band in bands if band.stain is Stain.CENTROMERE} == {"p", "q"}


def test_unknown_chromosome_or_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no chromosome '23'"):
        bands_of("23")
    with pytest.raises(ValueError, match="no band table of 300"):
        bands_of("1", 300)
    with pytest.raises(ValueError, match="finer"):
        render_chromosome("1", np.random.default_rng(0), um_per_px=0.645)


def test_same_seed_same_chromosome() -> None:
    one = render_chromosome("7", np.random.default_rng(4), um_per_px=PX, bend_deg=30.0)
    other = render_chromosome("7", np.random.default_rng(4), um_per_px=PX, bend_deg=30.0)
    np.testing.assert_array_equal(one.od, other.od)
    assert one.od.dtype == np.float32
    assert one.mask.dtype == np.bool_
    assert one.mask.shape == one.od.shape


# Median length in px of isolated chromosomes of real preparations at 0.1024 um a pixel.
REAL_LENGTH_PX = {"1": 122, "5": 100, "9": 74, "13": 62, "18": 50, "20": 40, "21": 28, "X": 86, "Y": 37}


@pytest.mark.parametrize("name", sorted(REAL_LENGTH_PX))
def test_size_and_density_are_those_of_real_chromosomes(name: str) -> None:
    rng = np.random.default_rng(1)
    lengths, widths, densities = [], [], []
    for _ in range(12):
        od, mask = upright_crop(name, rng, PX, appearance=ChromosomeAppearance())
        lengths.append(np.flatnonzero((od > 0.15).any(axis=1)).size)
        widths.append((od > 0.15).sum() / lengths[-1])
        densities.append(od[od > 0.15].mean())
        assert mask.shape == od.shape
    assert np.median(lengths) == pytest.approx(REAL_LENGTH_PX[name], rel=0.15)
    assert 11.0 < np.median(widths) < 18.0
    assert 0.26 < np.median(densities) < 0.38


def test_short_arm_points_up_and_flipped_says_otherwise() -> None:
    rng = np.random.default_rng(2)
    upright = render_chromosome("4", rng, um_per_px=PX)
    turned = render_chromosome("4", rng, um_per_px=PX, angle_deg=180.0)
    assert not upright.flipped
    assert turned.flipped
    # The short arm of chromosome 4 is about a quarter of it.
    top, bottom = upright.axis_px[0, 1], upright.axis_px[-1, 1]
    assert top < upright.centromere_px[1] < (top + bottom) / 2


def test_bands_follow_the_table() -> None:
    """The profile along the axis correlates with the table's darkness."""
    rng = np.random.default_rng(3)
    chromosome = render_chromosome(
        "5", rng, um_per_px=PX, appearance=ChromosomeAppearance(grain=0.0, band_blur_um=0.1, chromatid_gap=0.0)
    )
    points = np.round(chromosome.axis_px).astype(int)
    seen = gaussian_filter(chromosome.od, 1.0)[points[:, 1], points[:, 0]][5:-5]
    bands = bands_of("5")
    along = np.linspace(0.0, bands[-1].stop, len(points))[5:-5]
    starts = np.array([band.start for band in bands])
    table = np.array([band.density for band in bands])[np.searchsorted(starts, along, side="right") - 1]
    assert np.corrcoef(seen, gaussian_filter(table, 2.0))[0, 1] > 0.7


def test_condensed_chromosomes_are_shorter_and_broader() -> None:
    def size(condensation: float) -> tuple[float, float]:
        body = render_chromosome("2", np.random.default_rng(5), um_per_px=PX, condensation=condensation)
        _xmin, ymin, _xmax, ymax = body.box_px
        return ymax - ymin, body.mask.sum() / (ymax - ymin)

    (long, thin), (short, broad) = size(0.8), size(1.3)
    assert short < 0.75 * long
    assert broad > 1.15 * thin


def test_every_chromosome_can_be_drawn_bent_and_turned() -> None:
    rng = np.random.default_rng(6)
    for name in CHROMOSOME_NAMES:
        body = render_chromosome(
            name,
            rng,
            um_per_px=PX,
            appearance=draw_appearance(rng),
            angle_deg=rng.uniform(0, 360),
            bend_deg=rng.uniform(-120, 120),
        )
        assert np.isfinite(body.od).all()
        assert body.od.min() >= 0.0
        # The body ends inside its patch.
        border = np.concatenate((body.od[0], body.od[-1], body.od[:, 0], body.od[:, -1]))
        assert border.max() == 0.0
