"""Words and scale bars that another system burnt into a picture it exported.

They are black as no stain is, and sharper than any optics draw: from the darkest level there is to the empty slide
within two pixels. Left in, they set the threshold and the width of a chromosome for the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AnnotationSettings:
    """How burnt-in strokes differ from stain.

    Attributes
    ----------
    level_range
        Grey levels within which ink varies; compression blurs it a little.
    max_ink_level
        Of the slide's level, above which the darkest there is is no ink: stain is paler.
    max_fraction
        Of the image's pixels: more is stain.
    max_strokes
        Of one image: more is noise.
    min_px
        Smaller strokes are dirt.
    min_ring_level
        Level of the surroundings over that of the slide, from which a stroke stands on empty slide; chromosomes
        fade out.
    ring_percentile
        Of the surroundings, that must be so bright: a stroke may touch something.
    edge_px
        Width of a stroke's blurred edge; the ring beyond it is looked at.
    ring_px
        Width of the ring beyond the edge.
    """

    level_range: int = 6
    max_ink_level: float = 0.3
    max_fraction: float = 0.03
    max_strokes: int = 600
    min_px: int = 5
    min_ring_level: float = 0.75
    ring_percentile: float = 25.0
    edge_px: int = 2
    ring_px: float = 0.8


DEFAULT_ANNOTATIONS: Final = AnnotationSettings()


def without_annotations(
    pixels: NDArray[np.uint8], settings: AnnotationSettings = DEFAULT_ANNOTATIONS
) -> NDArray[np.uint8]:
    """Paint burnt-in strokes over with the slide round them.

    Parameters
    ----------
    pixels
        uint8, shape (h, w), dark on bright.
    settings
        How strokes differ from stain.

    Returns
    -------
    NDArray[np.uint8]
        The same array where there is nothing to paint over.
    """
    darkest = int(pixels.min())
    slide = float(np.percentile(pixels, 75))
    ink_level = darkest + settings.level_range
    ink = pixels <= ink_level
    if ink_level > settings.max_ink_level * slide or np.count_nonzero(ink) > settings.max_fraction * pixels.size:
        return pixels
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    if count - 1 > settings.max_strokes:
        return pixels
    cleaned, edge_px = pixels, settings.edge_px
    for label in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= settings.min_px) + 1:
        x, y, width, height = (int(value) for value in stats[label, :4])
        margin = edge_px + 2
        window = (slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin))
        away = cv2.distanceTransform((labels[window] != label).astype(np.uint8), cv2.DIST_L2, 3)
        # The ink of neighbours isn't part of a stroke's surroundings.
        ring = (away > edge_px - 0.5) & (away < edge_px + settings.ring_px) & ~ink[window]
        around = pixels[window][ring]
        if around.size == 0 or np.percentile(around, settings.ring_percentile) < settings.min_ring_level * slide:
            continue
        if cleaned is pixels:
            cleaned = pixels.copy()
        cleaned[window][away < edge_px + settings.ring_px] = np.uint8(np.median(around))
    return cleaned
