from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier, CropEmbeddings
from analysis.classification.fusion import load_fusion_weights
from analysis.datasets.labelled_cells import NO_CHROMOSOME
from analysis.errors import DatasetError, WeightsError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import load_karyotyper
from analysis.nets.selection_net import SelectionEnsemble
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.selection.evidence import ClassifiedProposals, ProposalMask
from analysis.selection.features import FEATURE_NAMES, ProposalFeatures, compute_proposal_features
from analysis.selection.inputs import PAIR_INPUTS, PROPOSAL_INPUTS, selection_inputs
from analysis.selection.measurements import ProposalMeasurements, measure_proposals
from analysis.selection.rescoring import RescoringModel, RescoringSettings, load_rescoring_model, prescreen_rows
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.grey_image import GreyImage
from analysis.structures.review import ReviewFinding
from analysis.training.fits.cell_evidence import collect_evidence
from analysis.training.selection.aneuploid_cells import aneuploid_cell
from analysis.training.selection.assigned import assign_cell
from analysis.training.selection.figures import is_normal, selection_figures
from analysis.training.selection.fit import (
    SelectionFitSettings,
    energies_of,
    fit_selection_net,
    move_gains,
    selections_of,
)
from analysis.training.selection.gather import gather_cells, read_gathered
from analysis.training.selection.prepared import PreparedCell, moves_of, prepare_cell
from analysis.training.selection.prescreen import fit_prescreen
from analysis.training.selection.rescoring_fit import (
    PreparedSplit,
    fit_folds,
    held_out_energies,
    rescoring_figures,
    write_rescoring_model,
)
from simulators.specimen.chromosome import ChromosomeAppearance, render_chromosome

HALF_UNTIL = 0.55
PADDING_PX = 6.0


def boxes_on_stain(
    boxes: list[tuple[int, int, int, int]], classes: list[int], scores: list[float]
) -> ProposalFeatures:
    """Proposals over a piece of stain each, or over one together where they touch."""
    mask = np.zeros((300, 300), np.bool_)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    tight = np.asarray(boxes, np.float32)
    chance = np.full((len(boxes), 24), 0.1 / 23, np.float32)
    chance[np.arange(len(boxes)), classes] = 0.9
    found = BoxProposals(tight, np.asarray(scores, np.float32), chance)
    return compute_proposal_features(measure_proposals(found, tight, mask), tight, mask)


def told(classes: list[int | None]) -> NDArray[np.float64]:
    """Class probabilities, sure of each; None for what nobody looked at."""
    table = np.full((len(classes), 24), np.nan)
    for row, own in enumerate(classes):
        if own is not None:
            table[row] = 0.001 / 23
            table[row, own] = 0.999
    return table


HALVES = [(20, 20, 40, 60), (20, 60, 40, 100), (20, 20, 40, 100), (120, 20, 140, 90)]


def prescreened(features: ProposalFeatures, selected: list[bool], *, most: int = 9, **named: float) -> list[int]:
    weights = np.asarray([named.get(name, 0.0) for name in FEATURE_NAMES])
    settings = RescoringSettings(min_log_odds=-5.0, most=most)
    return prescreen_rows(features, np.asarray(selected), weights, settings).tolist()


def test_only_what_nearly_was_selected_is_classified_best_first() -> None:
    features = boxes_on_stain(HALVES, [1, 2, 0, 0], [0.3, 0.6, 0.001, 0.9])
    selected = [False, False, False, True]
    assert prescreened(features, selected, score=1.0) == [1, 0]
    assert prescreened(features, selected, score=1.0, constant=9.0) == [1, 0, 2]
    assert prescreened(features, selected, score=1.0, constant=9.0, most=2) == [1, 0]
    assert prescreened(features, selected, constant=-6.0) == []


def test_the_third_of_a_class_is_told_from_the_second() -> None:
    apart = [(20 + 40 * k, 20, 40 + 40 * k, 90) for k in range(3)]
    traits = boxes_on_stain(apart, [4, 4, 4], [0.9, 0.9, 0.9])
    third = FEATURE_NAMES.index("third of class")
    fills = FEATURE_NAMES.index("fills a place")
    all_three = traits.table(np.ones(3, np.bool_), told([4, 4, 4]))
    assert all_three[:, third] == pytest.approx([1.0, 1.0, 1.0], abs=0.02)
    two = traits.table(np.asarray([True, True, False]), told([4, 4, 4]))
    assert two[:2, third] == pytest.approx([0.0, 0.0], abs=0.02)
    assert two[:2, fills] == pytest.approx([1.0, 1.0], abs=0.02)
    # X and Y share two places, however they fill them.
    sexes = traits.table(np.asarray([True, True, False]), told([22, 23, 22]))
    assert sexes[:, fills] == pytest.approx([1.0, 1.0, 0.0], abs=0.02)


