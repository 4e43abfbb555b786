"""From sightings to named candidates, best first."""

from __future__ import annotations

from collections.abc import Sequence

from acquisition.plan.candidates import merge
from acquisition.records import CandidateRecord, CandidateStatus
from acquisition.run.run_log import Find, RankedCandidate


def rank(finds: Sequence[Find]) -> list[RankedCandidate]:
    """One candidate a cell, best score first; the same finds in any order give the same candidates."""
    merged = merge(find.sighting for find in finds)
    return [
        RankedCandidate(f"cell-{number:04d}", number, sighting) for number, sighting in enumerate(merged, start=1)
    ]


def candidate_records(
    candidates: Sequence[RankedCandidate], finds: Sequence[Find], wanted: int
) -> list[CandidateRecord]:
    """Candidates as the casebook keeps them.

    Parameters
    ----------
    candidates
        Best first.
    finds
        Where their pictures are.
    wanted
        How many of the best are to be photographed.
    """
    # Merging may lend a sighting the better score of another, but never another place.
    thumbnails = {(find.sighting.field_index, find.sighting.where): find.thumbnail for find in finds}
    return [
        CandidateRecord(
            uid=candidate.uid,
            field_index=candidate.sighting.field_index,
            slide_x_um=candidate.sighting.where.x_um,
            slide_y_um=candidate.sighting.where.y_um,
            radius_um=candidate.sighting.radius_um,
            score=candidate.sighting.score,
            rank=candidate.rank,
            status=CandidateStatus.FOUND if candidate.rank <= wanted else CandidateStatus.NOT_SELECTED,
            thumbnail=thumbnails[candidate.sighting.field_index, candidate.sighting.where],
        )
        for candidate in candidates
    ]
