"""Edits of a cell, on a drawn cell with the nets of the product: what they do, leave alone and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier
from analysis.errors import (
    AnalysisError,
    EditError,
    EditShapeError,
    NoMetaphaseError,
    NoSuchObjectError,
    NothingStainedError,
    OutsidePictureError,
    ProposalFileError,
    SameChromosomeError,
)
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.proposal_file import read_proposal, write_proposal
from analysis.karyotyping.refine.application import refine, replay, undo
from analysis.karyotyping.refine.edit_list import read_edits
from analysis.karyotyping.refine.opening import RefineModels, open_cell, proposed_karyotype
from analysis.karyotyping.refine.picture_masks import mask_iou
from analysis.karyotyping.refine.refinable_cell import RefinableCell
from analysis.structures.alternatives import Pile, PileExplanation
from analysis.structures.band_reading import BandReading
from analysis.structures.cell_edit import (
    AddAlongScribble,
    AddAtPoint,
    AddInBox,
    CellEdit,
    ChooseExplanation,
    Delete,
    DismissUnexplained,
    Join,
    OutlineAlongScribble,
    OutlineByPolygon,
    ResolveCrossing,
    SeparateByLine,
    SetClass,
)
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.review import ReviewFinding
from analysis.structures.segmentation import Segmentation
from analysis.structures.unexplained import UnexplainedObject, UnexplainedReason
from simulators.specimen.chromosome import ChromosomeAppearance, render_chromosome

NAMES = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]
SIDE_PX = 190
CROSSING = (0, 2)
"""Chromosomes that lie across one another: a 1 that lies along the picture, and a 2 upright."""


@dataclass(frozen=True)
class Scene:
    """A drawn cell: its picture, and the true mask of every chromosome."""

    image: GreyImage
    segmentation: Segmentation


def drawn_scene() -> Scene:
    rng = np.random.default_rng(4)
    od = np.zeros((6 * SIDE_PX, 8 * SIDE_PX), np.float32)
    instances = []
    for k, name in enumerate(NAMES):
        body = render_chromosome(
            name,
            rng,
            um_per_px=0.1024,
            appearance=ChromosomeAppearance(),
            angle_deg={CROSSING[0]: 0.0, CROSSING[1]: 90.0}.get(k, 30.0 * (k % 5)),
            bend_deg=0.0,
        )
        place = CROSSING[0] if k == CROSSING[1] else k
        row, column = divmod(place, 8)
        height, width = body.od.shape
        y, x = row * SIDE_PX + (SIDE_PX - height) // 2, column * SIDE_PX + (SIDE_PX - width) // 2
        od[y : y + height, x : x + width] += body.od
        xmin, ymin, xmax, ymax = body.box_px
        box_px = (x + xmin, y + ymin, x + xmax, y + ymax)
        mask = np.ascontiguousarray(body.mask[ymin:ymax, xmin:xmax])
        instances.append(Instance(box_px, mask, 0.95, SegmentationRoute.SINGLE))
    light = 210.0 * 10.0 ** -cv2.GaussianBlur(od, (0, 0), 0.9) + rng.normal(0, 1.5, od.shape)
    image = GreyImage(np.clip(np.rint(light), 0, 255).astype(np.uint8), "drawn.png")
    background = np.full(od.shape, 210.0, np.float32)
    return Scene(image, Segmentation(tuple(instances), background, np.zeros(od.shape, np.bool_)))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return drawn_scene()


@pytest.fixture(scope="module")
def models() -> RefineModels:
    torch.set_num_threads(1)
    return RefineModels.load()


@pytest.fixture(scope="module")
def karyotype(scene: Scene) -> Karyotype:
    """The cell by its true masks, with the true classes."""
    made = Karyotyper(Classifier.load(), lambda _image: scene.segmentation).karyotype(scene.image)
    named = tuple(
        replace(each, class_name=name, probability=0.995)
        for each, name in zip(made.chromosomes, NAMES, strict=True)
    )
    return replace(made, chromosomes=named)


@pytest.fixture(scope="module")
def cell(karyotype: Karyotype, models: RefineModels) -> RefinableCell:
    return open_cell(karyotype, models)


def chromosome(cell: RefinableCell, number: int) -> KaryotypedChromosome:
    return next(each for each in cell.karyotype.chromosomes if each.id == number)


def placed(cell: RefinableCell, number: int) -> tuple[tuple[int, int, int, int], NDArray[np.bool_]]:
    instance = chromosome(cell, number).instance
    return instance.box_px, instance.mask


def middle(cell: RefinableCell, number: int) -> tuple[float, float]:
    (x0, y0, _, _), mask = placed(cell, number)
    rows, columns = np.nonzero(mask)
    return float(x0 + columns.mean()), float(y0 + rows.mean())


def axis_of(cell: RefinableCell, number: int) -> tuple[tuple[float, float], ...]:
    """The medial axis, in px of the picture."""
    each = chromosome(cell, number)
    assert each.axis is not None
    points = each.axis.points_px[:: len(each.axis.points_px) // 6] + np.asarray(each.instance.box_px[:2])
    return tuple((float(x), float(y)) for x, y in points)


def across(cell: RefinableCell, number: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """A line across the middle of a chromosome."""
    points = np.asarray(axis_of(cell, number))
    along = points[-1] - points[0]
    normal = np.asarray([-along[1], along[0]]) / np.hypot(*along)
    centre = np.asarray(middle(cell, number))
    first, last = centre - 14.0 * normal, centre + 14.0 * normal
    return (float(first[0]), float(first[1])), (float(last[0]), float(last[1]))


def untouched(before: RefinableCell, after: RefinableCell) -> list[int]:
    """Ids of chromosomes that are the same in both, pixels, class, probability and polarity."""
    former = {each.id: each for each in before.karyotype.chromosomes}

    def same(one: KaryotypedChromosome, other: KaryotypedChromosome) -> bool:
        return (one.class_name, one.probability, one.flipped, one.confirmed, one.instance.box_px) == (
            other.class_name,
            other.probability,
            other.flipped,
            other.confirmed,
            other.instance.box_px,
        ) and bool(np.array_equal(one.instance.mask, other.instance.mask))

    return [each.id for each in after.karyotype.chromosomes if each.id in former and same(each, former[each.id])]


def test_a_chromosome_is_separated_and_joined_again(cell: RefinableCell) -> None:
    parted = refine(cell, SeparateByLine(chromosome=10, line_px=across(cell, 10)))
    assert parted.removed == (10,)
    assert parted.changed == (46, 47)
    assert len(untouched(cell, parted)) == 45
    areas = [np.count_nonzero(placed(parted, number)[1]) for number in parted.changed]
    assert sum(areas) == np.count_nonzero(placed(cell, 10)[1])
    assert min(areas) > 0.3 * sum(areas)
    whole = refine(parted, Join(chromosomes=parted.changed))
    assert whole.changed == (48,)
    assert mask_iou(placed(whole, 48), placed(cell, 10)) > 0.97
    assert chromosome(whole, 48).class_name == NAMES[10]
    assert len(untouched(cell, whole)) == 45


@pytest.mark.parametrize("how", ["point", "box", "scribble"])
@pytest.mark.parametrize("number", [9, 24, 45])
def test_a_missed_chromosome_is_added(cell: RefinableCell, how: str, number: int) -> None:
    missed = refine(cell, Delete(chromosome=number))
    assert missed.removed == (number,)
    assert len(missed.karyotype.chromosomes) == 45
    edit: CellEdit = AddAtPoint(point_px=axis_of(cell, number)[2])
    if how == "box":
        x0, y0, x1, y1 = placed(cell, number)[0]
        edit = AddInBox(box_px=(x0, y0, x1, y1))
    elif how == "scribble":
        edit = AddAlongScribble(points_px=axis_of(cell, number))
    again = refine(missed, edit)
    assert again.changed == (46,)
    assert mask_iou(placed(again, 46), placed(cell, number)) > 0.7
    assert chromosome(again, 46).class_name == NAMES[number]
    assert chromosome(again, 46).instance.route is SegmentationRoute.EDIT
    assert len(untouched(cell, again)) == 45


def test_an_outline_is_drawn_anew_and_a_class_by_a_person_stays(cell: RefinableCell) -> None:
    named = refine(cell, SetClass(chromosome=20, class_name="7"))
    x0, y0, x1, y1 = placed(cell, 20)[0]
    corners = ((x0 - 2.0, y0 - 2.0), (x1 + 2.0, y0 - 2.0), (x1 + 2.0, y1 + 2.0), (x0 - 2.0, y1 + 2.0))
    drawn = refine(named, OutlineByPolygon(chromosome=20, outline_px=corners))
    assert drawn.changed == (20,)
    assert np.count_nonzero(placed(drawn, 20)[1]) >= (x1 - x0 + 4) * (y1 - y0 + 4)
    assert (chromosome(drawn, 20).class_name, chromosome(drawn, 20).confirmed) == ("7", True)
    scribbled = refine(drawn, OutlineAlongScribble(chromosome=20, points_px=axis_of(cell, 20)))
    assert mask_iou(placed(scribbled, 20), placed(cell, 20)) > 0.7
    assert chromosome(scribbled, 20).class_name == "7"


def test_a_crossing_is_resolved_by_two_axes(cell: RefinableCell) -> None:
    joined = refine(cell, Join(chromosomes=CROSSING))
    axes = axis_of(cell, CROSSING[0]), axis_of(cell, CROSSING[1])
    parted = refine(joined, ResolveCrossing(chromosomes=joined.changed, axes_px=axes))
    first, second = parted.changed
    for number, true in ((first, CROSSING[0]), (second, CROSSING[1])):
        assert mask_iou(placed(parted, number), placed(cell, true)) > 0.85
    assert mask_iou(placed(parted, first), placed(parted, second)) > 0.02
    assert first in chromosome(parted, second).instance.overlaps


def test_another_explanation_of_a_pile_is_chosen_and_taken_back(
    karyotype: Karyotype, models: RefineModels, cell: RefinableCell
) -> None:
    one, two = (chromosome(cell, number).instance for number in CROSSING)
    joined = refine(cell, Join(chromosomes=CROSSING))
    both = chromosome(joined, 46).instance
    pile = Pile((PileExplanation(0.7, (one, two)), PileExplanation(0.25, (both,))))
    piled = open_cell(replace(karyotype, piles=(pile,)), models)
    chosen = refine(piled, ChooseExplanation(pile=0, explanation=1))
    assert chosen.removed == CROSSING
    assert np.array_equal(placed(chosen, 46)[1], both.mask)
    back = refine(chosen, ChooseExplanation(pile=0, explanation=0))
    assert back.removed == (46,)
    assert untouched(piled, back) == [each.id for each in karyotype.chromosomes]
    with pytest.raises(NoSuchObjectError, match="2 explanations"):
        refine(piled, ChooseExplanation(pile=0, explanation=2))


def test_unexplained_stain_is_settled_by_adding_or_dismissing(
    karyotype: Karyotype, models: RefineModels, cell: RefinableCell
) -> None:
    (box, mask), (other_box, other_mask) = placed(cell, 40), placed(cell, 41)
    missed = tuple(each for each in karyotype.chromosomes if each.id not in (40, 41))
    listed = (
        UnexplainedObject(box, mask, UnexplainedReason.FREE_STAIN, 0.9, 0.95),
        UnexplainedObject(other_box, other_mask, UnexplainedReason.FREE_STAIN, 0.2, 0.9),
    )
    start = open_cell(replace(karyotype, chromosomes=missed, unexplained=listed, bands=BandReading()), models)
    dismissed = refine(start, DismissUnexplained(unexplained=1))
    assert [each.probability for each in dismissed.karyotype.open_unexplained] == [0.9]
    reasons = {each.finding: each for each in dismissed.karyotype.verdict.reasons}
    assert reasons[ReviewFinding.UNEXPLAINED].review
    added = refine(dismissed, AddAtPoint(point_px=middle(cell, 40)))
    assert added.karyotype.open_unexplained == ()
    assert ReviewFinding.UNEXPLAINED not in {each.finding for each in added.karyotype.verdict.reasons}
    assert len(undo(added, 2).karyotype.open_unexplained) == 2


def test_reassignment_leaves_alone_what_a_person_set(
    karyotype: Karyotype, models: RefineModels, cell: RefinableCell
) -> None:
    names = dict(enumerate(NAMES)) | {4: NAMES[40], 40: NAMES[4], 12: NAMES[34]}
    wrong = tuple(
        replace(each, class_name=names[each.id], confirmed=each.id == 12) for each in karyotype.chromosomes
    )
    start = open_cell(replace(karyotype, chromosomes=wrong), models)
    alone = refine(start, Delete(chromosome=43))
    assert {chromosome(alone, 4).class_name, chromosome(alone, 40).class_name} == {NAMES[4], NAMES[40]}
    assert chromosome(alone, 4).class_name == NAMES[40]
    assigned = refine(start, Delete(chromosome=43, reassign=True))
    assert chromosome(assigned, 4).class_name == NAMES[4]
    assert chromosome(assigned, 40).class_name == NAMES[40]
    assert chromosome(assigned, 12).class_name == NAMES[34]
    assert {4, 40} <= set(assigned.changed)
    assert undo(assigned).karyotype.chromosomes == start.karyotype.chromosomes


def test_edits_are_recorded_undone_and_replayed(cell: RefinableCell) -> None:
    made_at = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    first = refine(cell, Delete(chromosome=3), author="A. Weber", made_at=made_at)
    second = refine(first, SetClass(chromosome=5, class_name="mar"), author="B. Lang")
    record = second.karyotype.cell_edits[0]
    assert (record.edit.operation, record.author, record.made_at) == ("delete", "A. Weber", made_at)
    assert second.karyotype.edited
    assert undo(second).karyotype.chromosomes == first.karyotype.chromosomes
    assert undo(second, 2).karyotype is cell.karyotype
    again = replay(cell.context, second.karyotype.cell_edits)
    assert again.karyotype.chromosomes == second.karyotype.chromosomes
    assert again.karyotype.iscn == second.karyotype.iscn
    with pytest.raises(EditError, match="3 edits can't be taken back of 2"):
        undo(second, 3)


def test_numbers_are_not_used_twice(cell: RefinableCell) -> None:
    parted = refine(cell, SeparateByLine(chromosome=10, line_px=across(cell, 10)))
    fewer = refine(parted, Delete(chromosome=47))
    added = refine(fewer, AddAtPoint(point_px=middle(parted, 47)))
    assert added.changed == (48,)


def test_a_file_gives_back_the_cell_as_proposed(
    scene: Scene, karyotype: Karyotype, models: RefineModels, cell: RefinableCell, tmp_path: Path
) -> None:
    edited = cell
    for edit in (
        SeparateByLine(chromosome=10, line_px=across(cell, 10)),
        Delete(chromosome=46),
        SetClass(chromosome=5, class_name="9"),
        Delete(chromosome=7, reassign=True),
    ):
        edited = refine(edited, edit, author="A. Weber")
    write_proposal(edited.karyotype, tmp_path / "cell.json")
    read = read_proposal(tmp_path / "cell.json", scene.image)
    assert read.edited
    assert [each.edit for each in read.cell_edits] == [each.edit for each in edited.karyotype.cell_edits]
    before = proposed_karyotype(read)
    assert [each.id for each in before.chromosomes] == [each.id for each in karyotype.chromosomes]
    for one, other in zip(before.chromosomes, karyotype.chromosomes, strict=True):
        assert (one.class_name, one.flipped) == (other.class_name, other.flipped)
        assert np.array_equal(one.instance.mask, other.instance.mask)
    opened = open_cell(read, models)
    assert len(undo(opened, 4).karyotype.chromosomes) == 46
    again = undo(opened)
    assert {each.id for each in again.karyotype.chromosomes} == {*range(46), 47} - {10}
    # Sizes are related to the chromosomes that are left, where a session keeps the scale it began with.
    write_proposal(read, tmp_path / "first.json")
    write_proposal(read_proposal(tmp_path / "first.json", scene.image), tmp_path / "second.json")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()


BESIDE = ((4.0, 4.0), (9.0, 9.0))


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda cell: SeparateByLine(chromosome=10, line_px=BESIDE), EditShapeError),
        (lambda cell: SeparateByLine(chromosome=99, line_px=BESIDE), NoSuchObjectError),
        (lambda cell: Join(chromosomes=(1, 45)), EditShapeError),
        (lambda cell: Join(chromosomes=(1, 1)), EditShapeError),
        (lambda cell: Join(chromosomes=(1, 99)), NoSuchObjectError),
        (lambda cell: AddAtPoint(point_px=(5.0, 5.0)), NothingStainedError),
        (lambda cell: AddAtPoint(point_px=(-5.0, 5.0)), OutsidePictureError),
        (lambda cell: AddAtPoint(point_px=middle(cell, 6)), SameChromosomeError),
        (lambda cell: AddInBox(box_px=(3.0, 3.0, 30.0, 20.0)), NothingStainedError),
        (lambda cell: AddInBox(box_px=(30.0, 20.0, 3.0, 3.0)), NothingStainedError),
        (lambda cell: AddInBox(box_px=(3.0, 3.0, 3e9, 20.0)), OutsidePictureError),
        (lambda cell: AddAlongScribble(points_px=BESIDE), NothingStainedError),
        (lambda cell: Delete(chromosome=99), NoSuchObjectError),
        (
            lambda cell: OutlineByPolygon(
                chromosome=10, outline_px=((2.0, 2.0), (40.0, 2.0), (40.0, 40.0), (2.0, 40.0))
            ),
            EditShapeError,
        ),
        (
            lambda cell: OutlineByPolygon(chromosome=10, outline_px=((2.0, 2.0), (3.0, 2.0), (3.0, 3.0))),
            EditShapeError,
        ),
        (lambda cell: OutlineAlongScribble(chromosome=99, points_px=BESIDE), NoSuchObjectError),
        (lambda cell: ResolveCrossing(chromosomes=CROSSING, axes_px=(BESIDE, BESIDE)), EditShapeError),
        (lambda cell: ResolveCrossing(chromosomes=(99,), axes_px=(BESIDE, BESIDE)), NoSuchObjectError),
        (lambda cell: ChooseExplanation(pile=0, explanation=0), NoSuchObjectError),
        (lambda cell: DismissUnexplained(unexplained=0), NoSuchObjectError),
        (lambda cell: SetClass(chromosome=99, class_name="1"), NoSuchObjectError),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    cell: RefinableCell, edit: Callable[[RefinableCell], CellEdit], error: type[EditError]
) -> None:
    before = cell.karyotype
    with pytest.raises(error) as refused:
        refine(cell, edit(cell))
    assert refused.value.operation == edit(cell).operation
    assert cell.karyotype is before


def test_a_proposal_without_chromosomes_cannot_be_edited(karyotype: Karyotype, models: RefineModels) -> None:
    with pytest.raises(NoMetaphaseError, match="no chromosome"):
        open_cell(replace(karyotype, chromosomes=()), models)


def edit_file(folder: Path, *edits: object, **others: object) -> Path:
    path = folder / "edits.json"
    content = {"format": "karyoscan-edits", "version": 1, "edits": list(edits)} | others
    path.write_text(json.dumps(content))
    return path


def test_a_list_of_edits_is_read(tmp_path: Path) -> None:
    path = edit_file(
        tmp_path,
        {"operation": "separate", "chromosome": 12, "line_px": [[301, 220], [322, 241]]},
        {"operation": "add_at_point", "point_px": [410.5, 188], "reassign": True},
        {"operation": "set_class", "chromosome": 3, "class": "X"},
    )
    assert read_edits(path) == (
        SeparateByLine(chromosome=12, line_px=((301.0, 220.0), (322.0, 241.0))),
        AddAtPoint(point_px=(410.5, 188.0), reassign=True),
        SetClass(chromosome=3, class_name="X"),
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"operation": "explode", "chromosome": 1}, "edits"),
        ({"operation": "delete", "chromosome": -1}, "chromosome"),
        ({"operation": "delete", "chromosome": 1, "chromsome": 2}, "chromsome"),
        ({"operation": "separate", "chromosome": 1, "line_px": [[1, 2]]}, "line_px"),
        ({"operation": "set_class", "chromosome": 1, "class": "23"}, "23"),
        ({"operation": "delete"}, "chromosome"),
    ],
)
def test_a_wrong_edit_is_refused_with_its_place(tmp_path: Path, edit: object, message: str) -> None:
    with pytest.raises(ProposalFileError, match=message):
        read_edits(edit_file(tmp_path, edit))


def test_a_file_that_is_no_list_of_edits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProposalFileError, match="karyoscan-edits"):
        read_edits(edit_file(tmp_path, format="karyoscan-proposal"))
    with pytest.raises(AnalysisError, match="can't be read"):
        read_edits(tmp_path / "none.json")
