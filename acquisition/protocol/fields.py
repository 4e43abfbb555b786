"""Kinds of values in a protocol: each with its unit and its allowed range."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_UM = {"unit": "um"}
_MS = {"unit": "ms"}
_MIN = {"unit": "min"}

PositionUm = Annotated[float, Field(allow_inf_nan=False, json_schema_extra={**_UM})]
LengthUm = Annotated[float, Field(gt=0, allow_inf_nan=False, json_schema_extra={**_UM})]
MarginUm = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False, json_schema_extra={**_UM})]
ExposureMs = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, json_schema_extra={**_MS})]
Minutes = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, json_schema_extra={**_MIN})]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Strict(BaseModel):
    """A frozen part of a protocol that knows no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
