"""A chromosome added, or outlined anew, where a person points: the mask net answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import NothingStainedError, SameChromosomeError
from analysis.karyotyping.refine.picture_masks import (
    Polyline,
    components,
    cropped_mask,
    distance_to_line,
    empty_picture,
    in_picture,
    mask_iou,
    require_inside,
    union,
)
from analysis.karyotyping.refine.settings import REFINE, RefineSettings
from analysis.segmentation.prompted_cell import PromptedCell, PromptedRegion
from analysis.structures.placement import PlacedMask, place_region

_LEAST_DENSITY: Final = 1e-3
"""Floor of a mean density that is divided by."""


@dataclass(frozen=True, slots=True)
class AddedMask:
    """The mask of a chromosome that was asked for.

    Attributes
    ----------
    placed
        Box and mask.
    score
        Overlap with the true mask that the net expects, in [0, 1].
    """

    placed: PlacedMask
    score: float


@dataclass(frozen=True, slots=True)
class PromptedAddition:
    """Adds chromosomes to a cell by asking the mask net.

    Attributes
    ----------
    cell
        The metaphase.
    density
        float32, shape (height_px, width_px): stain of the image.
    others
        Masks of the cell's other chromosomes, by their ids.
    settings
        What is taken.
    """

    cell: PromptedCell
    density: NDArray[np.float32]
    others: Mapping[int, PlacedMask]
    settings: RefineSettings = REFINE

    def at_point(self, point_px: tuple[float, float], operation: str) -> AddedMask:
        """The chromosome at a point.

        Parameters
        ----------
        point_px
            x and y in image px.
        operation
            The edit's, for messages.

        Raises
        ------
        OutsidePictureError, NothingStainedError, SameChromosomeError
            See `analysis.errors`.
        """
        require_inside([point_px], self.cell.size, operation)
        answer = self.cell.at_points(np.asarray([point_px], np.float64) * self.cell.working.factor)[0]
        spot = empty_picture(self.cell.size)
        spot[min(int(point_px[1]), spot.shape[0] - 1), min(int(point_px[0]), spot.shape[1] - 1)] = True
        return self._added(answer, spot, None, operation)

    def in_box(self, box_px: tuple[float, float, float, float], operation: str) -> AddedMask:
        """The chromosome in a box that encloses it closely.

        Parameters
        ----------
        box_px
            xmin, ymin, xmax, ymax in image px.
        operation
            The edit's, for messages.

        Raises
        ------
        OutsidePictureError, NothingStainedError, SameChromosomeError
            See `analysis.errors`.
        """
        require_inside([box_px[:2], box_px[2:]], self.cell.size, operation)
        x0, y0, x1, y1 = box_px
        if not (x1 - x0 >= 1.0 and y1 - y0 >= 1.0):
            raise NothingStainedError(
                operation, "the box is empty; it runs from its upper left to its lower right"
            )
        answer = self.cell.at_boxes(np.asarray([box_px], np.float64) * self.cell.working.factor)[0]
        slack_px = self.settings.box_slack_widths * self.width_px
        window = empty_picture(self.cell.size)
        window[
            max(0, int(y0 - slack_px)) : int(np.ceil(y1 + slack_px)),
            max(0, int(x0 - slack_px)) : int(np.ceil(x1 + slack_px)),
        ] = True
        return self._added(answer, window, window, operation)

    def along(self, points_px: Polyline, operation: str) -> AddedMask:
        """The chromosome that a scribble runs along.

        Parameters
        ----------
        points_px
            x and y in image px.
        operation
            The edit's, for messages.

        Raises
        ------
        OutsidePictureError, NothingStainedError, SameChromosomeError
            See `analysis.errors`.
        """
        require_inside(points_px, self.cell.size, operation)
        answer = self.cell.along(np.asarray(points_px, np.float64) * self.cell.working.factor)
        near = distance_to_line(points_px, self.cell.size) <= self.width_px
        return self._added(answer, near, None, operation)

    @property
    def width_px(self) -> float:
        """Typical width of a chromosome, in image px."""
        return self.cell.working.width_px / self.cell.working.factor

    def _added(
        self, answer: PromptedRegion, asked: NDArray[np.bool_], limit: NDArray[np.bool_] | None, operation: str
    ) -> AddedMask:
        """What the net answers, or where it isn't sure the free stain that was asked for."""
        taken = union(list(self.others.values()), self.cell.size)
        placed = None
        if answer.region is not None and answer.quality >= self.settings.least_quality:
            placed = place_region(answer.region, self.cell.working.factor, self.cell.size)
        if placed is not None:
            self._refuse_same(placed, operation)
            whole = in_picture(placed, self.cell.size)
            if not (whole & asked).any():
                placed = None
            else:
                placed = cropped_mask(self._own(whole if limit is None else whole & limit, taken))
        if placed is None or not self._is_chromosome(placed):
            placed = self._free_stain(asked, limit, taken)
        if placed is None or not self._is_chromosome(placed):
            self._refuse_held(asked, operation)
            raise NothingStainedError(
                operation, "no chromosome is there that isn't one of the cell's already; point at stain in no mask"
            )
        return AddedMask(placed, min(max(answer.quality, 0.0), 1.0))

    def _own(self, mask: NDArray[np.bool_], taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask without what others have, unless that would cut it: then the two cross, and share it."""
        free = mask & ~taken
        parts = components(free)
        least_px = self.settings.crossing_part * max(int(np.count_nonzero(mask)), 1)
        if sum(np.count_nonzero(part) >= least_px for part in parts) > 1:
            return mask
        return parts[0] if parts else free

    def _free_stain(
        self, asked: NDArray[np.bool_], limit: NDArray[np.bool_] | None, taken: NDArray[np.bool_]
    ) -> PlacedMask | None:
        """The largest piece of stain in no mask that touches what was asked for."""
        stain = self._stain() & ~taken
        if limit is not None:
            stain &= limit
        for piece in components(stain):
            if (piece & asked).any():
                return cropped_mask(piece)
        return None

    def _stain(self) -> NDArray[np.bool_]:
        height, width = self.cell.size
        working = self.cell.stain
        if working.shape == self.cell.size:
            return working
        rows = np.minimum((np.arange(height) * self.cell.working.factor).astype(np.intp), working.shape[0] - 1)
        columns = np.minimum((np.arange(width) * self.cell.working.factor).astype(np.intp), working.shape[1] - 1)
        return np.asarray(working[np.ix_(rows, columns)], np.bool_)

    def _refuse_same(self, placed: PlacedMask, operation: str) -> None:
        for number, other in self.others.items():
            if mask_iou(placed, other) >= self.settings.same_iou:
                raise _same(number, operation)

    def _refuse_held(self, asked: NDArray[np.bool_], operation: str) -> None:
        """Say whose stain it is, where all that was asked for lies in one mask."""
        for number, other in self.others.items():
            if asked.any() and not (asked & ~in_picture(other, self.cell.size)).any():
                raise _same(number, operation)

    def _is_chromosome(self, placed: PlacedMask) -> bool:
        """Whether a mask is as dark and of such a size as a chromosome of the cell may be."""
        (x0, y0, x1, y1), mask = placed
        area = np.count_nonzero(mask)
        areas = [np.count_nonzero(each) for _, each in self.others.values()]
        most_px = self.settings.most_area * float(np.median(areas)) if areas else np.inf
        if not self.settings.least_part_widths2 * self.width_px**2 <= area <= most_px:
            return False
        taken = union(list(self.others.values()), self.cell.size)
        typical = float(self.density[taken].mean()) if taken.any() else _LEAST_DENSITY
        own = float(self.density[y0:y1, x0:x1][mask].mean())
        return own >= self.settings.least_darkness * max(typical, _LEAST_DENSITY)


def _same(number: int, operation: str) -> SameChromosomeError:
    return SameChromosomeError(
        operation, f"the chromosome there is {number}, which the cell has already; outline or separate that one"
    )
