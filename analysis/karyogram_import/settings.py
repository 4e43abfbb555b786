"""The numbers that reading a karyogram sheet and registering its chromosomes rest on, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SheetReadingSettings:
    """How chromosomes, lines and labels of a sheet are separated.

    Attributes
    ----------
    ink_levels
        Grey levels below the paper from which on a pixel is printed: the noise of a JPEG round a label reaches 8,
        the pale rim of a chromosome is darker.
    dark_levels
        Grey levels below the paper of print proper (lines, letters), which is black.
    line_length, line_height_px
        A thin dark run, so long in widths of the sheet and no higher, is a line. 3 % of the width is longer
        than any chromosome is wide that isn't higher than the line.
    label_height
        Lowest and highest letters, in heights of the sheet: 5 px on a sheet of 900 px are the smallest that are
        legible; higher letters are headlines.
    letter_gap, letter_step
        Gap between letters of one label and steps of their upper and lower ends, in letter heights.
    row_step
        Labels whose lower ends differ by less, in letter heights, stand in one row.
    label_size_tolerance
        Labels of a sheet are printed in one size; so much more or less is allowed for antialiasing.
    isolated
        Ink may reach so far around a label, in letter heights: the dark core of a chromosome has a paler body
        around.
    line_reach
        A line and its label are no farther apart, in letter heights.
    min_picture
        Ink below this fraction of the area of the sheet's typical picture is a speck: the Y of a male cell has
        .25.
    min_fragment
        Ink below this fraction of the largest picture in its place is a fragment of it: homologues are of one
        size.
    min_overlap
        Fraction of a picture's width that must lie above one label for the place to be certain.
    split_steps
        Grey levels below the paper at which two pictures that touch are separated: a pale centromere is darker.
    split_area
        A picture larger than so many typical ones of its row may be two.
    split_part
        Smallest part of two pictures that touch, of both together.
    split_shared
        Two pictures stand side by side: their columns have at most this fraction of the narrower in common.
    text_letters
        So many letters in a row of one height are text and no chromosomes.
    text_height
        Letters of other text are at most so many times as high as those of the labels.
    """

    ink_levels: float = 10.0
    dark_levels: float = 110.0
    line_length: float = 0.03
    line_height_px: int = 4
    label_height: tuple[float, float] = (0.005, 0.05)
    letter_gap: float = 0.6
    letter_step: float = 0.2
    row_step: float = 0.5
    label_size_tolerance: float = 0.2
    isolated: float = 0.4
    line_reach: float = 3.0
    min_picture: float = 0.12
    min_fragment: float = 0.25
    min_overlap: float = 0.7
    split_steps: tuple[float, ...] = (15.0, 20.0, 30.0, 40.0, 55.0)
    split_area: float = 1.45
    split_part: float = 0.25
    split_shared: float = 0.3
    text_letters: int = 4
    text_height: float = 1.6


@dataclass(frozen=True, slots=True)
class PrintedLabelSettings:
    """How a printed label is read.

    Attributes
    ----------
    shape
        Rows and columns that labels and templates are brought to.
    size_px
        Of the letters of the templates: large enough for their shape.
    aspect_weight
        What a ratio of the sides that differs by a factor of e costs: it separates 1 from 11.
    min_score
        Correlation below which a label isn't read: of the labels of the seven Ikaros sheets the right name has
        .80 at the least.
    max_deficit
        A label agrees with the layout where the layout's name is at most so much below the name that fits best:
        small print of an unknown font reads 15 for 16 (.05 below), while its neighbours in the row fix its
        place.
    min_fit
        Fraction of a sheet's labels whose reading must be what the layout has there; else no layout fits.
    """

    shape: tuple[int, int] = (24, 32)
    size_px: int = 48
    aspect_weight: float = 0.6
    min_score: float = 0.6
    max_deficit: float = 0.07
    min_fit: float = 0.7


@dataclass(frozen=True, slots=True)
class AngleSearch:
    """A search over all angles.

    Attributes
    ----------
    step_deg
        Between two angles.
    peaks_per_angle, kept_peaks
        Maxima of every angle, and of all together, that are refined.
    """

    step_deg: float
    peaks_per_angle: int
    kept_peaks: int


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """How a picture of the sheet is brought to its place in the metaphase.

    Attributes
    ----------
    coarse_size_px
        Root of a typical chromosome's area in the reduced picture of the search over all angles: it is some 8
        px wide then, and its bands are still resolved.
    quick, thorough
        That search: quickly for all pictures, thoroughly for those whose place it doesn't find. Of a long
        chromosome with fine bands half a step of 10 degrees loses so much that other chromosomes come first.
    scale_limits, scale_steps
        Range round the root of the ratio of the areas, and steps in it of 5 %. Other cells on the picture and
        pictures left off the sheet move that ratio; on the seven Ikaros pairs it is off by 3 to 12 %.
    scale_pictures, scale_angle_step_deg
        Largest pictures of the sheet that the scale is searched with, and the step of their angles.
    fine_scale_pictures
        Best of those pictures that refine the scale.
    peak_radius_px
        Maxima nearer to each other in the reduced picture are one.
    peak_angle_rad
        And of nearly the same angle.
    max_scale_change
        Logarithm: pictures of one sheet have one scale, up to the resampling of small ones.
    fine_step_px, fine_step_rad, fine_step_scale
        First steps of the refinement, half of what the search leaves open.
    evaluations
        Of the refinement at the most; it converges after some 80.
    min_score
        Correlation from which on a place is a match. A system cuts its pictures out of the metaphase: of seven
        Ikaros pairs 312 of 321 right places reach .98, the lowest .967 (a neighbour lay across it). The best
        wrong places are .96 for the two small 19 of one cell, each in its homologue's place, below .93 for all
        others.
    certain_score
        Correlation from which on the search ends: nothing but the right place, right way round, reaches it.
    min_margin
        To the next place that isn't the same one: two places as good as each other aren't told apart.
    min_matched
        Fraction of a sheet's pictures that must match, or it is the karyogram of another metaphase.
    same_place
        Overlap of masks (intersection over union) from which on two candidates are one place.
    explained_margin
        Stain within so many roots of a typical chromosome's area round the matched masks belongs to them.
    min_unexplained
        Stain below this fraction of a typical chromosome's area isn't listed.
    """

    coarse_size_px: float = 13.0
    quick: AngleSearch = AngleSearch(step_deg=10.0, peaks_per_angle=2, kept_peaks=8)
    thorough: AngleSearch = AngleSearch(step_deg=5.0, peaks_per_angle=4, kept_peaks=24)
    scale_limits: tuple[float, float] = (0.67, 1.5)
    scale_steps: int = 17
    scale_pictures: int = 8
    scale_angle_step_deg: float = 12.0
    fine_scale_pictures: int = 4
    peak_radius_px: float = 3.0
    peak_angle_rad: float = 0.3
    max_scale_change: float = 0.05
    fine_step_px: float = 2.0
    fine_step_rad: float = 0.1
    fine_step_scale: float = 0.02
    evaluations: int = 140
    min_score: float = 0.963
    certain_score: float = 0.97
    min_margin: float = 0.01
    min_matched: float = 0.5
    same_place: float = 0.3
    explained_margin: float = 0.1
    min_unexplained: float = 0.2


SHEET: Final = SheetReadingSettings()
LABEL: Final = PrintedLabelSettings()
REGISTRATION: Final = RegistrationSettings()
