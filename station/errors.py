"""Which failures are the user's to read: one line, no traceback."""

from __future__ import annotations

from acquisition.errors import AcquisitionError
from analysis.errors import AnalysisError
from scanner.errors import ScannerError
from station.laboratory.errors import LaboratoryError


class UsageError(Exception):
    """The command can't do what its arguments ask for."""


class NoAnswerError(Exception):
    """A running process did not take up what it was told."""


EXPECTED_ERRORS = (ScannerError, AcquisitionError, AnalysisError, UsageError, NoAnswerError, LaboratoryError)
