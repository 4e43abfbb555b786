"""Labelled crops on disk: a table of arrays, one row a crop, in shards of a slide each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import DatasetError
from analysis.nets.finder_net import CROP_SIDE_PX, QUALITY_NAMES
from scanner.portable.atomic_files import write_atomic

WIDE_PX: Final = 160
"""Side of a stored crop: what the net sees, with room round it for moving, turning and scaling."""

MARGIN_PX: Final = (WIDE_PX - CROP_SIDE_PX) // 2

UNKNOWN: Final = -1
BACKGROUND: Final = 20
"""Level of optical density 0."""

_TEXTS: Final = ("kind", "stain", "domain", "slide", "case", "source")


@dataclass(frozen=True, slots=True)
class FinderCropTable:
    """n crops with what is known of them.

    Attributes
    ----------
    crops
        uint8, shape (n, 160, 160): optical density as ``round((od + 0.2) * 100)``.
    radius_um, noise_od
        float32, shape (n,): radius of the proposal; noise of its field.
    metaphase, analysable, wanted
        int8, shape (n,): 1, 0, or -1 where it isn't known. `wanted` is a reviewer's word, worth a picture or not.
    offset_px
        float32, shape (n, 2): centre of the metaphase less the middle of the crop, x and y in work px.
    cell_radius_um, chromosomes, correct_fraction
        float32, shape (n,); NaN where unknown.
    quality
        float32, shape (n, 4) in [0, 1]: spread, overlap, completeness, contrast; NaN where unknown.
    field
        int32, shape (n,): number of the field on its slide.
    kind, stain, domain, slide, case, source
        Text, shape (n,): what lies there, and where it is from: stain, slide, person and image.
    """

    crops: NDArray[np.uint8]
    radius_um: NDArray[np.float32]
    noise_od: NDArray[np.float32]
    metaphase: NDArray[np.int8]
    analysable: NDArray[np.int8]
    wanted: NDArray[np.int8]
    offset_px: NDArray[np.float32]
    cell_radius_um: NDArray[np.float32]
    chromosomes: NDArray[np.float32]
    correct_fraction: NDArray[np.float32]
    quality: NDArray[np.float32]
    field: NDArray[np.int32]
    kind: NDArray[np.str_]
    stain: NDArray[np.str_]
    domain: NDArray[np.str_]
    slide: NDArray[np.str_]
    case: NDArray[np.str_]
    source: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.crops)

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> FinderCropTable:
        """Some rows, by their numbers, shape (m,), or a mask, shape (n,)."""
        return FinderCropTable(**{entry.name: getattr(self, entry.name)[rows] for entry in fields(self)})


_COLUMNS: Final = tuple(entry.name for entry in fields(FinderCropTable))
_STORED_AS: Final = {"correct_fraction": "share_right"}
"""Columns that have another name in shards."""


def _key(column: str) -> str:
    return f"table.{_STORED_AS.get(column, column)}"


def blank_table(count: int) -> dict[str, Any]:
    """Columns of `count` crops of which nothing is known, to be filled in."""
    unknown = np.full(count, np.nan, np.float32)
    return {
        "crops": np.full((count, WIDE_PX, WIDE_PX), BACKGROUND, np.uint8),
        "radius_um": np.ones(count, np.float32),
        "noise_od": np.zeros(count, np.float32),
        **{name: np.full(count, UNKNOWN, np.int8) for name in ("metaphase", "analysable", "wanted")},
        "offset_px": np.zeros((count, 2), np.float32),
        **{name: unknown.copy() for name in ("cell_radius_um", "chromosomes", "correct_fraction")},
        "quality": np.full((count, len(QUALITY_NAMES)), np.nan, np.float32),
        "field": np.zeros(count, np.int32),
        **{name: np.full(count, "", dtype="<U48") for name in _TEXTS},
    }


def joined(tables: Sequence[FinderCropTable]) -> FinderCropTable:
    """One table of several; empty of none."""
    if not tables:
        return FinderCropTable(**blank_table(0))
    return FinderCropTable(
        **{
            entry.name: np.concatenate([getattr(table, entry.name) for table in tables])
            for entry in fields(FinderCropTable)
        }
    )


@dataclass(frozen=True, slots=True)
class Shard:
    """What one slide left to learn from.

    Attributes
    ----------
    table
        Its proposals.
    planted_kind, planted_proposed
        Of every whole metaphase: what kind, and whether a proposal lies on it. Shape (metaphases,).
    field_count
        Fields looked at.
    statistics
        Statistics of the fields by name, each of shape (field_count,); NaN where one could not be told.
    """

    table: FinderCropTable
    planted_kind: NDArray[np.str_]
    planted_proposed: NDArray[np.bool_]
    field_count: int
    statistics: dict[str, NDArray[np.float64]]

    @property
    def proposal_recall(self) -> float:
        """Share of its whole metaphases on which a proposal lies; NaN where it has none."""
        return float(self.planted_proposed.mean()) if self.planted_proposed.size else float("nan")


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard whole or not at all.

    Parameters
    ----------
    path
        The file.
    shard
        What goes into it.
    """
    columns = {_key(name): getattr(shard.table, name) for name in _COLUMNS}
    statistics = {f"statistics.{name}": values for name, values in shard.statistics.items()}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        planted_kind=shard.planted_kind,
        planted_proposed=shard.planted_proposed,
        field_count=np.int64(shard.field_count),
        **columns,
        **statistics,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def read_shard(path: Path) -> Shard:
    """Read a shard.

    Raises
    ------
    DatasetError
        Missing, damaged, or no shard.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            table = FinderCropTable(**{name: content[_key(name)] for name in _COLUMNS})
            statistics = {
                name.removeprefix("statistics."): content[name]
                for name in content.files
                if name.startswith("statistics.")
            }
            return Shard(
                table,
                content["planted_kind"],
                content["planted_proposed"],
                int(content["field_count"]),
                statistics,
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError("not a shard of crops", path=path) from error


def plain_crops(table: FinderCropTable) -> NDArray[np.uint8]:
    """Crops as the finder cuts them, shape (n, 128, 128)."""
    window = slice(MARGIN_PX, MARGIN_PX + CROP_SIDE_PX)
    return np.ascontiguousarray(table.crops[:, window, window])
