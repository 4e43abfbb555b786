"""Cells of which a selection was made, classified and assigned as the product does, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import assign, load_assignment_costs
from analysis.assignment.oversize import OVERSIZE, oversize_ratio
from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights, fuse_class_evidence
from analysis.karyotyping.cell_confidence import cell_signs
from analysis.selection.alternatives import pile_alternatives
from analysis.selection.energy import SelectionEnergy
from analysis.structures.assignment import Assignment
from analysis.structures.boxes import match
from analysis.structures.classes import UNCLASSIFIED
from analysis.training.selection.figures import is_normal
from analysis.training.selection.prepared import PreparedCell


@dataclass(frozen=True, slots=True)
class AssignedCell:
    """A cell with its classes.

    Attributes
    ----------
    name, case
        Image and patient.
    signs
        See `cell_signs`.
    right
        Whether every true chromosome was found (IoU .5) and has its class, and nothing else has one.
    true_classes, classes
        Labelled and assigned classes, the latter without objects that have none.
    """

    name: str
    case: str
    signs: NDArray[np.float64]
    right: bool
    true_classes: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def aneuploid_called_normal(self) -> bool:
        """Whether the labels are other than 46,XX or 46,XY, and the classes are one of these."""
        return is_normal(self.classes) and not is_normal(self.true_classes)


def assign_cell(
    cell: PreparedCell,
    energy: SelectionEnergy,
    selected: NDArray[np.bool_],
    classifier: Classifier,
    fusion: FusionWeights,
) -> AssignedCell:
    """Classify the selected proposals of a cell in view of one another, and assign their classes.

    Parameters
    ----------
    cell
        Prepared.
    energy
        By a net that wasn't fitted to the cell's case.
    selected
        bool, shape (k,): its selection.
    classifier, fusion
        Class evidence.
    """
    rows = np.flatnonzero(selected)
    scores = classifier.score_embeddings(cell.embeddings.take(rows.tolist()))
    evidence = fuse_class_evidence(scores, cell.detector[rows], cell.scores[rows], fusion)
    assignment = _assigned(evidence.log_prob, evidence.log_none, cell.areas_px[rows], fusion)
    owner = {column: cell.true_classes[row] for row, column in match(cell.iou[:, rows])}
    sound = all(
        owner.get(place) == name
        for place, name in enumerate(assignment.classes)
        if name != UNCLASSIFIED or place in owner
    )
    signs = cell_signs(
        assignment,
        cell.scores[rows],
        cell.scores[~selected].tolist(),
        pile_alternatives(energy, selected),
    )
    return AssignedCell(
        name=cell.name,
        case=cell.case,
        signs=signs,
        right=sound and len(owner) == len(cell.true_classes),
        true_classes=cell.true_classes,
        classes=tuple(name for name in assignment.classes if name != UNCLASSIFIED),
    )


def _assigned(
    log_prob: NDArray[np.float64],
    log_none: NDArray[np.float64] | None,
    areas_px: NDArray[np.float64],
    fusion: FusionWeights,
) -> Assignment:
    """Assign as `Karyotyper` does what it detected."""
    costs = replace(load_assignment_costs(), sharpness=fusion.sharpness_detected)
    assignment = assign(log_prob, log_none, costs)
    oversized = oversize_ratio(areas_px, assignment.classes) > OVERSIZE
    if not oversized.any():
        return assignment
    none = np.full(len(areas_px), -np.inf) if log_none is None else log_none
    return assign(log_prob, np.where(oversized, 0.0, none), costs)
