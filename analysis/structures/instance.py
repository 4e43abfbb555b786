"""One chromosome as the segmentation saw it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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
        How it was made: ``"single"``, ``"watershed"``, ``"cut"`` ... by contours, ``"detector, net"`` ... with the
        detector, ``"stream, connected"`` ... by the five-way stream.
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
    route: str
    overlaps: tuple[int, ...] = ()
    class_log_prob: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    extent_px: tuple[float, float, float, float] | None = field(default=None, compare=False)
