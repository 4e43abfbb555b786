"""What a label camera sees on the digital twin."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulators.faults import TwinFaultKind
from simulators.label import LabelStyle, draw_empty_stage, draw_label, smear_label
from simulators.specimen.glass import LABEL_UM
from simulators.tray import TraySlide
from simulators.twin import Twin

# Centre of the label on the slide, and how far from it a camera may look and still see it whole, um.
_LABEL_CENTRE_UM = ((LABEL_UM[0] + LABEL_UM[2]) / 2.0, (LABEL_UM[1] + LABEL_UM[3]) / 2.0)
_VISIBLE_WITHIN_UM = 3_000.0
_QUARTER_TURN_DEG, _TURNED_FRACTION = 90, 0.1
"""Labels are now and then stuck on across; a reader has to take them both ways round."""
_SHIFT_PX = 6.0
"""Labels are stuck on by hand."""


def photograph_label(
    twin: Twin, device: str, style: LabelStyle, offset_um: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.uint8]:
    """Picture of the label of the slide at the load position or in the gripper, or of one in a frame.

    Parameters
    ----------
    twin
        Whose slide it is; its faults decide whether the label can be read.
    device
        Label by which faults know the camera.
    style
        Blur, contrast and dirt; format, turn and shift are the slide's.
    offset_um
        Where the camera looks, against the first objective; counts for a frame.

    Returns
    -------
    NDArray[np.uint8]
        Grey levels, shape (480, 640).
    """
    with twin.lock:
        slide = _slide_in_view(twin, offset_um)
        if slide is None:
            return draw_empty_stage()
        text = slide.label
        if twin.faults.strikes(TwinFaultKind.LABEL_DUPLICATE, device):
            text = _label_of_another(twin, slide)
            twin.note("fault", f"{device}: label {text} instead of {slide.label}")
        # As a slide lies in its slot: the same each time, whatever was photographed before.
        seed = zlib.crc32(slide.label.encode())
        rng = np.random.default_rng(seed)
        turn_deg = float(rng.normal(0.0, 2.0)) + (_QUARTER_TURN_DEG if rng.random() < _TURNED_FRACTION else 0.0)
        shift_px = (float(rng.normal(0.0, _SHIFT_PX)), float(rng.normal(0.0, _SHIFT_PX)))
        picture = draw_label(
            text, style=replace(style, format=slide.format, rotation_deg=turn_deg, shift_px=shift_px), seed=seed
        )
        if twin.faults.strikes(TwinFaultKind.LABEL_UNREADABLE, device):
            twin.note("fault", f"{device}: label {slide.label} is smeared")
            return smear_label(picture, seed)
        return picture


def _slide_in_view(twin: Twin, offset_um: tuple[float, float]) -> TraySlide | None:
    bay, place = twin.place_um(offset_um)
    if bay is not None:
        return bay.slide if math.dist(place, _LABEL_CENTRE_UM) <= _VISIBLE_WITHIN_UM else None
    if twin.magazine is None:
        return TraySlide(f"KS-{twin.settings.seed:04d}", twin.settings)
    return twin.magazine.label_in_view


def _label_of_another(twin: Twin, slide: TraySlide) -> str:
    holder = twin.bed or twin.magazine
    others = [] if holder is None else [other.label for other in holder.tray.slides.values()]
    return next((label for label in others if label != slide.label), f"{slide.label}-COPY")
