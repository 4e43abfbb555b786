"""Dust on the camera's window and on the optics: shadows that stay where they are, whatever the stage does."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.specimen.variation import Uniform

_SENSOR_STREAM, _OPTICS_STREAM = 79, 80


@dataclass(frozen=True, slots=True)
class MoteShape:
    """How motes look; set by eye against flat fields of a dusty camera.

    Attributes
    ----------
    edge
        Width of the soft edge over the radius.
    stretch
        Length over breadth.
    middle
        Shadow in the middle over that at the edge: diffraction lightens it.
    sensor_radius_px, sensor_depth
        Of motes on the camera's window; the depth over `Dust.depth`.
    optics_radius_px, optics_depth
        Of motes near an intermediate image.
    """

    edge: float = 0.35
    stretch: Uniform = Uniform(1.0, 1.5)
    middle: float = 0.75
    sensor_radius_px: Uniform = Uniform(4.0, 14.0)
    sensor_depth: Uniform = Uniform(0.3, 1.0)
    optics_radius_px: Uniform = Uniform(18.0, 50.0)
    optics_depth: Uniform = Uniform(0.1, 0.5)


_MOTE = MoteShape()


@dataclass(frozen=True, slots=True)
class Dust:
    """How dusty an instrument is.

    Attributes
    ----------
    sensor_motes
        Motes on the camera's window: small, fairly sharp, the same through every objective.
    optics_motes
        Motes near an intermediate image, for each objective its own: large and faint.
    depth
        Fraction of the light that the darkest mote takes, 0 .. 1.
    seed
        Seed of their places and sizes.
    """

    sensor_motes: int = 0
    optics_motes: int = 0
    depth: float = 0.06
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be dust."""
        if self.sensor_motes < 0 or self.optics_motes < 0 or not 0.0 <= self.depth <= 1.0:
            raise ValueError(f"dust needs numbers from 0 on and a depth in 0 .. 1, got {self}")

    def shadows(self, width_px: int, height_px: int, objective: str) -> NDArray[np.float32]:
        """Fraction of the light that the dust lets pass, through an objective.

        Parameters
        ----------
        width_px, height_px
            Size of the sensor.
        objective
            Label of the objective.

        Returns
        -------
        ndarray
            float32, shape (height_px, width_px), ``1 - depth`` .. 1 where motes do not overlap.
        """
        field = np.ones((height_px, width_px), np.float32)
        sensor = np.random.default_rng([self.seed, _SENSOR_STREAM])
        for _ in range(self.sensor_motes):
            radius_px = _MOTE.sensor_radius_px.draw(sensor)
            _shade(field, sensor, radius_px, self.depth * _MOTE.sensor_depth.draw(sensor))
        optics = np.random.default_rng([self.seed, _OPTICS_STREAM, zlib.crc32(objective.encode())])
        for _ in range(self.optics_motes):
            radius_px = _MOTE.optics_radius_px.draw(optics)
            _shade(field, optics, radius_px, self.depth * _MOTE.optics_depth.draw(optics))
        return field


def _shade(field: NDArray[np.float32], rng: np.random.Generator, radius_px: float, depth: float) -> None:
    """Lay the shadow of one mote: a soft, slightly oblong disc, lighter in its middle as diffraction makes it."""
    height, width = field.shape
    x, y = float(rng.uniform(0.0, width)), float(rng.uniform(0.0, height))
    turn, stretch = float(rng.uniform(0.0, math.pi)), _MOTE.stretch.draw(rng)
    reach = math.ceil(radius_px * stretch * (1.0 + _MOTE.edge)) + 1
    left, right = max(int(x) - reach, 0), min(int(x) + reach + 1, width)
    top, bottom = max(int(y) - reach, 0), min(int(y) + reach + 1, height)
    dx, dy = np.arange(left, right)[None, :] - x, np.arange(top, bottom)[:, None] - y
    along = dx * math.cos(turn) + dy * math.sin(turn)
    across = dy * math.cos(turn) - dx * math.sin(turn)
    distance = np.hypot(along / stretch, across) / radius_px
    edge = np.clip((1.0 - distance) / _MOTE.edge + 0.5, 0.0, 1.0)
    shadow = (
        depth * edge * edge * (3 - 2 * edge) * (_MOTE.middle + (1.0 - _MOTE.middle) * np.minimum(distance, 1.0))
    )
    field[top:bottom, left:right] *= (1.0 - shadow).astype(np.float32)
