"""A karyotype proposal: pure data, no drawing, no file, no pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.structures.alternatives import Pile
from analysis.structures.band_reading import BandReading
from analysis.structures.banding import BandingEstimate
from analysis.structures.cell_edit import RecordedEdit
from analysis.structures.crop import ChromosomeCrop
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.iscn import IscnResult
from analysis.structures.medial_axis import MedialAxis
from analysis.structures.review import ReviewVerdict
from analysis.structures.segmentation import UnselectedProposal
from analysis.structures.unexplained import UnexplainedObject, open_unexplained

EditRecord = Mapping[str, str | int | float | bool | None]
"""What was done to a chromosome by hand: names and plain values, as the editor that did it defines them."""


@dataclass(frozen=True, slots=True)
class KaryotypedChromosome:
    """One chromosome with its class.

    Attributes
    ----------
    id
        Index in the segmentation's list, which ``instance.overlaps`` refers to.
    class_name
        "1".."22", "X", "Y" or "?"; by a person's word also "mar".
    probability
        In [0, 1]: that the class is right, given the whole cell.
    instance
        Box and mask.
    flipped
        True where the short arm is at the lower end of the chromosome as it lies in the image.
    proposed
        Class and ``flipped`` that the software proposed; None where they are these.
    confirmed
        Whether a person said that the class is right.
    edits
        Records that an editor attached, in order; kept as they are.
    axis, crop
        The chromosome straightened; None where that is still to be done, for drawing too.
    """

    id: int
    class_name: str
    probability: float
    instance: Instance
    flipped: bool
    proposed: tuple[str, bool] | None = None
    confirmed: bool = False
    edits: tuple[EditRecord, ...] = ()
    axis: MedialAxis | None = field(default=None, repr=False, compare=False)
    crop: ChromosomeCrop | None = field(default=None, repr=False, compare=False)

    @property
    def set_by_person(self) -> bool:
        """Whether the class is a person's word."""
        return self.confirmed or (self.proposed is not None and self.proposed[0] != self.class_name)


@dataclass(frozen=True, slots=True)
class Karyotype:
    """A cell's karyotype proposal.

    Attributes
    ----------
    image
        The picture it is of.
    background
        float32, shape (height_px, width_px), see `Segmentation`.
    chromosomes
        In the order of the segmentation.
    iscn
        ISCN string, or why there is none.
    hypothesis
        Sex complement that fits best.
    margin
        Nats between the best and the second-best assignment of the cell.
    seconds
        Time it took.
    verdict
        What it asks of a person. Where it isn't readable, no chromosome has a class and there is no ISCN string.
    left_out
        What the segmentation proposed besides, see `Segmentation`.
    banding
        What banding the cell shows by itself; None where nobody looked.
    bands
        Band level, and homologues that differ.
    proposed_objects
        How many objects the software proposed, of which a person may have deleted some; None where they are these.
    complete
        Whether a person said that no chromosome was missed.
    protocol_banding
        What the protocol says the chromosomes are stained with; None where there was none.
    losses_believed
        With more chromosomes missing the karyotype counts as incomplete, see `compose_iscn`; None where every loss
        is believed.
    proposed_verdict
        The verdict on what the software proposed; None where that is ``verdict``.
    weights
        sha256 of the weights that it was proposed with, by their names; empty where they aren't recorded.
    unexplained
        What is dark, of chromosome-like size and in no mask, as the software proposed it; likeliest first.
    piles
        Stain with other explanations than the proposed one.
    cell_edits
        Edits of the cell in the order in which they were made; classes changed by hand in a file aren't among
        them.
    superseded
        Chromosomes as they were before edits of the cell changed or removed them: with those that no edit touched
        they are the cell as it was proposed.
    """

    image: GreyImage
    background: NDArray[np.float32]
    chromosomes: tuple[KaryotypedChromosome, ...]
    iscn: IscnResult
    hypothesis: str
    margin: float
    seconds: float
    verdict: ReviewVerdict
    left_out: tuple[UnselectedProposal, ...] = ()
    banding: BandingEstimate | None = None
    bands: BandReading = field(default_factory=BandReading)
    proposed_objects: int | None = None
    complete: bool = False
    protocol_banding: str | None = None
    losses_believed: int | None = None
    proposed_verdict: ReviewVerdict | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    unexplained: tuple[UnexplainedObject, ...] = ()
    piles: tuple[Pile, ...] = ()
    cell_edits: tuple[RecordedEdit, ...] = ()
    superseded: tuple[KaryotypedChromosome, ...] = ()

    @property
    def edited(self) -> bool:
        """Whether a person changed or confirmed anything of it."""
        deleted = self.proposed_objects is not None and self.proposed_objects != len(self.chromosomes)
        return (
            deleted
            or self.complete
            or bool(self.cell_edits)
            or any(entry.confirmed or entry.proposed is not None or entry.edits for entry in self.chromosomes)
        )

    @property
    def open_unexplained(self) -> tuple[UnexplainedObject, ...]:
        """What is unexplained still: neither dismissed nor within a chromosome that was added since."""
        return open_unexplained(self.unexplained, [each.instance for each in self.chromosomes])

    @property
    def remark(self) -> str:
        """Reasons of the verdict, and how many pairs are to be compared, in one line."""
        return "; ".join(part for part in (self.verdict.reasons_text, self.bands.summary) if part)
