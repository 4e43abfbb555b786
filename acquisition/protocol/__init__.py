"""What a technician asks for: ``protocols/*.yaml``."""

from acquisition.protocol.area import (
    AnyArea,
    Area,
    CoverslipArea,
    CoverslipSize,
    DetectedArea,
    PolygonArea,
)
from acquisition.protocol.capture import CaptureSettings, KaryotypeSettings, Ranking, ZStack
from acquisition.protocol.faults import ErrorPolicy, FaultKind, FaultRule, Then
from acquisition.protocol.load import ProtocolFile, load_protocol, read_protocol
from acquisition.protocol.model import Protocol
from acquisition.protocol.notify import NotifyCommand, NotifyFile, NotifyTarget, Occasion
from acquisition.protocol.scan import (
    Background,
    ExposureMode,
    FieldOrder,
    FindSettings,
    Focus,
    FocusFallback,
    FocusStrategy,
    KeepFields,
    Scan,
    Stop,
)

__all__ = [
    "AnyArea",
    "Area",
    "Background",
    "CaptureSettings",
    "CoverslipArea",
    "CoverslipSize",
    "DetectedArea",
    "ErrorPolicy",
    "ExposureMode",
    "FaultKind",
    "FaultRule",
    "FieldOrder",
    "FindSettings",
    "Focus",
    "FocusFallback",
    "FocusStrategy",
    "KaryotypeSettings",
    "KeepFields",
    "NotifyCommand",
    "NotifyFile",
    "NotifyTarget",
    "Occasion",
    "PolygonArea",
    "Protocol",
    "ProtocolFile",
    "Ranking",
    "Scan",
    "Stop",
    "Then",
    "ZStack",
    "load_protocol",
    "read_protocol",
]
