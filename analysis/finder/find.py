"""From a field to ranked metaphase candidates by rules alone: the baseline, and what there is without weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.finder.bodies import BodyLimits, CrowdLimits, find_bodies, find_crowds
from analysis.finder.candidate import Candidate
from analysis.finder.flatten import flatten
from analysis.finder.proposals import Proposals
from analysis.finder.score import measure, score

# Candidates below aren't recorded.
MIN_SCORE = 0.05

# The score's conditions were set for bodies and crowds with these limits.
_BODIES = BodyLimits(min_od=0.048, noise_factor=4.0)
# What shines round a cell is part of no body: glowing ones begin at a fourteenth of the brightest.
_GLOWING_BODIES = BodyLimits(min_od=0.07, noise_factor=4.0)
_CROWDS = CrowdLimits(edge_cover=0.10, peak_cover=0.16)


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
    candidates = [c for c in score_by_rules(propose_for_rules(pixels, um_per_px)) if c.score >= min_score]
    return sorted(candidates, key=lambda candidate: -candidate.score)


def propose_for_rules(pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float) -> Proposals:
    """Propose crowds with the limits that the rules were set for.

    Parameters
    ----------
    pixels
        uint8 or uint16, shape (height_px, width_px): one field, brightfield or fluorescence.
    um_per_px
        Size of a pixel on the specimen, 0.02 to 2 um.

    Raises
    ------
    ImageError
        The image or the pixel size can't be used.
    """
    field = flatten(pixels, um_per_px)
    bodies = find_bodies(field, _GLOWING_BODIES if field.fluorescence else _BODIES)
    return Proposals(field, bodies, find_crowds(bodies, _CROWDS))


def score_by_rules(proposals: Proposals) -> list[Candidate]:
    """Score every crowd: candidates in px of the image that was given."""
    field = proposals.field
    return [
        Candidate(
            # Centres of pixels: the work image's (0, 0) lies half a work pixel inside the given image.
            (crowd.x_px + 0.5) * field.scale - 0.5,
            (crowd.y_px + 0.5) * field.scale - 0.5,
            crowd.radius_px * field.scale,
            score(measure(crowd, proposals.bodies, field)),
        )
        for crowd in proposals.crowds
    ]