def test_stain_that_others_explain_speaks_less() -> None:
    column = FEATURE_NAMES.index("explained already")
    traits = boxes_on_stain(HALVES, [1, 2, 0, 0], [0.8, 0.8, 0.4, 0.9])
    table = traits.table(np.asarray([True, True, False, False]), traits.measurements.classes)
    assert table[:, column] == pytest.approx([0.0, 0.0, 0.3, 0.0])


@st.composite
def cells(draw: st.DrawFn) -> tuple[ProposalFeatures, list[bool]]:
    count = draw(st.integers(1, 9))
    boxes = []
    for _ in range(count):
        x0, y0 = draw(st.integers(0, 200)), draw(st.integers(0, 200))
        boxes.append((x0, y0, x0 + draw(st.integers(8, 80)), y0 + draw(st.integers(8, 80))))
    classes = [draw(st.integers(0, 23)) for _ in boxes]
    scores = [draw(st.floats(0.02, 0.98)) for _ in boxes]
    return boxes_on_stain(boxes, classes, scores), [draw(st.booleans()) for _ in boxes]


@given(cells(), st.data())
@settings(max_examples=40, deadline=None)
def test_traits_of_a_proposal_do_not_depend_on_whether_it_is_chosen_itself(
    cell: tuple[ProposalFeatures, list[bool]], data: st.DataObject
) -> None:
    traits, given_choice = cell
    row = data.draw(st.integers(0, len(traits) - 1))
    chosen = np.asarray(given_choice)
    other = chosen.copy()
    other[row] = not other[row]
    tables = [traits.table(each, traits.measurements.classes) for each in (chosen, other)]
    assert np.isfinite(tables[0]).all()
    np.testing.assert_allclose(tables[0][row], tables[1][row], atol=1e-9)


def evidence_of(
    boxes: list[tuple[int, int, int, int]], classes: NDArray[np.float64], none: list[float]
) -> ClassifiedProposals:
    """Proposals whose masks fill their boxes, classified alike by both nets."""
    masks = tuple(ProposalMask(box, np.ones((box[3] - box[1], box[2] - box[0]), np.bool_)) for box in boxes)
    log_prob = np.log(classes)
    sizes = np.zeros((len(boxes), 3))
    return ClassifiedProposals(np.arange(len(boxes)), log_prob, log_prob, np.log(np.asarray(none)), sizes, masks)


def test_pairs_are_measured_from_either_side() -> None:
    features = boxes_on_stain(HALVES, [1, 2, 0, 0], [0.8, 0.8, 0.4, 0.9])
    evidence = evidence_of(HALVES, told([1, 2, 0, 0]), [0.1] * 4)
    inputs = selection_inputs(features, evidence, np.asarray([True, True, False, True]), 1.0)
    assert inputs.single.shape == (4, len(PROPOSAL_INPUTS))
    assert inputs.pair.shape == (4, 4, len(PAIR_INPUTS))
    column = PAIR_INPUTS.index
    assert inputs.pair[0, 2, column("mask inside")] == 1.0
    assert inputs.pair[0, 2, column("mask holds")] == 0.5
    assert inputs.pair[2, 3, column("one class")] == pytest.approx(0.999**2, abs=1e-3)
    assert inputs.near.tolist() == [
        [False, False, True, False],
        [False, False, True, False],
        [True, True, False, False],
        [False, False, False, False],
    ]
    fit = PROPOSAL_INPUTS.index("fit of mask and box")
    assert inputs.single[:, fit].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_weights_that_come_with_the_product_are_of_these_inputs() -> None:
    model = load_rescoring_model()
    assert model.ensemble.prescreen_weights.shape == (len(FEATURE_NAMES),)
    assert model.ensemble.prescreen_weights[FEATURE_NAMES.index("score")] > 0


SMALL = SelectionFitSettings(epochs=12, batch=4, rate=1e-2, size=16, layers=1, heads=2, dropout=0.0)


