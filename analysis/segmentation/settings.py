"""Hand-set numbers of the segmentation as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """What a laboratory may want to set.

    Attributes
    ----------
    accept_split
        Score above which a piece is split; higher leaves more clusters whole.
    min_area
        Smallest chromosome, as a fraction of the cell's median area.
    min_chromosomes
        With fewer plausible chromosomes the image isn't a metaphase.
    """

    accept_split: float = 0.2
    min_area: float = 0.18
    min_chromosomes: int = 8


@dataclass(frozen=True, slots=True)
class DetectorScaleSettings:
    """Sizes in the pictures that the detector was trained on, in px of the file.

    Attributes
    ----------
    width_range_px
        Widths of chromosomes in those pictures; images of other widths are brought to `width_px`.
    width_px
        The middle of that range.
    padding_px
        Slide round a chromosome in detected boxes.
    padding_parts
        A side is divided by this: no more of it is padding, so that small boxes keep a third of each side.
    """

    width_range_px: tuple[float, float] = (10.0, 27.0)
    width_px: float = 17.0
    padding_px: float = 6.0
    padding_parts: float = 3.0


@dataclass(frozen=True, slots=True)
class MetaphaseSettings:
    """When an image is no metaphase, by its selected proposals.

    Attributes
    ----------
    sound_score
        Score of proposals that must be there in some number: dust and noise are proposed too, at lower ones. Of
        184 pictures of metaphases the poorest has 16 chromosomes with it, drawn dust one and drawn noise four.
    max_chromosomes
        Chromosomes of two crowded cells at the most; of a noisy field with no end to it hundreds are proposed.
    """

    sound_score: float = 0.5
    max_chromosomes: int = 200


@dataclass(frozen=True, slots=True)
class FallbackSettings:
    """When contours fill in what the detector missed.

    Attributes
    ----------
    free_area
        Areas, of the typical detected chromosome's, of free pieces of stain that may be a missed one.
    min_free
        Such pieces from which contours are asked: in pictures alone of which the detector isn't certain, as beside
        G-banded cells it separates dirt and neighbours better.
    min_free_fraction
        Of the stain, that those pieces are.
    max_detected
        Chromosomes from which a cell counts as complete.
    max_total
        Chromosomes up to which contours may fill it.
    max_covered
        Fraction of a contour's chromosome that the detector explains already, up to which it is another one.
    max_distance_widths
        Between chromosomes of a cell: farther off there is only dirt.
    """

    free_area: tuple[float, float] = (0.4, 3.0)
    min_free: int = 6
    min_free_fraction: float = 0.15
    max_detected: int = 36
    max_total: int = 46
    max_covered: float = 0.2
    max_distance_widths: float = 7.0


DETECTOR_SCALE: Final = DetectorScaleSettings()
METAPHASE: Final = MetaphaseSettings()
FALLBACK: Final = FallbackSettings()
