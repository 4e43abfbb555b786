"""Which slide lies there, as far as its label says."""

from __future__ import annotations

from acquisition.errors import ResumeError
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from scanner.errors import LabelError


def read_barcode(context: RunContext) -> str | None:
    """Barcode of the run's slide; None where there is no label camera, or no barcode that could be believed.

    Raises
    ------
    DeviceError
        Stage, focus or camera failed.
    """
    slides = context.microscope.slides
    if not slides.has_label_camera:
        return None
    places = context.microscope.rig.slides
    place = next((name for name, frame in places.items() if frame == context.frame), None)
    try:
        return slides.read_label(None if slides.has_loader else place).text
    except LabelError as error:
        context.note(EventLevel.WARNING, "label_unread", f"no barcode: {error}")
        return None


def require_barcode(before: str | None, now: str | None) -> None:
    """Refuse another slide.

    Parameters
    ----------
    before
        Barcode with which the run began; None where it had none, which asks for nothing.
    now
        Barcode read now; None where none can be read.

    Raises
    ------
    ResumeError
        The label reads differently, or can't be read any more.
    """
    if before is None:
        return
    if now != before:
        read = "no label can be read" if now is None else f"the label reads {now}"
        raise ResumeError(f"another slide: {read}, the run began with {before}")
