from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from simulators.specimen.cell import Spread, render_cell
from simulators.specimen.karyotype import ABNORMAL, chromosomes_of, draw_chromosomes, iscn_of


@pytest.mark.parametrize(
    ("sex", "extra", "missing", "iscn"),
    [
        ("XX", (), (), "46,XX"),
        ("XY", (), (), "46,XY"),
        ("XX", ("21",), (), "47,XX,+21"),
        ("XY", ("18",), (), "47,XY,+18"),
        ("X", (), (), "45,X"),
        ("XXY", (), (), "47,XXY"),
        ("XY", ("8",), ("7",), "46,XY,-7,+8"),
    ],
)
def test_iscn_of_whole_chromosome_changes(
    sex: str, extra: tuple[str, ...], missing: tuple[str, ...], iscn: str
) -> None:
    assert iscn_of(chromosomes_of(sex=sex, extra=extra, missing=missing)) == iscn


def test_impossible_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="'X' is not an autosome"):
        chromosomes_of(extra=("X",))
    with pytest.raises(ValueError, match="more is missing"):
        chromosomes_of(missing=("1", "1", "1"))


def test_abnormal_cells_come_at_their_share() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(iscn_of(draw_chromosomes(rng, 0.5)) for _ in range(400))
    normal = drawn["46,XX"] + drawn["46,XY"]
    assert 150 < normal < 250
    assert len(drawn) > len(ABNORMAL)


def test_truth_and_picture_agree() -> None:
    rng = np.random.default_rng(1)
    cell = render_cell(chromosomes_of(sex="XY", extra=("21",)), rng, spread=Spread(contacts=0.0))
    assert cell.iscn == "47,XY,+21"
    assert len(cell.chromosomes) == 47
    covered = np.zeros(cell.od.shape, int)
    for body in cell.chromosomes:
        xmin, ymin, xmax, ymax = body.box_px
        assert body.mask.shape == (ymax - ymin, xmax - xmin)
        covered[ymin:ymax, xmin:xmax] += body.mask
    # No contacts were asked for.
    assert covered.max() == 1
    dark = cell.od > 0.12
    assert dark[covered > 0].mean() > 0.95
    assert not dark[covered == 0].sum() > 0.1 * dark.sum()


def test_overlaps_add_optical_density() -> None:
    rng = np.random.default_rng(2)
    crowded = Spread(contacts=12.0, overlap_fraction=1.0)
    cell = render_cell(chromosomes_of(), rng, spread=crowded)
    layers = np.zeros(cell.od.shape, int)
    for body in cell.chromosomes:
        xmin, ymin, xmax, ymax = body.box_px
        layers[ymin:ymax, xmin:xmax] += body.mask
    assert (layers == 2).sum() > 200
    assert cell.od[layers == 2].mean() == pytest.approx(2.0 * cell.od[layers == 1].mean(), rel=0.25)


def test_same_seed_same_cell() -> None:
    one = render_cell(chromosomes_of(), np.random.default_rng(3))
    other = render_cell(chromosomes_of(), np.random.default_rng(3))
    np.testing.assert_array_equal(one.od, other.od)
    assert [body.box_px for body in one.chromosomes] == [body.box_px for body in other.chromosomes]


def test_a_good_spread_fits_a_field_of_the_oil_objective() -> None:
    for seed in range(3):
        cell = render_cell(chromosomes_of(), np.random.default_rng([9, seed]))
        assert 24.0 < cell.radius_um < 40.0
