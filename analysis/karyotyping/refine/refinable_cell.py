"""A karyotyped cell that edits are made to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import AssignmentCosts
from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights
from analysis.karyotyping.refine.chromosome_evidence import EvidenceCache
from analysis.segmentation.prompted_cell import PromptedCell
from analysis.structures.karyotype import Karyotype


@dataclass(frozen=True, slots=True)
class CellContext:
    """What all edits of one cell share; can be made again from its picture and its proposal.

    Attributes
    ----------
    proposed
        The cell as it was proposed, which edits are replayed on.
    prompted
        The metaphase, to prompt the mask net in.
    density
        float32, shape (height_px, width_px): stain of the image.
    evidence
        What the nets say of its chromosomes.
    classifier
        Scores chromosomes in view of each other.
    fusion
        How the detector's classes are weighted.
    costs
        What deviations from a normal cell cost in the joint assignment.
    """

    proposed: Karyotype
    prompted: PromptedCell
    density: NDArray[np.float32]
    evidence: EvidenceCache
    classifier: Classifier
    fusion: FusionWeights
    costs: AssignmentCosts

    @property
    def width_px(self) -> float:
        """Typical width of a chromosome, in image px."""
        return self.prompted.working.width_px / self.prompted.working.factor


@dataclass(frozen=True, slots=True)
class RefinableCell:
    """A cell as edited so far. Edits give another one; this one stays as it is.

    Attributes
    ----------
    karyotype
        The cell.
    context
        What all its edits share.
    changed
        Ids of chromosomes that the last edit made or changed, class and polarity included.
    removed
        Ids of those that it took out.
    """

    karyotype: Karyotype
    context: CellContext
    changed: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
