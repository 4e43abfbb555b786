"""Slide um, stage um and image px: three types, and the only place that converts between them.

Conventions
-----------
* **Slide**: origin in the corner of the glass, x along the 76 mm side, y along the 26 mm side.
* **Stage**: what the controller reports. The *stage point of a specimen point* is the stage position that
  brings it to the image centre under the reference objective.
* **Image**: x to the right, y down, ``(0, 0)`` is the centre of the upper left pixel.

::

    SlidePoint --SlideFrame--> StagePoint --View (camera, objective, where the stage stands)--> ImagePoint
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

GLASS_UM = (76_000.0, 26_000.0)
"""Size of a slide (ISO 8037-1)."""


@dataclass(frozen=True, slots=True)
class SlidePoint:
    """A point of the glass, in um."""

    x_um: float
    y_um: float

    def distance_um(self, other: SlidePoint) -> float:
        """Distance to another point of the glass."""
        return math.hypot(self.x_um - other.x_um, self.y_um - other.y_um)


@dataclass(frozen=True, slots=True)
class StagePoint:
    """A position of the stage, in um."""

    x_um: float
    y_um: float

    def distance_um(self, other: StagePoint) -> float:
        """Distance to another stage position."""
        return math.hypot(self.x_um - other.x_um, self.y_um - other.y_um)

    def shifted(self, dx_um: float, dy_um: float) -> StagePoint:
        """The position `dx_um`, `dy_um` further.

        Parameters
        ----------
        dx_um, dy_um
            How far along the axes.
        """
        return StagePoint(self.x_um + dx_um, self.y_um + dy_um)


@dataclass(frozen=True, slots=True)
class ImagePoint:
    """A point of a camera image, in px; fractions are allowed."""

    x_px: float
    y_px: float


def _orthogonal(rotation_deg: float, *, flip_x: bool, flip_y: bool) -> NDArray[np.float64]:
    angle = math.radians(rotation_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    flips = np.diag([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0])
    return np.asarray(rotation @ flips, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class SlideFrame:
    """How a slide lies on the stage: flips, then rotation, then shift.

    Attributes
    ----------
    origin
        Stage position of the slide's origin.
    rotation_deg
        Rotation from slide to stage axes.
    flip_x, flip_y
        Whether an axis of the slide runs against the stage's.
    """

    origin: StagePoint = field(default_factory=lambda: StagePoint(0.0, 0.0))
    rotation_deg: float = 0.0
    flip_x: bool = False
    flip_y: bool = False

    def _matrix(self) -> NDArray[np.float64]:
        return _orthogonal(self.rotation_deg, flip_x=self.flip_x, flip_y=self.flip_y)

    def to_stage(self, point: SlidePoint) -> StagePoint:
        """Stage point of a slide point."""
        x, y = self._matrix() @ np.array([point.x_um, point.y_um])
        return StagePoint(self.origin.x_um + float(x), self.origin.y_um + float(y))

    def to_slide(self, point: StagePoint) -> SlidePoint:
        """Slide point of a stage point; the inverse of `to_stage`."""
        delta = np.array([point.x_um - self.origin.x_um, point.y_um - self.origin.y_um])
        x, y = self._matrix().T @ delta
        return SlidePoint(float(x), float(y))

    def glass(self) -> tuple[StagePoint, StagePoint]:
        """Lower and upper corner of the smallest upright rectangle of the stage that holds the whole glass."""
        corners = [self.to_stage(SlidePoint(x, y)) for x in (0.0, GLASS_UM[0]) for y in (0.0, GLASS_UM[1])]
        xs, ys = [corner.x_um for corner in corners], [corner.y_um for corner in corners]
        return StagePoint(min(xs), min(ys)), StagePoint(max(xs), max(ys))

    def is_crossed(self, start: StagePoint, end: StagePoint) -> bool:
        """Whether a move from `start` to `end` may pass over the glass; the axes need not run in step.

        Parameters
        ----------
        start, end
            Ends of the move.
        """
        lower, upper = self.glass()
        return (
            min(start.x_um, end.x_um) <= upper.x_um
            and max(start.x_um, end.x_um) >= lower.x_um
            and min(start.y_um, end.y_um) <= upper.y_um
            and max(start.y_um, end.y_um) >= lower.y_um
        )


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """How the sensor looks at the stage through one objective.

    Attributes
    ----------
    width_px, height_px
        Size of the image.
    um_per_px
        Size of a pixel on the specimen; positive.
    rotation_deg, flip_x, flip_y
        From image axes to stage axes.
    """

    width_px: int
    height_px: int
    um_per_px: float
    rotation_deg: float = 0.0
    flip_x: bool = False
    flip_y: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be inverted."""
        if not self.um_per_px > 0 or self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(f"a camera frame needs positive sizes, got {self}")

    @property
    def centre(self) -> ImagePoint:
        """Centre of the image."""
        return ImagePoint((self.width_px - 1) / 2, (self.height_px - 1) / 2)

    @property
    def width_um(self) -> float:
        """Width of the field on the specimen."""
        return self.width_px * self.um_per_px

    @property
    def height_um(self) -> float:
        """Height of the field on the specimen."""
        return self.height_px * self.um_per_px

    def _matrix(self) -> NDArray[np.float64]:
        return self.um_per_px * _orthogonal(self.rotation_deg, flip_x=self.flip_x, flip_y=self.flip_y)

    def offset_um(self, point: ImagePoint) -> tuple[float, float]:
        """Offset of an image point from the image centre, along the stage axes."""
        centre = self.centre
        x, y = self._matrix() @ np.array([point.x_px - centre.x_px, point.y_px - centre.y_px])
        return float(x), float(y)

    def point_at(self, dx_um: float, dy_um: float) -> ImagePoint:
        """Image point at an offset from the centre; the inverse of `offset_um`.

        Parameters
        ----------
        dx_um, dy_um
            Offset along the stage axes.
        """
        x, y = np.linalg.solve(self._matrix(), np.array([dx_um, dy_um]))
        centre = self.centre
        return ImagePoint(centre.x_px + float(x), centre.y_px + float(y))


