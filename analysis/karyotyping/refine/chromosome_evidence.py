"""What the nets say of single chromosomes of a cell; computed once for each mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier, CropEmbeddings
from analysis.karyotyping.scored_metaphase import straighten_instances
from analysis.segmentation.prompted_cell import PromptedCell
from analysis.straightening.crops import CellScale
from analysis.structures.crop import ChromosomeCrop
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.medial_axis import MedialAxis

MaskKey = tuple[tuple[int, int, int, int], bytes]


@dataclass(frozen=True, slots=True)
class ChromosomeEvidence:
    """One chromosome straightened and embedded.

    Attributes
    ----------
    axis, crop
        The chromosome straightened, to the scale of its cell.
    embedding
        The classifier's, of one row.
    detector_log_prob
        float64, shape (24,): log probabilities of the classes by the detector; NaN where there is none.
    """

    axis: MedialAxis
    crop: ChromosomeCrop
    embedding: CropEmbeddings
    detector_log_prob: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EvidenceCache:
    """The evidence of every mask of a cell that was asked for.

    Attributes
    ----------
    image
        The picture.
    background
        float32, shape (height_px, width_px), see `Segmentation`.
    classifier
        Embeds the chromosomes.
    domain
        Banding that the classifier is told, see `classifier_domain`.
    scale
        The cell's, to which sizes are related.
    prompted
        The metaphase, for the detector's classes.
    """

    image: GreyImage
    background: NDArray[np.float32]
    classifier: Classifier
    domain: str | None
    scale: CellScale
    prompted: PromptedCell
    _kept: dict[MaskKey, ChromosomeEvidence] = field(default_factory=dict, repr=False, compare=False)

    def of(self, instances: Sequence[Instance]) -> list[ChromosomeEvidence]:
        """The evidence of chromosomes, in their order; what wasn't asked for before is computed in one batch."""
        keys = [_key(each) for each in instances]
        missing = {key: each for key, each in zip(keys, instances, strict=True) if key not in self._kept}
        if missing:
            fresh = list(missing.values())
            straightened = straighten_instances(self.image, self.background, fresh, self.scale)
            embeddings = self.classifier.embed_crops(straightened.crops, banding=self.domain)
            boxes_px = [each.box_px if each.extent_px is None else each.extent_px for each in fresh]
            detector = self.prompted.classes_in(np.asarray(boxes_px, np.float64))
            for row, key in enumerate(missing):
                self._kept[key] = ChromosomeEvidence(
                    straightened.axes[row],
                    straightened.crops[row],
                    embeddings.take([row]),
                    np.asarray(detector[row], np.float64),
                )
        return [self._kept[key] for key in keys]


def _key(instance: Instance) -> MaskKey:
    return instance.box_px, np.packbits(instance.mask).tobytes()
