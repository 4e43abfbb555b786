"""How much of the slide one field covers for sure, whatever way camera and slide are turned."""

from __future__ import annotations

import math

from acquisition.plan.quantities import ROUNDING
from scanner.coordinates import ImagePoint, SlideFrame, StagePoint
from scanner.rig import Objective, Rig


def covered_um(rig: Rig, objective: Objective, frame: SlideFrame | None = None) -> tuple[float, float]:
    """Largest rectangle along the slide's axes that lies within a field.

    A camera that is turned against the slide sees a turned rectangle; fields are laid on a grid along the slide's
    axes, so only what lies within an upright rectangle is sure to be covered.

    Parameters
    ----------
    rig, objective
        Camera and magnification.
    frame
        How the slide lies; default: as in the rig's first slot.

    Returns
    -------
    tuple of float
        Width and height, um.
    """
    camera = rig.camera_frame(objective)
    frame = frame or next(iter(rig.slides.values()))
    across, down = camera.offset_um(ImagePoint(camera.centre.x_px + 1, camera.centre.y_px))
    corner = frame.to_slide(StagePoint(0.0, 0.0))
    tip = frame.to_slide(StagePoint(across, down))
    dx, dy = abs(tip.x_um - corner.x_um), abs(tip.y_um - corner.y_um)
    length = math.hypot(dx, dy)
    return upright_within(camera.width_um, camera.height_um, dx / length, dy / length)


def upright_within(width_um: float, height_um: float, cosine: float, sine: float) -> tuple[float, float]:
    """Largest upright rectangle, centred, within a turned one.

    Parameters
    ----------
    width_um, height_um
        Sides of the turned rectangle.
    cosine, sine
        Absolute values for the angle by which it is turned.
    """
    if sine < ROUNDING:
        return width_um, height_um
    if cosine < ROUNDING:
        return height_um, width_um
    # A corner (w, h) / 2 lies within the turned rectangle iff  c w + s h <= width  and  s w + c h <= height.
    found: list[tuple[float, float]] = [
        (width_um / (2 * cosine), width_um / (2 * sine)),
        (height_um / (2 * sine), height_um / (2 * cosine)),
    ]
    spread = cosine**2 - sine**2
    if abs(spread) > ROUNDING:
        found.append(
            (
                (width_um * cosine - height_um * sine) / spread,
                (height_um * cosine - width_um * sine) / spread,
            )
        )
    slack = 1 + ROUNDING
    fitting = [
        (w, h)
        for w, h in found
        if w > 0
        and h > 0
        and cosine * w + sine * h <= width_um * slack
        and sine * w + cosine * h <= height_um * slack
    ]
    return max(fitting, key=lambda sides: sides[0] * sides[1])
