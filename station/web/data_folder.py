"""The folder that holds everything of a laboratory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acquisition.storage.atomic import storage_errors


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where the files of a laboratory lie.

    Attributes
    ----------
    path
        The folder.
    """

    path: Path

    @property
    def runs(self) -> Path:
        """Folders of runs and of nights."""
        return self.path / "runs"

    @property
    def protocols(self) -> Path:
        """Protocols of the laboratory, beside the packaged ones."""
        return self.path / "protocols"

    @property
    def rigs(self) -> Path:
        """Rigs of the laboratory, beside the packaged ones."""
        return self.path / "rigs"

    @property
    def worklists(self) -> Path:
        """Worklists as they were given, one folder a night."""
        return self.path / "worklists"

    def make(self) -> None:
        """Make the folder and its parts, where they aren't there.

        Raises
        ------
        StorageError
            They can't be made.
        """
        with storage_errors(self.path):
            for folder in (self.runs, self.protocols, self.rigs, self.worklists):
                folder.mkdir(parents=True, exist_ok=True)
