"""Protocols of the laboratory as files, each with all its versions and who wrote them."""

from __future__ import annotations

import difflib
import json
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from acquisition.protocol import load_protocol
from acquisition.storage import write_bytes_atomic, write_json_atomic
from acquisition.storage.atomic import storage_errors
from station.installation.packaged import packaged_protocols
from station.web.problems import ProblemError

VERSIONS_FOLDER: Final = ".versions"
_INDEX_NAME: Final = "versions.json"


@dataclass(frozen=True, slots=True)
class ProtocolVersion:
    """One state of a protocol.

    Attributes
    ----------
    number
        From 1; packaged protocols are version 0.
    author, at
        Who wrote it, and when, ISO 8601; empty where that is not recorded.
    remark
        Why, in the author's words.
    """

    number: int
    author: str
    at: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class StoredProtocol:
    """A protocol as it is now.

    Attributes
    ----------
    name
        Of its file, without the ending.
    text
        YAML.
    version
        Its number and author.
    packaged
        Whether it comes with the software, and can't be changed.
    """

    name: str
    text: str
    version: ProtocolVersion
    packaged: bool


@dataclass(frozen=True, slots=True)
class ProtocolStore:
    """A folder of protocols; versions lie in a folder of their own below it.

    A file that somebody wrote by hand is a version too: it is taken up when it is next read here.

    Attributes
    ----------
    folder
        Where they lie.
    """

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def own_paths(self) -> dict[str, Path]:
        """Files of the laboratory's protocols by name."""
        return {path.stem: path for path in sorted(self.folder.glob("*.yaml")) if path.is_file()}

    def path(self, name: str) -> Path:
        """File of a protocol; one of the laboratory comes before a packaged one of the same name.

        Raises
        ------
        ProblemError
            There is none.
        """
        paths = packaged_protocols() | self.own_paths()
        if name not in paths:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "no-such-protocol",
                f"there is no protocol {name}; there are {', '.join(paths)}",
            )
        return paths[name]

    def names(self) -> tuple[str, ...]:
        """All protocols, packaged ones too."""
        return tuple(sorted(packaged_protocols() | self.own_paths()))

    def read(self, name: str) -> StoredProtocol:
        """A protocol as it is now.

        Raises
        ------
        ProblemError
            There is none.
        StorageError
            It can't be read.
        """
        path = self.path(name)
        with storage_errors(path):
            text = path.read_bytes().decode("utf-8", errors="replace")
        if name not in self.own_paths():
            return StoredProtocol(name, text, ProtocolVersion(0, "", ""), packaged=True)
        with self._lock:
            return StoredProtocol(name, text, self._taken_up(name, path, text)[-1], packaged=False)

    def versions(self, name: str) -> tuple[ProtocolVersion, ...]:
        """All versions of a protocol, the first one first; none of a packaged one."""
        if name not in self.own_paths():
            self.path(name)
            return ()
        self.read(name)
        return tuple(self._index(name))

    def version_text(self, name: str, number: int) -> str:
        """Text of a version; 0 is the packaged protocol of that name, or nothing.

        Parameters
        ----------
        name
            Of the protocol.
        number
            Of the version.

        Raises
        ------
        ProblemError
            There is none.
        """
        path = packaged_protocols().get(name) if number == 0 else self._version_path(name, number)
        if number == 0 and path is None:
            return ""
        if path is None or not path.is_file() or name not in self.names():
            raise ProblemError(HTTPStatus.NOT_FOUND, "no-such-version", f"{name} has no version {number}")
        with storage_errors(path):
            return path.read_text(encoding="utf-8")

    def difference(self, name: str, before: int, after: int) -> str:
        """What changed between two versions, as a unified diff.

        Parameters
        ----------
        name
            Of the protocol.
        before, after
            Numbers of the versions.
        """
        lines = difflib.unified_diff(
            self.version_text(name, before).splitlines(keepends=True),
            self.version_text(name, after).splitlines(keepends=True),
            f"{name}, version {before}",
            f"{name}, version {after}",
        )
        return "".join(lines)

    def write(
        self, name: str, text: str, *, expected_version: int, author: str, remark: str = ""
    ) -> StoredProtocol:
        """Keep a new version of a protocol; one that can't be read is refused.

        Parameters
        ----------
        name
            Of the protocol, and of its file.
        text
            YAML.
        expected_version
            The version that the author had before them; 0 for a new one.
        author
            Who.
        remark
            Why.

        Raises
        ------
        ProtocolError
            It can't be read; with line and what is allowed.
        ProblemError
            Somebody else wrote a version meanwhile; with the difference.
        StorageError
            It can't be written.
        """
        path = self.folder / f"{name}.yaml"
        load_protocol(Path(path.name), text=text)
        with self._lock:
            present = self._taken_up(name, path, path.read_text("utf-8")) if path.is_file() else []
            number = present[-1].number if present else 0
            if number != expected_version:
                raise self._conflict(name, text, present)
            version = ProtocolVersion(number + 1, author, datetime.now(UTC).isoformat(timespec="seconds"), remark)
            self._add(name, text, [*present, version])
            # The version is there before the file changes: a crash between the two loses nothing.
            write_bytes_atomic(path, text.encode())
        return StoredProtocol(name, text, version, packaged=False)

    def _conflict(self, name: str, text: str, present: list[ProtocolVersion]) -> ProblemError:
        last = present[-1] if present else ProtocolVersion(0, "", "")
        theirs = self.version_text(name, last.number)
        lines = difflib.unified_diff(
            theirs.splitlines(keepends=True), text.splitlines(keepends=True), f"version {last.number}", "yours"
        )
        by = f" by {last.author}" if last.author else ""
        return ProblemError(
            HTTPStatus.CONFLICT,
            "changed-meanwhile",
            f"{name} was changed{by} since you opened it: nothing of yours was written; compare and try again",
            {"present_version": last.number, "present_text": theirs, "difference": "".join(lines)},
        )

    def _taken_up(self, name: str, path: Path, text: str) -> list[ProtocolVersion]:
        """The versions, with the file itself as the last one."""
        versions = self._index(name)
        if versions:
            last = self._version_path(name, versions[-1].number)
            if last.is_file() and last.read_text(encoding="utf-8") == text:
                return versions
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        versions.append(ProtocolVersion(len(versions) + 1, "", written_at, "written by hand"))
        self._add(name, text, versions)
        return versions

    def _add(self, name: str, text: str, versions: list[ProtocolVersion]) -> None:
        folder = self.folder / VERSIONS_FOLDER / name
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(self._version_path(name, versions[-1].number), text.encode())
        write_json_atomic(folder / _INDEX_NAME, {"versions": [asdict(version) for version in versions]})

    def _index(self, name: str) -> list[ProtocolVersion]:
        try:
            values: dict[str, Any] = json.loads(
                (self.folder / VERSIONS_FOLDER / name / _INDEX_NAME).read_text("utf-8")
            )
            return [ProtocolVersion(**each) for each in values["versions"]]
        except FileNotFoundError:
            return []

    def _version_path(self, name: str, number: int) -> Path:
        return self.folder / VERSIONS_FOLDER / name / f"{number:04d}.yaml"