def simulated_cells(count: int) -> list[PreparedCell]:
    """The initial selection takes halves where their scores are good; there is dirt; classes know better."""
    rng = np.random.default_rng(8)
    made = []
    for number in range(count):
        boxes, classes, scores, chance, selected, truth = [], [], [], [], [], []
        for k in range(6):
            x0 = 10 + 46 * k
            whole = (x0, 20, x0 + 20, 100)
            halves = [(x0, 20, x0 + 20, 58), (x0, 62, x0 + 20, 100)]
            torn = bool(rng.random() < 0.4)
            boxes += [whole, *halves, (x0, 140, x0 + 20, 180)]
            classes += [k, 23 - k, 12, k]
            scores += [0.5, 0.6, 0.6, 0.6] if torn else [0.8, 0.2, 0.2, 0.6]
            chance += [k, None, None, None]
            selected += [not torn, torn, torn, False]
            truth.append(whole)
        table = told(chance)
        table[np.isnan(table)] = 1.0 / 24.0
        features = boxes_on_stain(boxes, classes, scores)
        evidence = evidence_of(boxes, table, [0.1 if own is not None else 0.8 for own in chance])
        initial = np.asarray(selected)
        rows = np.arange(len(boxes))
        embeddings = CropEmbeddings(
            torch.from_numpy(np.log(np.column_stack([table, table, np.full(len(boxes), 0.1)]))).float(),
            *(torch.zeros((len(boxes), size)) for size in (128, 128, 3)),
        )
        made.append(
            PreparedCell(
                name=f"cell {number}",
                case=f"case {number % 4}",
                true_classes=tuple(CLASS_NAMES[k] for k in range(6)),
                inputs=selection_inputs(features, evidence, initial, 1.0),
                competing=features.competing(rows) & ~np.eye(len(rows), dtype=np.bool_),
                class_probability=table,
                initial=initial,
                true=np.tile([True, False, False, False], 6),
                missed_anyway=0,
                evidence=evidence,
                scores=np.asarray(scores),
                areas_px=np.full(len(boxes), 800.0),
                embeddings=embeddings,
                detector=np.log(table).astype(np.float32),
                iou=box_iou(np.asarray(truth, np.float64), np.asarray(boxes, np.float64)),
            )
        )
    return made


def simulated_split(count: int) -> PreparedSplit:
    cells = simulated_cells(count)
    moves = [moves_of(cell, np.random.default_rng(number)) for number, cell in enumerate(cells)]
    return PreparedSplit(tuple(cells), tuple(moves))


@pytest.fixture(scope="module")
def split() -> PreparedSplit:
    torch.set_num_threads(1)
    return simulated_split(8)


def test_moves_say_what_they_change(split: PreparedSplit) -> None:
    for cell, moves in zip(split.cells, split.moves, strict=True):
        assert cell.outcome(cell.true) == (0, 0)
        for state, flips, change in zip(moves.state, moves.flips, moves.change, strict=True):
            after = moves.states[state].copy()
            rows = flips[flips >= 0]
            after[rows] = ~after[rows]
            assert sum(cell.outcome(after)) - sum(cell.outcome(moves.states[state])) == change
        assert (moves.change[moves.state == 0] >= 0).all()


def test_aneuploid_cells_are_made_of_chromosomes_that_lie_alone(split: PreparedSplit) -> None:
    rng = np.random.default_rng(4)
    changes = []
    for cell in split.cells * 3:
        made = aneuploid_cell(cell, split.cells, rng)
        changes.append(len(made.true_classes) - len(cell.true_classes))
        assert made.outcome(made.true) == (0, 0)
        assert len(made.inputs.single) == len(made.initial) == len(made.embeddings) == len(made.evidence)
        assert made.inputs.pair.shape[:2] == made.inputs.near.shape == made.competing.shape
        if changes[-1] > 0:
            assert made.true[-1]
            assert not made.inputs.near[-1].any()
        column = PROPOSAL_INPUTS.index("fills a place")
        assert (made.inputs.single[:, column] <= 1.0 + 1e-6).all()
    assert set(changes) == {-1, 1}


