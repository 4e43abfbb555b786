"""The overview of a slide as OME-Zarr (NGFF 0.5): one picture, written field by field while the scan goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from acquisition.errors import StorageError
from acquisition.storage.atomic import write_json_atomic
from scanner.coordinates import ObjectiveView, SlideFrame, SlidePoint

CHUNK_PX = 512
LEVELS = 4
"""Full size, and each further one of half the side."""

DEADLINE_S: Final = 60.0
"""A chunk is written in milliseconds; a disk that takes longer than this is gone, and so is a share's server."""

EMPTY = 255
"""Where no field was photographed, the picture is as bright as empty slide."""


@dataclass(frozen=True, slots=True)
class OverviewGrid:
    """Pixels of an overview over the slide.

    Attributes
    ----------
    x_min_um, y_min_um
        Upper left corner, slide um.
    width_px, height_px
        Size.
    um_per_px
        Size of a pixel.
    full_scale
        Grey level of the camera that becomes white.
    frame
        How the slide lies on the stage.
    field_width_um, field_height_um
        Part of a field, along the slide's axes, that is taken into the overview.
    """

    x_min_um: float
    y_min_um: float
    width_px: int
    height_px: int
    um_per_px: float
    full_scale: int
    frame: SlideFrame
    field_width_um: float
    field_height_um: float


@dataclass(frozen=True, slots=True)
class OverviewTile:
    """One field's share of an overview.

    Attributes
    ----------
    row, column
        Its upper left pixel.
    pixels
        uint8, shape (height, width).
    """

    row: int
    column: int
    pixels: NDArray[np.uint8]


