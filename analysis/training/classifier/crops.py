"""Prepared crops for the classifier's training, cached outside the repository.

Crops are made by the very code of the inference, cell by cell, because sizes and contrast are relative to the
cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_cells import LabelledCell, bioimlab_cells, gband612_cells, mfish_cells, tseng_views
from analysis.datasets.tseng import load_tseng_for_training
from analysis.straightening.crops import crops_of_cell
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS, ChromosomeCrop, ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.medial_axis import MedialAxis
from analysis.structures.segmentation import Segmentation
from analysis.training.classifier.rendered_cells import rendered_cells
from analysis.training.engine.checkpoint import whole_file
from analysis.training.engine.progress import Progress, silent
from simulators.specimen.banding import Banding

DENSITY_STEPS = 63.0
"""Relative densities up to 4 are kept as bytes."""
RENDERED_CELLS = {"train": 150, "val": 12}
RENDERED_SEED = {"train": 9002, "val": 9001}
REVERSE_SEED = {"train": 9102, "val": 9101}
TSENG_IMAGES = {"train": 1113, "val": 100}
"""Images taken, in an order that mixes the cases: their segmentation takes most of the time of the preparation."""
TSENG_ORDER_SEED = 54816
PART_IMAGES = 20

Cut = Callable[[GreyImage], Segmentation]
Read = Callable[[Path], GreyImage]


@dataclass(frozen=True, slots=True)
class ClassifierCropTable:
    """Crops of many cells, row by row.

    Attributes
    ----------
    images
        uint8, shape (n, 2, CROP_ROWS, CROP_COLUMNS): relative density times 63, of the chromosome alone and with
        what lies around it.
    features
        float32, shape (n, 3), see `ChromosomeCrop.features`.
    classes
        int64, shape (n,): 0..21 for 1..22, 22 X, 23 Y, 24 no single chromosome, -1 unknown.
    polarity
        int64, shape (n,): 0 short arm up in the crop, 1 down, -1 unknown.
    cells
        int64, shape (n,): rows with the same number are of one cell.
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float32]
    classes: NDArray[np.int64]
    polarity: NDArray[np.int64]
    cells: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def densities(self) -> NDArray[np.float32]:
        """float32, shape (n, 2, CROP_ROWS, CROP_COLUMNS): relative densities."""
        return self.images.astype(np.float32) / np.float32(DENSITY_STEPS)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ClassifierCropTable:
        """Take some rows, by their numbers, shape (m,)."""
        return ClassifierCropTable(
            self.images[rows], self.features[rows], self.classes[rows], self.polarity[rows], self.cells[rows]
        )

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        with whole_file(path) as file:
            np.savez_compressed(
                file,
                images=self.images,
                features=self.features,
                classes=self.classes,
                polarity=self.polarity,
                cells=self.cells,
            )

    @staticmethod
    def load(path: Path) -> ClassifierCropTable:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return ClassifierCropTable(
                arrays["images"],
                arrays["features"],
                arrays["classes"],
                arrays["polarity"],
                arrays["cells"],
            )

    @staticmethod
    def joined(tables: Sequence[ClassifierCropTable]) -> ClassifierCropTable:
        """Tables one below the other; cells of different tables stay different."""
        shifts = np.cumsum([0, *(int(table.cells.max(initial=-1)) + 1 for table in tables)])
        return ClassifierCropTable(
            np.concatenate([table.images for table in tables]),
            np.concatenate([table.features for table in tables]),
            np.concatenate([table.classes for table in tables]),
            np.concatenate([table.polarity for table in tables]),
            np.concatenate([table.cells + shift for table, shift in zip(tables, shifts, strict=False)]),
        )


class AxisCache:
    """Axes of masks that are looked at more than once, for one cell."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[NDArray[np.bool_], MedialAxis]] = {}

    def axes(self, objects: Sequence[ObjectPixels]) -> list[MedialAxis]:
        """Axes of the objects' masks, in their order."""
        new = {id(piece.mask): piece.mask for piece in objects if id(piece.mask) not in self._known}
        for mask, axis in zip(new.values(), medial_axes(list(new.values())), strict=True):
            # The mask is kept with its axis, so that its identity stays its own.
            self._known[id(mask)] = (mask, axis)
        return [self._known[id(piece.mask)][1] for piece in objects]


def table_of_cells(labelled_cells: Iterable[LabelledCell], cache: AxisCache | None = None) -> ClassifierCropTable:
    """Straighten cells into a table. Objects of unknown class are kept: they are part of their cell.

    Parameters
    ----------
    labelled_cells
        Labelled cells.
    cache
        Axes that were worked out already.
    """
    images: list[NDArray[np.uint8]] = []
    features: list[NDArray[np.float32]] = []
    rows: list[tuple[int, int, int]] = []
    for number, cell in enumerate(labelled_cells):
        made = crops_of_cell(cell.objects, (cache or AxisCache()).axes(cell.objects))
        for crop, label, polarity in zip(made, cell.classes, cell.polarity, strict=True):
            images.append(as_bytes(crop))
            features.append(crop.features())
            rows.append((label, polarity, number))
    labels = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return ClassifierCropTable(
        np.stack(images) if images else np.zeros((0, 2, CROP_ROWS, CROP_COLUMNS), np.uint8),
        np.stack(features) if features else np.zeros((0, 3), np.float32),
        labels[:, 0],
        labels[:, 1],
        labels[:, 2],
    )


