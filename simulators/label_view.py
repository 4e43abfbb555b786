"""What a label camera sees on the digital twin."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulators.faults import FaultKind
from simulators.label import LabelStyle, draw_bench, draw_label, smear_label
from simulators.tray import TraySlide
from simulators.twin import Twin


def photograph_label(twin: Twin, device: str, style: LabelStyle) -> NDArray[np.uint8]:
    """Picture of the label of the slide on the stage, or in the gripper.

    Parameters
    ----------
    twin
        Whose slide it is; its faults decide whether the label can be read.
    device
        Label by which faults know the camera.
    style
        Blur, contrast and dirt; format, turn and shift are the slide's.

    Returns
    -------
    NDArray[np.uint8]
        Grey levels, shape (480, 640).
    """
    with twin.lock:
        slide = _slide_in_view(twin)
        if slide is None:
            return draw_bench()
        text = slide.label
        if twin.faults.strikes(FaultKind.LABEL_DUPLICATE, device):
            text = _label_of_another(twin, slide)
            twin.note("fault", f"{device}: label {text} instead of {slide.label}")
        # As a slide lies in its slot: the same each time, whatever was photographed before.
        seed = zlib.crc32(slide.label.encode())
        rng = np.random.default_rng(seed)
        turn_deg = float(rng.normal(0.0, 2.0)) + (90.0 if rng.random() < 0.1 else 0.0)
        shift_px = (float(rng.normal(0.0, 6.0)), float(rng.normal(0.0, 6.0)))
        picture = draw_label(
            text, style=replace(style, format=slide.format, rotation_deg=turn_deg, shift_px=shift_px), seed=seed
        )
        if twin.faults.strikes(FaultKind.LABEL_UNREADABLE, device):
            twin.note("fault", f"{device}: label {slide.label} is smeared")
            return smear_label(picture, seed)
        return picture


def _slide_in_view(twin: Twin) -> TraySlide | None:
    if twin.magazine is None:
        return TraySlide(f"KS-{twin.settings.seed:04d}", twin.settings)
    return twin.magazine.label_in_view


def _label_of_another(twin: Twin, slide: TraySlide) -> str:
    others = [] if twin.magazine is None else [other.label for other in twin.magazine.tray.slides.values()]
    return next((label for label in others if label != slide.label), f"{slide.label}-COPY")