def test_gains_that_are_learned_are_those_that_the_search_takes(split: PreparedSplit) -> None:
    net = fit_selection_net(split.cells, split.moves, replace(SMALL, epochs=1))
    (energy,) = energies_of([net], split.cells[:1])
    cell, moves = split.cells[0], split.moves[0]
    single, pair = torch.from_numpy(energy.single), torch.from_numpy(energy.pair)
    places = torch.tensor([energy.third_price, energy.place_gain], dtype=torch.float64)
    learned = move_gains(single, pair, moves, cell, places).numpy()
    for place in range(0, len(learned), 7):
        rows = moves.flips[place][moves.flips[place] >= 0]
        assert learned[place] == pytest.approx(energy.gain(moves.states[moves.state[place]], rows), abs=1e-6)


def test_a_fit_learns_that_halves_belong_to_no_class(split: PreparedSplit, tmp_path: Path) -> None:
    weights = np.zeros(len(FEATURE_NAMES))
    nets = fit_folds(split, weights, SMALL, folds=2)
    energies = held_out_energies(nets, split.cells)
    before = selection_figures(split.cells, [cell.initial for cell in split.cells])
    after = selection_figures(split.cells, selections_of(energies, split.cells))
    figures = rescoring_figures(nets, split, PreparedSplit(split.cells[:2], ()))
    assert (figures["initial"], figures["cross_validated"]) == (before, after)
    assert figures["val"].cells == 2
    assert before.aer > 0.3
    assert after.aer == 0.0
    assert after.whole == 1.0
    path = write_rescoring_model(
        nets, tmp_path, settings=SMALL, figures={"cross_validated": after}, command="this"
    )
    again = load_rescoring_model(tmp_path)
    mean, (first, second) = (
        again.terms(split.cells[0].inputs),
        (RescoringModel(one).terms(split.cells[0].inputs) for one in _each_alone(again.ensemble)),
    )
    torch.testing.assert_close(mean.single, (first.single + second.single) / 2)
    torch.testing.assert_close(mean.pair, mean.pair.transpose(1, 2))
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert manifest["metrics"]["cross_validated_missed"] == 0.0
    manifest["columns"]["members.0.mean"][0] = "another"
    path.with_suffix(".json").write_text(json.dumps(manifest))
    load_rescoring_model.cache_clear()
    with pytest.raises(WeightsError, match="other inputs"):
        load_rescoring_model(tmp_path)


def _each_alone(ensemble: SelectionEnsemble) -> list[SelectionEnsemble]:
    alone = []
    for member in ensemble.members:
        one = SelectionEnsemble(
            members=1,
            features=len(FEATURE_NAMES),
            inputs=len(PROPOSAL_INPUTS),
            pair_inputs=len(PAIR_INPUTS),
            size=SMALL.size,
            layers=SMALL.layers,
            heads=SMALL.heads,
        )
        one.members[0].load_state_dict(member.state_dict())
        alone.append(one.eval())
    return alone


def test_cells_are_normal_by_their_labels() -> None:
    pairs = [name for name in CLASS_NAMES[:22] for _ in range(2)]
    assert is_normal([*pairs, "X", "Y"])
    assert is_normal([*pairs, "X", "X"])
    assert not is_normal([*pairs, "X"])
    assert not is_normal([*pairs, "X", "Y", "21"])
    assert not is_normal([*pairs[1:], "X", "Y", "21"])


@dataclass
class Scene:
    """A drawn metaphase whose detector takes two of its chromosomes for four halves."""

    image: GreyImage
    detections: BoxProposals
    shape: tuple[int, int]

    def candidates(self, relative: NDArray[np.float32], *, scale: float) -> BoxProposals:
        """Propose the boxes, brought to the picture that is worked on."""
        factor = relative.shape[0] / self.shape[0]
        return replace(self.detections, boxes_px=self.detections.boxes_px * np.float32(factor))


