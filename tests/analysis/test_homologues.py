"""Homologues held against each other: what must never be flagged, and what must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.banding.technique import banding_templates
from analysis.homologues.alignment import align
from analysis.homologues.comparison import band_range, compare_homologues, compare_traces
from analysis.homologues.rearrangements import BINS, trials
from analysis.homologues.recurrence import candidate_clones
from analysis.homologues.reference_statistics import (
    load_homologue_statistics,
    polymorphic,
    standardised,
)
from analysis.homologues.traces import Traces
from analysis.structures.band_reading import HomologueDifference, Rearrangement
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS, ChromosomeCrop
from analysis.training.fits.reference_statistics import (
    NormalCell,
    fit_homologue_statistics,
    statistics_by_cuts,
    statistics_manifest,
    write_homologue_statistics,
)

AUTOSOMES = CLASS_NAMES[:22]
NAMES = tuple(name for name in AUTOSOMES for _ in range(2))


def cell(seed: int = 0, *, noise: float = 0.25) -> Traces:
    """The classes' mean profiles with smooth noise, as two homologues of one cell have it."""
    rng = np.random.default_rng(seed)
    norms = load_homologue_statistics()
    kinds = np.repeat(np.arange(22), 2)
    rough = rng.normal(0.0, noise, (len(kinds), BINS + 4))
    smooth = np.stack([np.convolve(row, np.ones(5) / 5**0.5, "valid") for row in rough])
    bands = standardised(norms.mean[kinds] + smooth)
    length = banding_templates().log_length[kinds] + rng.normal(0.0, 0.03, len(kinds))
    return Traces(bands, length.astype(np.float64))


def with_row(traces: Traces, row: int, band: NDArray[np.floating], factor: float = 1.0) -> Traces:
    bands, lengths = traces.bands.copy(), traces.log_length.copy()
    at = (np.arange(BINS) + 0.5) / BINS * len(band) - 0.5
    bands[row] = standardised(np.interp(at, np.arange(len(band)), band))
    lengths[row] += np.log(factor)
    return Traces(bands, lengths)


def of(found: tuple[HomologueDifference, ...], name: str) -> HomologueDifference:
    return next(each for each in found if each.class_name == name)


def compared(traces: Traces) -> tuple[HomologueDifference, ...]:
    return compare_traces(traces, NAMES, load_homologue_statistics())


def test_a_chromosome_against_itself_is_never_flagged() -> None:
    for seed in range(3):
        traces = cell(seed)
        bands, lengths = traces.bands.copy(), traces.log_length.copy()
        bands[1::2], lengths[1::2] = bands[::2], lengths[::2]
        assert not any(each.flagged for each in compared(Traces(bands, lengths)))


def test_a_chromosome_against_its_shuffled_self_is_always_flagged() -> None:
    traces = cell(1)
    norms = load_homologue_statistics()
    for kind, name in enumerate(AUTOSOMES):
        blocks = np.split(norms.mean[kind], 8)
        shuffled = np.concatenate([blocks[k] for k in (4, 1, 6, 3, 0, 7, 2, 5)])
        found = of(compared(with_row(traces, 2 * kind + 1, shuffled)), name)
        assert found.flagged, name


def test_normal_pairs_of_a_cell_are_hardly_ever_flagged() -> None:
    flagged = [each.flagged for seed in range(4) for each in compared(cell(seed))]
    assert np.mean(flagged) <= 0.05


