"""The pictures at high magnification, and what the analysis makes of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from acquisition.protocol.fields import ExposureMs, LengthUm, Strict
from acquisition.protocol.scan import Background, ExposureMode
from scanner.strict_yaml import cross_check


class Ranking(StrEnum):
    """What makes a cell better than another."""

    RANK = "rank"
    SCORE = "score"


class ZStack(Strict):
    """Planes about the plane of best focus."""

    planes: Annotated[int, Field(ge=1, le=51)] = Field(
        default=1, description="odd; the middle one is the plane of best focus"
    )
    step_um: LengthUm = Field(default=0.4, description="distance of the planes")

    @model_validator(mode="after")
    def _has_a_middle(self) -> Self:
        if self.planes % 2 == 0:
            raise cross_check(f"found {self.planes}; must be odd, so that one lies in the best focus", "planes")
        return self

    @property
    def half_range_um(self) -> float:
        """How far the outer planes lie from the middle one."""
        return self.step_um * (self.planes // 2)


class CaptureSettings(Strict):
    """The pictures at high magnification."""

    objective: str = Field(description="name of an objective of the rig")
    oil: Literal["allowed", "forbidden"] = Field(
        default="forbidden", description="an oil objective is refused unless this says allowed"
    )
    ranking: Ranking = Field(
        default=Ranking.RANK,
        description="rank: how well the cell promises to karyotype; score: how surely it is a metaphase",
    )
    number: Annotated[int, Field(ge=0, le=1000)] = Field(description="at most this many cells, best ranked first")
    max_rank_delay: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="ranks that a cell may lose to lower ranked ones on the stage's path; 0: strict rank",
    )
    exposure: ExposureMode = Field(
        default=ExposureMode.FIXED, description="auto: measured on the first cell, beginning with exposure_ms"
    )
    exposure_ms: ExposureMs = Field(description="exposure of a picture")
    focus_range_um: LengthUm = Field(default=6.0, description="search covers the predicted plane +- this")
    centring_tolerance_um: LengthUm = Field(
        default=8.0, description="a cell further from the image centre is centred again"
    )
    check_still: bool = Field(
        default=False,
        description="two exposures are compared before the picture; errors.motion says what follows a difference",
    )
    z_stack: ZStack = Field(default=ZStack(), description="planes about the plane of best focus")
    background: Background = Field(
        default=Background.NONE, description="flat_field: light divided out with the rig's calibrated picture"
    )


class KaryotypeSettings(Strict):
    """What the analysis makes of the captures, and how many cells a case needs."""

    enabled: bool = Field(default=True, description="propose a karyogram for each capture")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="processes beside the scan")
    counted: Annotated[int, Field(ge=0, le=1000)] = Field(default=20, description="cells to count")
    analysed: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=5, description="of these, cells to compare band by band"
    )
    karyotyped: Annotated[int, Field(ge=0, le=1000)] = Field(default=2, description="of these, karyograms to sign")

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if not self.karyotyped <= self.analysed <= self.counted:
            raise cross_check(
                f"found karyotyped {self.karyotyped}, analysed {self.analysed}, counted {self.counted}; "
                "karyotyped <= analysed <= counted must hold",
                "counted" if self.analysed > self.counted else "analysed",
            )
        return self