@pytest.fixture(scope="module")
def scene() -> Scene:
    torch.set_num_threads(1)
    rng = np.random.default_rng(21)
    od = np.zeros((900, 1280), np.float32)
    boxes, scores, classes = [], [], []
    names = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]
    for k, name in enumerate(names):
        body = render_chromosome(
            name, rng, um_per_px=0.1024, appearance=ChromosomeAppearance(), angle_deg=float(rng.uniform(-12, 12))
        )
        row, column = divmod(k, 10)
        height, width = body.od.shape
        y, x = row * 175 + (175 - height) // 2, column * 125 + (125 - width) // 2
        od[y : y + height, x : x + width] += body.od
        xmin, ymin, xmax, ymax = body.box_px
        box = np.asarray([x + xmin, y + ymin, x + xmax, y + ymax], np.float32)
        middle = box[1] + HALF_UNTIL * (box[3] - box[1])
        own = CLASS_NAMES.index(name)
        boxes.append(box)
        scores.append(0.25 if k in (2, 7) else 0.9)
        classes.append(own)
        if k in (2, 7):
            boxes += [np.asarray([box[0], box[1], box[2], middle]), np.asarray([box[0], middle, box[2], box[3]])]
            scores += [0.85, 0.85]
            classes += [18, 20]
    light = 230.0 * 10.0 ** -cv2.GaussianBlur(od, (0, 0), 0.9) + rng.normal(0, 1.5, od.shape)
    chance = np.full((len(boxes), 24), 0.2 / 23, np.float32)
    chance[np.arange(len(boxes)), classes] = 0.8
    order = np.argsort(-np.asarray(scores), kind="stable")
    padded = np.asarray(boxes, np.float32) + np.asarray([-1, -1, 1, 1], np.float32) * np.float32(PADDING_PX)
    image = GreyImage(np.clip(np.rint(light), 0, 255).astype(np.uint8), "halved.png")
    found = BoxProposals(padded[order], np.asarray(scores, np.float32)[order], chance[order])
    return Scene(image, found, od.shape)


def test_halves_are_put_together_once_the_classifier_has_seen_them(scene: Scene) -> None:
    segmenter = DetectorSegmenter(scene)
    assert len(segmenter(scene.image).instances) == 48
    first = load_karyotyper(segmenter, banding="G", rescoring=False).karyotype(scene.image)
    second = load_karyotyper(segmenter, banding="G").karyotype(scene.image)
    assert len(first.chromosomes) == 48
    assert len(second.chromosomes) == 46
    for whole in (entry for entry in second.chromosomes if entry.instance.score == pytest.approx(0.25)):
        assert whole.instance.extent_px is not None
    assert sum(entry.instance.score == pytest.approx(0.25) for entry in second.chromosomes) == 2


def test_where_the_detector_is_unsure_of_classes_the_first_pass_stands_and_no_confidence_is_given(
    scene: Scene,
) -> None:
    even = np.full_like(scene.detections.class_probability, 1.0 / 24.0)
    unsure = replace(scene, detections=replace(scene.detections, class_probability=even))
    first = load_karyotyper(DetectorSegmenter(unsure), banding="G", rescoring=False).karyotype(scene.image)
    second = load_karyotyper(DetectorSegmenter(unsure), banding="G").karyotype(scene.image)
    assert [one.instance.box_px for one in first.chromosomes] == [
        one.instance.box_px for one in second.chromosomes
    ]
    findings = {reason.finding for reason in second.verdict.reasons}
    assert ReviewFinding.CUTS_UNMEASURED in findings


def test_the_same_choice_cuts_the_same_cell(scene: Scene) -> None:
    found = DetectorSegmenter(scene)(scene.image)
    assert isinstance(found, RevisableSegmentation)
    again = found.reselect(found.rows)
    assert len(again.instances) == len(found.instances)
    for first, second in zip(found.instances, again.instances, strict=True):
        assert first.box_px == second.box_px
        assert np.array_equal(first.mask, second.mask)
    assert [entry.score for entry in again.left_out] == [entry.score for entry in found.left_out]


def test_an_alternative_is_cut_as_if_it_had_been_chosen(scene: Scene) -> None:
    found = DetectorSegmenter(scene)(scene.image)
    assert isinstance(found, RevisableSegmentation)
    cell = found.hypotheses
    missed = np.flatnonzero(np.isclose(cell.proposals.score, 0.25))
    made = cell.alternatives(missed, np.asarray(found.rows))
    assert len(made) == 2
    for row, entry in zip(missed, made, strict=True):
        assert entry is not None
        halves = [
            piece
            for piece, own in zip(found.instances, found.rows, strict=True)
            if cell.features.inside[own, row] > 0.9
        ]
        assert len(halves) == 2
        assert entry.mask.sum() == pytest.approx(sum(piece.mask.sum() for piece in halves), rel=0.1)


def test_where_contours_cut_there_is_nothing_to_choose(scene: Scene) -> None:
    karyotyper = load_karyotyper(segment_by_contours)
    assert not isinstance(segment_by_contours(scene.image), RevisableSegmentation)
    assert karyotyper.karyotype(scene.image).chromosomes


