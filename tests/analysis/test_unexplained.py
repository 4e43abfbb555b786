"""Stain that no chromosome explains: what is found of it, what isn't, and what it does to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier
from analysis.imaging.foreground import find_foreground
from analysis.imaging.image_file import to_grey
from analysis.imaging.working_image import make_working_image
from analysis.karyogram.metaphase_overlay import UNEXPLAINED_SIGN, draw_metaphase, unexplained_label
from analysis.karyotyping.cell_quality import CellQualityMeasures
from analysis.karyotyping.review import review_edited_proposal, review_proposal
from analysis.karyotyping.scored_metaphase import embed_metaphase
from analysis.karyotyping.unexplained_objects import (
    UNEXPLAINED_FEATURES,
    find_unexplained,
    measure_unexplained,
    probability_of_none,
    withhold_chromosomes,
)
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.instance_masks.predictor import PredictedMask
from analysis.segmentation.instance_masks.prompts import MaskPrompt, cropped_to, frame_of, stain_level
from analysis.segmentation.mask_extent import short_masks
from analysis.segmentation.prompted_cell import PromptedCell
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.segmentation.unexplained_stain import STAIN_MEASURES, find_uncovered_stain
from analysis.structures.boxes import box_iou
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.review import ReviewFinding, ReviewLevel, ReviewVerdict
from analysis.structures.segmentation import UnselectedProposal
from analysis.structures.unexplained import UnexplainedObject, UnexplainedReason, open_unexplained
from analysis.training.fits.unexplained_stain import (
    LabelledStain,
    cross_validated_stain,
    fit_unexplained_model,
)
from simulators.specimen.cell import render_cell

SIZE = (420, 560)
RODS = [(60 + 110 * (k % 5), 60 + 100 * (k // 5)) for k in range(20)]
"""Middles of upright rods, 15 px wide and 56 px long."""
GOOD = CellQualityMeasures(objects=46, band_contrast=0.5, certainty=0.97, size_ratio=3.6)


class StainPrompts:
    """Takes the connected stain at a prompt for the chromosome, as a perfect net would of one that lies alone."""

    def __call__(self, level: NDArray[np.float32], prompts: Sequence[MaskPrompt]) -> list[PredictedMask]:
        labels = cv2.connectedComponents((level > 0.5).astype(np.uint8), connectivity=8)[1]
        made = []
        for prompt in prompts:
            frame = frame_of(prompt)
            window = np.rint(cropped_to(labels.astype(np.float32), frame)).astype(int)
            own = window[frame.side_px // 2, frame.side_px // 2]
            inside = (window == own) & (own > 0)
            made.append(PredictedMask(frame, inside.astype(np.float32), 0.9 if own else 0.0))
        return made


def rod_mask(x: int, y: int, half_px: int = 28) -> NDArray[np.uint8]:
    mask = np.zeros(SIZE, np.uint8)
    cv2.line(mask, (x, y - half_px), (x, y + half_px), (1,), 13)
    return mask


def prompted(density: NDArray[np.float32]) -> PromptedCell:
    smooth = cv2.GaussianBlur(density, (0, 0), 1.2)
    noise = np.random.default_rng(2).normal(0.0, 1.0, SIZE)
    image = GreyImage(np.clip(235.0 * 10.0**-smooth + noise, 0, 255).astype(np.uint8), "rods")
    working = make_working_image(image)
    foreground = find_foreground(working.density, working.nuclei, working.width_px)
    level = stain_level(working.density, foreground.level)
    return PromptedCell(working, foreground.mask, StainPrompts(), level, SIZE)


def rods_density() -> NDArray[np.float32]:
    return 0.35 * np.sum([rod_mask(x, y) for x, y in RODS], axis=0).astype(np.float32)


def instance(mask: NDArray[np.uint8]) -> Instance:
    x, y, width, height = cv2.boundingRect(mask)
    inside = mask[y : y + height, x : x + width] > 0
    return Instance((x, y, x + width, y + height), inside, 0.9, SegmentationRoute.SINGLE)


def instances_but(*missing: int) -> list[Instance]:
    return [instance(rod_mask(*middle)) for k, middle in enumerate(RODS) if k not in missing]


def test_a_chromosome_without_a_mask_is_found() -> None:
    found = find_uncovered_stain(prompted(rods_density()), instances_but(7), ())
    assert len(found) == 1
    (x0, y0, x1, y1), mask = found[0].placed
    true = rod_mask(*RODS[7])[y0:y1, x0:x1] > 0
    assert np.count_nonzero(mask & true) > 0.8 * np.count_nonzero(mask | true)
    assert found[0].reason is UnexplainedReason.FREE_STAIN
    measures = dict(zip(STAIN_MEASURES, found[0].measures, strict=True))
    assert measures["uncovered part of its mask"] == 1.0
    assert measures["relative area"] == pytest.approx(0.0, abs=0.2)
    assert measures["inside of an extent"] == 0.0


def test_where_all_is_covered_nothing_is_found() -> None:
    assert find_uncovered_stain(prompted(rods_density()), instances_but(), ()) == []
    assert find_uncovered_stain(prompted(rods_density()), [], ()) == []


def test_a_part_that_a_mask_lacks_is_found_beside_it() -> None:
    x, y = RODS[7]
    half = rod_mask(x, y)
    half[y:] = 0
    short = replace(instance(half), extent_px=(x - 7.0, y - 35.0, x + 8.0, y + 36.0))
    found = find_uncovered_stain(prompted(rods_density()), [*instances_but(7), short], ())
    assert [each.reason for each in found] == [UnexplainedReason.ADJOINING_STAIN]
    assert dict(zip(STAIN_MEASURES, found[0].measures, strict=True))["inside of an extent"] > 0.9


def test_specks_and_nuclei_are_not_offered() -> None:
    density = rods_density()
    speck, nucleus = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    cv2.circle(speck, (115, 110), 4, (1,), -1)
    cv2.circle(nucleus, (530, 400), 60, (1,), -1)
    density = np.maximum(density, 0.35 * np.maximum(speck, nucleus).astype(np.float32))
    found = find_uncovered_stain(prompted(density), instances_but(), ())
    assert found == []


def test_a_proposal_without_stain_of_its_own_is_measured_where_no_mask_covers_it() -> None:
    cell = prompted(rods_density())
    x, y = RODS[3]
    hidden = replace(cell, stain=cell.stain & (rod_mask(x, y) == 0))
    proposal = UnselectedProposal((x - 8.0, y - 35.0, x + 9.0, y + 36.0), 0.6)
    found = find_uncovered_stain(hidden, instances_but(3), (proposal,))
    assert len(found) == 1
    assert dict(zip(STAIN_MEASURES, found[0].measures, strict=True))["best proposal left out"] == 0.6
    assert find_uncovered_stain(hidden, instances_but(3), (replace(proposal, score=0.1),)) == []


def test_the_product_lists_a_chromosome_that_its_selection_lacks() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(11)
    cell = render_cell([*(str(k) for k in range(1, 23)), "X"] * 2, rng)
    light = 230.0 * 10.0 ** -cv2.GaussianBlur(cell.od, (0, 0), 1.0)
    image = to_grey(np.clip(light + rng.normal(0.0, 2.0, light.shape), 0, 255).astype(np.uint8), "drawn")
    whole = load_detector_segmenter()(image)
    assert isinstance(whole, RevisableSegmentation)
    alone = [row for row, each in enumerate(whole.instances) if not each.overlaps]
    missed = whole.instances[alone[0]]
    segmentation = whole.reselect([row for place, row in enumerate(whole.rows) if place != alone[0]])
    classifier = Classifier.load()
    embedded = embed_metaphase(image, segmentation, classifier, None)
    measured = measure_unexplained(embedded, classifier, None)
    assert measured.features.shape == (len(measured.stain), len(UNEXPLAINED_FEATURES))
    listed = find_unexplained(embedded, classifier, None)
    assert open_unexplained(listed, [missed]) != listed
    probability = [each.probability for each in listed]
    assert probability == sorted(probability, reverse=True)


def test_withheld_chromosomes_are_measured_with_and_without_their_proposals() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(11)
    cell = render_cell([*(str(k) for k in range(1, 23)), "X"] * 2, rng)
    image = to_grey(np.clip(230.0 * 10.0**-cell.od, 0, 255).astype(np.uint8), "drawn")
    whole = load_detector_segmenter()(image)
    assert isinstance(whole, RevisableSegmentation)
    lacking, others = withhold_chromosomes(whole, 3)
    assert len(whole.rows) - len(lacking.rows) == 3
    left_out = lacking.hypotheses.left_out(np.asarray(lacking.rows, np.intp))
    assert len(left_out) - len(others) >= 3
    withheld = set(whole.rows) - set(lacking.rows)
    boxes = whole.hypotheses.tight_px[sorted(withheld)] / whole.hypotheses.working.factor
    assert box_iou(np.asarray([each.extent_px for each in others], np.float64), boxes).max() < 0.3


def labelled_cells(count: int, rng: np.random.Generator) -> list[LabelledStain]:
    """Every fourth cell misses one; pieces tell by their fourth feature. Half of the cells have more withheld."""
    cells = []
    for number in range(count):
        withheld = bool(number % 2)
        missed = 3 if withheld else int(number % 8 == 0)
        features = rng.normal(0.0, 1.0, (missed + 2, len(UNEXPLAINED_FEATURES)))
        features[:, 0] = 1.0
        features[:missed, 3] += 4.0
        shows = np.eye(missed, missed + 2, dtype=np.bool_)
        bare = np.ones(missed, np.bool_)
        cells.append(LabelledStain(f"case {number // 4}", features, shows.any(axis=0), shows, bare, withheld))
    return cells


def test_how_often_a_chromosome_is_missed_is_fitted_without_those_withheld() -> None:
    cells = labelled_cells(400, np.random.default_rng(5))
    model = fit_unexplained_model(cells)
    natural = np.concatenate([cell.features for cell in cells if not cell.withheld])
    labels = np.concatenate([cell.is_chromosome for cell in cells if not cell.withheld])
    assert np.mean(model.stain_probability(natural)) == pytest.approx(np.mean(labels), abs=0.01)
    assert model.stain_weights[3] > 1.0
    figures = cross_validated_stain(cells)
    assert figures["cells"] == 200
    assert figures["withheld"] == 600
    assert figures["auc"] > 0.95


def unexplained(probability: float, *, dismissed: bool = False) -> UnexplainedObject:
    mask = np.ones((20, 10), np.bool_)
    return UnexplainedObject((40, 30, 50, 50), mask, UnexplainedReason.FREE_STAIN, probability, 0.9, dismissed)


NORMAL = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "X"]
SURE = np.full(46, 0.999)


@pytest.mark.parametrize(("probability", "level"), [(0.02, ReviewLevel.CHECK), (0.8, ReviewLevel.MUST_REVIEW)])
def test_a_cell_with_unexplained_stain_is_never_auto(probability: float, level: ReviewLevel) -> None:
    clean = review_proposal(GOOD, NORMAL, SURE, cell_confidence=0.99)
    assert clean.level is ReviewLevel.AUTO
    verdict = review_proposal(GOOD, NORMAL, SURE, cell_confidence=0.99, unexplained=[unexplained(probability)])
    assert verdict.level is level
    assert [each.finding for each in verdict.reasons] == [ReviewFinding.UNEXPLAINED]


def test_unexplained_stain_stays_a_reason_until_a_person_says_that_all_is_there() -> None:
    edited = np.ones(46, np.bool_)
    listed = [unexplained(0.8)]
    verdict = review_edited_proposal(ReviewVerdict(), NORMAL, SURE, edited, unexplained=listed)
    assert ReviewFinding.UNEXPLAINED in {each.finding for each in verdict.reasons}
    complete = review_edited_proposal(ReviewVerdict(), NORMAL, SURE, edited, unexplained=listed, complete=True)
    assert ReviewFinding.UNEXPLAINED not in {each.finding for each in complete.reasons}


def test_objects_count_against_the_cell_together() -> None:
    assert probability_of_none([]) == 1.0
    assert probability_of_none([unexplained(0.5), unexplained(0.2)]) == pytest.approx(0.4)
    assert probability_of_none([unexplained(0.5, dismissed=True)]) == 1.0


def test_an_object_is_explained_by_a_mask_over_half_of_it() -> None:
    listed = (unexplained(0.8),)
    half = Instance((40, 30, 50, 40), np.ones((10, 10), np.bool_), 1.0, SegmentationRoute.EDIT)
    less = Instance((40, 30, 50, 38), np.ones((8, 10), np.bool_), 1.0, SegmentationRoute.EDIT)
    assert open_unexplained(listed, [half]) == ()
    assert open_unexplained(listed, [less]) == listed
    assert open_unexplained((unexplained(0.8, dismissed=True),), []) == ()


def test_masks_short_of_their_extent_are_marked() -> None:
    whole = [
        replace(each, extent_px=(each.box_px[0] - 1.0, each.box_px[1] - 2.0, each.box_px[2], each.box_px[3] + 3.0))
        for each in instances_but(7)
    ]
    x, y = RODS[7]
    half = rod_mask(x, y)
    half[y:] = 0
    short = replace(instance(half), extent_px=(x - 7.0, y - 35.0, x + 8.0, y + 36.0))
    without = replace(instance(half), extent_px=None)
    assert short_masks([*whole, short, without]) == (19,)
    assert short_masks([]) == ()


def test_drawn_short_takes_a_check_and_many_a_review() -> None:
    one = review_proposal(GOOD, NORMAL, SURE, cell_confidence=0.99, short_masks=(4,))
    assert one.level is ReviewLevel.CHECK
    assert "number 4" in one.reasons_text
    many = review_proposal(GOOD, NORMAL, SURE, cell_confidence=0.99, short_masks=(4, 5, 6))
    assert many.level is ReviewLevel.MUST_REVIEW


def test_unexplained_stain_has_a_broken_frame_of_its_own() -> None:
    image = GreyImage(np.full((120, 160), 230, np.uint8), "blank")
    plain = draw_metaphase(image, [])
    framed = draw_metaphase(image, [], unexplained=[unexplained(0.4)])
    colour = np.asarray(UNEXPLAINED_SIGN.colour)
    drawn = (framed == colour).all(axis=2)
    assert not (plain == colour).all(axis=2).any()
    scale = framed.shape[0] / 120
    left = drawn[:, round(40 * scale - UNEXPLAINED_SIGN.gap_px)]
    side = left[round(30 * scale) : round(50 * scale)]
    assert side.any()
    assert not side.all()
    assert (unexplained_label(unexplained(0.4)), unexplained_label(unexplained(0.01))) == ("? 40 %", "?")
