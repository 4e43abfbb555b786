"""Whether masks reach as far as their chromosomes were detected to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.structures.instance import Instance


@dataclass(frozen=True, slots=True)
class MaskExtentSettings:
    """When a mask counts as short of its extent.

    Of 13,778 masks of 281 labelled cells both together mark .90 of those whose drawn box no longer fits the
    labelled one (IoU below .5, the extent's fits) and .003 of those that fit it well (.7 and more).

    Attributes
    ----------
    gap_widths
        Gap between mask and extent on any side, in chromosome widths, that is more than the detector errs by.
    gap_part
        The same over the longer side of the extent: a large chromosome's extent is less certain.
    """

    gap_widths: float = 1.0
    gap_part: float = 0.15


MASK_EXTENT: Final = MaskExtentSettings()


def short_masks(instances: Sequence[Instance], settings: MaskExtentSettings = MASK_EXTENT) -> tuple[int, ...]:
    """Rows of the chromosomes whose mask doesn't reach the four sides of their extent.

    Parameters
    ----------
    instances
        All chromosomes of a cell; those without an extent are none of them.
    settings
        When a mask counts as short.
    """
    if not instances:
        return ()
    width_px = float(np.median([_width_px(each) for each in instances]))
    return tuple(row for row, each in enumerate(instances) if _is_short(each, width_px, settings))


def _is_short(instance: Instance, width_px: float, settings: MaskExtentSettings) -> bool:
    if instance.extent_px is None:
        return False
    mask, extent = instance.box_px, instance.extent_px
    gap_px = max(mask[0] - extent[0], mask[1] - extent[1], extent[2] - mask[2], extent[3] - mask[3])
    long_px = max(extent[2] - extent[0], extent[3] - extent[1])
    return gap_px > settings.gap_widths * width_px and gap_px > settings.gap_part * long_px


def _width_px(instance: Instance) -> float:
    """Width of a chromosome, by its area over its longer side."""
    xmin, ymin, xmax, ymax = instance.box_px
    return float(np.count_nonzero(instance.mask)) / max(xmax - xmin, ymax - ymin)