def test_overlaps_of_proposals_are_those_of_their_boxes() -> None:
    traits = boxes_on_stain(HALVES, [1, 2, 0, 0], [0.8, 0.8, 0.4, 0.9])
    known: ProposalMeasurements = traits.measurements
    assert known.overlap[0, 2] == pytest.approx(box_iou(np.asarray([HALVES[0]]), np.asarray([HALVES[2]]))[0, 0])
    assert traits.inside[0, 2] == 1.0
    assert traits.inside[2, 0] == 0.5


def labelled(folder: Path, scene: Scene) -> Path:
    """The scene as a set of two pictures, with the boxes of its 46 chromosomes."""
    place = folder / "tseng"
    (place / "images").mkdir(parents=True)
    whole = [row for row in range(len(scene.detections)) if not np.isclose(scene.detections.score[row], 0.85)]
    lines = ["image,class,xmin,ymin,xmax,ymax"]
    for name in ("s1", "s2"):
        cv2.imwrite(str(place / "images" / f"{name}.jpg"), scene.image.pixels)
        for row in whole:
            sides = ",".join(str(round(float(value))) for value in scene.detections.boxes_px[row])
            label = CLASS_NAMES[int(scene.detections.class_probability[row].argmax())]
            lines.append(f"{name},{label},{sides}")
    (place / "boxes.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (place / "images.csv").write_text("image,case,split\ns1,a,val\ns2,b,val\n")
    return folder


def test_what_the_fits_are_made_of(scene: Scene, tmp_path: Path) -> None:
    data = labelled(tmp_path, scene)
    segmenter = DetectorSegmenter(scene)
    (evidence,) = collect_evidence(data, "val", Classifier.load(), segmenter, part=(1, 2))
    assert evidence.given.case == "b"
    assert np.bincount(evidence.given.classes, minlength=24).tolist() == [2] * 22 + [1, 1]
    assert np.count_nonzero(evidence.detected.classes == NO_CHROMOSOME) == 2
    assert np.isfinite(evidence.given.detected).all()


def test_gathering_goes_on_where_it_was_stopped(scene: Scene, tmp_path: Path) -> None:
    data = labelled(tmp_path, scene)
    folder, classifier, segmenter = tmp_path / "gathered", Classifier.load(), DetectorSegmenter(scene)
    (first,) = gather_cells(data, "val", folder, classifier, segmenter, part=(0, 2))
    assert first.path is not None
    written = first.path.stat().st_mtime_ns
    names = [cell.name for cell in gather_cells(data, "val", folder, classifier, segmenter)]
    assert names == ["s1", "s2"]
    assert first.path.stat().st_mtime_ns == written
    with pytest.raises(DatasetError, match="not on 'test'"):
        next(gather_cells(data, "test", folder, classifier, segmenter))


def test_what_is_gathered_is_what_the_product_selects_from(scene: Scene, tmp_path: Path) -> None:
    data = labelled(tmp_path, scene)
    classifier, segmenter = Classifier.load(), DetectorSegmenter(scene)
    list(gather_cells(data, "val", tmp_path, classifier, segmenter, part=(0, 2)))
    (example,) = read_gathered(tmp_path, "val")
    segmentation = segmenter(read_image(data / "tseng" / "images" / "s1.jpg"))
    assert isinstance(segmentation, RevisableSegmentation)
    hypotheses = segmentation.hypotheses
    assert example.selected.tolist() == list(segmentation.rows)
    assert np.array_equal(example.stain, hypotheses.mask)
    assert np.array_equal(example.tight_px, hypotheses.tight_px)
    for (box_px, mask), instance in zip(example.masks_px, segmentation.instances, strict=False):
        assert box_px == instance.box_px
        assert np.array_equal(mask, instance.mask)
    weights = fit_prescreen([example])
    prescreen = RescoringSettings(min_log_odds=-50.0)
    cell = prepare_cell(example, weights, classifier, load_fusion_weights(), prescreen)
    # The longer half still passes for its chromosome by the measure of the set; the other one is false.
    assert cell.outcome(cell.initial) == (2, 0)
    assert cell.outcome(cell.true) == (0, 0)
    assert np.array_equal(cell.initial & ~cell.true, np.isclose(cell.scores, 0.85, atol=1e-3))
    assigned = assign_cell(cell, cell.energy(), cell.true, classifier, load_fusion_weights())
    assert len(assigned.true_classes) == 46
    assert len(assigned.classes) >= 44
    assert not assigned.aneuploid_called_normal
