"""What a technician asks for: ``protocols/*.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from acquisition.errors import ProtocolError
from scanner.strict_yaml import load_strict

Exposure = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Area(_Strict):
    """Rectangle on the slide, in slide um."""

    x_min_um: Finite = Field(description="left edge")
    y_min_um: Finite = Field(description="upper edge")
    x_max_um: Finite = Field(description="right edge")
    y_max_um: Finite = Field(description="lower edge")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not (self.x_min_um < self.x_max_um and self.y_min_um < self.y_max_um):
            raise ValueError("x_min_um must be below x_max_um, and y_min_um below y_max_um")
        return self

    @property
    def width_um(self) -> float:
        """Extent along x."""
        return self.x_max_um - self.x_min_um

    @property
    def height_um(self) -> float:
        """Extent along y."""
        return self.y_max_um - self.y_min_um


class Focus(_Strict):
    """How the focus surface of the scan is measured."""

    points: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="places to focus at before scanning"
    )
    range_um: Positive = Field(default=40.0, description="first search covers the expected plane +- this")


class Scan(_Strict):
    """The pass at low magnification."""

    objective: str = Field(description="name of a dry objective of the rig")
    area: Area
    overlap: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.1, description="share of a field shared with its neighbour; at least one metaphase's diameter"
    )
    exposure_ms: Exposure
    focus: Focus = Focus()


class Find(_Strict):
    """Which candidates count."""

    min_score: Share = Field(default=0.5, description="candidates below are recorded nowhere")


class Capture(_Strict):
    """The pictures at high magnification."""

    objective: str = Field(description="name of an objective of the rig")
    oil: Literal["allowed", "forbidden"] = Field(
        default="forbidden", description="an oil objective is refused unless this says allowed"
    )
    number: Annotated[int, Field(ge=0, le=1000)] = Field(description="at most this many cells, best ranked first")
    exposure_ms: Exposure
    focus_range_um: Positive = Field(default=6.0, description="search covers the predicted plane +- this")
    centring_tolerance_um: Positive = Field(
        default=8.0, description="a cell further from the image centre is centred again"
    )


class Karyotype(_Strict):
    """What the analysis makes of the captures."""

    enabled: bool = True
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="processes beside the scan")


class ErrorPolicy(_Strict):
    """How much may go wrong before the run stops."""

    max_failed_fields: Annotated[int, Field(ge=0)] = Field(
        default=3, description="a run with more failed fields in a row stops: the instrument is at fault"
    )


class Protocol(_Strict):
    """A whole protocol."""

    version: Literal[1] = Field(description="version of this schema")
    name: str
    description: str = ""
    banding: Literal["G", "R", "Q", "DAPI"]
    tissue: Literal["lymphocyte", "bone_marrow", "amniotic", "chorionic_villi"]
    scan: Scan
    find: Find = Find()
    capture: Capture
    karyotype: Karyotype = Karyotype()
    errors: ErrorPolicy = ErrorPolicy()


def _protocol_fault(message: str, path: Path, line: int | None) -> ProtocolError:
    return ProtocolError(message, path=path, line=line)


def load_protocol(path: Path) -> Protocol:
    """Read a protocol.

    Raises
    ------
    ProtocolError
        Anything is missing or wrong; with file, line, key, found and allowed.
    """
    return load_strict(Protocol, path, _protocol_fault)
