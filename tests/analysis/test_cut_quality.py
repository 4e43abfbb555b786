"""Which chromosomes are cut well enough to be compared, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.banding.technique import banding_templates
from analysis.homologues.band_reading import read_bands
from analysis.homologues.comparison import compare_homologues
from analysis.homologues.cut_quality import CutQuality, cut_defects, measure_cut_quality
from analysis.homologues.rearrangements import BINS
from analysis.homologues.reference_statistics import CUT_COVARIATES, load_homologue_statistics
from analysis.homologues.traces import Traces
from analysis.karyotyping.proposal_bands import bands_to_models
from analysis.structures.band_reading import CutDefect, NotCompared
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS, ChromosomeCrop
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.training.fits.reference_statistics import NormalCell, statistics_by_cuts

NAMES = tuple(name for name in CLASS_NAMES[:22] for _ in range(2))
KINDS = np.repeat(np.arange(22), 2)
G_BANDS = BandingEstimate(BandingKind.G, 0.99, "", {})


def crops(seed: int = 0) -> list[ChromosomeCrop]:
    """The mean of each class as a picture, twice, with a little noise."""
    rng = np.random.default_rng(seed)
    at = (np.arange(CROP_ROWS) + 0.5) / CROP_ROWS * BINS - 0.5
    made = []
    for kind in KINDS:
        band = (
            load_homologue_statistics().mean[kind]
            + np.convolve(rng.normal(0.0, 0.1, BINS + 4), np.ones(5), "valid") / 2
        )
        image = np.zeros((CROP_ROWS, CROP_COLUMNS), np.float32)
        image[:, 6:18] = (1.2 + 0.25 * np.interp(at, np.arange(BINS), band))[:, None]
        length = float(np.exp(banding_templates().log_length[kind]))
        made.append(ChromosomeCrop(image, length, length, 1.0))
    return made


def instances() -> list[Instance]:
    box = (10, 10, 20, 60)
    extent = (9.0, 9.0, 21.0, 61.0)
    one = Instance(box, np.ones((50, 10), np.bool_), 0.93, SegmentationRoute.DETECTOR_CONTOUR, extent_px=extent)
    return [one] * len(NAMES)


def scores(turned: float = 6.0) -> ClassScores:
    count = len(NAMES)
    odds = np.full((count, len(CLASS_NAMES)), turned, np.float32)
    flipped, none = np.ones(count, np.bool_), np.full(count, -9.0, np.float32)
    return ClassScores(np.zeros_like(odds), none, flipped, np.ones(count, np.float32), odds)


def with_image(crop: ChromosomeCrop, image: NDArray[np.float32], area: float = 1.0) -> ChromosomeCrop:
    return replace(crop, image=image, relative_area=area * crop.relative_area)


def doubt_of_first(
    crop: ChromosomeCrop | None = None, instance: Instance | None = None, said: ClassScores | None = None
) -> CutDefect | None:
    cell, cut = crops(), instances()
    cell[0], cut[0] = crop or cell[0], instance or cut[0]
    found = cut_defects(measure_cut_quality(cell, NAMES, cut, said or scores()))
    assert set(found[1:]) == {None}
    return found[0]


def test_well_cut_chromosomes_are_all_fit() -> None:
    assert doubt_of_first() is None


@pytest.mark.parametrize("route", [SegmentationRoute.DETECTOR_BOX, SegmentationRoute.DETECTOR_PALE])
def test_a_guessed_outline_is_not_compared(route: str) -> None:
    assert doubt_of_first(instance=replace(instances()[0], route=route)) is CutDefect.GUESSED


def test_a_hidden_end_is_not_compared_and_a_beside_lying_one_is() -> None:
    hidden = replace(instances()[0], extent_px=(9.0, 9.0, 21.0, 75.0))
    assert doubt_of_first(instance=hidden) is CutDefect.HIDDEN
    assert doubt_of_first(instance=replace(instances()[0], extent_px=None)) is None
    assert (
        doubt_of_first(
            instance=replace(instances()[0], route=SegmentationRoute.DETECTOR_MASK_NET, overlaps=(1, 2))
        )
        is None
    )


def test_a_folded_chromosome_is_not_compared() -> None:
    assert doubt_of_first(replace(crops()[0], relative_area=1.4 * crops()[0].relative_area)) is CutDefect.THICK


def test_a_whisker_in_the_outline_is_not_compared() -> None:
    image = crops()[0].image.copy()
    image[70:, :11] = image[70:, 13:] = 0.0
    assert doubt_of_first(with_image(crops()[0], image)) is CutDefect.UNEVEN


def test_dirt_on_a_chromosome_is_not_compared() -> None:
    image = crops()[0].image.copy()
    image[40:52] *= 4.0
    assert doubt_of_first(with_image(crops()[0], image)) is CutDefect.STREAKED


def test_a_chromosome_that_may_stand_upside_down_is_not_compared() -> None:
    said = scores()
    said.turned_log_odds[0] = -0.4
    assert doubt_of_first(said=said) is CutDefect.TURNED


def test_objects_without_a_class_and_empty_cells_are_nothing_to_measure() -> None:
    assert cut_defects(measure_cut_quality([], [], [])) == ()
    figures = measure_cut_quality(crops(), ["?"] * len(NAMES), instances(), scores(turned=0.1))
    assert set(cut_defects(figures)) == {None}
    assert figures.covariates.shape == (len(NAMES), CUT_COVARIATES)


def test_pairs_in_doubt_are_told_apart_from_those_compared() -> None:
    cell, cut = crops(), instances()
    cut[2] = replace(cut[2], route=SegmentationRoute.DETECTOR_BOX)
    cell[5] = replace(cell[5], relative_area=1.4 * cell[5].relative_area)
    reading = read_bands(
        cell, [False] * len(cell), NAMES, G_BANDS, None, measure_cut_quality(cell, NAMES, cut, scores())
    )
    assert [each.class_name for each in reading.homologues] == [n for n in CLASS_NAMES[:22] if n not in ("2", "3")]
    assert reading.not_compared == (
        NotCompared("2", (2, 3), ((2, CutDefect.GUESSED),)),
        NotCompared("3", (4, 5), ((5, CutDefect.THICK),)),
    )
    _, models = bands_to_models(reading)
    entries = [model.model_dump(by_alias=True) for model in models]
    assert [entry["class"] for entry in entries] == list(CLASS_NAMES[:22])
    assert entries[1]["compared"] is False
    assert entries[1]["flagged"] is False
    assert entries[1]["text"] == "not compared: outline is a guess"
    assert entries[0]["compared"] is True
    assert reading.comparison_summary.startswith("20 of 22 pairs compared (")
    assert "outline is a guess 1" in reading.comparison_summary


def test_of_three_chromosomes_two_fit_ones_are_compared() -> None:
    cell, cut = (
        [*crops(), crops(1)[14]],
        [*instances(), replace(instances()[0], route=SegmentationRoute.DETECTOR_BOX)],
    )
    names = (*NAMES, "8")
    reading = read_bands(cell, [False] * len(cell), names, G_BANDS, None, measure_cut_quality(cell, names, cut))
    assert reading.not_compared == ()
    assert next(each for each in reading.homologues if each.class_name == "8").rows == (14, 15)


def test_a_gross_change_on_a_doubtful_cut_is_no_flag() -> None:
    cell, cut = crops(), instances()
    cell[8] = replace(cell[8], image=np.roll(cell[8].image, 48, axis=0), relative_length=0.6)
    flags = {each.class_name for each in compare_homologues(cell, [False] * len(cell), NAMES) if each.flagged}
    assert "5" in flags
    cut[8] = replace(cut[8], extent_px=(9.0, 9.0, 21.0, 80.0))
    reading = read_bands(cell, [False] * len(cell), NAMES, G_BANDS, None, measure_cut_quality(cell, NAMES, cut))
    assert "5" not in {each.class_name for each in reading.flagged}
    assert [each.class_name for each in reading.not_compared] == ["5"]


def test_without_g_bands_nothing_is_compared_nor_said() -> None:
    cell = crops()
    cuts = measure_cut_quality(cell, NAMES, instances(), scores())
    reading = read_bands(cell, [False] * len(cell), NAMES, G_BANDS, "R", cuts)
    assert (reading.homologues, reading.not_compared, reading.comparison_summary) == ((), (), "")


def test_the_worse_the_cut_the_more_a_difference_must_say() -> None:
    cell = crops()
    cell[8] = replace(cell[8], image=np.roll(cell[8].image, 40, axis=0))
    upright = [False] * len(cell)

    def of_five(*covariates: float) -> tuple[float, float]:
        found = compare_homologues(cell, upright, NAMES, covariates=np.tile(covariates, (len(NAMES), 1)))
        each = next(each for each in found if each.class_name == "5")
        return each.score, each.p_value

    well, badly = of_five(0.0, 0.1, 1.0, 0.05), of_five(0.2, 0.24, 1.14, 0.4)
    assert badly[0] < well[0]
    assert badly[1] > well[1]


def test_what_the_cut_does_is_learnt_from_the_cells() -> None:
    """Noise grows with unevenness alone: its coefficient is found, and a fixed share of pairs is flagged."""
    rng = np.random.default_rng(3)
    norms = load_homologue_statistics()
    cells = []
    for _ in range(12):
        uneven = rng.uniform(0.05, 0.25, len(NAMES))
        rough = rng.normal(0.0, 1.0, (len(NAMES), BINS + 4)) * (3.0 * uneven)[:, None]
        smooth = np.stack([np.convolve(row, np.ones(5) / 5**0.5, "valid") for row in rough])
        lengths = banding_templates().log_length[KINDS].astype(np.float64)
        covariates = np.column_stack(
            [rng.uniform(0, 0.2, len(NAMES)), uneven, np.ones((len(NAMES), 2)) * [1.0, 0.1]]
        )
        cells.append(
            NormalCell(Traces((norms.mean[KINDS] + smooth).astype(np.float32), lengths), NAMES, covariates)
        )
    learnt = statistics_by_cuts(norms, cells, false_flags=0.05)
    assert learnt.cut_level[1] > 5.0
    assert abs(learnt.cut_level[0]) < 0.3 * learnt.cut_level[1]
    scored = learnt.standardised_scores(
        np.array([2.0, 2.0]), np.array([[0.0, 0.1, 1.0, 0.1], [0.0, 0.2, 1.0, 0.1]])
    )
    assert scored[0] > scored[1]


def test_figures_keep_their_order() -> None:
    figures = measure_cut_quality(crops(), NAMES, instances(), scores())
    assert isinstance(figures, CutQuality)
    np.testing.assert_allclose(figures.covariates[:, 0], figures.hidden)
    np.testing.assert_allclose(figures.covariates[:, 3], 0.07, atol=1e-6)


def test_where_the_cell_does_not_tell_its_banding_the_protocol_does() -> None:
    cell, unclear = crops(), BandingEstimate(None, 0.0, "", {})
    cuts = measure_cut_quality(cell, NAMES, instances(), scores())
    upright = [False] * len(cell)
    assert read_bands(cell, upright, NAMES, unclear, None, cuts).homologues == ()
    told, seen = (read_bands(cell, upright, NAMES, *how, cuts) for how in ((unclear, "G"), (G_BANDS, None)))
    assert told == seen
    assert told.homologues
