from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from simulators.specimen.banding import Banding, band_density
from simulators.specimen.bands import ACROCENTRIC, CHROMOSOME_NAMES, RESOLUTIONS, Stain, bands_of
from simulators.specimen.cell import render_cell
from simulators.specimen.chromosome import LENGTH_UM, ChromosomeAppearance, banded, length_um, render_chromosome
from simulators.specimen.karyotype import (
    KaryotypeKind,
    check_mixture,
    draw_iscn,
    draw_karyotype,
    format_mixture,
    parse_karyotype,
    parse_mixture,
)
from simulators.specimen.structure import Chromosome, Segment, breakpoint_of, centromere_of, end_of, normal

PX = 0.1024
EVEN = ChromosomeAppearance(grain=0.0, band_blur_um=0.1, chromatid_gap=0.0)


def count_by_arithmetic(iscn: str) -> int:
    """Chromosome count of a karyotype, from its words alone."""
    _count, complement, *items = iscn.split(",")
    count = 44 + len(complement)
    for item in items:
        sex_items = len(re.findall(r"[XY]", item.split(")")[0]))
        if item[0] == "+":
            count += 1
        elif item[0] == "-" or item.startswith("rob("):
            count -= 1
        else:
            count += sex_items
    return count


def rearranged(iscn: str) -> dict[str, Chromosome]:
    return {entry.designation: entry for entry in parse_karyotype(iscn).chromosomes if entry.designation}


