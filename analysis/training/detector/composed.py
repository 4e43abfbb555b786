"""The detector's training examples from composed cells: no picture of a person's boxes is behind them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.detection.preprocessing import density_of, relative_density
from analysis.imaging.fluorescence import as_absorbing
from analysis.structures.grey_image import GreyImage
from analysis.training.composed.cell import ComposedCell, ComposedCellSettings, compose_cell
from analysis.training.detector.augmentation import PADDING_PX, DetectorAugmentation, Example, draw_example
from analysis.training.detector.data import DENSITY_STEPS, DetectorCell
from analysis.training.engine.drawing import Arrays, Request
from analysis.training.masks.singles import SingleBank

REFERENCE_WIDTH_PX: Final = 17.0
"""Width of a chromosome in the pictures that the detector's scale is made for, see `SCALE`."""

_CELL_STREAM: Final = 3
_EXAMPLE_STREAM: Final = 4
_CHECK_STREAM: Final = 5
"""Last parts of seeds: cells, their examples and those of the figures are drawn independently."""

_SOURCE: Final = "composed"


@dataclass(frozen=True, slots=True)
class ComposedExampleSettings:
    """How examples are drawn of composed cells.

    Attributes
    ----------
    cell
        How cells vary.
    examples_a_cell
        Windows of each cell, each changed anew: composing costs more than a window.
    log_scale
        Half range of the logarithm of the size, instead of the real cells': the width of a chromosome is estimated
        to a tenth, and laboratories differ.
    """

    cell: ComposedCellSettings = field(default_factory=ComposedCellSettings)
    examples_a_cell: int = 2
    log_scale: float = 0.22


@dataclass(frozen=True, slots=True)
class DrawComposedExamples:
    """Draws examples by their numbers; can be handed to another process.

    Attributes
    ----------
    bank
        Chromosomes, with their classes.
    settings
        How examples are drawn.
    augment
        How they are changed, as those of real cells.
    """

    bank: SingleBank
    settings: ComposedExampleSettings
    augment: DetectorAugmentation

    def __call__(self, request: Request) -> Arrays:
        """Draw examples as arrays, see `examples_from_arrays`; a request holds pairs of seed and number."""
        return _as_arrays([self.example(seed, number) for seed, number in request])

    def example(self, seed: int, number: int) -> Example:
        """Draw one example.

        Parameters
        ----------
        seed
            Of the training.
        number
            Of the example.
        """
        cell_number = number // self.settings.examples_a_cell
        cell = compose_cell(
            self.bank, np.random.default_rng((seed, cell_number, _CELL_STREAM)), self.settings.cell
        )
        augment = replace(self.augment, log_scale=self.settings.log_scale, add_fraction=0.0)
        rng = np.random.default_rng((seed, number, _EXAMPLE_STREAM))
        return draw_example(detector_cell_of(cell), (), rng, augment)


def composed_check_cells(
    bank: SingleBank, settings: ComposedCellSettings, *, seed: int, count: int
) -> list[DetectorCell]:
    """Compose cells that figures are measured on.

    Parameters
    ----------
    bank
        Chromosomes of people whose cells aren't trained on.
    settings
        How cells vary.
    seed
        Of the cells.
    count
        How many.
    """
    rngs = (np.random.default_rng((seed, number, _CHECK_STREAM)) for number in range(count))
    return [detector_cell_of(compose_cell(bank, rng, settings), name=str(k)) for k, rng in enumerate(rngs)]


def detector_cell_of(cell: ComposedCell, *, name: str = _SOURCE) -> DetectorCell:
    """Prepare a composed cell as pictures are prepared, brought to the reference width of its chromosomes.

    Parameters
    ----------
    cell
        The cell; it has one chromosome at least.
    name
        Of the prepared cell.
    """
    absorbing = as_absorbing(GreyImage(cell.pixels, name, inverted=cell.inverted))
    relative = relative_density(density_of(absorbing.pixels))
    height, width = cell.pixels.shape
    factor = REFERENCE_WIDTH_PX / cell.width_px
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_LINEAR
    resized = cv2.resize(relative, size, interpolation=method)
    pad = np.float32(PADDING_PX) * np.asarray([-1, -1, 1, 1], np.float32)
    across = np.asarray([size[0] / width, size[1] / height] * 2, np.float32)
    limit = np.asarray([size[0], size[1]] * 2, np.float32)
    boxes = np.clip(cell.boxes_px * across + pad, 0.0, limit).astype(np.float32)
    density = np.asarray(np.rint(resized * DENSITY_STEPS), dtype=np.uint8)
    return DetectorCell(name, name, density, boxes, boxes, cell.classes, ())


def _as_arrays(examples: list[Example]) -> Arrays:
    return (
        np.stack([example.image for example in examples]) if examples else np.zeros((0, 1, 1), np.float32),
        *(array for example in examples for array in (example.boxes_px, example.classes, example.ignored_px)),
    )


def examples_from_arrays(arrays: Arrays) -> list[Example]:
    """Take examples apart that `DrawComposedExamples` drew."""
    images: NDArray[np.float32] = arrays[0].astype(np.float32, copy=False)
    return [
        Example(
            image,
            arrays[1 + 3 * k].astype(np.float32, copy=False),
            arrays[2 + 3 * k].astype(np.int64, copy=False),
            arrays[3 + 3 * k].astype(np.float32, copy=False),
        )
        for k, image in enumerate(images)
    ]
