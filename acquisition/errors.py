"""The run's errors.

::

    AcquisitionError
    +-- ProtocolError      the protocol is wrong (file, line, key, found, allowed)
    +-- WorklistError      the worklist is wrong (file, line, found, allowed)
    +-- PlanError          the plan can't be carried out on this rig
    |   +-- CoverslipError the coarse pass shows no coverslip, or not surely enough
    +-- StorageError       a picture or the record could not be written
    |   +-- DiskFullError
    |   +-- FolderInUseError
    |   +-- JournalError   the journal of a run is damaged or can't be written
    +-- UnsteadyError      two exposures of one place differ: something moved
    +-- PlacesLostError    what the scan saw is no longer where the stage says it is
    +-- SearchError        a field could not be searched
    +-- WorkerError        a worker process hangs, or none can be started
    +-- ResumeError        an interrupted run can't be gone on with
    +-- SlideParkedError   the protocol gives the slide up after a fault; the next slide may be taken
    +-- RunAbortedError    a person aborted the run
    +-- NotConfirmedError  high magnification shows no metaphase where the scan saw one
    +-- CasebookError      the database can't be opened, migrated or written
        +-- NewerCasebookError  a newer version of the software wrote it
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


class WorklistError(AcquisitionError):
    """The worklist is wrong."""


class PlanError(AcquisitionError):
    """The plan can't be carried out on this rig."""


class CoverslipError(PlanError):
    """The coarse pass shows no coverslip, or not surely enough."""


class StorageError(AcquisitionError):
    """A picture or the record could not be written."""


class DiskFullError(StorageError):
    """Not enough room for what is still to come."""


class FolderInUseError(StorageError):
    """The output folder belongs to another run."""


class JournalError(StorageError):
    """The journal of a run is damaged or can't be written."""


class UnsteadyError(AcquisitionError):
    """Two exposures of one place differ: something moved."""


class PlacesLostError(AcquisitionError):
    """What the scan saw is no longer where the stage says it is: steps were lost, or the slide was moved."""


class SearchError(AcquisitionError):
    """A field could not be searched."""


class DeadlineError(AcquisitionError):
    """A call gave no answer in the time it has."""


class WorkerError(AcquisitionError):
    """A worker process hangs, or none can be started."""


class ResumeError(AcquisitionError):
    """An interrupted run can't be gone on with: the slide, the rig or the record is not what it was."""


class SlideParkedError(AcquisitionError):
    """The protocol gives the slide up after a fault; the next slide may be taken."""


class RunAbortedError(AcquisitionError):
    """A person aborted the run."""


class NotConfirmedError(AcquisitionError):
    """High magnification shows no metaphase where the scan saw one."""


class CasebookError(AcquisitionError):
    """The database can't be opened, migrated or written."""


class NewerCasebookError(CasebookError):
    """A newer version of the software wrote the database."""
