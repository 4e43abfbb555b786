"""The candidates of a run as a table for other programs: ``candidates.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acquisition.casebook import Casebook
from acquisition.records import CandidateRecord, DecisionRecord
from acquisition.review import decided
from acquisition.storage import write_bytes_atomic

CANDIDATES_NAME = "candidates.csv"

_NUMBERS = {
    "slide_x_um": 1,
    "slide_y_um": 1,
    "radius_um": 1,
    "score": 4,
    "analysable": 4,
    "rank_score": 4,
    "spread": 3,
    "overlap": 3,
    "completeness": 3,
    "contrast": 3,
    "chromosomes": 1,
}

COLUMNS = (
    "rank", "candidate", "field", *_NUMBERS, "status", "decision", "reviewer", "decided_at", "reason", "thumbnail",
    "crop",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CandidateTable:
    """Candidates of a run, best first, with the last word of its reviewers on each."""

    candidates: tuple[CandidateRecord, ...]
    decisions: Mapping[str, DecisionRecord]

    def rows(self) -> list[dict[str, object]]:
        """Plain values; what is not known is None."""
        return [self._row(candidate) for candidate in self.candidates]

    def _row(self, candidate: CandidateRecord) -> dict[str, object]:
        decision = self.decisions.get(candidate.uid)
        values = {name: (getattr(candidate, name), digits) for name, digits in _NUMBERS.items()}
        return {
            "rank": candidate.rank,
            "candidate": candidate.uid,
            "field": candidate.field_index,
            **{name: None if value is None else round(value, digits) for name, (value, digits) in values.items()},
            "status": candidate.status.value,
            "decision": None if decision is None else word(decision),
            "reviewer": None if decision is None else decision.reviewer,
            "decided_at": None if decision is None else decision.at.isoformat(),
            "reason": None if decision is None else decision.reason,
            "thumbnail": candidate.thumbnail,
            "crop": candidate.crop,
        }


def word(decision: DecisionRecord) -> str:
    """The decision in a word."""
    return "accepted" if decision.accepted else "rejected"


def read_candidates(casebook: Casebook, run_uid: str) -> CandidateTable:
    """The candidates of a run.

    Parameters
    ----------
    casebook
        Database of the run.
    run_uid
        Which run.
    """
    candidates = casebook.candidates(run_uid)
    return CandidateTable(candidates, decided(candidates, casebook.decisions(run_uid)))


def write_candidates(table: CandidateTable, run_dir: Path) -> Path:
    """Write ``candidates.csv`` into a run's folder.

    Parameters
    ----------
    table
        The candidates.
    run_dir
        Folder of the run.

    Raises
    ------
    StorageError
        It can't be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(table.rows())
    path = run_dir / CANDIDATES_NAME
    write_bytes_atomic(path, text.getvalue().encode())
    return path
