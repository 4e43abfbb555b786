"""The numbers that the review of a proposal rests on, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """When a proposal has to be reviewed, and when no karyotype is reported at all.

    Attributes
    ----------
    sure_banding_from
        Confidence of a `BandingEstimate` from which the picture decides where there is no protocol: the one from
        which on a mismatch with a protocol is warned of.
    auto_cell_from
        Probability that all of a cell is right from which on it needs no review. Of 712 cells (fit,
        cross-validated over cases) 154 are above. 7 of them disagree with their labels; looked at, 3 show a
        chromosome without label, 3 a label whose box doesn't fit, and one a fleck labelled Y.
    likely_wrong_below
        The same probability below which a cell must be reviewed: it is more likely wrong than right.
    losses_from
        The same probability from which a chromosome that isn't there counts as lost rather than missed. Of 43
        losses in validation cells that software segmented two were true; of the four above .3, one.
    uncertain_fraction
        With a larger fraction of objects that are doubtful or without a class no karyotype is reported.
    few_uncertain, few_unclassified
        So many doubtful classes, or objects without a class, still leave a proposal a matter of checking.
    few_short_masks
        So many chromosomes that are drawn short still leave a proposal a matter of checking.
    likely_missed_from
        Probability of an unexplained object from which a cell must be reviewed: it is likelier a missed chromosome
        than not.
    min_objects
        Of fewer chromosomes bands and sizes of a cell say nothing.
    unreadable_below, unclear_below
        Mean certainty of the classes. Cells of gband612 (val) have .95 to .99, badly segmented ones of tseng .71
        and more, Q-bands .61 to .85; drawn R-bands .47 to .57 (a real R cell .44), drawn mouse cells .41 to .48.
    human_size_ratio, least_size_ratio
        Length of long over short chromosomes of a cell: human cells have 3.4 and more, drawn mouse cells 1.6 to
        2.1. Below the first number it takes hardly readable bands besides; below the second, sizes alone speak
        against a human cell.
    no_chromosome_from
        Probability of being no single chromosome from which an object doesn't count for the mean certainty.
    size_percentiles
        Percentiles of the lengths that count as short and long: two chromosomes at either end may be cut wrongly.
    listed
        Deviations that a reason spells out; more fit no line.
    """

    sure_banding_from: float = 0.9
    auto_cell_from: float = 0.88
    likely_wrong_below: float = 0.5
    losses_from: float = 0.5
    uncertain_fraction: float = 1 / 3
    few_uncertain: int = 4
    few_unclassified: int = 2
    few_short_masks: int = 2
    likely_missed_from: float = 0.5
    min_objects: int = 8
    unreadable_below: float = 0.58
    unclear_below: float = 0.8
    human_size_ratio: float = 2.6
    least_size_ratio: float = 2.2
    no_chromosome_from: float = 0.5
    size_percentiles: tuple[float, float] = (4.0, 96.0)
    listed: int = 6
