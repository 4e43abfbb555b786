"""The search for the plane of best focus: few exposures, and a refusal rather than a guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.errors import BlankFieldError, FocusError
from scanner.flat_field import FlatField
from scanner.focus.curve import PeakFit, fit_peak
from scanner.focus.stack import FocusStack, Measures
from scanner.microscope import Microscope

# The best plane must be so much sharper than planes on both sides of it: below that the curve is noise, no peak.
MIN_PEAK_RATIO = 1.15
# A measure counts where it exceeds the blank level by so many of its deviations.
_SURE_DEVIATIONS = 6.0
# Nothing that lies in the plane of the specimen keeps its sharpness over several depths of field: dust does.
_UNCHANGED_SHARE = 0.05
# A search that has not settled after so many pictures won't.
MAX_EXPOSURES = 16
# The fine measure is trusted where planes lie no further apart than this many coarse steps.
_FINE_REACH_STEPS = 3.0
# A plane stands beside the peak, not on it, from this many coarse steps on.
_FAR_STEPS = 0.3
# Powers of the measures whose reciprocals follow a parabola over z, found on defocused metaphase slides.
_COARSE_POWER, _FINE_POWER = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class FocusResult:
    """Outcome of a search.

    Attributes
    ----------
    z_um
        Best focus; the instrument stands there.
    score
        Brenner measure at the best plane photographed, the blank level taken off.
    peak_ratio
        `score` over the median measure of the planes; 1 is flat.
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
        Focus is expected within this of the expected plane; it is looked for up to twice as far.
    coarse_step_um
        About two depths of field: planes so far apart differ visibly, and the search ends with one on either side.
    fine_step_um
        The last plane photographed lies within half of this from the focus.
    exposure_ms
        Exposure of each picture.
    centre_fraction
        Share of the picture, around its centre, that is measured.
    flat_field
        Takes dust and shading off the pictures; without it, dust is recognised by its not changing with z.
    """

    half_range_um: float
    coarse_step_um: float
    fine_step_um: float
    exposure_ms: float
    centre_fraction: float = 1.0
    flat_field: FlatField | None = None


def search_focus(microscope: Microscope, expected_um: float, sweep: FocusSweep) -> FocusResult:
    """Find the plane of best focus at the present stage position and go there.

    One picture at the expected plane tells a blank field, which is refused before the focus moves. Planes on both
    sides follow, uphill, as far apart as the expectation is wide; each further one is put where the curve through
    all planes so far has its peak: normalised variance far from focus, Brenner near it. The search ends with
    planes at the peak and on either side of it.

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
    BlankFieldError
        Nothing to focus on: nothing there, or only what does not change with z, dust that is.
    FocusError
        Flat curve, or a peak outside the searched range.
    """
    return _Search(microscope, expected_um, sweep).run()


class _Search:
    def __init__(self, microscope: Microscope, expected_um: float, sweep: FocusSweep) -> None:
        self._microscope = microscope
        self._expected_um = expected_um
        self._sweep = sweep
        self._stack = FocusStack(microscope, sweep.exposure_ms, sweep.centre_fraction, sweep.flat_field)
        envelope = microscope.objective.focus
        reach_um = 2.0 * sweep.half_range_um
        self._low_um = max(envelope.min_um, expected_um - reach_um)
        self._high_um = min(envelope.max_um, expected_um + reach_um)
        self._stride_um = max(sweep.coarse_step_um, sweep.half_range_um / 2.0)

    def run(self) -> FocusResult:
        if self._high_um - self._low_um < 2.0 * self._sweep.coarse_step_um:
            raise self._fault("the expected plane lies outside the focus envelope", wanted=self._expected_um)
        self._stack.take(min(max(self._expected_um, self._low_um), self._high_um))
        if self._stack.is_blank:
            raise self._blank("blank field: nothing to focus on")
        self._bracket()
        while (next_um := self._next_plane()) is not None:
            if len(self._stack) >= MAX_EXPOSURES:
                raise self._fault("no focus peak: the search did not settle")
            self._stack.take(next_um)
        ratio = self._check_plausible()
        peak_um, _ = self._peak()
        z_um = self._stack.approach(float(np.clip(peak_um, self._low_um, self._high_um)))
        measures = self._stack.measures()
        return FocusResult(z_um, float(measures.fine.max()), ratio, len(self._stack))

    def _bracket(self) -> None:
        """Two more planes, the second on the better side, or on the other where that is not free."""
        start_um = self._stack.z_um[0]
        step_um = self._stride_um
        up_um, down_um = min(start_um + step_um, self._high_um), max(start_um - step_um, self._low_um)
        second_um = up_um if up_um - start_um >= start_um - down_um else down_um
        self._stack.take(second_um)
        measures = self._stack.measures()
        values = measures.coarse if measures.coarse_is_sure else measures.fine
        rises = (values[1] > values[0]) == (second_um > start_um)
        third_um = max(start_um, second_um) + step_um if rises else min(start_um, second_um) - step_um
        if not self._low_um <= third_um <= self._high_um:
            other_um = min(start_um, second_um) - step_um if rises else max(start_um, second_um) + step_um
            third_um = float(np.clip(third_um, self._low_um, self._high_um))
            if min(abs(third_um - known) for known in self._stack.z_um) < self._sweep.coarse_step_um / 2.0:
                third_um = float(np.clip(other_um, self._low_um, self._high_um))
        self._stack.take(third_um)
        measures = self._stack.measures()
        if _is_unchanged(measures.coarse) and _is_unchanged(measures.fine):
            raise self._blank(
                "blank field: the picture does not change with the focus (dust on the camera doesn't either)"
            )

    def _next_plane(self) -> float | None:
        """Where to look next; None when the peak is known."""
        peak_um, uphill = self._peak()
        planes = self._stack.z_um
        low_um, high_um = planes[0], planes[-1]
        step_um = self._sweep.coarse_step_um
        if not low_um + 1e-3 < peak_um < high_um - 1e-3:
            edge_um, limit_um = (high_um, self._high_um) if uphill > 0 else (low_um, self._low_um)
            if abs(limit_um - edge_um) < self._sweep.fine_step_um / 2.0:
                raise self._fault(
                    "the sharpest plane lies on the edge of the searched range", wanted=self._expected_um
                )
            # Beyond what was seen the curve is a guess: no further than another stride, no nearer than a step.
            ahead_um = float(np.clip((peak_um - edge_um) * uphill, step_um, 2.0 * self._stride_um))
            return float(np.clip(edge_um + uphill * ahead_um, self._low_um, self._high_um))
        offsets = np.asarray(planes) - peak_um
        if np.min(np.abs(offsets)) > self._sweep.fine_step_um / 2.0:
            return peak_um
        for side in (-1.0, 1.0):
            beside = offsets * side
            if not np.any((beside >= 0.5 * step_um) & (beside <= 1.7 * step_um)):
                wanted_um = float(np.clip(peak_um + side * step_um, self._low_um, self._high_um))
                if self._stack.is_new(wanted_um):
                    return wanted_um
        return None

    def _peak(self) -> tuple[float, int]:
        """Estimate from the measure that suits the spacing of the planes so far, and which way is uphill."""
        planes = np.asarray(self._stack.z_um)
        measures = self._stack.measures()
        if measures.coarse_is_sure and not self._is_fine_enough(planes, measures):
            fit = fit_peak(planes, measures.coarse**_COARSE_POWER, measures.coarse_noise**_COARSE_POWER)
            best = int(np.argmax(measures.coarse))
        else:
            fit = fit_peak(planes, measures.fine**_FINE_POWER, measures.fine_noise)
            best = int(np.argmax(measures.fine))
        return self._bounded(fit, planes, best)

    def _bounded(self, fit: PeakFit, planes: NDArray[np.float64], best: int) -> tuple[float, int]:
        if fit.z_um is None:
            return float(planes[best]), fit.uphill
        if 0 < best < len(planes) - 1:
            # The best of all planes has worse ones on both sides: the peak can't lie beyond those.
            return float(np.clip(fit.z_um, planes[best - 1], planes[best + 1])), fit.uphill
        return fit.z_um, fit.uphill

    def _is_fine_enough(self, planes: NDArray[np.float64], measures: Measures) -> bool:
        best = int(np.argmax(measures.fine))
        if not 0 < best < len(planes) - 1 or not measures.fine_is_sure:
            return False
        wide_um = _FINE_REACH_STEPS * self._sweep.coarse_step_um
        return bool(max(planes[best] - planes[best - 1], planes[best + 1] - planes[best]) <= wide_um)

    def _check_plausible(self) -> float:
        measures = self._stack.measures()
        best = int(np.argmax(measures.fine))
        peak = float(measures.fine[best])
        if peak < _SURE_DEVIATIONS * measures.fine_noise:
            raise self._fault("no focus peak: no contrast above the blank level", actual=peak)
        planes = np.asarray(self._stack.z_um)
        far = np.abs(planes - planes[best]) >= _FAR_STEPS * self._sweep.coarse_step_um
        for side in (planes < planes[best], planes > planes[best]):
            beside = measures.fine[far & side]
            ratio = peak / max(float(beside.min()), 1e-12) if beside.size else 0.0
            if ratio < MIN_PEAK_RATIO:
                raise self._fault("no focus peak: the measure is flat over the range", actual=ratio)
        return peak / max(float(np.median(measures.fine)), 1e-12)

    def _fault(self, message: str, *, wanted: float | None = None, actual: float | None = None) -> FocusError:
        device = self._microscope.rig.devices.focus
        return FocusError(
            message, device=device, axis="z", wanted=wanted, actual=actual, allowed=self._stack.searched()
        )

    def _blank(self, message: str) -> BlankFieldError:
        device = self._microscope.rig.devices.focus
        return BlankFieldError(message, device=device, axis="z", allowed=self._stack.searched())


def _is_unchanged(values: NDArray[np.float64]) -> bool:
    return bool(np.ptp(values) <= _UNCHANGED_SHARE * np.max(values))
