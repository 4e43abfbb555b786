"""What is done about a fault: the protocol's table applied to what the instrument complained of."""

from __future__ import annotations

from acquisition.errors import (
    AcquisitionError,
    NotConfirmedError,
    SearchError,
    SlideParkedError,
    StorageError,
    UnsteadyError,
)
from acquisition.protocol import ErrorPolicy, FaultKind, FaultRule, Then
from scanner.errors import (
    DeviceError,
    FocusError,
    FrameError,
    InterlockError,
    LimitError,
    MoveStoppedError,
    MoveTimeoutError,
    OilError,
    PositionError,
    ScannerError,
)
from scanner.rig import Rig

Fault = ScannerError | AcquisitionError

_BY_TYPE: tuple[tuple[type[Exception], FaultKind], ...] = (
    (FocusError, FaultKind.FOCUS),
    (FrameError, FaultKind.FRAME),
    (OilError, FaultKind.OIL),
    (UnsteadyError, FaultKind.MOTION),
    (NotConfirmedError, FaultKind.NOT_CONFIRMED),
    (SearchError, FaultKind.FIND),
    (StorageError, FaultKind.STORAGE),
)


def is_for_the_protocol(error: Fault) -> bool:
    """Whether the protocol decides: not about a stop, nor about what the instrument refuses for its safety."""
    return not isinstance(error, (MoveStoppedError, LimitError, InterlockError, SlideParkedError))


def kind_of(error: Fault, rig: Rig) -> FaultKind:
    """The kind of fault that an error tells of.

    Parameters
    ----------
    error
        What was raised.
    rig
        Says which device a label belongs to.
    """
    for kind_of_error, kind in _BY_TYPE:
        if isinstance(error, kind_of_error):
            return kind
    if not isinstance(error, DeviceError):
        return FaultKind.DEVICE
    devices = rig.devices
    by_label = {
        devices.lamp: FaultKind.LIGHT,
        devices.turret: FaultKind.OBJECTIVE,
        devices.camera: FaultKind.FRAME,
        devices.stage: FaultKind.MOVE,
        devices.focus: FaultKind.MOVE,
        devices.autofocus: FaultKind.FOCUS,
        devices.reflector: FaultKind.LIGHT,
    }
    if error.device in by_label:
        return by_label[error.device]
    return FaultKind.MOVE if isinstance(error, (PositionError, MoveTimeoutError)) else FaultKind.DEVICE


class FaultCounter:
    """Counts the attempts at one step and says what follows each failure.

    Parameters
    ----------
    policy
        The protocol's table.
    rig
        The instrument.
    """

    def __init__(self, policy: ErrorPolicy, rig: Rig) -> None:
        self._policy = policy
        self._rig = rig
        self._failures = 0

    @property
    def attempt(self) -> int:
        """Which attempt is under way, from 1."""
        return self._failures + 1

    def retry(self, error: Fault) -> FaultRule | None:
        """Take note of a failure.

        Returns
        -------
        FaultRule or None
            The rule by which the step is to be tried again; None where it is to be skipped and marked.

        Raises
        ------
        SlideParkedError
            The protocol gives up the slide.
        ScannerError, AcquisitionError
            `error` itself: the protocol aborts the run, or has no say.
        """
        if not is_for_the_protocol(error):
            raise error
        kind = kind_of(error, self._rig)
        rule = self._policy.rule(kind)
        self._failures += 1
        if self._failures <= rule.retries:
            return rule
        if rule.then is Then.SKIP_AND_MARK:
            return None
        if rule.then is Then.PARK_SLIDE:
            raise SlideParkedError(f"slide parked after a fault of kind {kind}: {error}") from error
        raise error
