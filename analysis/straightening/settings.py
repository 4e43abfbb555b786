"""The numbers that straightening rests on, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MedialAxisSettings:
    """How a medial axis is found.

    Attributes
    ----------
    work_area_px
        Masks are reduced to about this area before the axis is searched: the magnification then costs no time.
    convex_solidity
        Area over the area of the convex hull from which on a chromosome counts as straight.
    blob_elongation
        Axes shorter than this many widths are too uncertain to bend.
    least_pixels
        Of fewer pixels no path is searched.
    depth_percentile
        Quantile of the depths of the mask that counts as half the width: the deepest pixels lie where arms cross.
    tip_inset
        Part of the length by which a principal axis stops short of either tip, where the outline is rounded.
    least_path_points
        Points that are left of a path, at the least, where its ends are trimmed.
    recentring_rounds
        Times that the axis is moved to the middle of its mask: the second mends what smoothing did.
    recentring_reach, recentring_samples
        Half widths to either side that are sampled for the middle, and samples: the mask of a bend reaches further
        on its outside.
    most_shift
        Half widths that a point is moved at the most in one round, so that it stays on its own arm.
    extension_lever
        Half widths over which the direction of an end is taken.
    extension_width, extension_samples
        Half widths to either side at which something of the mask still counts as the end, and samples.
    extension_step_px
        Step of the search for the end: half a pixel, as finely as a mask tells.
    blur_from, blur
        Pixels a sample from which on an image is blurred before it is sampled, and the blur's standard deviation
        over that step: bands alias otherwise.
    """

    work_area_px: float = 900.0
    convex_solidity: float = 0.88
    blob_elongation: float = 2.5
    least_pixels: int = 12
    depth_percentile: float = 0.95
    tip_inset: float = 0.15
    least_path_points: int = 4
    recentring_rounds: int = 2
    recentring_reach: float = 1.6
    recentring_samples: int = 17
    most_shift: float = 0.8
    extension_lever: float = 1.5
    extension_width: float = 0.8
    extension_samples: int = 9
    extension_step_px: float = 0.5
    blur_from: float = 1.5
    blur: float = 0.4


@dataclass(frozen=True, slots=True)
class ExternalCropSettings:
    """How a chromosome is told from its ground in a picture that another system cut out.

    Attributes
    ----------
    min_side_px
        Smaller pictures are refused: they show no band.
    min_contrast
        Grey levels between the ground and the chromosome below which a picture counts as empty.
    painted_fraction
        Fraction of the ground of the very same level from which it was painted and not photographed.
    clean_tolerance
        Grey levels by which a painted ground may differ from itself, as JPEG makes it.
    photographed_fraction
        Threshold of a photographed ground, as a fraction of the contrast.
    artificial_fraction
        Fraction of a chromosome on the wrong side of its ground from which the ground can't be the empty slide.
    rim, core
        Depth below the outline, over the greatest depth: up to the first is rim, from the second on core.
    least_part
        Pieces smaller than this fraction of the largest are specks.
    contrast_percentile
        Percentile of the distance from the ground that counts as the contrast.
    palest_percentile
        Percentile of a cell's levels that stands for its empty slide where there is none.
    range_percentiles
        Percentiles of a chromosome's levels between which its range lies.
    """

    min_side_px: int = 8
    min_contrast: int = 12
    painted_fraction: float = 0.5
    clean_tolerance: int = 6
    photographed_fraction: float = 0.2
    artificial_fraction: float = 0.15
    rim: float = 0.35
    core: float = 0.6
    least_part: float = 0.15
    contrast_percentile: float = 95.0
    palest_percentile: float = 99.5
    range_percentiles: tuple[float, float] = (2.0, 98.0)
