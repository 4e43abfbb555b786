"""Cells of several sets, cut, of labelled banding technique."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from analysis.datasets.bioimlab import bioimlab_cells
from analysis.datasets.gband612 import gband612_cells
from analysis.datasets.mfish import labelled_instances, load_mfish
from analysis.datasets.rband import rband_crops
from analysis.imaging.background import estimate_background
from analysis.imaging.image_file import read_image
from analysis.straightening.crops import crops_of_cell, cut_instances, object_from_picture
from analysis.straightening.external_crops import emits_light, objects_of, read_external_crop
from analysis.structures.banding import BandingKind
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop

BIOIMLAB_LEARNT: Final = 80
MFISH_LEARNT: Final = 18
"""Train cells of these sets that the templates come from; the others of their train splits stand in for a val
split, which they don't have."""


@dataclass(frozen=True, slots=True)
class BandedCell:
    """One cell, cut, of known banding.

    Attributes
    ----------
    name, source
        Of the cell and of its set.
    kind
        How it is banded.
    fluorescent
        Whether light is emitted.
    crops, classes
        Its chromosomes; classes may be unknown ("?").
    """

    name: str
    source: str
    kind: BandingKind
    fluorescent: bool
    crops: tuple[ChromosomeCrop, ...]
    classes: tuple[str, ...]


def gband612_banded(data_dir: Path, split: str, step: int = 1) -> Iterator[BandedCell]:
    """G-band cells of gband612, every ``step``-th.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    step
        1 for all.
    """
    for cell in islice(gband612_cells(data_dir / "gband612", split), 0, None, step):
        crops = crops_of_cell([object_from_picture(picture) for picture in cell.pictures])
        yield BandedCell(cell.name, "gband612", BandingKind.G, False, crops, cell.classes)


def bioimlab_banded(data_dir: Path, *, learnt: bool) -> Iterator[BandedCell]:
    """Q-band cells: those the templates come from, or the rest of the train split.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    learnt
        Whether templates come from them.
    """
    chosen = slice(0, BIOIMLAB_LEARNT) if learnt else slice(BIOIMLAB_LEARNT, None)
    cells = bioimlab_cells(data_dir / "bioimlab_qband", "train")
    for cell in islice(cells, chosen.start, chosen.stop):
        crops = crops_of_cell([object_from_picture(picture, inverted=True) for picture in cell.pictures])
        yield BandedCell(cell.name, "bioimlab", BandingKind.Q, True, crops, cell.classes)


def mfish_banded(data_dir: Path, *, learnt: bool) -> Iterator[BandedCell]:
    """DAPI cells by their true masks: those the templates come from, or the rest of the train split.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    learnt
        Whether templates come from them.
    """
    cells = sorted(load_mfish(data_dir / "mfish", "train"), key=lambda cell: cell.name)
    for cell in cells[:MFISH_LEARNT] if learnt else cells[MFISH_LEARNT:]:
        image = read_image(cell.image_path)
        labelled = labelled_instances(cell.classmap())
        objects = cut_instances(image, estimate_background(image.pixels), [entry for _, entry in labelled])
        names = tuple(CLASS_NAMES[label - 1] for label, _ in labelled)
        yield BandedCell(cell.name, "mfish", BandingKind.DAPI, image.inverted, crops_of_cell(objects), names)


def rband_banded(data_dir: Path, part: str) -> Iterator[BandedCell]:
    """R-band cells of the rband sample.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    part
        ``"train"`` or ``"val"``.

    Raises
    ------
    DatasetError
        If the set isn't there, lacks a column, or has no such cell.
    """
    listed = rband_crops(data_dir / "rband", part)
    cuts = [read_external_crop(path) for path, _ in listed]
    crops = crops_of_cell(objects_of(cuts, emitted=emits_light(cuts)))
    classes = tuple(name for _, name in listed)
    yield BandedCell(f"rband {part}", "rband", BandingKind.R, False, crops, classes)


def held_out_cells(data_dir: Path, drawn: Iterable[BandedCell] = ()) -> Iterator[BandedCell]:
    """Cells that no template comes from: real ones of all four kinds, then ``drawn`` ones.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    drawn
        Further cells.
    """
    yield from gband612_banded(data_dir, "val")
    yield from bioimlab_banded(data_dir, learnt=False)
    yield from mfish_banded(data_dir, learnt=False)
    yield from rband_banded(data_dir, "val")
    yield from drawn
