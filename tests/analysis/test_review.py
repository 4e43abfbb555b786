from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from analysis.classification.classifier import Classifier
from analysis.karyotyping.cell_quality import CellQualityMeasures
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.review import review_proposal
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.karyotype import Karyotype
from analysis.structures.review import AUTO_FROM, DOUBTFUL_BELOW, ReviewFinding, ReviewLevel, chromosome_level
from analysis.structures.segmentation import Segmentation
from simulators.specimen.banding import Banding
from simulators.specimen.chromosome import ChromosomeAppearance, banded, render_chromosome
from simulators.specimen.structure import Chromosome, Segment, centromere_of, end_of

PAIRS = [name for name in CLASS_NAMES[:22] for _ in range(2)]
SOUND = CellQualityMeasures(46, 0.3, 0.97, 4.0)


def mouse(rng: np.random.Generator) -> list[Chromosome]:
    """Forty rods with the centromere at one end, sizes 1 to 0.4, bands that are no human chromosome's."""
    donors = [*(str(number) for number in range(1, 13)), "X"]
    rods = []
    for k in range(20):
        upper, lower = (donors[int(n)] for n in rng.integers(len(donors), size=2))
        half = 1300.0 * (1.0 - 0.6 * k / 19)
        start, inner = centromere_of(upper), centromere_of(lower) + 300.0
        segments = (
            Segment(upper, start - 60.0, min(start + half, end_of(upper))),
            Segment(lower, inner, min(inner + half, end_of(lower))),
        )
        rods += [Chromosome(upper, segments, "rod")] * 2
    return rods


