"""Hand-set numbers of the edits of a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """When an edit is carried out, and when it is refused.

    Attributes
    ----------
    least_part_widths2
        Least area of a piece that a separation or an outline makes, in squared chromosome widths: smaller ones are
        crumbs, which go to the piece they touch. The smallest chromosomes have two.
    line_reach_widths
        A separating line is continued so far beyond both ends: people stop at the edge that they see.
    join_gap_widths
        Widest gap that joining bridges; pale bands part chromosomes by less.
    least_quality
        Overlap that the mask net expects, below which its mask isn't taken and the stain itself is.
    same_iou
        Overlap of two masks from which they are one chromosome.
    least_darkness
        Mean density of what is added over the cell's chromosomes, below which there is no chromosome: pale bands
        have half of the mean, the slide has none.
    crossing_part
        Part of an added mask that a crossing cuts off at least: what is less is the overlap of two that touch.
    box_slack_widths
        Beyond a box that is drawn round a chromosome, within which its pixels lie.
    axis_reach
        Half widths from an axis within which stain belongs to its chromosome at a crossing.
    most_area
        Of an added mask over the median of the cell's chromosomes: chromosome 1 has twice the median.
    pile_part
        Part of a chromosome within a pile from which it belongs to that pile.
    """

    least_part_widths2: float = 0.4
    line_reach_widths: float = 0.5
    join_gap_widths: float = 1.0
    least_quality: float = 0.5
    same_iou: float = 0.7
    least_darkness: float = 0.4
    crossing_part: float = 0.15
    box_slack_widths: float = 0.3
    axis_reach: float = 1.25
    most_area: float = 4.0
    pile_part: float = 0.5


REFINE: Final = RefineSettings()
