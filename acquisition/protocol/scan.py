"""The pass at low magnification: where, how, in what order, and when it has seen enough."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from acquisition.protocol.area import AnyArea
from acquisition.protocol.fields import ExposureMs, Fraction, LengthUm, Minutes, Strict


class ExposureMode(StrEnum):
    """Who chooses the exposure."""

    FIXED = "fixed"
    AUTO = "auto"


class FocusStrategy(StrEnum):
    """How the focus of a field is known."""

    SURFACE = "surface"
    EACH_FIELD = "each_field"
    HARDWARE = "hardware"


class FocusFallback(StrEnum):
    """What is done where the hardware autofocus doesn't hold the specimen."""

    SOFTWARE = "software"
    NONE = "none"


class KeepFields(StrEnum):
    """What stays of the fields of the scan."""

    NONE = "none"
    OVERVIEW = "overview"
    ALL = "all"


class FieldOrder(StrEnum):
    """In what order the fields are photographed."""

    SERPENTINE = "serpentine"
    DENSEST_FIRST = "densest_first"


class Background(StrEnum):
    """What is done about uneven light."""

    NONE = "none"
    FLAT_FIELD = "flat_field"


class Focus(Strict):
    """How the focus of the scan is known."""

    strategy: FocusStrategy = Field(
        default=FocusStrategy.SURFACE,
        description="surface: measured at some points and fitted; each_field: searched anew on every field; "
        "hardware: held by the rig's hardware autofocus, each lock checked against the surface",
    )
    fallback: FocusFallback = Field(
        default=FocusFallback.SOFTWARE,
        description="where the hardware autofocus doesn't hold the specimen: software: the field is focused by "
        "pictures; none: it is a fault, and errors.focus says what follows",
    )
    points: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="places to focus at before scanning"
    )
    range_um: LengthUm = Field(default=40.0, description="first search covers the expected plane +- this")


class Scan(Strict):
    """The pass at low magnification."""

    objective: str = Field(description="name of a dry objective of the rig")
    area: AnyArea = Field(description="what has to be covered")
    overlap: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.1,
        description="fraction of a field that its neighbour covers too; at least one metaphase's diameter",
    )
    exposure: ExposureMode = Field(
        default=ExposureMode.FIXED, description="auto: measured on the slide, beginning with exposure_ms"
    )
    exposure_ms: ExposureMs = Field(description="exposure of a field")
    focus: Focus = Field(default=Focus(), description="how the focus of the scan is known")
    order: FieldOrder = Field(
        default=FieldOrder.SERPENTINE,
        description="densest_first: a thin sample of fields first, then where most cells were detected; "
        "useful with a stop rule",
    )
    keep_fields: KeepFields = Field(
        default=KeepFields.NONE,
        description="overview: reduced mosaic; all: every field in full as well",
    )
    background: Background = Field(
        default=Background.NONE, description="flat_field: light divided out with the rig's calibrated picture"
    )


class FindSettings(Strict):
    """Which candidates count."""

    model: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_.-]*$")] = Field(
        default="default", description="which finder; default is the one that the software ships with"
    )
    min_score: Fraction = Field(default=0.5, description="candidates below aren't recorded")


class Stop(Strict):
    """When the scan ends before its area is exhausted; it always ends with its area."""

    cells: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="analysable cells that are enough; default: the whole area is scanned"
    )
    probability: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        default=0.95, description="probability that must be reached that so many candidates are analysable"
    )
    max_minutes: Minutes | None = Field(default=None, description="scanning ends after this time")
