"""Runs and nights of the data folder, by names that a web address can hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from acquisition.batch.report import BATCH_NAME
from acquisition.errors import AcquisitionError
from acquisition.records import RunStatus
from acquisition.storage.run_folder import CASEBOOK_NAME, JOURNAL_NAME, REQUEST_NAME, RUN_JSON_NAME, is_in_use
from station.run.batch_request import read_batch_request
from station.run.status import read_run_progress
from station.web.problems import ProblemError

SEPARATOR: Final = "~"
"""Stands for the slash between the folders of a name."""
_DEPTH: Final = 3
"""Folders below that of the runs: a night's slides lie in the second, and a year's nights may lie in one more."""


@dataclass(frozen=True, slots=True)
class RunFolderName:
    """A folder with a run or a night.

    Attributes
    ----------
    name
        For addresses: the path below the folder of the runs, with `SEPARATOR` for the slash.
    path
        The folder.
    is_night
        Whether it holds a night rather than a run.
    """

    name: str
    path: Path
    is_night: bool


@dataclass(frozen=True, slots=True)
class RunLibrary:
    """Finds runs and nights below a folder, and sums each up.

    Attributes
    ----------
    root
        Folder of the runs.
    """

    root: Path
    _summaries: dict[Path, tuple[tuple[int, ...], dict[str, Any]]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def folders(self) -> tuple[RunFolderName, ...]:
        """All runs and nights; the runs of a night follow it."""
        return tuple(self._below(self.root, 1))

    def runs(self) -> tuple[RunFolderName, ...]:
        """All runs."""
        return tuple(each for each in self.folders() if not each.is_night)

    def nights(self) -> tuple[RunFolderName, ...]:
        """All nights."""
        return tuple(each for each in self.folders() if each.is_night)

    def run(self, name: str) -> RunFolderName:
        """The run of a name.

        Raises
        ------
        ProblemError
            There is none.
        """
        return self._named(name, is_night=False)

    def night(self, name: str) -> RunFolderName:
        """The night of a name.

        Raises
        ------
        ProblemError
            There is none.
        """
        return self._named(name, is_night=True)

    def summary(self, run: RunFolderName) -> dict[str, Any]:
        """How a run stands, in a few values; read anew only when its files changed."""
        stamp = _stamp(run.path)
        with self._lock:
            before = self._summaries.get(run.path)
        if before is not None and before[0] == stamp:
            return before[1]
        values = _summary(run)
        with self._lock:
            self._summaries[run.path] = (stamp, values)
        return values

    def _named(self, name: str, *, is_night: bool) -> RunFolderName:
        # Never put together from the name: only what lies there can be named.
        for each in self.folders():
            if each.name == name and each.is_night == is_night:
                return each
        kind = "night" if is_night else "run"
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"no-such-{kind}", f"there is no {kind} {name}: it was moved, renamed or deleted"
        )

    def _below(self, folder: Path, depth: int) -> Iterator[RunFolderName]:
        try:
            inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        except OSError:
            return
        for path in inside:
            name = SEPARATOR.join(path.relative_to(self.root).parts)
            if (path / JOURNAL_NAME).is_file() or (path / CASEBOOK_NAME).is_file():
                yield RunFolderName(name, path, is_night=False)
                continue
            if is_night_folder(path):
                yield RunFolderName(name, path, is_night=True)
            if depth < _DEPTH:
                yield from self._below(path, depth + 1)


def is_night_folder(path: Path) -> bool:
    """Whether a folder holds the record or the request of a night."""
    return (path / BATCH_NAME).is_file() or (
        (path / REQUEST_NAME).is_file() and read_batch_request(path) is not None
    )


def _stamp(folder: Path) -> tuple[int, ...]:
    stamp = [int(is_in_use(folder))]
    for name in (JOURNAL_NAME, RUN_JSON_NAME, CASEBOOK_NAME):
        try:
            state = (folder / name).stat()
            stamp += [state.st_size, state.st_mtime_ns]
        except OSError:
            stamp.append(-1)
    return tuple(stamp)


def _summary(run: RunFolderName) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": run.name,
        "slide": None,
        "accession": None,
        "protocol": None,
        "rig": None,
        "status": None,
        "state": None,
        "running": False,
        "cut_off": False,
        "started_at": None,
        "fields_done": None,
        "candidates": None,
        "captured": None,
        "karyotyped": None,
        "error": None,
    }
    try:
        values |= _ended_run(run.path) or _unended_run(run.path)
    except AcquisitionError as error:
        # One run that can't be read doesn't hide the others.
        values |= {"status": "unreadable", "error": str(error)}
    return values


def _ended_run(folder: Path) -> dict[str, Any] | None:
    """What run.json says; None while the run goes on, or where there is none."""
    if is_in_use(folder):
        return None
    try:
        record = json.loads((folder / RUN_JSON_NAME).read_text("utf-8"))
        sessions = record.get("sessions") or []
        if record["status"] == RunStatus.RUNNING:
            return None
        return {
            "slide": record.get("slide"),
            "accession": record.get("accession"),
            "protocol": record.get("protocol"),
            "rig": record.get("rig"),
            "status": str(record["status"]),
            "state": "ended",
            "started_at": sessions[0]["started_at"] if sessions else None,
            "fields_done": record.get("fields"),
            "candidates": record.get("candidates"),
            "captured": record.get("captured"),
            "karyotyped": record.get("karyotyped"),
            "error": record.get("error"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _unended_run(folder: Path) -> dict[str, Any]:
    progress = read_run_progress(folder, datetime.now(UTC))
    return {
        "slide": progress.slide,
        "accession": _accession(folder),
        "protocol": progress.protocol,
        "status": progress.status.value,
        "state": progress.state.value,
        "running": progress.running,
        "cut_off": progress.is_cut_off,
        "fields_done": progress.fields_done,
        "candidates": progress.candidates,
        "captured": progress.captured,
        "karyotyped": progress.karyotyped,
        "error": progress.error,
    }


def _accession(folder: Path) -> str | None:
    try:
        return json.loads((folder / REQUEST_NAME).read_text("utf-8")).get("accession") or None
    except (OSError, ValueError, AttributeError):
        return None
