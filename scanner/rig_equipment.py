"""Keys of a rig for equipment that not every microscope has."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from scanner.rig_quantities import LongTimeS, NotNegative, ShortTimeMs, StrictModel


class AutofocusMode(StrEnum):
    """How a hardware autofocus is used."""

    CONTINUOUS = "continuous"
    """It holds the focus until it is switched off."""
    SINGLE = "single"
    """It focuses once and lets go."""


class AutofocusConfig(StrictModel):
    """Hardware autofocus: it finds the focus by light that a surface of the glass reflects, and drives it."""

    mode: AutofocusMode = Field(
        default=AutofocusMode.CONTINUOUS,
        description="continuous: holds the focus from field to field; single: focuses once a field and lets go",
    )
    lock_s: LongTimeS = Field(default=3.0, description="longest time that it may take to lock")
    settle_ms: ShortTimeMs = Field(
        default=150.0,
        description="typical time from the end of a stage move to the lock; run times are computed from it",
    )
    surface_tolerance_um: Annotated[float, Field(ge=0.1, le=50, allow_inf_nan=False)] = Field(
        default=15.0,
        description="a lock further than this from the focus map is on another surface, such as the coverslip's "
        "upper side; a coverslip of 170 um appears 112 um thick",
    )
    offset_tolerance: NotNegative = Field(
        default=0.5, description="accepted difference between the offset set and the one read back, device's unit"
    )
