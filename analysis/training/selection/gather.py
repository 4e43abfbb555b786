"""Gather what the selection is fitted to: each picture of a split segmented, its near misses cut and embedded.

A picture takes one to two seconds, and is kept on the disk under the checksum of all weights it rests on:
gathering goes on where it was stopped, and new weights of a net gather anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from analysis.classification.classifier import Classifier
from analysis.datasets.label_corrections import corrected_labels, read_label_corrections
from analysis.datasets.tseng import TsengImage, load_tseng_for_training
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.scored_metaphase import classifier_domain, embed_metaphase
from analysis.parameters.manifest import read_manifest
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.training.selection.selection_example import SelectionExample, read_example, write_example

LEAST_SCORE: Final = 0.04
"""Proposals of lower scores aren't cut: of 1,000 true chromosomes at most one has none above."""

SPLITS: Final = ("fit", "val")
"""Splits that may be gathered: nets learned from ``train``, and the others are kept for figures."""

_RESTS_ON: Final = (
    ParameterSetName.DETECTOR,
    ParameterSetName.STREAM_MASKS,
    ParameterSetName.MASK_COVER,
    ParameterSetName.PLAUSIBILITY,
    ParameterSetName.SELECTION,
    ParameterSetName.CLASSIFIER,
)


@dataclass(frozen=True, slots=True)
class GatheredCell:
    """A picture that is done.

    Attributes
    ----------
    name
        Image.
    path
        Its record; None where the segmentation found no metaphase, or left no choice.
    """

    name: str
    path: Path | None


def gather_cells(
    data_dir: Path,
    split: str,
    folder: Path,
    classifier: Classifier,
    segmenter: DetectorSegmenter,
    *,
    part: tuple[int, int] = (0, 1),
    limit: int | None = None,
) -> Iterator[GatheredCell]:
    """Gather a split of the Tseng set, picture by picture; those that lie on the disk are not computed again.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        One of `SPLITS`.
    folder
        Gets a file a picture.
    classifier, segmenter
        Of the product.
    part
        (k, n): every n-th picture from the k-th on.
    limit
        Only so many pictures, spread evenly, before they are parted.

    Raises
    ------
    DatasetError
        If the set isn't there, or the split is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise DatasetError(
            f"the selection is fitted on {' and '.join(SPLITS)} alone, not on {split!r}", path=data_dir
        )
    entries = load_tseng_for_training(data_dir / "tseng", split)
    if limit is not None and limit < len(entries):
        entries = tuple(entries[k] for k in np.linspace(0, len(entries) - 1, limit).round().astype(int))
    folder.mkdir(parents=True, exist_ok=True)
    key = weights_key()
    for entry in entries[part[0] :: part[1]]:
        path = folder / f"{key}-{split}-{entry.name}.npz"
        if path.exists():
            yield GatheredCell(entry.name, path)
            continue
        record = gather_cell(entry, classifier, segmenter)
        if record is not None:
            write_example(path, record)
        yield GatheredCell(entry.name, path if record is not None else None)


def read_gathered(folder: Path, split: str) -> Iterator[SelectionExample]:
    """Read the records of a split, by the weights in use, in the order of their names.

    Labels are corrected by our list (`analysis.datasets.label_corrections`), whatever it was when they were
    gathered; cells that it leaves out are passed over.

    Parameters
    ----------
    folder
        Where they lie.
    split
        One of `SPLITS`.
    """
    corrections = read_label_corrections()
    for path in sorted(folder.glob(f"{weights_key()}-{split}-*.npz")):
        example = read_example(path)
        labels = corrected_labels(
            example.true_boxes_px.astype(np.int32), example.true_classes, corrections.get(example.name, ())
        )
        if labels is not None:
            yield replace(example, true_boxes_px=labels[0].astype(np.float64), true_classes=labels[1])


def weights_key(folder: Path = PARAMETERS_FOLDER) -> str:
    """Name the weights that records rest on: twelve hexadecimal digits."""
    sums = [read_manifest(name, folder).sha256 for name in _RESTS_ON]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:12]


def gather_cell(
    tseng_image: TsengImage, classifier: Classifier, segmenter: DetectorSegmenter
) -> SelectionExample | None:
    """Segment a picture, cut and embed what nearly was selected; None where there is no choice to be made.

    Parameters
    ----------
    tseng_image
        Picture and true boxes.
    classifier, segmenter
        Of the product.
    """
    image = read_image(tseng_image.path)
    try:
        segmentation = segmenter(image)
    except NoMetaphaseError:
        return None
    if not isinstance(segmentation, RevisableSegmentation):
        return None
    embedded = embed_metaphase(image, segmentation, classifier, None)
    hypotheses, working = segmentation.hypotheses, segmentation.hypotheses.working
    others = np.flatnonzero(~segmentation.selected & (hypotheses.proposals.score >= LEAST_SCORE))
    rows = np.asarray(segmentation.rows, np.int64)
    made = hypotheses.alternatives(others, rows.astype(np.intp))
    instances = [each for each in made if each is not None]
    _, embeddings = embedded.embed_others(instances, classifier, classifier_domain(embedded.banding, None))
    made_rows = [int(row) for row, each in zip(others, made, strict=True) if each is not None]
    high, wide = image.pixels.shape
    return SelectionExample(
        name=tseng_image.name,
        case=tseng_image.case,
        true_boxes_px=tseng_image.boxes_px.astype(np.float64),
        true_classes=tseng_image.classes,
        shape=(high, wide),
        factor=working.factor,
        width_px=working.width_px,
        proposals=hypotheses.proposals,
        tight_px=hypotheses.tight_px,
        stain=hypotheses.mask,
        nuclei=working.nuclei,
        density=working.density,
        selected=rows,
        embedded=np.asarray([*rows.tolist(), *made_rows], np.int64),
        masks_px=tuple((each.box_px, each.mask) for each in [*segmentation.instances, *instances]),
        embeddings=embedded.embeddings.joined(embeddings),
    )
