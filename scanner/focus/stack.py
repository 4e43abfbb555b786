"""Pictures of one place at several planes, measured on the pixels that hold something in any of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.flat_field import FlatField
from scanner.focus.measure import brenner_energy
from scanner.focus.presence import Presence, even_out, find_presence
from scanner.microscope import Microscope

# The focus is always approached from below, from so far that the drive's backlash is used up.
TAKE_UP_UM = 4.0
# White noise of variance 1, smoothed by a Gaussian of 1 px, has this mean Brenner energy over both axes:
# 4 (R(0) - R(2)) with the autocorrelation R(d) = exp(-d^2 / 4) / (4 pi).
_BRENNER_NOISE = (1.0 - np.exp(-1.0)) / np.pi
# Less background than this share of the picture is no measure of the noise.
_LEAST_BACKGROUND = 0.05
_LEAST_MEASURE = 1e-12
_SURE_DEVIATIONS = 6.0


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of all planes, in order of z, each with the blank level taken off.

    Attributes
    ----------
    coarse
        Normalised variance of the reduced, locally levelled picture: broad.
    fine
        Brenner gradient: narrow.
    coarse_noise, fine_noise
        Their standard deviations on an empty field.
    """

    coarse: NDArray[np.float64]
    fine: NDArray[np.float64]
    coarse_noise: float
    fine_noise: float

    @property
    def coarse_is_sure(self) -> bool:
        """Whether the best plane stands out of the noise."""
        return bool(self.coarse.max() > _SURE_DEVIATIONS * self.coarse_noise)

    @property
    def fine_is_sure(self) -> bool:
        """Whether the best plane stands out of the noise."""
        return bool(self.fine.max() > _SURE_DEVIATIONS * self.fine_noise)


@dataclass(frozen=True, slots=True)
class _Plane:
    z_um: float
    fine: NDArray[np.float32]
    presence: Presence


class FocusStack:
    """Planes of one place, sorted by z.

    Parameters
    ----------
    microscope
        Light on, stage at rest.
    exposure_ms
        Of each picture.
    centre_fraction
        Share of the picture, around its centre, that is measured.
    flat_field
        Takes dust and shading off.
    """

    def __init__(
        self, microscope: Microscope, exposure_ms: float, centre_fraction: float, flat_field: FlatField | None
    ) -> None:
        self._microscope = microscope
        self._exposure_ms = exposure_ms
        self._centre_share = centre_fraction
        self._flat_field = flat_field
        self._planes: list[_Plane] = []

    def __len__(self) -> int:
        return len(self._planes)

    @property
    def z_um(self) -> list[float]:
        """Planes photographed, ascending."""
        return [plane.z_um for plane in self._planes]

    @property
    def is_blank(self) -> bool:
        """Whether no plane shows anything."""
        return all(plane.presence.blank for plane in self._planes)

    def is_new(self, z_um: float) -> bool:
        """Whether no plane was photographed there."""
        return all(abs(z_um - known) > 1e-2 for known in self.z_um)

    def searched(self) -> str | None:
        """Range so far, for messages."""
        planes = self.z_um
        return f"searched {planes[0]:.1f} .. {planes[-1]:.1f} um" if planes else None

    def approach(self, z_um: float) -> float:
        """Go to a plane from below; returns the position read back."""
        microscope = self._microscope
        if z_um < microscope.focus_position_um():
            microscope.focus_to(max(z_um - TAKE_UP_UM, microscope.objective.focus.min_um))
        return microscope.focus_to(z_um)

    def take(self, z_um: float) -> None:
        """Photograph a plane."""
        here_um = self.approach(z_um)
        frame = self._microscope.snap(self._exposure_ms)
        if self._flat_field is not None:
            frame = self._flat_field.correct(frame)
        picture = even_out(_centre(frame.pixels, self._centre_share))
        presence = find_presence(picture)
        energy = brenner_energy(np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), dtype=np.float32))
        size = (presence.mask.shape[1], presence.mask.shape[0])
        fine = np.asarray(cv2.resize(energy, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        self._planes.append(_Plane(here_um, fine, presence))
        self._planes.sort(key=lambda plane: plane.z_um)

    def measures(self) -> Measures:
        """Measure all planes on what shows in any of them: out of focus, small bodies fall below the mask."""
        mask = np.logical_or.reduce([plane.presence.mask for plane in self._planes])
        blocks = max(int(np.count_nonzero(mask)), 1)
        with_background = np.count_nonzero(~mask) >= _LEAST_BACKGROUND * mask.size
        coarse, fine, floors = [], [], []
        for plane in self._planes:
            noise = plane.presence.noise
            floor = float(plane.fine[~mask].mean()) if with_background else _BRENNER_NOISE * noise**2
            floors.append((plane.presence.coarse_floor, floor))
            coarse.append(float(plane.presence.variance[mask].mean()) - floors[-1][0] if mask.any() else 0.0)
            fine.append(float(plane.fine[mask].mean()) - floor if mask.any() else 0.0)
        # A mean of squares of n independent values scatters by sqrt(2 / n); neighbouring blocks are not quite.
        scatter = np.mean(floors, axis=0) * np.sqrt(2.0 / blocks) * np.array([3.0, 1.5])
        return Measures(
            np.maximum(coarse, _LEAST_MEASURE),
            np.maximum(fine, _LEAST_MEASURE),
            float(scatter[0]),
            float(scatter[1]),
        )


def _centre(pixels: NDArray[np.uint16], share: float) -> NDArray[np.uint16]:
    height, width = pixels.shape
    rows, columns = int(height * share), int(width * share)
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]