def drawn(
    names: list[str] | list[Chromosome], look: ChromosomeAppearance, seed: int = 3
) -> tuple[GreyImage, Segmentation]:
    rng = np.random.default_rng(seed)
    columns, cell = 12, 150
    rows = -(-len(names) // columns)
    od = np.zeros((rows * cell, columns * cell), np.float32)
    instances = []
    for k, name in enumerate(names):
        body = render_chromosome(
            name, rng, um_per_px=0.1024, appearance=look, angle_deg=float(rng.normal(0, 8)), bend_deg=12.0
        )
        xmin, ymin, xmax, ymax = body.box_px
        y, x = (k // columns) * cell + 5, (k % columns) * cell + 60
        height, width = ymax - ymin, xmax - xmin
        od[y : y + height, x : x + width] += body.od[ymin:ymax, xmin:xmax]
        instances.append(
            Instance((x, y, x + width, y + height), body.mask[ymin:ymax, xmin:xmax], 1.0, SegmentationRoute.SINGLE)
        )
    light = 210.0 * 10.0 ** -cv2.GaussianBlur(od, (0, 0), 0.9) + rng.normal(0, 1.5, od.shape)
    image = GreyImage(np.clip(np.rint(light), 0, 255).astype(np.uint8), "drawn")
    background = np.full(od.shape, 210.0, np.float32)
    return image, Segmentation(tuple(instances), background, np.zeros(od.shape, np.bool_))


def proposal(names: list[str] | list[Chromosome], look: ChromosomeAppearance | None = None) -> Karyotype:
    torch.set_num_threads(1)
    image, segmentation = drawn(names, look or ChromosomeAppearance())
    return Karyotyper(Classifier.load(), lambda _image: segmentation).karyotype(image)


@pytest.mark.parametrize(
    ("names", "look", "finding"),
    [
        ([*PAIRS, "X", "Y"], replace(ChromosomeAppearance(), light_od=0.45, dark_od=0.45), ReviewFinding.NO_BANDS),
        ([*PAIRS, "X", "Y"], banded(ChromosomeAppearance(), Banding.R), ReviewFinding.WRONG_BANDING),
        (mouse(np.random.default_rng(1)), ChromosomeAppearance(), ReviewFinding.NOT_HUMAN),
    ],
    ids=["no bands", "R-bands", "mouse"],
)
def test_what_can_not_be_read_is_not_named(
    names: list[str] | list[Chromosome], look: ChromosomeAppearance, finding: ReviewFinding
) -> None:
    result = proposal(names, look)
    assert [reason.finding for reason in result.verdict.reasons] == [finding]
    assert result.verdict.level is ReviewLevel.MUST_REVIEW
    assert not result.verdict.readable
    assert result.iscn.text is None
    assert result.iscn.reason == result.verdict.reasons_text
    assert {entry.class_name for entry in result.chromosomes} == {UNCLASSIFIED}
    assert len(result.chromosomes) == len(names)


def test_three_chromosomes_are_no_cell() -> None:
    result = proposal(["1", "9", "21"])
    assert result.verdict.reasons[0].finding is ReviewFinding.TOO_FEW
    assert result.iscn.text is None
    assert len(result.chromosomes) == 3


def test_ninety_two_are_never_forty_six() -> None:
    result = proposal([*PAIRS, "X", "Y"] * 2)
    assert result.verdict.level is ReviewLevel.MUST_REVIEW
    assert result.verdict.reasons[0].finding is ReviewFinding.POLYPLOID
    assert result.iscn.text is None or not result.iscn.text.startswith("46")
    assert len(result.chromosomes) == 92


def test_levels_and_their_reasons() -> None:
    classes = [*PAIRS, "X", "X"]
    sure = np.full(46, 0.99)
    assert review_proposal(SOUND, classes, sure).level is ReviewLevel.AUTO
    assert review_proposal(SOUND, classes, sure).text == "auto"
    two = sure.copy()
    two[:2] = 0.5
    check = review_proposal(SOUND, classes, two)
    assert check.level is ReviewLevel.CHECK
    assert check.text == "check: 2 chromosomes below 90 % certainty"
    five = sure.copy()
    five[:5] = 0.5
    assert review_proposal(SOUND, classes, five).level is ReviewLevel.MUST_REVIEW
    gained = review_proposal(SOUND, [*classes, "21"], np.append(sure, 0.99))
    assert (gained.level, gained.reasons[0].finding) == (ReviewLevel.MUST_REVIEW, ReviewFinding.ABNORMAL)
    assert "+21" in gained.reasons_text
    turner = review_proposal(SOUND, [*PAIRS, "X"], sure[:45])
    assert "sex chromosomes X" in turner.reasons_text
    tray = review_proposal(SOUND, [*classes, "?"], np.append(sure, 0.99))
    assert [reason.finding for reason in tray.reasons] == [ReviewFinding.UNCLASSIFIED]
    assert tray.level is ReviewLevel.CHECK
    unclear = review_proposal(replace(SOUND, certainty=0.7), classes, sure)
    assert unclear.reasons[0].finding is ReviewFinding.UNCLEAR_BANDS
    assert unclear.readable


def test_a_cell_that_is_mostly_doubtful_has_no_karyotype() -> None:
    classes = [*PAIRS, "X", "X"]
    chances = np.full(46, 0.995)
    chances[:15] = 0.7
    assert review_proposal(SOUND, classes, chances).no_karyotype_reason == ""
    chances[:16] = 0.7
    verdict = review_proposal(SOUND, classes, chances)
    assert "16 of 46" in verdict.no_karyotype_reason
    assert verdict.readable
    assert verdict.level is ReviewLevel.MUST_REVIEW
    left_out = review_proposal(SOUND, ["?"] * 16 + classes[16:], np.full(46, 0.995))
    assert left_out.no_karyotype_reason
    assert review_proposal(replace(SOUND, band_contrast=0.01), classes, chances).no_karyotype_reason


def test_levels_of_a_chromosome() -> None:
    levels = [chromosome_level(chance) for chance in (1.0, AUTO_FROM, 0.95, DOUBTFUL_BELOW, 0.5)]
    assert levels == [
        ReviewLevel.AUTO,
        ReviewLevel.AUTO,
        ReviewLevel.CHECK,
        ReviewLevel.CHECK,
        ReviewLevel.MUST_REVIEW,
    ]


def seen(kind: BandingKind, confidence: float = 0.97) -> BandingEstimate:
    return BandingEstimate(kind, confidence, "looked at", {})


def test_the_protocols_banding_counts_and_what_looks_otherwise_is_warned_of() -> None:
    classes, sure = [*PAIRS, "X", "X"], np.full(46, 0.995)
    assert (
        review_proposal(SOUND, classes, sure, banding=seen(BandingKind.G), protocol_banding="G").level
        is ReviewLevel.AUTO
    )
    warned = review_proposal(SOUND, classes, sure, banding=seen(BandingKind.R), protocol_banding="G")
    assert [reason.finding for reason in warned.reasons] == [ReviewFinding.BANDING_MISMATCH]
    assert warned.level is ReviewLevel.MUST_REVIEW
    assert warned.readable
    assert "protocol says G" in warned.reasons_text
    assert (
        review_proposal(SOUND, classes, sure, banding=seen(BandingKind.R, 0.6), protocol_banding="G").level
        is ReviewLevel.AUTO
    )
    unread = review_proposal(SOUND, classes, sure, banding=seen(BandingKind.G), protocol_banding="R")
    assert unread.reasons[0].finding is ReviewFinding.WRONG_BANDING
    assert not unread.readable
    # Whatever else is odd about the cell, this is what a person has to know.
    for look in (replace(SOUND, objects=5), replace(SOUND, size_ratio=1.9), replace(SOUND, band_contrast=0.01)):
        odd = review_proposal(look, classes, sure, banding=seen(BandingKind.R), protocol_banding="R")
        assert odd.no_karyotype_reason.endswith("R bands can't be read yet, so that no chromosome is named")


def test_without_a_protocol_the_look_counts_where_it_is_sure() -> None:
    classes, sure = [*PAIRS, "X", "X"], np.full(46, 0.995)
    assert (
        review_proposal(SOUND, classes, sure, banding=seen(BandingKind.R)).reasons[0].finding
        is ReviewFinding.WRONG_BANDING
    )
    assert review_proposal(SOUND, classes, sure, banding=seen(BandingKind.R, 0.5)).level is ReviewLevel.AUTO
    assert review_proposal(SOUND, classes, sure, banding=seen(BandingKind.Q)).readable


def test_sizes_that_are_no_human_cells_need_no_further_proof() -> None:
    classes, sure = [*PAIRS, "X", "X"], np.full(46, 0.995)
    mouse_like = review_proposal(replace(SOUND, size_ratio=1.9), classes, sure)
    assert [reason.finding for reason in mouse_like.reasons] == [ReviewFinding.NOT_HUMAN]
    assert mouse_like.no_karyotype_reason
    assert review_proposal(replace(SOUND, size_ratio=2.4), classes, sure).level is ReviewLevel.AUTO
    assert not review_proposal(replace(SOUND, size_ratio=2.4, certainty=0.7), classes, sure).readable


def test_a_chromosome_of_no_class_is_told_as_a_possible_marker() -> None:
    verdict = review_proposal(SOUND, [*PAIRS, "X", "X", "?"], np.full(47, 0.995), possible_markers=(46,))
    assert ReviewFinding.MARKER in {reason.finding for reason in verdict.reasons}
    assert verdict.level is ReviewLevel.MUST_REVIEW


def test_an_empty_picture_is_told_as_such() -> None:
    verdict = review_proposal(CellQualityMeasures(0, 0.0, 0.0, 1.0), [], np.zeros(0))
    assert verdict.reasons[0].finding is ReviewFinding.NO_CHROMOSOMES
    assert verdict.level.value == "must review"
