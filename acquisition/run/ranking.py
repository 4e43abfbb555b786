"""From sightings to named candidates, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from acquisition.plan.candidates import Sighting, merge
from acquisition.protocol import Ranking
from acquisition.records import CandidateRecord, CandidateStatus
from acquisition.run.run_log import RankedCandidate, RecordedFind


def rank(finds: Sequence[RecordedFind], by: Ranking = Ranking.RANK) -> list[RankedCandidate]:
    """One candidate a cell, best first; the same finds in any order give the same candidates.

    Parameters
    ----------
    finds
        All sightings of the scan.
    by
        What makes a cell better than another; cells that are alike in that follow each other by score.
    """

    def worth(sighting: Sighting) -> float:
        return sighting.rank if by is Ranking.RANK else sighting.score

    # Sorting is stable: what is alike stays as `merge` ordered it.
    merged = sorted(merge(find.sighting for find in finds), key=lambda sighting: -worth(sighting))
    return [
        RankedCandidate(f"cell-{number:04d}", number, sighting) for number, sighting in enumerate(merged, start=1)
    ]


def candidate_records(
    candidates: Sequence[RankedCandidate], finds: Sequence[RecordedFind], wanted: int
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
    found = {(find.sighting.field_index, find.sighting.where): find for find in finds}
    return [
        _record(candidate, found[candidate.sighting.field_index, candidate.sighting.where], wanted)
        for candidate in candidates
    ]


def _record(candidate: RankedCandidate, find: RecordedFind, wanted: int) -> CandidateRecord:
    sighting = candidate.sighting
    record = CandidateRecord(
        uid=candidate.uid,
        field_index=sighting.field_index,
        slide_x_um=sighting.where.x_um,
        slide_y_um=sighting.where.y_um,
        radius_um=sighting.radius_um,
        score=sighting.score,
        rank=candidate.rank,
        status=CandidateStatus.SELECTED if candidate.rank <= wanted else CandidateStatus.NOT_SELECTED,
        thumbnail=find.thumbnail,
        crop=find.crop,
        noise_od=find.noise_od,
    )
    if sighting.assessment is None:
        return record
    assessment = asdict(sighting.assessment)
    return replace(record, rank_score=assessment.pop("rank"), **assessment)
