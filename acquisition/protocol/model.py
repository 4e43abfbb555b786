"""The whole protocol."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from acquisition.protocol.capture import CaptureSettings, KaryotypeSettings
from acquisition.protocol.faults import ErrorPolicy
from acquisition.protocol.fields import Strict
from acquisition.protocol.notify import NotifyTarget
from acquisition.protocol.scan import FieldOrder, FindSettings, Scan, Stop
from scanner.strict_yaml import cross_check

VERSION = 1


class Protocol(Strict):
    """A whole protocol."""

    version: Literal[1] = Field(description="version of this schema")
    name: Annotated[str, Field(min_length=1, max_length=80)] = Field(description="name in the record")
    description: str = Field(default="", description="one line for people")
    banding: Literal["G", "R", "Q", "DAPI"] = Field(description="how the chromosomes are stained")
    tissue: Literal["lymphocyte", "bone_marrow", "amniotic", "chorionic_villi"] = Field(
        description="where the cells come from"
    )
    scan: Scan = Field(description="the pass at low magnification")
    find: FindSettings = Field(default=FindSettings(), description="which candidates count")
    stop: Stop = Field(default=Stop(), description="when the scan ends before its area is exhausted")
    capture: CaptureSettings = Field(description="the pictures at high magnification")
    karyotype: KaryotypeSettings = Field(
        default=KaryotypeSettings(), description="what the analysis makes of the captures"
    )
    errors: ErrorPolicy = Field(default=ErrorPolicy(), description="what is done about each kind of fault")
    notify: tuple[NotifyTarget, ...] = Field(default=(), description="who gets notice of the end, and of faults")

    @property
    def is_fluorescence(self) -> bool:
        """Whether the chromosomes shine by their stain; otherwise they darken the light of the lamp."""
        return self.banding in {"Q", "DAPI"}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (
            self.scan.order is FieldOrder.DENSEST_FIRST
            and self.stop.cells is None
            and self.stop.max_minutes is None
        ):
            raise cross_check(
                "found densest_first, which needs stop.cells or stop.max_minutes: "
                "without them every field is photographed, and the order only costs travel",
                "scan",
                "order",
            )
        return self
