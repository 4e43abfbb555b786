"""One chromosome as the segmentation saw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray


class SegmentationRoute(StrEnum):
    """How the pixels of an instance were told from those of its neighbours."""

    SINGLE = "single"
    """By contours: a connected piece of stain that is one chromosome."""
    WATERSHED = "watershed"
    CUT = "cut"
    CROSSING = "crossing"
    """By contours: a part of a piece that was split so; parts of a crossing share pixels."""
    DETECTOR_CONTOUR = "detector, contour"
    """By detector and contours: a connected piece that holds one box."""
    DETECTOR_WATERSHED = "detector, watershed"
    DETECTOR_CUT = "detector, cut"
    DETECTOR_CROSSING = "detector, crossing"
    """By detector and contours: a part of a piece that was split between its boxes."""
    DETECTOR_MASK_NET = "detector, net"
    """By the mask net, prompted with the detector's box."""
    DETECTOR_BOX = "detector, box"
    """Clipped to the detector's box, or grown from what lies in no other box."""
    DETECTOR_PALE = "detector, pale"
    """Whatever is darker than the slide within a box that the stain's threshold left empty."""
    BOX_FREE_SINGLE = "stream, single"
    BOX_FREE_CONNECTED = "stream, connected"
    BOX_FREE_ATTACHED_NOISE = "stream, attached noise"
    """By the box-free segmentation that is measured beside the product's, by kind of blob."""
    THRESHOLD = "threshold"
    THRESHOLD_WATERSHED = "threshold, watershed"
    THRESHOLD_CONVEX_HULL = "threshold, convex hull"
    """By classical baselines."""
    TWO_STAGE_PEER = "peer"
    """By the two-stage net that the product's detector is compared with."""
    LABEL = "label"
    """From labels of a data set."""
    EDIT = "edit"
    """By a person's edit of the cell, with the mask net's help or without."""
    PROPOSAL_FILE = "proposal"
    """Read from a proposal file, which does not say."""

    @property
    def by_detector(self) -> bool:
        """Whether the product's detector proposed the instance."""
        return self in _BY_DETECTOR


_BY_DETECTOR: Final = frozenset(route for route in SegmentationRoute if route.name.startswith("DETECTOR_"))


@dataclass(frozen=True, slots=True)
class Instance:
    """A chromosome proposed by the segmentation.

    Attributes
    ----------
    box_px
        (xmin, ymin, xmax, ymax) in image px, half open: ``mask.shape == (ymax - ymin, xmax - xmin)``.
    mask
        bool, amodal: pixels shared by two chromosomes belong to both.
    score
        Confidence in [0, 1] that this is exactly one chromosome.
    route
        How its pixels were told from others'.
    overlaps
        Indices, in the segmentation's list, of instances that share pixels or a cut line with this one.
    class_log_prob
        float32, shape (24,): natural logarithm of the probabilities of 1..22, X, Y that the detector gave it; None
        where no detector saw it.
    extent_px
        (xmin, ymin, xmax, ymax) in image px, of the whole chromosome as the detector judges it, parts hidden under
        others and pale ends included, without slide around; None where no detector saw it. The mask has the pixels
        that could be told from others' and may end earlier: it says what is there to see, the extent how far the
        chromosome reaches.
    """

    box_px: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    score: float
    route: SegmentationRoute
    overlaps: tuple[int, ...] = ()
    class_log_prob: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    extent_px: tuple[float, float, float, float] | None = field(default=None, compare=False)
