"""Hand-set numbers of the contours: outlines, cuts, crossings, valleys, and the search among them.

Lengths are in chromosome widths and areas in squared widths, so that they hold for every magnification. Which
split is right is decided by fitted scores (`analysis.segmentation.contours.plausibility`); these only bound
what is proposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class OutlineSettings:
    """How an outline is traced, and where it turns.

    Attributes
    ----------
    step_widths
        Distance of its points: eight a width, finer than any notch.
    smooth_widths
        Sigma that takes out the steps of pixels.
    min_points
        Of an outline, however small.
    min_hole
        Smaller holes are paled bands.
    tip_chord_widths, tip_turn_deg
        Chords before and after a point, and the turn between them from which an end lies there.
    tip_distance_widths
        Between ends at the least: an end is as wide.
    notch_chord_widths, notch_turn_deg
        The same for notches, which are shorter and shallower.
    notch_distance_widths
        Between notches at the least.
    min_sigma_points
        Keeps the smoothing kernel finite.
    """

    step_widths: float = 0.12
    smooth_widths: float = 0.14
    min_points: int = 12
    min_hole: float = 0.05
    tip_chord_widths: float = 0.75
    tip_turn_deg: float = 62.0
    tip_distance_widths: float = 1.0
    notch_chord_widths: float = 0.5
    notch_turn_deg: float = 22.0
    notch_distance_widths: float = 0.4
    min_sigma_points: float = 0.3


@dataclass(frozen=True, slots=True)
class CutSettings:
    """Cuts from notch to notch, and through rings.

    Attributes
    ----------
    max_length_widths
        Chromosomes that touch end to side touch over two widths at the most, with some slack.
    max_cuts
        Tried of one piece, the likeliest first: a bound on time.
    band_widths
        How far the path may leave the straight line on either side.
    straightness
        Cost of leaving the line at the band's edge, of the darkest density: in an even density cuts are straight.
    step_cost
        In optical density: keeps paths over empty slide short.
    deep_notch_deg
        A turn beyond says no more; a notch so deep outweighs a width of length.
    one_sided_cost
        Widths that a cut from a notch to a smooth border costs besides.
    opposite_span
        A notch without a partner is cut to the far border only when the way round is at least this many times the
        cut.
    min_opposite_widths
        Shorter cuts across count as this long for that ratio.
    max_opposite_widths
        Length of such a cut at the most: a chromosome's width with some slack.
    beyond_widths, beyond_px
        The cut is carried on beyond both ends, as the outline was smoothed and its points lie a little inside.
    max_bridges
        Tried round one hole.
    bridge_distance_widths
        Between two bridges at the least.
    bridge_samples
        Places between a hole and the border where the stain of a bridge is measured, as (first, last, count).
    same_cut_px
        Cuts whose parts have the same areas to this many px are one cut.
    """

    max_length_widths: float = 2.4
    max_cuts: int = 14
    band_widths: float = 0.35
    straightness: float = 0.02
    step_cost: float = 1e-4
    deep_notch_deg: float = 90.0
    one_sided_cost: float = 0.4
    opposite_span: float = 2.5
    min_opposite_widths: float = 0.4
    max_opposite_widths: float = 1.5
    beyond_widths: float = 0.3
    beyond_px: float = 1.5
    max_bridges: int = 4
    bridge_distance_widths: float = 0.8
    bridge_samples: tuple[float, float, int] = (0.2, 0.8, 5)
    same_cut_px: int = 8


@dataclass(frozen=True, slots=True)
class CrossingSettings:
    """Crossings of two chromosomes.

    Attributes
    ----------
    side_widths
        Shortest and longest side of the shared area: about a width each, more where they cross at a slant.
    min_shared
        Area that both own, in squared widths.
    max_notches
        The deepest that corners are chosen of: a bound on time.
    max_proposals
        Of one piece, the squarest first.
    rim_px
        Corners lie a little inside the border: a rim this long parts the arms there too.
    max_parts
        Connected parts round the shared area: more is no crossing but a tangle.
    arm_search_px
        Distances beyond the middle of a side at which its arm is looked for.
    """

    side_widths: tuple[float, float] = (0.35, 2.1)
    min_shared: float = 0.25
    max_notches: int = 10
    max_proposals: int = 4
    rim_px: float = 3.0
    max_parts: int = 12
    arm_search_px: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True, slots=True)
class ValleySettings:
    """Splits along pale valleys.

    Attributes
    ----------
    levels
        Thresholds tried, as places between the piece's pale (0) and dark (1) density.
    dark_percentile, pale_percentile
        Of the piece's density.
    core_fraction
        Of the least area of a part, that a core of a part has.
    """

    levels: tuple[float, ...] = (0.42, 0.5, 0.58, 0.66, 0.75)
    dark_percentile: float = 90.0
    pale_percentile: float = 2.0
    core_fraction: float = 0.3


@dataclass(frozen=True, slots=True)
class SplitSearchSettings:
    """Taking a piece apart, split by split.

    Attributes
    ----------
    max_depth
        More splits in a row than one cell has chromosomes can't be right.
    settled, settled_area
        A piece below this many median areas that is so likely one chromosome isn't split further: a quarter of the
        time saved.
    min_areas
        Of the smallest chromosome, that a piece has before it is split.
    """

    max_depth: int = 40
    settled: float = 0.85
    settled_area: float = 2.5
    min_areas: float = 2.0


@dataclass(frozen=True, slots=True)
class ContourSettings:
    """What counts as a chromosome once the contours are drawn.

    Attributes
    ----------
    min_piece
        Smaller pieces, in squared widths, are dirt.
    max_stained
        Stained area, in squared widths, beyond which it can't be chromosomes: seven crowded metaphases.
    max_piece
        A connected piece of more median chromosomes than this is no cluster of one cell.
    min_rod
        Length over thickness from which a body counts as rod-like; a grain of dirt is round (1.8).
    typical_area
        Median area of a chromosome in squared widths, where the cell gives no estimate of its own.
    typical_weight
        Single chromosomes that the typical area counts as: a few singles say little.
    single_area
        Range of areas, over the typical one, of pieces that may be single chromosomes.
    surely_single
        Score from which a piece gives its area to the estimate.
    compact
        Solidity from which a body counts as convex.
    min_scored
        Singles by score over convex bodies: with fewer the cell is a condensed one, and convex bodies are
        measured; the score was fitted to long chromosomes.
    hardly_single
        Score below which a part is debris.
    condensed_area
        Median area, in squared widths, below which a cell is too condensed for that score: it was fitted on cells
        where a short round body is dirt.
    min_stain
        Of the cell's median stain.
    min_thickness
        In widths.
    max_area
        In median areas: larger bodies are piles that nothing split.
    """

    min_piece: float = 0.3
    max_stained: float = 1500.0
    max_piece: float = 60.0
    min_rod: float = 2.1
    typical_area: float = 4.5
    typical_weight: int = 3
    single_area: tuple[float, float] = (1.0 / 6.0, 3.0)
    surely_single: float = 0.6
    compact: float = 0.85
    min_scored: float = 0.3
    hardly_single: float = 0.08
    condensed_area: float = 3.0
    min_stain: float = 0.45
    min_thickness: float = 0.5
    max_area: float = 12.0


OUTLINES: Final = OutlineSettings()
CUTS: Final = CutSettings()
CROSSINGS: Final = CrossingSettings()
VALLEYS: Final = ValleySettings()
SPLIT_SEARCH: Final = SplitSearchSettings()
CONTOURS: Final = ContourSettings()
