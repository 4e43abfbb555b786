"""Refuse what lies outside a range, before anything moves."""

from __future__ import annotations

import math

from scanner.errors import LimitError
from scanner.rig import Span


def check_limit(device: str, axis: str, wanted_um: float, span: Span, *, span_name: str = "") -> None:
    """Refuse a position outside a range.

    Parameters
    ----------
    device
        Label of the device.
    axis
        Axis of it.
    wanted_um
        Position asked for.
    span
        Allowed range.
    span_name
        What the range is, for the message.

    Raises
    ------
    LimitError
        It lies outside, or is no number.
    """
    if math.isfinite(wanted_um) and wanted_um in span:
        return
    raise LimitError(
        "refused before moving",
        device=device,
        axis=axis,
        wanted=float(wanted_um),
        allowed=f"{span} um" + (f" ({span_name})" if span_name else ""),
        unit="um",
    )
