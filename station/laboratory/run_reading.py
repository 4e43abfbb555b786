"""What the casebook takes from a run's folder, read by the run's own readers; nothing is written there."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import AcquisitionError, CasebookError
from acquisition.records import (
    CandidateRecord,
    CaptureRecord,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunSummary,
)
from acquisition.storage.run_folder import CASEBOOK_NAME, JOURNAL_NAME, REQUEST_NAME, RUN_JSON_NAME, is_in_use
from analysis.errors import AnalysisError
from analysis.karyotyping.proposal_text import load_json, parse_proposal
from analysis.structures.review import ReviewLevel

_WAL_SUFFIX: Final = "-wal"
_MANY_MISSING: Final = 3
"""Names of missing files that a message has room for."""


@dataclass(frozen=True, slots=True)
class ProposalSnapshot:
    """A proposal as it lies in the run's folder.

    Attributes
    ----------
    path
        Relative to the run's folder.
    sha256
        Of the file.
    verdict
        What it asks of a person; None where its file can't be read, or was read before.
    """

    path: str
    sha256: str
    verdict: ReviewLevel | None


@dataclass(frozen=True, slots=True)
class CellSnapshot:
    """A photographed cell of a run.

    Attributes
    ----------
    candidate, capture
        What was found at low magnification, and its picture.
    karyotype
        What the analysis said; None before it did.
    proposal
        None where there is none, or its file isn't there.
    """

    candidate: CandidateRecord
    capture: CaptureRecord
    karyotype: KaryotypeRecord | None
    proposal: ProposalSnapshot | None


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """A run at one moment.

    Attributes
    ----------
    summary
        Its identity and how it stands.
    accession
        Its case; empty where nobody named one.
    fields_done, fields_failed, candidates, karyotyped
        Counts.
    cells
        The photographed ones by rank.
    missing
        Files that its record names and that aren't there, relative to the folder.
    """

    summary: RunSummary
    accession: str
    fields_done: int
    fields_failed: int
    candidates: int
    karyotyped: int
    cells: tuple[CellSnapshot, ...]
    missing: tuple[str, ...]

    def missing_in_words(self) -> str:
        """The missing files for a message; empty where none is missing."""
        if not self.missing:
            return ""
        more = len(self.missing) - _MANY_MISSING
        named = ", ".join(self.missing[:_MANY_MISSING])
        return f"{len(self.missing)} files of its record aren't there: {named}" + (
            f" and {more} more" if more > 0 else ""
        )


def is_run_folder(folder: Path) -> bool:
    """Whether a folder holds a run, or what is left or copied of one so far."""
    if any((folder / name).is_file() for name in (CASEBOOK_NAME, JOURNAL_NAME)):
        return True
    return (folder / "captures").is_dir() and (folder / "finds").is_dir()


def run_fingerprint(folder: Path) -> str:
    """What tells whether a folder has to be read again: sizes and times of what a run writes."""
    parts = ["in use" if is_in_use(folder) else "idle"]
    for name in (
        CASEBOOK_NAME,
        CASEBOOK_NAME + _WAL_SUFFIX,
        RUN_JSON_NAME,
        REQUEST_NAME,
        "captures",
        "karyograms",
    ):
        try:
            status = (folder / name).stat()
        except OSError:
            parts.append("-")
        else:
            parts.append(f"{status.st_size}:{status.st_mtime_ns}")
    return " ".join(parts)


def read_run_snapshot(folder: Path, recorded_sha256: Collection[str] = ()) -> RunSnapshot:
    """Read a run's folder, also while the run goes on.

    Parameters
    ----------
    folder
        Of the run.
    recorded_sha256
        Digests of proposals that needn't be read again.

    Raises
    ------
    NewerCasebookError
        A newer version of the software wrote it.
    AcquisitionError
        Its record is missing, damaged, or of several runs.
    """
    with _copied_casebook(folder) as casebook:
        runs = casebook.runs()
        if len(runs) != 1:
            raise CasebookError(f"{len(runs)} runs where one is expected", path=folder)
        (summary,) = runs
        uid = summary.record.uid
        fields = casebook.fields(uid)
        candidates = casebook.candidates(uid)
        captures = {capture.candidate_uid: capture for capture in casebook.captures(uid)}
        karyotypes = {karyotype.capture_uid: karyotype for karyotype in casebook.karyotypes(uid)}
    missing = [capture.path for capture in captures.values() if not (folder / capture.path).is_file()]
    cells = []
    for candidate in candidates:
        capture = captures.get(candidate.uid)
        if capture is None:
            continue
        karyotype = karyotypes.get(capture.uid)
        proposal = None
        if karyotype is not None and karyotype.json_path is not None:
            proposal = _read_proposal(folder, karyotype.json_path, recorded_sha256)
            if proposal is None:
                missing.append(karyotype.json_path)
        cells.append(CellSnapshot(candidate, capture, karyotype, proposal))
    return RunSnapshot(
        summary=summary,
        accession=read_accession(folder),
        fields_done=sum(field.status is FieldStatus.DONE for field in fields),
        fields_failed=sum(field.status is FieldStatus.FAILED for field in fields),
        candidates=len(candidates),
        karyotyped=sum(each.status is KaryotypeStatus.PROPOSED for each in karyotypes.values()),
        cells=tuple(cells),
        missing=tuple(missing),
    )


def read_accession(folder: Path) -> str:
    """The case that a run was asked for; empty where nothing says so."""
    for name in (REQUEST_NAME, RUN_JSON_NAME):
        try:
            values = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        accession = values.get("accession") if isinstance(values, dict) else None
        if isinstance(accession, str) and accession:
            return accession
    return ""


@contextmanager
def _copied_casebook(folder: Path) -> Iterator[Casebook]:
    """The run's record as it is now, in a copy: an old one is migrated there, and the run's own stays as it is."""
    path = folder / CASEBOOK_NAME
    if not path.is_file():
        raise CasebookError(f"its record ({CASEBOOK_NAME}) isn't there", path=folder)
    with tempfile.TemporaryDirectory(prefix="karyoscan-", ignore_cleanup_errors=True) as scratch:
        copy = Path(scratch) / CASEBOOK_NAME
        try:
            _copy_database(path, copy)
        except (sqlite3.Error, OSError) as error:
            raise CasebookError(f"its record can't be read: {error}", path=path) from error
        try:
            with open_casebook(copy, create=False) as casebook:
                yield casebook
        except AcquisitionError as error:
            raise type(error)(str(error).removeprefix(f"{copy}: "), path=path) from error


def _copy_database(path: Path, copy: Path) -> None:
    wal = path.with_name(path.name + _WAL_SUFFIX)
    # Without a log beside it nobody writes: read as it is, SQLite leaves no files of its own in the folder.
    mode = "mode=ro" if wal.exists() else "mode=ro&immutable=1"
    try:
        with (
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.OperationalError:
        # A folder that can't be written, such as an archive: nobody writes to its log either.
        copy.unlink(missing_ok=True)
        shutil.copyfile(path, copy)
        if wal.exists():
            shutil.copyfile(wal, copy.with_name(copy.name + _WAL_SUFFIX))


def _read_proposal(folder: Path, relative: str, recorded_sha256: Collection[str]) -> ProposalSnapshot | None:
    path = folder / relative
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    verdict = None
    if sha256 not in recorded_sha256:
        try:
            verdict = parse_proposal(load_json(path), path).verdict.level
        except AnalysisError:
            # Damaged, or of an earlier version: the cell is shown without a verdict.
            verdict = None
    return ProposalSnapshot(relative, sha256, verdict)
