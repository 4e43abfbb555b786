"""What reviewers decided about a run's candidates, and what a finder can learn from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import StorageError
from acquisition.plan.candidates import WHOLE_REACH
from acquisition.records import CandidateRecord, CandidateStatus, DecisionRecord
from acquisition.storage.run_folder import CASEBOOK_NAME
from scanner.coordinates import SlidePoint


@dataclass(frozen=True, slots=True)
class ReviewedFind:
    """A candidate that a person has judged, with the picture that the finder had of it.

    Attributes
    ----------
    run_uid, candidate_uid
        Where it comes from.
    accepted
        Whether it is a metaphase worth a picture: the last word on it.
    crop
        uint8, shape (CROP_PX, CROP_PX): coded optical density as `analysis.finder` makes it.
    radius_um
        Radius of the cell, as the finder saw it.
    noise_od
        Noise of its field.
    reviewer
        Who said so.
    """

    run_uid: str
    candidate_uid: str
    accepted: bool
    crop: NDArray[np.uint8]
    radius_um: float
    noise_od: float
    reviewer: str


def same_place(first: DecisionRecord, second: DecisionRecord | CandidateRecord) -> bool:
    """Whether a decision is about the cell of another decision or candidate.

    The place says it, not the name: candidates of a scan that was stopped are named anew when it goes on.

    Parameters
    ----------
    first
        A decision.
    second
        Another decision, or a candidate.
    """
    reach_um = WHOLE_REACH * max(first.radius_um, second.radius_um)
    here, there = SlidePoint(first.slide_x_um, first.slide_y_um), SlidePoint(second.slide_x_um, second.slide_y_um)
    return here.distance_um(there) < reach_um


def latest_decisions(decisions: Iterable[DecisionRecord]) -> tuple[DecisionRecord, ...]:
    """The decision that counts for each cell, in the order in which they were made.

    Parameters
    ----------
    decisions
        As the casebook gives them, earliest first.
    """
    standing: list[DecisionRecord] = []
    for decision in decisions:
        standing = [other for other in standing if not same_place(other, decision)]
        standing.append(decision)
    return tuple(standing)


def decided(
    candidates: Sequence[CandidateRecord], decisions: Iterable[DecisionRecord]
) -> dict[str, DecisionRecord]:
    """The decision that counts, by uid of the candidate it belongs to now; candidates without one are left out.

    Parameters
    ----------
    candidates
        As the casebook gives them now.
    decisions
        All decisions of the run, earliest first.
    """
    standing = latest_decisions(decisions)
    found = {}
    for candidate in candidates:
        near = [decision for decision in standing if same_place(decision, candidate)]
        if near:
            found[candidate.uid] = min(near, key=lambda decision: _distance_um(decision, candidate))
    return found


def _distance_um(decision: DecisionRecord, candidate: CandidateRecord) -> float:
    here = SlidePoint(decision.slide_x_um, decision.slide_y_um)
    return here.distance_um(SlidePoint(candidate.slide_x_um, candidate.slide_y_um))


def rejected_cells(casebook: Casebook, run_uid: str) -> dict[str, DecisionRecord]:
    """Candidates that reviewers don't want, by uid, with their last word on each.

    Parameters
    ----------
    casebook, run_uid
        The record of the run.
    """
    decisions = casebook.decisions(run_uid)
    if not decisions:
        return {}
    standing = decided(casebook.candidates(run_uid), decisions)
    return {uid: decision for uid, decision in standing.items() if not decision.accepted}


def leave_out_rejected(casebook: Casebook, run_uid: str) -> None:
    """Say of rejected candidates that were to be photographed that they will not be, and why.

    Parameters
    ----------
    casebook, run_uid
        The record of the run; changed.
    """
    rejected = rejected_cells(casebook, run_uid)
    if not rejected:
        return
    for candidate in casebook.candidates(run_uid):
        decision = rejected.get(candidate.uid)
        if decision is not None and candidate.status is CandidateStatus.SELECTED:
            why = f"rejected by {decision.reviewer}" + (f": {decision.reason}" if decision.reason else "")
            casebook.set_candidate_status(run_uid, candidate.uid, CandidateStatus.NOT_SELECTED, why)


def reviewed_finds(run_dir: Path) -> tuple[ReviewedFind, ...]:
    """Everything that a finder can learn from the review of a run.

    Parameters
    ----------
    run_dir
        Folder of the run.

    Returns
    -------
    tuple of ReviewedFind
        Each cell once; decisions on candidates of which the run kept no crop are left out.

    Raises
    ------
    CasebookError
        There is no casebook, or it can't be read.
    StorageError
        A crop is missing or damaged.
    """
    finds = []
    with open_casebook(run_dir / CASEBOOK_NAME, create=False) as casebook:
        for run in casebook.runs():
            uid = run.record.uid
            finds += [
                ReviewedFind(
                    run_uid=uid,
                    candidate_uid=decision.candidate_uid,
                    accepted=decision.accepted,
                    crop=_read_crop(run_dir, decision.crop),
                    radius_um=decision.radius_um,
                    noise_od=decision.noise_od or 0.0,
                    reviewer=decision.reviewer,
                )
                for decision in latest_decisions(casebook.decisions(uid))
                if decision.crop is not None
            ]
    return tuple(finds)


def _read_crop(run_dir: Path, relative: str) -> NDArray[np.uint8]:
    path = (run_dir / relative).resolve()
    if not path.is_relative_to(run_dir.resolve()):
        raise StorageError("lies outside the run folder", path=path)
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise StorageError(f"the crop can't be read: {error.strerror}", path=path) from error
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if pixels is None or pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise StorageError("is no crop of a candidate", path=path)
    return np.asarray(pixels, dtype=np.uint8)
