"""Holds what lies in a run folder against what the journal says of it, before a run is gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from acquisition.errors import ResumeError
from acquisition.records import CaptureRecord, EventLevel, KaryotypeRecord, RunRecord
from acquisition.run.context import RunContext
from acquisition.run.run_log import Progress, RecordedProposal, RunStart


@dataclass(frozen=True, slots=True)
class AlteredFile:
    """A file that isn't as it was recorded.

    Attributes
    ----------
    path
        Relative to the run folder.
    reason
        What is wrong with it.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def run_start(context: RunContext, plan: str, barcode: str | None) -> RunStart:
    """What the first record of a run's journal binds.

    Parameters
    ----------
    context
        The run; the casebook has its record.
    plan
        Digest of the planned fields.
    barcode
        What the label said.
    """
    record = context.casebook.run(context.run_uid).record
    return RunStart(
        plan, barcode, context.slide, _text_digest(record.protocol_yaml), _text_digest(record.rig_yaml),
        metadata.version("karyoscan"), context.accession,
    )  # fmt: skip


def require_same_identity(context: RunContext, start: RunStart) -> None:
    """Refuse a run whose slide, protocol or rig isn't the one with which it began; note another software version.

    Parameters
    ----------
    context
        The run as it is to be gone on with.
    start
        With what it began, from the journal.

    Raises
    ------
    ResumeError
        Something was exchanged; with its name.
    CasebookError
        The casebook can't be read.
    """
    record = context.casebook.run(context.run_uid).record
    for name, recorded, present in _identities(context, start, record):
        if recorded is not None and recorded != present:
            raise ResumeError(
                f"the {name} is not the one with which the run began: it was changed in the run's folder",
                path=context.folder.path,
            )
    version = metadata.version("karyoscan")
    if start.software_version not in (None, version):
        context.note(
            EventLevel.WARNING,
            "software_changed",
            f"the run began with version {start.software_version} of the software and is resumed with {version}",
            before=start.software_version,
            now=version,
        )


def _identities(context: RunContext, start: RunStart, record: RunRecord) -> list[tuple[str, str | None, str]]:
    return [
        ("name of the slide", start.slide, context.slide),
        ("accession", start.accession, context.accession),
        ("name of the slide in the casebook", start.slide, record.slide),
        ("protocol in the casebook", start.protocol_sha256, _text_digest(record.protocol_yaml)),
        ("rig in the casebook", start.rig_sha256, _text_digest(record.rig_yaml)),
    ]


def altered_captures(folder: Path, captures: Iterable[CaptureRecord]) -> dict[str, AlteredFile]:
    """Captures whose picture isn't the one that was recorded, by capture uid.

    Parameters
    ----------
    folder
        Folder of the run.
    captures
        As the journal names them.
    """
    altered = {}
    for capture in captures:
        reason = _difference(folder / capture.path, capture.sha256)
        if reason is not None:
            altered[capture.uid] = AlteredFile(capture.path, reason)
    return altered


def altered_proposals(folder: Path, proposals: Iterable[RecordedProposal]) -> tuple[AlteredFile, ...]:
    """Files of proposals that aren't as they were recorded.

    Parameters
    ----------
    folder
        Folder of the run.
    proposals
        As the journal names them.
    """
    checked = [
        (path, _difference(folder / path, sha256))
        for proposal in proposals
        for path, sha256 in proposal.sha256.items()
    ]
    return tuple(AlteredFile(path, reason) for path, reason in checked if reason is not None)


def recorded_proposal(folder: Path, record: KaryotypeRecord) -> RecordedProposal:
    """A proposal with the digests of its files, as the journal keeps it.

    Parameters
    ----------
    folder
        Folder of the run.
    record
        The analysis' answer.
    """
    paths = [path for path in (record.json_path, record.picture_path) if path is not None]
    digests = {path: file_digest(folder / path) for path in paths if (folder / path).is_file()}
    return RecordedProposal(record.status, digests)


def note_altered(context: RunContext, progress: Progress) -> dict[str, AlteredFile]:
    """Record by name what was altered since the journal was written.

    Parameters
    ----------
    context
        The run.
    progress
        What the journal says.

    Returns
    -------
    dict of str to AlteredFile
        Altered captures by uid; they are not to be karyotyped.
    """
    captures = altered_captures(context.folder.path, progress.captures.values())
    proposals = altered_proposals(context.folder.path, progress.proposals.values())
    for file in captures.values():
        context.note(EventLevel.ERROR, "altered", str(file), file=file.path)
    for file in proposals:
        # A person may have edited a proposal, which is what it is for.
        context.note(EventLevel.WARNING, "altered", str(file), file=file.path)
    return captures


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises
    ------
    OSError
        It can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(path: Path, sha256: str) -> str | None:
    try:
        if path.is_symlink():
            return "is a symbolic link"
        return None if file_digest(path) == sha256 else "is not the file that was recorded (SHA-256 differs)"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read: {error.strerror}"


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
