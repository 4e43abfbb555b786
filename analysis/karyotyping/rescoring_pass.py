"""Proposals of a cell shown to the classifier: those that were chosen, and those that nearly were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier, CropEmbeddings
from analysis.classification.fusion import FusionWeights, detected_classes, fuse_class_evidence
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.selection.rescoring import RescoringModel
from analysis.straightening.crops import crops_of_cell, cut_instances, scale_of_cell
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop, ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.medial_axis import MedialAxis
from analysis.structures.segmentation import Segmentation


@dataclass(frozen=True, slots=True)
class ScoredMetaphase:
    """A segmented cell, its chromosomes straightened and looked at one by one.

    Attributes
    ----------
    image
        The picture.
    segmentation
        How it was cut.
    objects, axes, crops
        Pixels, axes and straightened pictures of its chromosomes.
    seen
        What the net sees in them.
    """

    image: GreyImage
    segmentation: Segmentation
    objects: tuple[ObjectPixels, ...]
    axes: tuple[MedialAxis, ...]
    crops: tuple[ChromosomeCrop, ...]
    seen: CropEmbeddings

    def recut(self, segmentation: Segmentation, classifier: Classifier, banding: str | None) -> ScoredMetaphase:
        """The same cell cut otherwise: what was cut alike isn't looked at again."""
        known = {_key(entry): row for row, entry in enumerate(self.segmentation.instances)}
        rows = [known.get(_key(entry), -1) for entry in segmentation.instances]
        fresh = [entry for entry, row in zip(segmentation.instances, rows, strict=True) if row < 0]
        objects, axes, crops, seen = self._look_at(fresh, classifier, banding)
        places = iter(range(len(self.objects), len(self.objects) + len(fresh)))
        order = [row if row >= 0 else next(places) for row in rows]
        every = ([*self.objects, *objects], [*self.axes, *axes], [*self.crops, *crops])
        return ScoredMetaphase(
            self.image,
            segmentation,
            tuple(every[0][k] for k in order),
            tuple(every[1][k] for k in order),
            tuple(every[2][k] for k in order),
            self.seen.joined(seen).take(order),
        )

    def classes(
        self, others: NDArray[np.intp], classifier: Classifier, fusion: FusionWeights, banding: str | None
    ) -> NDArray[np.float64]:
        """Tell the classes of a cell's proposals as both nets see them.

        Parameters
        ----------
        others
            Proposals that weren't chosen, to look at besides.
        classifier, fusion, banding
            See `Karyotyper`.

        Returns
        -------
        NDArray[np.float64]
            Shape (n, 24), n all proposals: probabilities; rows of NaN where nobody looked.

        Raises
        ------
        ValueError
            Where the segmentation leaves no choice.
        """
        choices = self.segmentation
        if not isinstance(choices, RevisableSegmentation):
            raise ValueError("this segmentation leaves no choice")
        made = choices.hypotheses.alternatives(others, np.asarray(choices.rows, np.intp))
        rows = [int(row) for row, entry in zip(others, made, strict=True) if entry is not None]
        instances = [entry for entry in made if entry is not None]
        *_, seen = self._look_at(instances, classifier, banding)
        scores = classifier.scores_of(self.seen.joined(seen))
        detected = detected_classes([*self.segmentation.instances, *instances])
        told = np.full((len(choices.hypotheses.proposals), len(CLASS_NAMES)), np.nan)
        told[[*choices.rows, *rows]] = np.exp(fuse_class_evidence(scores, detected, None, fusion).log_prob)
        return told

    def _look_at(
        self, instances: list[Instance], classifier: Classifier, banding: str | None
    ) -> tuple[tuple[ObjectPixels, ...], tuple[MedialAxis, ...], tuple[ChromosomeCrop, ...], CropEmbeddings]:
        """Straighten and look at others of this cell, to its scale."""
        objects = cut_instances(self.image, self.segmentation.background, instances)
        axes = tuple(medial_axes([piece.mask for piece in objects]))
        crops = crops_of_cell(objects, axes, scale_of_cell(self.objects, self.axes))
        return objects, axes, crops, classifier.look_at(crops, banding=banding)


def rescore_metaphase(
    cell: ScoredMetaphase,
    weights: RescoringModel,
    classifier: Classifier,
    fusion: FusionWeights,
    banding: str | None,
) -> ScoredMetaphase:
    """Choose a cell's chromosomes again by what both nets see; the same cell where nothing changes.

    Parameters
    ----------
    cell
        Cut by the first choice.
    weights
        How proposals are weighed.
    classifier, fusion, banding
        See `Karyotyper`.
    """
    choices = cell.segmentation
    if not isinstance(choices, RevisableSegmentation) or not choices.rows:
        return cell
    traits, chosen = choices.hypotheses.features, choices.selected
    others = weights.prescreen(traits, chosen)
    if not others.size:
        return cell
    now = weights.reselect(traits, chosen, cell.classes(others, classifier, fusion, banding))
    if np.array_equal(now, chosen):
        return cell
    again = choices.reselect([int(row) for row in np.flatnonzero(now)])
    return cell.recut(again, classifier, banding) if again.instances else cell


def _key(entry: Instance) -> tuple[tuple[int, int, int, int], bytes]:
    return entry.box_px, entry.mask.tobytes()
