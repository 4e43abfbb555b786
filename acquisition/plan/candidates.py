"""Candidates of all fields as one list: each cell once, best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scanner.coordinates import SlidePoint

# Two whole sightings of one cell agree within a part of its radius; the finder's radius holds 95 % of the cell.
WHOLE_REACH = 0.8
CUT_REACH = 1.25


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """What a finder thinks of a cell beyond its being a metaphase.

    Attributes
    ----------
    analysable
        Calibrated probability that it can be karyotyped, given that it is a metaphase; in [0, 1].
    rank
        By what cells are ordered; the higher, the better the cell promises to karyotype.
    spread, overlap, completeness, contrast
        In [0, 1]; None where the finder doesn't say. `overlap` is the share of chromosomes that lie on others.
    chromosomes
        How many it seems to have.
    """

    analysable: float
    rank: float
    spread: float | None = None
    overlap: float | None = None
    completeness: float | None = None
    contrast: float | None = None
    chromosomes: float | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A candidate as one field saw it.

    Attributes
    ----------
    field_index
        Field in which it was seen.
    where
        Centre, slide um.
    radius_um
        Radius of the cell.
    score
        In [0, 1].
    edge_um
        Distance from the centre to the nearest edge of the field: a cell cut by the edge has less than its radius.
    assessment
        What else the finder thinks of it; None where it only scores.
    """

    field_index: int
    where: SlidePoint
    radius_um: float
    score: float
    edge_um: float
    assessment: CandidateScore | None = None

    @property
    def chance(self) -> float:
        """Probability that it is a metaphase that can be karyotyped; of a finder that only scores, the score."""
        return self.score if self.assessment is None else self.score * self.assessment.analysable

    @property
    def rank(self) -> float:
        """By what cells are ordered; of a finder that only scores, the score."""
        return self.score if self.assessment is None else self.assessment.rank

    @property
    def is_cut(self) -> bool:
        """Whether the edge of the field may have cut the cell."""
        return self.edge_um < CUT_REACH * self.radius_um


def same_cell(first: Sighting, second: Sighting) -> bool:
    """Whether two sightings show the same cell.

    A cell cut by the edge of a field shows a part of itself, whose centre lies anywhere within the whole.

    Parameters
    ----------
    first, second
        Sightings in two fields, or in one.
    """
    cut = first.is_cut or second.is_cut
    reach = (CUT_REACH if cut else WHOLE_REACH) * max(first.radius_um, second.radius_um)
    return first.where.distance_um(second.where) < reach


def merge(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """One sighting a cell, best score first.

    Of several sightings of a cell the one furthest from its field's edge is kept, since a cut cell has a wrong
    centre, and what is missing of it spoils the assessment; the cell takes the best score among them.
    """
    whole_first = sorted(sightings, key=lambda s: (s.is_cut, -s.score, s.field_index))
    kept: list[Sighting] = []
    for sighting in whole_first:
        for index, other in enumerate(kept):
            if same_cell(sighting, other):
                if sighting.score > other.score:
                    kept[index] = replace(other, score=sighting.score)
                break
        else:
            kept.append(sighting)
    return tuple(sorted(kept, key=lambda s: (-s.score, s.field_index, s.where.x_um)))
