"""What a calibration refuses: it measures well or writes nothing."""

from __future__ import annotations

from scanner.errors import ScannerError


class CalibrationError(ScannerError):
    """A measurement that can't be trusted.

    Parameters
    ----------
    procedure
        What was being measured.
    message
        One line for the user.
    """

    def __init__(self, procedure: str, message: str) -> None:
        self.procedure = procedure
        super().__init__(f"calibration {procedure}: {message}")


class BlankCalibrationFieldError(CalibrationError):
    """There is nothing in the picture to measure by."""


class ImplausibleError(CalibrationError):
    """A value outside of what an instrument can be, or measurements that contradict each other."""
