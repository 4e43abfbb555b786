"""Which slide lies there, as far as its label says."""

from __future__ import annotations

from acquisition.errors import ResumeError
from scanner.microscope import Microscope


def read_barcode(microscope: Microscope) -> str | None:
    """Barcode of the slide on the stage; None where the instrument has no label camera.

    Raises
    ------
    LabelError
        There is a camera, and it reads no barcode that could be believed.
    DeviceError
        The camera failed.
    """
    slides = microscope.slides
    return slides.read_label().text if slides.has_label_camera else None


def require_barcode(before: str | None, now: str | None) -> None:
    """Refuse another slide.

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
