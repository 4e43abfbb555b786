"""What is known of a picture when it is taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Immersion(StrEnum):
    """Medium between objective and slide, in the words of OME."""

    AIR = "Air"
    OIL = "Oil"
    WATER = "Water"
    GLYCEROL = "Glycerol"


class Modality(StrEnum):
    """How the light makes the picture."""

    BRIGHT_FIELD = "bright field"
    FLUORESCENCE = "fluorescence"


@dataclass(frozen=True, slots=True)
class ObjectiveMetadata:
    """The objective a picture was taken with."""

    name: str
    magnification: float
    numerical_aperture: float
    immersion: Immersion


@dataclass(frozen=True, slots=True)
class CaptureMetadata:
    """Where, when and with what a picture was taken.

    Attributes
    ----------
    uid, run_uid, candidate_uid
        Uids of the capture, its run and its candidate.
    slide
        Name of the slide.
    um_per_px
        Size of a pixel on the specimen.
    stage_x_um, stage_y_um, z_um
        Where the stage and the focus stood, as read back.
    slide_x_um, slide_y_um
        Image centre in the frame of the slide.
    exposure_ms
        Exposure time.
    taken_at
        Time of the exposure, with a time zone.
    objective
        The objective in the light path.
    significant_bits
        Bits of a sample that the camera fills, 1..16.
    accession
        The case to which the slide belongs; empty where nobody said.
    modality
        Bright field, or fluorescence.
    """

    uid: str
    run_uid: str
    candidate_uid: str
    slide: str
    um_per_px: float
    stage_x_um: float
    stage_y_um: float
    z_um: float
    slide_x_um: float
    slide_y_um: float
    exposure_ms: float
    taken_at: datetime
    objective: ObjectiveMetadata
    significant_bits: int = 12
    accession: str = ""
    modality: Modality = Modality.BRIGHT_FIELD

    def __post_init__(self) -> None:
        """Refuse what no picture can have."""
        numbers = (self.stage_x_um, self.stage_y_um, self.z_um, self.slide_x_um, self.slide_y_um)
        positive = (
            self.um_per_px,
            self.exposure_ms,
            self.objective.magnification,
            self.objective.numerical_aperture,
        )
        if not all(map(math.isfinite, (*numbers, *positive))) or min(positive) <= 0:
            raise ValueError(f"capture {self.uid}: numbers have to be finite, sizes and times above zero")
        if not 1 <= self.significant_bits <= 16:
            raise ValueError(f"capture {self.uid}: {self.significant_bits} significant bits, allowed 1..16")
        if self.taken_at.tzinfo is None:
            raise ValueError(f"capture {self.uid}: time without a time zone")
