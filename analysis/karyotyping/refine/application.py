"""Edits carried out on a cell, taken back and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from analysis.errors import EditError, EditShapeError, NoSuchObjectError
from analysis.karyotyping.edited_proposal import review_straightened
from analysis.karyotyping.refine.addition import AddedMask, PromptedAddition
from analysis.karyotyping.refine.class_assignment import assign_classes
from analysis.karyotyping.refine.crossing import resolve_crossing
from analysis.karyotyping.refine.explanation_choice import choose_explanation, same_mask
from analysis.karyotyping.refine.joining import join
from analysis.karyotyping.refine.outlining import outline_by_polygon
from analysis.karyotyping.refine.refinable_cell import CellContext, RefinableCell
from analysis.karyotyping.refine.separation import separate
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
    RecordedEdit,
    ResolveCrossing,
    SeparateByLine,
    SetClass,
)
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.placement import PlacedMask, touching_instances
from analysis.structures.unexplained import UnexplainedObject


def refine(
    cell: RefinableCell, edit: CellEdit, *, author: str = "", made_at: datetime | None = None
) -> RefinableCell:
    """Carry out one edit.

    What the edit doesn't name keeps its pixels, and its class too unless the edit asks for a reassignment.

    Parameters
    ----------
    cell
        The cell; it stays as it is.
    edit
        What is to be done.
    author
        Who does it; empty where nobody said.
    made_at
        When; None where nobody said.

    Raises
    ------
    EditError
        The edit can't be carried out: it names what isn't there, lies outside of the picture, or doesn't fit.
    """
    draft = _Draft(cell.context, {each.id: each for each in cell.karyotype.chromosomes}, cell.karyotype)
    _carry_out(draft, edit)
    return _completed(draft, cell, RecordedEdit(edit=edit, author=author, made_at=made_at))


def undo(cell: RefinableCell, count: int = 1) -> RefinableCell:
    """Take the last edits back.

    Parameters
    ----------
    cell
        The cell.
    count
        How many edits.

    Raises
    ------
    EditError
        There are fewer.
    """
    edits = cell.karyotype.cell_edits
    if not 1 <= count <= len(edits):
        raise EditError("undo", f"{count} edits can't be taken back of {len(edits)}")
    return replay(cell.context, edits[: len(edits) - count])


def replay(context: CellContext, edits: Sequence[RecordedEdit]) -> RefinableCell:
    """Carry out edits one after the other on a cell as it was proposed.

    Parameters
    ----------
    context
        The cell's.
    edits
        The edits with their authors.

    Raises
    ------
    EditError
        One of them can't be carried out.
    """
    cell = RefinableCell(context.proposed, context)
    for each in edits:
        cell = refine(cell, each.edit, author=each.author, made_at=each.made_at)
    return cell


@dataclass(slots=True)
class _Draft:
    """A cell while an edit changes it."""

    context: CellContext
    chromosomes: dict[int, KaryotypedChromosome]
    before: Karyotype
    made: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)
    dismissed: set[int] = field(default_factory=set)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.before.image.height_px, self.before.image.width_px

    def chromosome(self, number: int, operation: str) -> KaryotypedChromosome:
        """A chromosome by its id."""
        if number not in self.chromosomes:
            raise NoSuchObjectError(operation, f"there is no chromosome {number} in this cell")
        return self.chromosomes[number]

    def placed(self, number: int, operation: str) -> PlacedMask:
        """Box and mask of a chromosome."""
        instance = self.chromosome(number, operation).instance
        return instance.box_px, instance.mask

    def addition(self, *, without: int | None = None) -> PromptedAddition:
        """What asks the mask net, in view of all chromosomes but one."""
        others = {number: each.instance for number, each in self.chromosomes.items() if number != without}
        cell = self.context.prompted.beside(list(others.values()))
        masks = {number: (each.box_px, each.mask) for number, each in others.items()}
        return PromptedAddition(cell, self.context.density, masks)

    def add(
        self, placed: PlacedMask, score: float, extent_px: tuple[float, float, float, float] | None = None
    ) -> None:
        """Add a chromosome under a number that none had before."""
        numbers = [*self.chromosomes, *(each.id for each in self.before.superseded), -1]
        numbers += [each.id for each in self.before.chromosomes]
        self.put(1 + max(numbers), placed, score, extent_px)

    def put(
        self,
        number: int,
        placed: PlacedMask,
        score: float,
        extent_px: tuple[float, float, float, float] | None = None,
    ) -> None:
        """Put a mask under a number; its class is open."""
        instance = Instance(placed[0], placed[1], score, SegmentationRoute.EDIT, extent_px=extent_px)
        self.chromosomes[number] = KaryotypedChromosome(number, UNCLASSIFIED, 0.0, instance, flipped=False)
        self.made.add(number)


def _carry_out(draft: _Draft, edit: CellEdit) -> None:
    operation, width_px = edit.operation, draft.context.width_px
    match edit:
        case SeparateByLine():
            whole = draft.chromosome(edit.chromosome, operation)
            pieces = separate(draft.placed(edit.chromosome, operation), edit.line_px, draft.size, width_px)
            del draft.chromosomes[edit.chromosome]
            for piece in pieces:
                draft.add(piece, whole.instance.score)
        case Join():
            _join(draft, edit)
        case AddAtPoint():
            _add(draft, draft.addition().at_point(edit.point_px, operation))
        case AddInBox():
            _add(draft, draft.addition().in_box(edit.box_px, operation), edit.box_px)
        case AddAlongScribble():
            _add(draft, draft.addition().along(edit.points_px, operation))
        case Delete():
            draft.chromosome(edit.chromosome, operation)
            del draft.chromosomes[edit.chromosome]
        case OutlineByPolygon():
            before = draft.chromosome(edit.chromosome, operation)
            placed = outline_by_polygon(draft.placed(before.id, operation), edit.outline_px, draft.size, width_px)
            _reshape(draft, before, AddedMask(placed, before.instance.score))
        case OutlineAlongScribble():
            before = draft.chromosome(edit.chromosome, operation)
            _reshape(draft, before, draft.addition(without=before.id).along(edit.points_px, operation))
        case ResolveCrossing():
            _resolve(draft, edit)
        case ChooseExplanation():
            _choose(draft, edit)
        case DismissUnexplained():
            if edit.unexplained >= len(draft.before.unexplained):
                count = len(draft.before.unexplained)
                raise NoSuchObjectError(operation, f"there is no unexplained object {edit.unexplained} of {count}")
            draft.dismissed.add(edit.unexplained)
        case SetClass():
            _set_class(draft, edit)


def _add(draft: _Draft, added: AddedMask, extent_px: tuple[float, float, float, float] | None = None) -> None:
    draft.add(added.placed, added.score, extent_px)


def _join(draft: _Draft, edit: Join) -> None:
    if len(set(edit.chromosomes)) < len(edit.chromosomes):
        raise EditShapeError(edit.operation, "a chromosome can't be joined with itself")
    pieces = [draft.placed(number, edit.operation) for number in edit.chromosomes]
    joined = join(pieces, draft.size, draft.context.width_px)
    score = max(draft.chromosomes[number].instance.score for number in edit.chromosomes)
    for number in edit.chromosomes:
        del draft.chromosomes[number]
    draft.add(joined, score)


def _reshape(draft: _Draft, before: KaryotypedChromosome, outlined: AddedMask) -> None:
    """Give a chromosome other pixels; it stays who it is, and a class that a person gave it stays too."""
    draft.put(before.id, outlined.placed, outlined.score)
    if before.set_by_person:
        draft.chromosomes[before.id] = replace(before, instance=draft.chromosomes[before.id].instance)
        draft.made.discard(before.id)
        draft.named.add(before.id)


def _resolve(draft: _Draft, edit: ResolveCrossing) -> None:
    numbers = tuple(dict.fromkeys(edit.chromosomes))
    objects = [draft.placed(number, edit.operation) for number in numbers]
    first, second = resolve_crossing(objects, edit.axes_px, draft.size, draft.context.width_px)
    score = max(draft.chromosomes[number].instance.score for number in numbers)
    for number in numbers:
        del draft.chromosomes[number]
    draft.add(first, score)
    draft.add(second, score)


def _choose(draft: _Draft, edit: ChooseExplanation) -> None:
    present = list(draft.chromosomes.values())
    change = choose_explanation(draft.before.piles, edit.pile, edit.explanation, present, draft.size)
    for number in change.removed:
        del draft.chromosomes[number]
    for instance in change.added:
        # What was proposed comes back as it was.
        original = next(
            (each for each in draft.context.proposed.chromosomes if same_mask(each.instance, instance)), None
        )
        if original is not None and original.id not in draft.chromosomes:
            draft.chromosomes[original.id] = original
        else:
            draft.add((instance.box_px, instance.mask), instance.score, instance.extent_px)


def _set_class(draft: _Draft, edit: SetClass) -> None:
    before = draft.chromosome(edit.chromosome, edit.operation)
    proposed = before.proposed or (before.class_name, before.flipped)
    flipped = before.flipped if edit.flipped is None else edit.flipped
    same = proposed == (edit.class_name, flipped)
    draft.chromosomes[before.id] = replace(
        before,
        class_name=edit.class_name,
        flipped=flipped,
        proposed=None if same else proposed,
        confirmed=True,
    )
    draft.named.add(before.id)


def _completed(draft: _Draft, cell: RefinableCell, recorded: RecordedEdit) -> RefinableCell:
    """Assign what is open, review the cell anew, and say what changed."""
    before = cell.karyotype
    ordered = [draft.chromosomes[number] for number in sorted(draft.chromosomes)]
    assigned = assign_classes(draft.context, ordered, draft.made, reassign=recorded.edit.reassign)
    chromosomes = _with_neighbours(assigned)
    former = {each.id: each for each in before.chromosomes}
    changed = tuple(
        each.id
        for each in chromosomes
        if each.id not in former or each.id in draft.named or _differs(each, former[each.id])
    )
    removed = tuple(number for number in former if number not in draft.chromosomes)
    superseded = {each.id: each for each in before.superseded}
    probabilities = {each.id: each.probability for each in chromosomes}
    for number, each in former.items():
        # One with another probability alone isn't shown as changed, and is kept as it was all the same.
        if number in changed or probabilities.get(number) != each.probability:
            superseded.setdefault(number, each)
    edited = replace(
        before,
        chromosomes=chromosomes,
        proposed_objects=_objects_of(draft.context.proposed),
        unexplained=_with_dismissed(before.unexplained, draft.dismissed),
        cell_edits=(*before.cell_edits, recorded),
        superseded=tuple(superseded[number] for number in sorted(superseded)),
        proposed_verdict=before.proposed_verdict or draft.context.proposed.verdict,
    )
    recorded_defects = dict(
        zip((each.id for each in before.chromosomes), before.bands.defects or (None,) * len(former), strict=True)
    )
    defects = [None if each.id in changed else recorded_defects.get(each.id) for each in chromosomes]
    return RefinableCell(review_straightened(edited, defects), draft.context, changed, removed)


def _objects_of(proposed: Karyotype) -> int:
    return len(proposed.chromosomes) if proposed.proposed_objects is None else proposed.proposed_objects


def _differs(after: KaryotypedChromosome, before: KaryotypedChromosome) -> bool:
    same = after.class_name == before.class_name and after.flipped == before.flipped
    return not (same and same_mask(after.instance, before.instance))


def _with_dismissed(
    unexplained: Sequence[UnexplainedObject], dismissed: set[int]
) -> tuple[UnexplainedObject, ...]:
    return tuple(
        replace(each, dismissed=True) if number in dismissed else each for number, each in enumerate(unexplained)
    )


def _with_neighbours(chromosomes: Sequence[KaryotypedChromosome]) -> tuple[KaryotypedChromosome, ...]:
    """Chromosomes that touch, by their ids."""
    places = touching_instances([(each.instance.box_px, each.instance.mask) for each in chromosomes])
    numbers = [each.id for each in chromosomes]
    return tuple(
        replace(each, instance=replace(each.instance, overlaps=tuple(numbers[row] for row in rows)))
        for each, rows in zip(chromosomes, places, strict=True)
    )
