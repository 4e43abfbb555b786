"""All cut-outs of a split, cut once and kept."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.cutout import CellCutout, Cutout
from analysis.training.synthesis.drawn import draw_clumps, draw_grains, draw_nuclei, draw_precipitates
from analysis.training.synthesis.sources import SourceCutouts, cut_sources, image_names
from analysis.training.synthesis.truth import FLUORESCENCE, HELD_OUT_STAIN, STAINS
from scanner.portable.atomic_files import write_atomic

_Arrays = Mapping[str, NDArray[Any]]
_Number = TypeVar("_Number", int, float)

_KINDS: Final = ("cell", "nucleus", "debris", "precipitate", "clump")
_DRAWN: Final = 40
_FEWEST_NUCLEI: Final = 8
_FEWEST_GRAINS: Final = 12

_DIRT_LIGHT: Final = 0.25
"""Dirt hardly glows."""

_VERSION: Final = 6
"""Of how objects are cut; a cache of another version is cut anew."""


@dataclass(frozen=True, slots=True)
class Library:
    """What fields of one stain and split are composed of.

    Attributes
    ----------
    stain, split
        Of the images.
    cells, nuclei, debris, glass
        See `SourceCutouts`; where the images hold too few nuclei or grains, drawn ones are among them.
    precipitates, clumps
        Drawn.
    """

    stain: str
    split: str
    cells: tuple[CellCutout, ...]
    nuclei: tuple[Cutout, ...]
    debris: tuple[Cutout, ...]
    glass: tuple[NDArray[np.float32], ...]
    precipitates: tuple[Cutout, ...] = ()
    clumps: tuple[Cutout, ...] = ()

    @property
    def cases(self) -> frozenset[str]:
        """Persons that anything in it was cut from."""
        bodies = [*(cell.body for cell in self.cells), *self.nuclei, *self.debris]
        return frozenset(body.case for body in bodies if body.case)


def load_library(
    data_root: Path, stain: str, split: str, *, work_dir: Path | None = None, limit: int | None = None
) -> Library:
    """Cut a split's images, or read what was cut before.

    Parameters
    ----------
    data_root
        Folder of the data sets.
    stain, split
        See `cut_sources`.
    work_dir
        Folder that cut-outs are kept in; None keeps nothing. A cache of other images is not read.
    limit
        Only this many images, spread evenly.

    Raises
    ------
    DatasetError
        See `cut_sources`.
    """
    names = image_names(data_root, stain, split)
    text = "\n".join((str(_VERSION), stain, split, str(limit), *names))
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = None if work_dir is None else work_dir / f"cutouts-{stain}-{split}-{mark}.npz"
    if path is not None and path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            return _unpacked(stain, split, arrays)
    cutouts = cut_sources(data_root, stain, split, limit)
    packed = _packed(cutouts, *_drawn(cutouts, stain))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **packed)
        write_atomic(path, stream.getvalue())
    # What is kept has half precision: a first composition must not differ from the later ones.
    return _unpacked(stain, split, packed)


def _drawn(cutouts: SourceCutouts, stain: str) -> tuple[list[Cutout], list[Cutout]]:
    """Complete what was cut; always alike for the same images. Returns precipitates and clumps."""
    rng = np.random.default_rng([len(cutouts.cells), len(cutouts.debris), 41])
    dirt = _DIRT_LIGHT if STAINS[stain] == FLUORESCENCE else 1.0
    if len(cutouts.nuclei) < _FEWEST_NUCLEI:
        cutouts.nuclei.extend(draw_nuclei(rng, _DRAWN))
    # Where chromosomes are not labelled only the smallest grains could be cut.
    if len(cutouts.debris) < _FEWEST_GRAINS or stain == HELD_OUT_STAIN:
        cutouts.debris.extend(draw_grains(rng, _DRAWN, dirt))
    return draw_precipitates(rng, _DRAWN, dirt), draw_clumps(rng, _DRAWN)


def _packed(cutouts: SourceCutouts, precipitates: list[Cutout], clumps: list[Cutout]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"glass": np.array(cutouts.glass, np.float16)}
    for name, bodies in (
        ("cell", [cell.body for cell in cutouts.cells]), ("nucleus", cutouts.nuclei), ("debris", cutouts.debris),
        ("precipitate", precipitates), ("clump", clumps)
    ):  # fmt: skip
        pieces = [body.matter.astype(np.float16).ravel() for body in bodies]
        arrays[f"{name}_matter"] = np.concatenate([np.zeros(0, np.float16), *pieces])
        arrays[f"{name}_shape"] = np.array([body.matter.shape for body in bodies], np.int64).reshape(-1, 2)
        arrays[f"{name}_place"] = np.array(
            [(body.x_px, body.y_px, body.radius_um) for body in bodies], np.float64
        ).reshape(-1, 3)
        arrays[f"{name}_source"] = np.array([(body.source, body.case) for body in bodies], np.str_).reshape(-1, 2)
    arrays["boxes"] = np.concatenate([np.zeros((0, 4), np.float32), *(cell.boxes_px for cell in cutouts.cells)])
    arrays["box_count"] = np.array([len(cell.boxes_px) for cell in cutouts.cells], np.int64)
    arrays["known"] = np.array(
        [[np.nan if value is None else value for value in (c.chromosomes, c.overlap_fraction, c.spread)]
         for c in cutouts.cells], np.float64,
    ).reshape(-1, 3)  # fmt: skip
    return arrays


def _unpacked(stain: str, split: str, arrays: _Arrays) -> Library:
    bodies = {name: _bodies(arrays, name) for name in _KINDS}
    boxes = np.split(arrays["boxes"], np.cumsum(arrays["box_count"])[:-1]) if len(arrays["box_count"]) else []
    cells = [
        CellCutout(body, of_cell, _given(known[0], int), _given(known[1], float), _given(known[2], float))
        for body, of_cell, known in zip(bodies["cell"], boxes, arrays["known"], strict=True)
    ]
    glass = tuple(np.asarray(tile, np.float32) for tile in arrays["glass"])
    return Library(
        stain,
        split,
        tuple(cells),
        tuple(bodies["nucleus"]),
        tuple(bodies["debris"]),
        glass,
        tuple(bodies["precipitate"]),
        tuple(bodies["clump"]),
    )


def _bodies(arrays: _Arrays, name: str) -> Sequence[Cutout]:
    shapes = arrays[f"{name}_shape"]
    if not len(shapes):
        return []
    pieces = np.split(arrays[f"{name}_matter"], np.cumsum(shapes.prod(axis=1))[:-1])
    rows = zip(pieces, shapes, arrays[f"{name}_place"], arrays[f"{name}_source"], strict=True)
    return [
        Cutout(piece.reshape(shape).astype(np.float32), float(x), float(y), float(r), str(source), str(case))
        for piece, shape, (x, y, r), (source, case) in rows
    ]


def _given(value: float, number_type: Callable[[float], _Number]) -> _Number | None:
    return None if np.isnan(value) else number_type(value)