def as_bytes(crop: ChromosomeCrop) -> NDArray[np.uint8]:
    """uint8, shape (2, CROP_ROWS, CROP_COLUMNS): both views of a crop."""
    return np.asarray(np.rint(np.clip(crop.views() * DENSITY_STEPS, 0, 255)), dtype=np.uint8)


def prepare_crops(
    data_dir: Path,
    crops_dir: Path,
    *,
    segment: Cut,
    read: Read,
    keep: bool = True,
    progress: Progress | None = None,
    only: Sequence[str] | None = None,
    splits: Sequence[str] = ("val", "train"),
    budget_parts: int | None = None,
) -> None:
    """Write the crop tables ``<source>-<split>.npz`` of all sources, those of whole metaphases in parts.

    Parameters
    ----------
    data_dir
        Data root.
    crops_dir
        Where the tables go.
    segment, read
        Segmentation and image reader, for the sources that are whole metaphases.
    keep
        Leave tables alone that are there already.
    progress
        Called with one line per table.
    only
        Sources to prepare; all that are there where it is None.
    splits
        Splits to prepare.
    budget_parts
        Parts of the metaphases to make at most before returning; a later call goes on.

    Raises
    ------
    DatasetError
        Where ``gband612`` isn't there. Other sets may be missing.
    """
    tell = progress or silent
    makers = _cell_sources(data_dir, segment, read)
    for name in [name for name in makers if only is None or name in only]:
        for split in splits:
            path = crops_dir / f"{name}-{split}.npz"
            if keep and path.is_file():
                continue
            table = table_of_cells(makers[name](split))
            table.save(path)
            tell(f"{path.name}: {len(table)} crops")
    if (data_dir / "tseng" / "images.csv").is_file() and (only is None or "tseng" in only):
        parts = chain.from_iterable(
            _tseng_parts(data_dir, crops_dir, split, segment, read, keep=keep) for split in splits
        )
        # A budget of nothing is no budget.
        for line in islice(parts, budget_parts or None):
            tell(line)


def _cell_sources(data_dir: Path, segment: Cut, read: Read) -> dict[str, Callable[[str], Iterable[LabelledCell]]]:
    """Sources whose cells fit into one table a split, by name: drawn ones, and the data sets that are there."""
    makers: dict[str, Callable[[str], Iterable[LabelledCell]]] = {
        "gband612": lambda split: gband612_cells(data_dir, split),
        "rendered": lambda split: rendered_cells(RENDERED_CELLS[split], RENDERED_SEED[split]),
        "rendered_r": lambda split: rendered_cells(RENDERED_CELLS[split] // 3, REVERSE_SEED[split], Banding.R),
    }
    if (data_dir / "bioimlab_qband" / "crops.csv").is_file():
        makers["bioimlab"] = lambda split: bioimlab_cells(data_dir, split)
    if (data_dir / "mfish" / "cells.csv").is_file():
        makers["mfish"] = lambda split: mfish_cells(data_dir, split, segment, read)
    return makers


def _tseng_parts(
    data_dir: Path, crops_dir: Path, split: str, segment: Cut, read: Read, *, keep: bool
) -> Iterator[str]:
    entries = load_tseng_for_training(data_dir / "tseng", split)
    order = np.random.default_rng(TSENG_ORDER_SEED).permutation(len(entries))[: TSENG_IMAGES[split]]
    for part, start in enumerate(range(0, len(order), PART_IMAGES)):
        paths = {name: crops_dir / f"{name}-{split}-{part:03d}.npz" for name in ("tseng_boxes", "tseng")}
        if keep and all(path.is_file() for path in paths.values()):
            continue
        found, given = [], []
        for at in order[start : start + PART_IMAGES]:
            views = tseng_views(entries[at], segment, read)
            if views is None:
                continue
            cache = AxisCache()
            found.append(table_of_cells([views.detected], cache))
            given.append(table_of_cells([views.given], cache))
        for path, tables in zip(paths.values(), (given, found), strict=True):
            ClassifierCropTable.joined(tables or [table_of_cells([])]).save(path)
        yield f"{split} part {part}: {sum(map(len, found))} found, {sum(map(len, given))} given"


def load_tables(crops_dir: Path, split: str) -> dict[str, ClassifierCropTable]:
    """Prepared crops of every source that has that split, all of its parts together.

    Parameters
    ----------
    crops_dir
        Where they were prepared.
    split
        Which split.
    """
    parts: dict[str, list[ClassifierCropTable]] = {}
    for path in sorted(crops_dir.glob(f"*-{split}*.npz")):
        parts.setdefault(path.name.split("-")[0], []).append(ClassifierCropTable.load(path))
    tables = {name: ClassifierCropTable.joined(each) for name, each in parts.items()}
    return {name: table for name, table in tables.items() if len(table)}
