"""From a field to ranked metaphase candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.finder.bodies import CrowdLimits, find_bodies, find_crowds
from analysis.finder.candidate import Candidate
from analysis.finder.flatten import flatten
from analysis.finder.score import measure, score

# Below this a candidate isn't worth a record.
MIN_SCORE = 0.05

# The score's conditions were set for crowds with these limits.
_LIMITS = CrowdLimits(edge_cover=0.10, peak_cover=0.16)


def find_metaphases(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
) -> list[Candidate]:
    """Find metaphases by flattening the background and looking for crowds of thin dark bodies.

    Parameters
    ----------
    pixels
        uint8 or uint16, shape (height_px, width_px): one field, brightfield or fluorescence.
    um_per_px
        Size of a pixel on the specimen, 0.02 to 2 um.
    min_score
        Candidates below are left out; in [0, 1].

    Returns
    -------
    list of Candidate
        Best first.

    Raises
    ------
    ImageError
        The image or the pixel size can't be used.
    """
    field = flatten(pixels, um_per_px)
    bodies = find_bodies(field)
    found = []
    for crowd in find_crowds(bodies, _LIMITS):
        value = score(measure(crowd, bodies, field))
        if value < min_score:
            continue
        # Centres of pixels: the work image's (0, 0) lies half a work pixel inside the given image.
        x_px = (crowd.x_px + 0.5) * field.scale - 0.5
        y_px = (crowd.y_px + 0.5) * field.scale - 0.5
        found.append(Candidate(x_px, y_px, crowd.radius_px * field.scale, value))
    return sorted(found, key=lambda candidate: -candidate.score)
