"""Words and scale bars that another system burnt into a picture it exported.

They are black as no stain is, and sharper than any optics draw: from the darkest level there is to the empty slide
within two pixels. Left in, they set the threshold and the width of a chromosome for the whole picture.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_FLAT: Final = 6
"""Grey levels within which ink varies; compression blurs it a little."""
_MAX_SHARE: Final = 0.03
_MAX_STROKES: Final = 600
_LEAST_PX: Final = 5
_BRIGHT: Final = 0.75
"""Level of the surroundings over that of the picture's slide from which on a stroke stands on empty slide."""
_QUARTILE: Final = 25.0
_EDGE_PX: Final = 2


def without_annotations(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint burnt-in strokes over with the slide round them.

    Parameters
    ----------
    pixels
        uint8, shape (h, w), dark on bright.

    Returns
    -------
    NDArray[np.uint8]
        The same array where there is nothing to paint over.
    """
    darkest = int(pixels.min())
    slide = float(np.percentile(pixels, 75))
    ink = pixels <= darkest + _FLAT
    if darkest + _FLAT > 0.3 * slide or np.count_nonzero(ink) > _MAX_SHARE * pixels.size:
        return pixels
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    if count - 1 > _MAX_STROKES:
        return pixels
    cleaned = pixels
    for label in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= _LEAST_PX) + 1:
        x, y, width, height = (int(value) for value in stats[label, :4])
        margin = _EDGE_PX + 2
        window = (slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin))
        away = cv2.distanceTransform((labels[window] != label).astype(np.uint8), cv2.DIST_L2, 3)
        # Of its neighbours' ink a stroke's surroundings say nothing.
        ring = (away > _EDGE_PX - 0.5) & (away < _EDGE_PX + 0.8) & ~ink[window]
        around = pixels[window][ring]
        if around.size == 0 or np.percentile(around, _QUARTILE) < _BRIGHT * slide:
            continue
        if cleaned is pixels:
            cleaned = pixels.copy()
        cleaned[window][away < _EDGE_PX + 0.8] = np.uint8(np.median(around))
    return cleaned
