"""Quantities of a rig with what physics and trade allow of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

# What physics and trade allow. Ten times beyond what is sold is still accepted; a slip of the unit (mm for um, s
# for ms) or of the exponent is refused before a deadline of years, or of nothing, is computed from it.
Position = Annotated[float, Field(ge=-10_000_000, le=10_000_000, allow_inf_nan=False)]
Speed = Annotated[float, Field(ge=1, le=10_000_000, allow_inf_nan=False)]
Acceleration = Annotated[float, Field(ge=1, le=100_000_000, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(ge=0.001, le=1_000, allow_inf_nan=False)]
Backlash = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]
ShortTimeMs = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
LongTimeS = Annotated[float, Field(ge=0.001, le=3_600, allow_inf_nan=False)]
Magnification = Annotated[float, Field(ge=0.1, le=500, allow_inf_nan=False)]
Aperture = Annotated[float, Field(ge=0.01, le=1.7, allow_inf_nan=False)]
PixelSize = Annotated[float, Field(ge=0.001, le=100, allow_inf_nan=False)]
PixelCount = Annotated[int, Field(ge=8, le=100_000)]


class StrictModel(BaseModel):
    """A part of a rig: an unknown key is an error, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