@dataclass(frozen=True, slots=True)
class ParcentricOffset:
    """Where an objective's centre looks, relative to the reference objective, along the stage axes."""

    dx_um: float = 0.0
    dy_um: float = 0.0


@dataclass(frozen=True, slots=True)
class ObjectiveView:
    """One picture's geometry: where the stage stood, through which objective, how the camera is mounted.

    Attributes
    ----------
    stage
        Position read back when the picture was taken.
    camera
        Geometry of the camera with this objective.
    parcentric
        Offset of this objective against the reference objective.
    """

    stage: StagePoint
    camera: CameraFrame
    parcentric: ParcentricOffset = field(default_factory=ParcentricOffset)

    @property
    def centre(self) -> StagePoint:
        """Stage point of the specimen point in the image centre."""
        return self.stage.shifted(self.parcentric.dx_um, self.parcentric.dy_um)

    def to_stage(self, point: ImagePoint) -> StagePoint:
        """Stage point of the specimen seen at an image point."""
        return self.centre.shifted(*self.camera.offset_um(point))

    def to_image(self, point: StagePoint) -> ImagePoint:
        """Image point at which a specimen point is seen (which may lie outside the image)."""
        centre = self.centre
        return self.camera.point_at(point.x_um - centre.x_um, point.y_um - centre.y_um)


def stage_to_centre(point: StagePoint, parcentric: ParcentricOffset) -> StagePoint:
    """Where the stage has to stand so that an objective sees a specimen point in its centre.

    Parameters
    ----------
    point
        Specimen point: its stage point under the reference objective.
    parcentric
        Offset of the objective.
    """
    return point.shifted(-parcentric.dx_um, -parcentric.dy_um)
