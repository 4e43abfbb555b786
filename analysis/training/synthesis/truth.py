"""A composed field and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BRIGHTFIELD: Final = "brightfield"
FLUORESCENCE: Final = "fluorescence"

GBAND: Final = "gband"
DAPI: Final = "dapi"
HELD_OUT_STAIN: Final = "solid_giemsa"
"""Stain that nothing is trained on: test fields alone are composed of it."""

STAINS: Final = {GBAND: BRIGHTFIELD, HELD_OUT_STAIN: BRIGHTFIELD, DAPI: FLUORESCENCE}
"""Stains that fields are composed of, with their domain."""

SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ComposedMetaphase:
    """A metaphase of a field, or an object that could be taken for one.

    Attributes
    ----------
    x_px, y_px
        Centre of the chromosomes' mass (of the object), in px of the field; may lie a little beyond its edge.
    radius_px
        Circle about the centre that holds all but outlying chromosomes (93 % of them).
    is_metaphase
        False for a hard negative.
    kind
        ``"metaphase"``, a spoilt one (`metaphases.SPOILT_KINDS`), or a hard negative (`negatives.KINDS`).
    analysable
        Whether the cell is unspoilt, whole, and karyotypes with at least 80 % of its chromosomes right at high
        magnification (`quality.ANALYSABLE_SHARE_RIGHT`: a truth made by our own pipeline). False for what is
        spoilt, cut by the field's edge, covered, and for negatives; None where nobody has said.
    chromosomes
        Those there are, in the field or beyond its edge; None where not counted.
    overlap_fraction
        Fraction of the stained area that lies in more than one chromosome's box, in [0, 1].
    spread
        Fraction of the convex hull that no chromosome covers, in [0, 1]: 0 for a lump.
    completeness
        Fraction of the cell's chromosomes that is there and within the field, in [0, 1].
    contrast
        Fraction of light that the chromosomes absorb on average; in fluorescence, their light over theirs and the
        background's. In [0, 1].
    source, case
        Image and person that it was cut from; empty for what is drawn.
    """

    x_px: float
    y_px: float
    radius_px: float
    is_metaphase: bool
    kind: str
    analysable: bool | None = None
    chromosomes: int | None = None
    overlap_fraction: float | None = None
    spread: float | None = None
    completeness: float | None = None
    contrast: float | None = None
    source: str = ""
    case: str = ""


@dataclass(frozen=True, slots=True)
class ComposedField:
    """A field as the finder sees it.

    Attributes
    ----------
    pixels
        uint8 or uint16, shape (height_px, width_px).
    um_per_px
        Pixel size, 0.4 to 1.3.
    truth
        Metaphases and named hard negatives. Single nuclei and grains are not listed.
    domain
        ``"brightfield"`` or ``"fluorescence"``.
    stain
        One of `STAINS`, or a rendered banding.
    origin
        ``"composed"`` (real texture, composed layout) or ``"rendered"``.
    split
        Split whose images it was made of.
    slide, number
        Name of the slide and number of the field on it.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    um_per_px: float
    truth: tuple[ComposedMetaphase, ...]
    domain: str
    stain: str
    origin: str
    split: str
    slide: str
    number: int
