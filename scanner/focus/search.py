"""The search for the plane of best focus: few exposures, and a refusal rather than a guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.errors import FocusError
from scanner.focus.measure import brenner_energy, masked_mean, object_mask, relative_transmission
from scanner.microscope import Microscope

# A field with fewer object pixels than this has nothing to focus on.
MIN_OBJECT_PX = 150
# Best measure over the median of the sweep: below it the curve is noise, not a focus peak.
MIN_PEAK_RATIO = 1.15


@dataclass(frozen=True, slots=True)
class FocusResult:
    """Outcome of a search.

    Attributes
    ----------
    z_um
        Best focus; the instrument stands there.
    score
        Brenner measure at the best plane photographed.
    peak_ratio
        `score` over the sweep's median measure; 1 is flat.
    exposures
        Pictures taken.
    """

    z_um: float
    score: float
    peak_ratio: float
    exposures: int


@dataclass(frozen=True, slots=True)
class FocusSweep:
    """How to search.

    Attributes
    ----------
    half_range_um
        The coarse sweep covers the expected plane plus and minus this.
    coarse_step_um, fine_step_um
        Distance of the planes.
    exposure_ms
        Exposure of each picture.
    centre_share
        Share of the picture, around its centre, that is measured.
    """

    half_range_um: float
    coarse_step_um: float
    fine_step_um: float
    exposure_ms: float
    centre_share: float = 1.0


def search_focus(microscope: Microscope, expected_um: float, sweep: FocusSweep) -> FocusResult:
    """Find the plane of best focus at the present stage position and go there.

    A coarse sweep brackets the peak; if the peak lies on its edge, the bracket moves once in that direction. A
    fine sweep of three planes around it and a parabola through the best three give the plane.

    Parameters
    ----------
    microscope
        Light on, stage at rest.
    expected_um
        Where focus is expected, z um.
    sweep
        Range, steps and exposure.

    Raises
    ------
    FocusError
        Blank field, flat curve, or a peak outside the searched range.
    """
    stack = _Stack(microscope, sweep)
    count = max(2, int(np.ceil(sweep.half_range_um / sweep.coarse_step_um)))
    span = microscope.objective.focus
    planes = [expected_um + sweep.coarse_step_um * k for k in range(-count, count + 1)]
    planes = [z for z in planes if z in span]
    if len(planes) < 3:
        raise stack.fault("the expected plane lies outside the focus envelope", wanted=expected_um)
    stack.take(planes)
    best = stack.best_index()
    if best in (0, len(stack) - 1):
        # The specimen lies beyond the bracket: look once on that side before giving up.
        direction = -1 if best == 0 else 1
        edge = stack.z_um[best]
        further = [edge + direction * sweep.coarse_step_um * k for k in range(1, count + 1)]
        stack.take([z for z in further if z in span])
        best = stack.best_index()
        if best in (0, len(stack) - 1):
            raise stack.fault("the sharpest plane lies on the edge of the searched range", wanted=expected_um)
    ratio = stack.check_plausible()
    centre = _parabola_peak(stack.z_um[best - 1 : best + 2], stack.scores()[best - 1 : best + 2])
    fine = [centre + sweep.fine_step_um * k for k in (-1, 0, 1)]
    stack.take([z for z in fine if z in span])
    scores = stack.scores()
    best = min(max(int(np.argmax(scores)), 1), len(stack) - 2)
    peak = _parabola_peak(stack.z_um[best - 1 : best + 2], scores[best - 1 : best + 2])
    z_um = microscope.focus_to(peak)
    return FocusResult(z_um, float(np.max(scores)), ratio, len(stack))


@dataclass(frozen=True, slots=True)
class _Plane:
    z_um: float
    energy: NDArray[np.float32]
    mask: NDArray[np.bool_]


class _Stack:
    """Planes of one place, sorted by z and measured on common object pixels."""

    def __init__(self, microscope: Microscope, sweep: FocusSweep) -> None:
        self._microscope = microscope
        self._sweep = sweep
        self._planes: list[_Plane] = []
        self._object_px = 0

    def __len__(self) -> int:
        return len(self._planes)

    @property
    def z_um(self) -> list[float]:
        return [plane.z_um for plane in self._planes]

    def take(self, planes_um: Sequence[float]) -> None:
        # Always upwards, so that backlash does not enter between neighbouring planes.
        for z in sorted(planes_um):
            if any(abs(z - known) < 1e-3 for known in self.z_um):
                continue
            here_um = self._microscope.focus_to(z)
            frame = self._microscope.snap(self._sweep.exposure_ms)
            picture = relative_transmission(_centre(frame.pixels, self._sweep.centre_share))
            self._planes.append(_Plane(here_um, brenner_energy(picture), object_mask(picture)))
        self._planes.sort(key=lambda plane: plane.z_um)

    def scores(self) -> NDArray[np.float64]:
        # What shows as an object in any plane is measured in all: out of focus, faint bodies fall below the mask.
        mask = np.logical_or.reduce([plane.mask for plane in self._planes])
        self._object_px = int(np.count_nonzero(mask))
        return np.array([masked_mean(plane.energy, mask) for plane in self._planes])

    def best_index(self) -> int:
        scores = self.scores()
        if self._object_px < MIN_OBJECT_PX:
            raise self.fault("blank field: nothing to focus on")
        return int(np.argmax(scores))

    def check_plausible(self) -> float:
        scores = self.scores()
        ratio = float(np.max(scores) / max(float(np.median(scores)), 1e-12))
        if ratio < MIN_PEAK_RATIO:
            raise self.fault("no focus peak: the measure is flat over the range", actual=ratio)
        return ratio

    def fault(self, message: str, *, wanted: float | None = None, actual: float | None = None) -> FocusError:
        zs = self.z_um
        allowed = f"searched {zs[0]:.1f} .. {zs[-1]:.1f} um" if zs else None
        device = self._microscope.rig.devices.focus
        return FocusError(message, device=device, axis="z", wanted=wanted, actual=actual, allowed=allowed)


def _centre(pixels: NDArray[np.uint16], share: float) -> NDArray[np.uint16]:
    height, width = pixels.shape
    rows, columns = int(height * share), int(width * share)
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _parabola_peak(z_um: Sequence[float], scores: NDArray[np.float64]) -> float:
    """Vertex of the parabola through three points, kept between the outer two."""
    # A focus curve is nearer to a Gaussian than to a parabola, so the fit is made on logarithms.
    values = np.log(np.maximum(scores, 1e-12))
    curve = np.polyfit(np.asarray(z_um) - z_um[1], values, 2)
    if curve[0] >= 0:
        return float(z_um[int(np.argmax(values))])
    offset = -curve[1] / (2 * curve[0])
    return float(np.clip(z_um[1] + offset, z_um[0], z_um[2]))