def test_it_makes_no_difference_which_homologue_comes_first() -> None:
    traces = cell(2)
    order = np.arange(len(NAMES)).reshape(-1, 2)[:, ::-1].ravel()
    swapped = Traces(traces.bands[order], traces.log_length[order])
    for one, other in zip(compared(traces), compared(swapped), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.changed_row == order[other.changed_row]


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_stretch_of_one_homologue_alone_is_no_change(factor: float) -> None:
    traces = cell(3)
    row = 2 * AUTOSOMES.index("7")
    lengths = traces.log_length.copy()
    lengths[row] += np.log(factor)
    assert not of(compared(Traces(traces.bands, lengths)), "7").flagged


def test_stretch_of_the_whole_cell_makes_no_difference() -> None:
    traces = cell(3)
    stretched = Traces(traces.bands, traces.log_length + 0.18)
    for one, other in zip(compared(traces), compared(stretched), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize(("start", "stop"), [(40, 58), (44, 64)])
def test_a_large_deletion_is_flagged_where_it_is(start: int, stop: int) -> None:
    traces = cell(4)
    row = 2 * AUTOSOMES.index("5")
    band = traces.bands[row]
    left = np.concatenate([band[:start], band[stop:]])
    found = of(compared(with_row(traces, row, left, len(left) / BINS)), "5")
    assert found.structural
    assert found.kind in (Rearrangement.DELETION, Rearrangement.FOREIGN)
    assert min(found.stop, stop / BINS) > max(found.start, start / BINS)
    assert found.where.startswith("5q")
    assert found.text == f"check {found.where}"


def test_a_large_inversion_is_flagged() -> None:
    traces = cell(5, noise=0.15)
    row = 2 * AUTOSOMES.index("1") + 1
    band = traces.bands[row]
    turned = np.concatenate([band[:10], band[10:46][::-1], band[46:]])
    assert of(compared(with_row(traces, row, turned)), "1").structural


def test_a_longer_block_of_heterochromatin_is_no_change() -> None:
    block = polymorphic("9")
    assert block is not None
    traces = cell(6, noise=0.1)
    row = 2 * AUTOSOMES.index("9")
    low, high = round(block[0] * BINS), round(block[1] * BINS)
    band = traces.bands[row]
    longer = np.concatenate([band[:high], band[low:high], band[high:]])
    assert not of(compared(with_row(traces, row, longer, len(longer) / BINS)), "9").flagged


def test_short_arms_of_acrocentrics_do_not_speak() -> None:
    traces = cell(7, noise=0.1)
    row = 2 * AUTOSOMES.index("15")
    band = traces.bands[row].copy()
    band[2:8] += 2.0
    assert not of(compared(with_row(traces, row, band)), "15").flagged


def crop_of(
    band: NDArray[np.floating], length: float, *, gain: float = 1.0, turned: bool = False
) -> ChromosomeCrop:
    at = (np.arange(CROP_ROWS) + 0.5) / CROP_ROWS * BINS - 0.5
    image = np.zeros((CROP_ROWS, CROP_COLUMNS), np.float32)
    image[:, 6:18] = (gain * (1.2 + 0.3 * np.interp(at, np.arange(BINS), band)))[:, None]
    image = image[::-1, ::-1].copy() if turned else image
    return ChromosomeCrop(image, length, length, 1.0)


def crops_of(traces: Traces) -> list[ChromosomeCrop]:
    lengths = np.exp(traces.log_length)
    return [crop_of(band, float(length)) for band, length in zip(traces.bands, lengths, strict=True)]


def test_gain_and_polarity_make_no_difference() -> None:
    traces = cell(8, noise=0.1)
    crops = crops_of(traces)
    upright = [False] * len(crops)
    plain = compare_homologues(crops, upright, NAMES)
    row = 2 * AUTOSOMES.index("3")
    length = crops[row].relative_length
    brighter = crops.copy()
    brighter[row] = crop_of(traces.bands[row], length, gain=1.4)
    standing = crops.copy()
    standing[row] = crop_of(traces.bands[row], length, turned=True)
    flipped = upright.copy()
    flipped[row] = True
    for other in (compare_homologues(brighter, upright, NAMES), compare_homologues(standing, flipped, NAMES)):
        assert of(other, "3").score == pytest.approx(of(plain, "3").score, abs=0.02)


def test_a_chromosome_upside_down_is_told_as_that() -> None:
    traces = cell(9, noise=0.1)
    row = 2 * AUTOSOMES.index("4")
    found = of(compared(with_row(traces, row, traces.bands[row][::-1])), "4")
    assert not found.structural
    assert found.kind is Rearrangement.TURNED


def test_of_three_the_two_that_differ_most_are_told() -> None:
    traces = cell(10)
    row = 2 * AUTOSOMES.index("8")
    extra = np.concatenate([traces.bands, traces.bands[row : row + 1]])
    lengths = np.append(traces.log_length, traces.log_length[row])
    made = Traces(extra, lengths)
    found = compare_traces(made, (*NAMES, "8"), load_homologue_statistics())
    assert len(found) == 22
    assert row + 1 in of(found, "8").rows


def test_nothing_to_compare() -> None:
    assert compare_homologues([], [], []) == ()
    single = Traces(np.zeros((1, BINS), np.float32), np.zeros(1))
    assert compare_traces(single, ("X",), load_homologue_statistics()) == ()


def test_alignment_is_symmetric_and_follows_a_shift() -> None:
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(BINS + 8) / 3.0)[None]
    first, second = wave[:, 4:-4], wave[:, 2:-6] + rng.normal(0, 1e-3, (1, BINS))
    residual, displacement = align(first, second)
    back, other = align(second, first)
    np.testing.assert_allclose(residual, -back, atol=1e-5)
    np.testing.assert_allclose(displacement, -other, atol=1e-5)
    assert np.abs(residual[:, 8:-8]).mean() < 0.3 * np.abs(first - second)[:, 8:-8].mean()


def test_trials_hold_what_they_say() -> None:
    tried = trials()
    profile = np.arange(BINS, dtype=np.float32)[None]
    made = tried.changed(profile)[0]
    for kind, start, stop, band in zip(tried.kind, tried.start, tried.stop, made, strict=True):
        if kind is Rearrangement.DELETION and start > 0.1 and stop < 0.9:
            assert not ((band > start * BINS + 1) & (band < stop * BINS - 2)).any()
        if kind is Rearrangement.TURNED:
            np.testing.assert_allclose(band, profile[0, ::-1])


@pytest.mark.parametrize(
    ("name", "start", "stop", "where"),
    [("5", 0.0, 1.0, "5pter-qter"), ("13", 0.97, 1.0, "13q34-qter"), ("X", 0.0, 0.02, "Xpter-p22")],
)
def test_places_are_named_by_their_bands(name: str, start: float, stop: float, where: str) -> None:
    assert band_range(name, start, stop) == where


def test_norms_are_learnt_from_normal_cells(tmp_path: Path) -> None:
    norms = load_homologue_statistics()
    classes = (*NAMES, "X", "Y")
    cells = []
    for seed in range(6):
        traces = cell(seed)
        bands = np.concatenate([traces.bands, norms.mean[22:]])
        lengths = np.append(traces.log_length, banding_templates().log_length[22:])
        cells.append(NormalCell(Traces(bands, lengths), classes))
    learnt = statistics_by_cuts(fit_homologue_statistics(cells), cells)
    assert (learnt.feature_weight >= 0.0).all()
    assert learnt.feature_weight.max() > 0.1
    assert learnt.p_value(learnt.threshold - 50.0) == pytest.approx(1.0)
    same = standardised(learnt.mean)[:22] * standardised(norms.mean)[:22]
    assert same.mean() > 0.9
    flagged = [each.flagged for entry in cells for each in compare_traces(entry.traces, classes, learnt)]
    # One pair in forty, of 132: no more than the next whole number.
    assert np.count_nonzero(flagged) <= np.ceil(len(flagged) / 40)
    manifest = statistics_manifest(learnt, cell_count=6, own_cells=6, settings={"step": 2}, command="this")
    write_homologue_statistics(learnt, tmp_path, manifest)
    again = load_homologue_statistics(tmp_path)
    assert again.threshold == pytest.approx(learnt.threshold)
    np.testing.assert_allclose(again.pair_covariance, learnt.pair_covariance, rtol=1e-3, atol=1e-3)


def test_a_flag_that_returns_is_a_candidate_clone() -> None:
    traces = cell(4)
    row = 2 * AUTOSOMES.index("5")
    band = traces.bands[row]
    found = of(compared(with_row(traces, row, band[:44], 44 / BINS)), "5")
    plain = replace(found, flagged=False)
    elsewhere = replace(found, start=0.0, stop=0.1)
    turned = replace(found, kind=Rearrangement.TURNED)
    assert candidate_clones({"a": [found], "b": [plain], "c": [elsewhere], "d": [turned]}) == ()
    (clone,) = candidate_clones({"a": [found], "b": [plain], "c": [found]})
    assert clone.cells == ("a", "c")
    assert clone.expected == pytest.approx(3 * 0.7 * found.p_value**2)
    assert clone.text.startswith("check 5q")
    assert clone.to_json()["cells"] == ["a", "c"]


def test_a_candidate_clone_is_surer_than_chance() -> None:
    traces = cell(4)
    row = 2 * AUTOSOMES.index("5")
    every = compared(with_row(traces, row, traces.bands[row][:44], 44 / BINS))
    flag = replace(of(every, "5"), p_value=0.02)
    others = [each for each in every if each.class_name != "5"]
    plain = replace(flag, flagged=False, p_value=0.5)

    def case(count: int, *flags: HomologueDifference) -> dict[str, list[HomologueDifference]]:
        return {str(k): [*others, flags[k] if k < len(flags) else plain] for k in range(count)}

    # Two of three cells: 22 classes x 3 pairs of cells x 0.02 squared x 0.7 is 0.018; of twenty cells 1.2.
    assert candidate_clones(case(3, flag, flag))[0].expected == pytest.approx(0.018, abs=0.001)
    assert candidate_clones(case(20, flag, flag)) == ()
    assert candidate_clones(case(20, *[flag] * 5))[0].cells == ("0", "1", "2", "3", "4")
    rare = replace(flag, p_value=0.001)
    (clone,) = candidate_clones(case(20, rare, flag, rare))
    assert clone.cells == ("0", "2")


def test_statistics_are_read_as_they_were_written(tmp_path: Path) -> None:
    shipped = load_homologue_statistics()
    manifest = statistics_manifest(shipped, cell_count=1, own_cells=1, settings={}, command="this")
    write_homologue_statistics(shipped, tmp_path, manifest)
    again = load_homologue_statistics(tmp_path)
    np.testing.assert_array_equal(again.feature_median, shipped.feature_median)
    np.testing.assert_array_equal(again.population_covariance, shipped.population_covariance)
    assert again.threshold == shipped.threshold
