"""A field of a slide that bodies are laid on: their stain adds, as transmittances multiply."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_Windows = tuple[tuple[slice, slice], tuple[slice, slice]]


@dataclass(frozen=True, slots=True)
class LaidChromosome:
    """A chromosome that lies on a field.

    Attributes
    ----------
    x_px, y_px
        Place of its mask's upper left corner; may lie outside of the field.
    mask
        bool, shape (h, w), amodal: with what lies under other bodies or beyond the border.
    class_index
        0..21 for 1..22, 22 X, 23 Y.
    angle_rad
        Direction of its axis.
    """

    x_px: int
    y_px: int
    mask: NDArray[np.bool_]
    class_index: int
    angle_rad: float

    @property
    def box_px(self) -> tuple[int, int, int, int]:
        """Tight amodal box in px of the field: xmin, ymin, xmax, ymax, half open."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        x, y = self.x_px, self.y_px
        return int(x + columns[0]), int(y + rows[0]), int(x + columns[-1] + 1), int(y + rows[-1] + 1)


@dataclass(slots=True)
class SlideField:
    """A field while bodies are laid on it.

    Attributes
    ----------
    level
        float32, shape (height, width): stain over the typical one of the cell's chromosomes; changed in place.
        Below 0 where something refracts more light to a pixel than the empty slide lets through.
    occupied
        bool, shape (height, width): where chromosomes lie.
    chromosomes
        In the order in which they were laid.
    """

    level: NDArray[np.float32]
    occupied: NDArray[np.bool_]
    chromosomes: list[LaidChromosome] = field(default_factory=list)

    @staticmethod
    def empty(height_px: int, width_px: int) -> SlideField:
        """Begin with an empty slide.

        Parameters
        ----------
        height_px, width_px
            Sides of the field.
        """
        shape = (height_px, width_px)
        return SlideField(np.zeros(shape, np.float32), np.zeros(shape, np.bool_))

    def occupied_px(self, mask: NDArray[np.bool_], x_px: int, y_px: int) -> int:
        """Count the pixels of a mask that lie on chromosomes.

        Parameters
        ----------
        mask
            bool, shape (h, w).
        x_px, y_px
            Place of its upper left corner.
        """
        own, there = self._windows(mask.shape, x_px, y_px)
        return int(np.count_nonzero(mask[own] & self.occupied[there]))

    def add_stain(self, level: NDArray[np.float32], x_px: int, y_px: int) -> None:
        """Add a body's stain where it lies within the field.

        Parameters
        ----------
        level
            float32, shape (h, w).
        x_px, y_px
            Place of its upper left corner.
        """
        own, there = self._windows(level.shape, x_px, y_px)
        self.level[there] += level[own]

    def lay(self, chromosome: LaidChromosome, level: NDArray[np.float32]) -> None:
        """Lay a chromosome.

        Parameters
        ----------
        chromosome
            Where it lies.
        level
            float32, shape of its mask: its stain.
        """
        self.add_stain(level, chromosome.x_px, chromosome.y_px)
        own, there = self._windows(chromosome.mask.shape, chromosome.x_px, chromosome.y_px)
        self.occupied[there] |= chromosome.mask[own]
        self.chromosomes.append(chromosome)

    def _windows(self, shape: tuple[int, ...], x_px: int, y_px: int) -> _Windows:
        """Where a patch laid at (x, y) and the field meet: in the patch, and in the field."""
        rows, columns = self.level.shape
        x0, y0 = min(max(0, x_px), columns), min(max(0, y_px), rows)
        x1, y1 = max(x0, min(columns, x_px + shape[1])), max(y0, min(rows, y_px + shape[0]))
        return (slice(y0 - y_px, y1 - y_px), slice(x0 - x_px, x1 - x_px)), (slice(y0, y1), slice(x0, x1))