@given(kind=st.sampled_from(list(KaryotypeKind)), seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_count_in_the_iscn_is_the_number_of_chromosomes(kind: KaryotypeKind, seed: int) -> None:
    karyotype = parse_karyotype(draw_iscn(kind, np.random.default_rng(seed)))
    assert len(karyotype.chromosomes) == count_by_arithmetic(karyotype.iscn) == int(karyotype.iscn.split(",")[0])
    order = [CHROMOSOME_NAMES.index(entry.class_name) for entry in karyotype.chromosomes]
    assert order == sorted(order)
    for name in CHROMOSOME_NAMES:
        # Derivatives lie right of their normal homologues.
        marks = [entry.designation is not None for entry in karyotype.chromosomes if entry.class_name == name]
        assert marks == sorted(marks)


@given(kind=st.sampled_from(list(KaryotypeKind)[6:]), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_rearranged_chromosomes_keep_or_lose_what_the_iscn_says(kind: KaryotypeKind, seed: int) -> None:
    karyotype = parse_karyotype(draw_iscn(kind, np.random.default_rng(seed)))
    made = [entry for entry in karyotype.chromosomes if entry.designation]
    sources = {segment.chromosome for entry in made for segment in entry.segments}
    usual, drawn = sum(LENGTH_UM[name] for name in sources), sum(length_um(entry) for entry in made)
    if kind in (KaryotypeKind.TRANSLOCATION, KaryotypeKind.INVERSION):
        assert drawn == pytest.approx(usual)
    else:
        assert 0.2 * usual < drawn < usual
    for entry in made:
        # One centromere each, at its own place.
        held = [
            segment
            for segment in entry.segments
            if min(segment.start, segment.stop)
            < centromere_of(segment.chromosome)
            < max(segment.start, segment.stop)
        ]
        joined = kind is KaryotypeKind.ROBERTSONIAN
        assert [segment.chromosome for segment in held] == ([] if joined else [entry.class_name])


@pytest.mark.parametrize(
    ("iscn", "classes", "designations"),
    [
        ("46,XX,t(9;22)(q34;q11.2)", {"9": 2, "22": 2, "X": 2}, ["der(9)", "der(22)"]),
        ("45,XX,-21", {"21": 1}, []),
        ("45,X", {"X": 1, "Y": 0}, []),
        ("48,XXYY", {"X": 2, "Y": 2}, []),
        ("45,XY,rob(14;21)(q10;q10)", {"14": 2, "21": 1}, ["rob(14;21)"]),
        ("46,XX,rob(14;21)(q10;q10),+21", {"14": 2, "21": 2}, ["rob(14;21)"]),
        ("45,XX,der(13;14)(q10;q10)", {"13": 2, "14": 1}, ["der(13;14)"]),
        ("46,XX,del(5)(p15.2)", {"5": 2}, ["del(5)"]),
        ("46,XX,del(5)(q13q33)", {"5": 2}, ["del(5)"]),
        ("46,XY,inv(9)(p12q13)", {"9": 2}, ["inv(9)"]),
        ("46,XY,dup(1)(q21q31)", {"1": 2}, ["dup(1)"]),
        ("46,X,i(X)(q10)", {"X": 2}, ["i(X)"]),
        ("46,X,t(X;13)(q27;q12)", {"X": 2, "13": 2}, ["der(13)", "der(X)"]),
        ("46,XX,der(5)t(5;9)(p15;q34)", {"5": 2, "9": 2}, ["der(5)"]),
        ("47,XX,+der(22)t(9;22)(q34;q11.2)", {"22": 3}, ["der(22)"]),
    ],
)
def test_karyotypes_are_read(iscn: str, classes: dict[str, int], designations: list[str]) -> None:
    karyotype = parse_karyotype(iscn)
    counts = Counter(entry.class_name for entry in karyotype.chromosomes)
    assert {name: counts[name] for name in classes} == classes
    assert [entry.designation for entry in karyotype.chromosomes if entry.designation] == designations


@pytest.mark.parametrize(
    ("iscn", "message"),
    [
        ("46,XY,+21", "says 46 chromosomes and describes 47"),
        ("45,XY,t(9;22)(q34;q11.2)", "says 45 chromosomes and describes 46"),
        ("normal", "starts with the count"),
        ("46,XZ", "starts with the count"),
        ("47,XX,+X", "told by the complement"),
        ("47,XX,+23", "no chromosome 23"),
        ("46,XX,ins(1)(q21q31)", "is not understood"),
        ("46,XX,t(9;22)(q99;q11.2)", "no band 'q99'"),
        ("46,XX,t(9;9)(q34;q11)", "no translocation that can be drawn"),
        ("46,XX,del(5)(p15q15)", "must lose a stretch of one arm"),
        ("46,XX,inv(5)(q15q15)", "both breaks are the same"),
        ("45,XX,rob(1;21)(q10;q10)", "must be acrocentric"),
        ("46,XX,der(7)t(5;9)(p15;q34)", "doesn't come from"),
        ("43,XX,-21,-21,-21", "takes more of chromosome 21"),
    ],
)
def test_what_cannot_be_drawn_is_refused(iscn: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse_karyotype(iscn)
    assert repr(iscn) in str(caught.value)


def test_philadelphia_translocation_is_made_as_it_is_named() -> None:
    made = rearranged("46,XX,t(9;22)(q34;q11.2)")
    nine, twenty_two = breakpoint_of("9", "q34"), breakpoint_of("22", "q11.2")
    assert made["der(9)"].segments == (Segment("9", 0.0, nine), Segment("22", twenty_two, end_of("22")))
    assert made["der(22)"].segments == (Segment("22", 0.0, twenty_two), Segment("9", nine, end_of("9")))
    # A break in a short arm turns the foreign piece so that its tip points outwards.
    upper = rearranged("46,XX,t(2;5)(p23;q35)")["der(2)"].segments[0]
    assert upper == Segment("5", end_of("5"), breakpoint_of("5", "q35"))


def test_every_band_of_every_table_can_break() -> None:
    for resolution in RESOLUTIONS:
        for name in CHROMOSOME_NAMES:
            bands = bands_of(name, resolution)
            places = [breakpoint_of(name, band.arm + band.name) for band in bands]
            assert places == sorted(places)
            for band, place in zip(bands, places, strict=True):
                assert (place < centromere_of(name)) == (band.arm == "p")


def table_along(chromosome: Chromosome, count: int) -> np.ndarray:
    """The table's darkness at even steps along a chromosome, from its segments."""
    lengths = np.array([abs(segment.stop - segment.start) for segment in chromosome.segments])
    places = np.linspace(0.0, lengths.sum() * 0.9999, count)
    edges = np.concatenate(([0.0], np.cumsum(lengths)))
    dark = np.empty(count)
    for index, place in enumerate(places):
        number = int(np.searchsorted(edges, place, side="right")) - 1
        segment = chromosome.segments[number]
        way = place - edges[number]
        at = segment.start + way if segment.start < segment.stop else segment.start - way
        band = next(entry for entry in bands_of(segment.chromosome) if entry.start <= at <= entry.stop)
        dark[index] = band_density(segment.chromosome, band, Banding.G)
    return dark


@pytest.mark.parametrize(
    ("iscn", "designation"),
    [
        ("46,XX,t(4;11)(q21;q23)", "der(4)"),
        ("46,XX,t(4;11)(q21;q23)", "der(11)"),
        ("46,XX,t(2;5)(p23;q35)", "der(2)"),
        ("46,XX,inv(3)(q13q27)", "inv(3)"),
        ("46,XX,del(5)(q13q33)", "del(5)"),
        ("46,XX,dup(1)(q21q31)", "dup(1)"),
        ("46,X,i(X)(q10)", "i(X)"),
    ],
)
def test_bands_of_a_rearranged_chromosome_lie_where_its_name_says(iscn: str, designation: str) -> None:
    chromosome = rearranged(iscn)[designation]
    body = render_chromosome(chromosome, np.random.default_rng(3), um_per_px=PX, appearance=EVEN)
    assert (body.class_name, body.designation) == (chromosome.class_name, designation)
    points = np.round(body.axis_px).astype(int)
    seen = gaussian_filter(body.od, 1.0)[points[:, 1], points[:, 0]][5:-5]
    table = gaussian_filter(table_along(chromosome, len(points)), 2.0)[5:-5]
    assert np.corrcoef(seen, table)[0, 1] > 0.65
    homologue = gaussian_filter(table_along(normal(chromosome.class_name), len(points)), 2.0)[5:-5]
    assert np.corrcoef(seen, homologue)[0, 1] < np.corrcoef(seen, table)[0, 1] - 0.1


def test_a_robertsonian_chromosome_has_no_short_arms() -> None:
    chromosome = rearranged("45,XX,rob(13;14)(q10;q10)")["rob(13;14)"]
    body = render_chromosome(chromosome, np.random.default_rng(3), um_per_px=PX, appearance=EVEN)
    share = (body.centromere_px[1] - body.axis_px[0, 1]) / (body.axis_px[-1, 1] - body.axis_px[0, 1])
    assert 0.42 < share < 0.5
    assert length_um(chromosome) < LENGTH_UM["13"] + LENGTH_UM["14"] - 1.5


def test_a_drawn_cell_has_its_karyotypes_chromosomes() -> None:
    rng = np.random.default_rng(8)
    karyotype = draw_karyotype(rng, mixture=(("46,XY,t(9;22)(q34;q11.2)", 1.0),))
    cell = render_cell(karyotype, rng, lost=(0, 45))
    assert cell.iscn == "46,XY,t(9;22)(q34;q11.2)"
    assert cell.lost == ("1", "Y")
    wanted = [(entry.class_name, entry.designation) for entry in karyotype.chromosomes[1:45]]
    assert [(entry.class_name, entry.designation) for entry in cell.chromosomes] == wanted


def test_mixtures_are_drawn_at_their_weights() -> None:
    mixture = parse_mixture("normal=3; 46,XX,t(9;22)(q34;q11.2); robertsonian=0")
    assert parse_mixture(format_mixture(mixture)) == mixture
    rng = np.random.default_rng(1)
    drawn = Counter(draw_karyotype(rng, mixture=mixture).iscn for _ in range(400))
    assert set(drawn) == {"46,XX", "46,XY", "46,XX,t(9;22)(q34;q11.2)"}
    assert 70 < drawn["46,XX,t(9;22)(q34;q11.2)"] < 130


@pytest.mark.parametrize(
    ("text", "message"),
    [("tetrasomy=1", "neither an ISCN string"), ("normal=much", "no number"), ("normal=-1", "negative"),
     ("normal=0", "larger than 0"), ("46,XX,+21=1", "says 46")],
)  # fmt: skip
def test_impossible_mixtures_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mixture(text)
    check_mixture(())


def test_reverse_bands_are_dark_where_giemsa_is_pale() -> None:
    giemsa, reverse = [], []
    for name in CHROMOSOME_NAMES:
        for band in bands_of(name):
            if band.stain in (Stain.NEGATIVE, Stain.POSITIVE) and not (name in ACROCENTRIC and band.arm == "p"):
                giemsa.append(band_density(name, band, Banding.G))
                reverse.append(band_density(name, band, Banding.R))
    assert np.corrcoef(giemsa, reverse)[0, 1] < -0.9


def test_the_long_arm_of_y_shines_under_quinacrine() -> None:
    def brightest(name: str, banding: Banding) -> float:
        appearance = banded(EVEN, banding)
        return float(
            render_chromosome(name, np.random.default_rng(2), um_per_px=PX, appearance=appearance).od.max()
        )

    others = max(brightest(name, Banding.Q) for name in ("1", "9", "16", "21", "X"))
    assert brightest("Y", Banding.Q) > 1.4 * others
    # The blocks that are dull under quinacrine are the brightest under DAPI.
    assert brightest("9", Banding.DAPI) > 1.2 * brightest("7", Banding.DAPI)


@given(kind=st.sampled_from(list(KaryotypeKind)[6:]), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_rearranged_chromosomes_are_drawn_at_their_length(kind: KaryotypeKind, seed: int) -> None:
    karyotype = parse_karyotype(draw_iscn(kind, np.random.default_rng(seed)))
    for chromosome in karyotype.chromosomes:
        if chromosome.designation is not None:
            body = render_chromosome(chromosome, np.random.default_rng(seed), um_per_px=PX, appearance=EVEN)
            steps = np.diff(body.axis_px.astype(float), axis=0)
            drawn_um = float(np.hypot(*steps.T).sum()) * PX
            assert drawn_um == pytest.approx(length_um(chromosome), rel=0.2)
            assert (body.class_name, body.designation) == (chromosome.class_name, chromosome.designation)
            assert body.mask.any()