def overview_tile(grid: OverviewGrid, pixels: NDArray[np.uint16], view: ObjectiveView) -> OverviewTile:
    """Reduce a field to its share of the overview.

    Parameters
    ----------
    grid
        The overview.
    pixels
        uint16, shape (height_px, width_px).
    view
        Where and how it was taken; the camera may be turned against the slide.
    """
    centre = grid.frame.to_slide(view.centre)
    left = (centre.x_um - grid.field_width_um / 2 - grid.x_min_um) / grid.um_per_px
    upper = (centre.y_um - grid.field_height_um / 2 - grid.y_min_um) / grid.um_per_px
    column, row = max(0, math.ceil(left)), max(0, math.ceil(upper))
    last_column = min(grid.width_px, math.floor(left + grid.field_width_um / grid.um_per_px))
    last_row = min(grid.height_px, math.floor(upper + grid.field_height_um / grid.um_per_px))
    size = (max(0, last_column - column), max(0, last_row - row))
    # Means first: a pixel of the overview stands for all pixels below it, not for the one in its middle.
    fold = max(1, int(grid.um_per_px / view.camera.um_per_px))
    height, width = pixels.shape
    small = cv2.resize(pixels, (width // fold, height // fold), interpolation=cv2.INTER_AREA)
    to_small = _to_image(grid, view, column, row)
    to_small[0] *= (width // fold) / width
    to_small[1] *= (height // fold) / height
    # Pixel centres: the first one of the reduced picture lies half of its own width inside.
    to_small[:, 2] += 0.5 * np.array([(width // fold) / width, (height // fold) / height]) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(small, to_small, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    scaled = warped.astype(np.float32) * (EMPTY / grid.full_scale)
    return OverviewTile(row, column, np.asarray(np.clip(scaled + 0.5, 0, 255), dtype=np.uint8))


def _to_image(grid: OverviewGrid, view: ObjectiveView, column: int, row: int) -> NDArray[np.float64]:
    """Affine map, shape (2, 3), from a pixel of the tile to a pixel of the field."""

    def seen(across: int, down: int) -> tuple[float, float]:
        x_um = grid.x_min_um + (column + across + 0.5) * grid.um_per_px
        y_um = grid.y_min_um + (row + down + 0.5) * grid.um_per_px
        point = view.to_image(grid.frame.to_stage(SlidePoint(x_um, y_um)))
        return point.x_px, point.y_px

    origin, right, below = np.array(seen(0, 0)), np.array(seen(1, 0)), np.array(seen(0, 1))
    return np.stack([right - origin, below - origin, origin], axis=1)


class Overview:
    """An overview on the disk; obtain it from `create` or `reopen`.

    Parameters
    ----------
    path
        The OME-Zarr folder.
    grid
        Its pixels over the slide.
    levels
        Its arrays, full size first.
    """

    def __init__(self, path: Path, grid: OverviewGrid, levels: list[Any]) -> None:
        self.path = path
        self.grid = grid
        self._levels = levels

    @classmethod
    def create(cls, path: Path, grid: OverviewGrid) -> Overview:
        """Make an empty overview.

        Parameters
        ----------
        path
            The OME-Zarr folder; an overview that lies there is replaced.
        grid
            Its pixels over the slide.

        Raises
        ------
        StorageError
            It can't be made.
        """
        levels = []
        try:
            for level in range(LEVELS):
                shape = [math.ceil(grid.height_px / 2**level), math.ceil(grid.width_px / 2**level)]
                levels.append(
                    ts.open(_array(path / str(level), shape), create=True, delete_existing=True).result(DEADLINE_S)
                )
            write_json_atomic(path / "zarr.json", _group(grid))
        except (ValueError, OSError) as error:
            raise StorageError(f"no overview: {_line(error)}", path=path) from error
        return cls(path, grid, levels)

    @classmethod
    def reopen(cls, path: Path, grid: OverviewGrid) -> Overview:
        """Go on with an overview.

        Parameters
        ----------
        path
            The OME-Zarr folder.
        grid
            As it was made with.

        Raises
        ------
        StorageError
            It is absent or damaged.
        """
        try:
            levels = [ts.open(_spec(path / str(level)), open=True).result(DEADLINE_S) for level in range(LEVELS)]
            if tuple(levels[0].shape) != (grid.height_px, grid.width_px):
                raise ValueError(f"shape {levels[0].shape}, not {(grid.height_px, grid.width_px)}")
            return cls(path, grid, levels)
        except (ValueError, OSError) as error:
            raise StorageError(f"no overview: {_line(error)}", path=path) from error

    def write(self, tile: OverviewTile) -> OverviewWrite:
        """Begin to write a tile, full size only; returns at once."""
        height, width = tile.pixels.shape
        rows, columns = slice(tile.row, tile.row + height), slice(tile.column, tile.column + width)
        return OverviewWrite(self.path, self._levels[0][rows, columns].write(tile.pixels))

    def build_pyramid(self) -> None:
        """Fill the smaller levels from the full size.

        Raises
        ------
        StorageError
            They can't be written.
        """
        try:
            for fine, coarse in zip(self._levels, self._levels[1:], strict=False):
                height, width = coarse.shape
                for row in range(0, height, CHUNK_PX):
                    last = min(row + CHUNK_PX, height)
                    band = np.asarray(fine[2 * row : min(2 * last, fine.shape[0]), :].read().result(DEADLINE_S))
                    # An odd last line is alone in its pixel.
                    padded = np.pad(band, ((0, -band.shape[0] % 2), (0, -band.shape[1] % 2)), mode="edge")
                    half = cv2.resize(padded, (width, last - row), interpolation=cv2.INTER_AREA)
                    coarse[row:last, :].write(half).result(DEADLINE_S)
        except (ValueError, OSError) as error:
            raise StorageError(f"the overview's smaller sizes: {_line(error)}", path=self.path) from error


class OverviewWrite:
    """A tile under way to the disk.

    Parameters
    ----------
    path
        The overview, for messages.
    future
        What the library gave.
    """

    def __init__(self, path: Path, future: Any) -> None:  # noqa: ANN401 - the library has no public type for it
        self._path = path
        self._future = future

    @property
    def is_done(self) -> bool:
        """Whether it is through."""
        return bool(self._future.done())

    def finish(self, *, timeout_s: float | None = None) -> bool:
        """Wait until it is through.

        Parameters
        ----------
        timeout_s
            How long to wait; None waits as long as it takes.

        Returns
        -------
        bool
            False where the time was up before.

        Raises
        ------
        StorageError
            It could not be written.
        """
        try:
            if not self.is_done and timeout_s is not None:
                try:
                    self._future.result(timeout=timeout_s)
                except TimeoutError:
                    return False
            self._future.result()
        except (ValueError, OSError) as error:
            raise StorageError(f"the overview can't be written: {_line(error)}", path=self._path) from error
        return True


def _spec(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}


def _array(path: Path, shape: list[int]) -> dict[str, Any]:
    chunk = [min(CHUNK_PX, side) for side in shape]
    metadata = {
        "shape": shape,
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}],
        "fill_value": EMPTY,
        "dimension_names": ["y", "x"],
    }
    return {**_spec(path), "metadata": metadata}


def _group(grid: OverviewGrid) -> dict[str, Any]:
    datasets = []
    for level in range(LEVELS):
        size_um = grid.um_per_px * 2**level
        # The centre of the first pixel, which moves as pixels grow.
        corner = [grid.y_min_um + size_um / 2, grid.x_min_um + size_um / 2]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [size_um, size_um]},
                    {"type": "translation", "translation": corner},
                ],
            }
        )
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    multiscales = [{"name": "overview", "axes": axes, "datasets": datasets, "type": "mean"}]
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "multiscales": multiscales}},
    }


def _line(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"the disk gave no answer for {DEADLINE_S:g} s"
    return (str(error).splitlines() or [type(error).__name__])[0]
