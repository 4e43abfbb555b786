"""The run's errors.

::

    AcquisitionError
    +-- ProtocolError      the protocol is wrong (file, line, key, found, allowed)
    +-- PlanError          the plan can't be carried out on this rig
    +-- StorageError       a picture or the record could not be written
    |   +-- DiskFullError
    |   +-- FolderInUseError
    +-- NotConfirmedError  high magnification shows no metaphase where the scan saw one
    +-- CasebookError      the database can't be opened, migrated or written
"""

from __future__ import annotations

from pathlib import Path


class AcquisitionError(Exception):
    """Root of the run's errors.

    Parameters
    ----------
    message
        One line for the user.
    path
        File concerned, where there is one.
    line
        Line of `path`, counted from 1.
    """

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None) -> None:
        self.path = path
        self.line = line
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(f"{where}{message}")


class ProtocolError(AcquisitionError):
    """The protocol is wrong."""


class PlanError(AcquisitionError):
    """The plan can't be carried out on this rig."""


class StorageError(AcquisitionError):
    """A picture or the record could not be written."""


class DiskFullError(StorageError):
    """Not enough room for what is still to come."""


class FolderInUseError(StorageError):
    """The output folder belongs to another run."""


class NotConfirmedError(AcquisitionError):
    """High magnification shows no metaphase where the scan saw one."""


class CasebookError(AcquisitionError):
    """The database can't be opened, migrated or written."""
