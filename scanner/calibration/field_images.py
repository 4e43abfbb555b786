"""Flat field and dark: the light over the field, and what the camera says without any."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.calibration.common_steps import evidence, find_exposure
from scanner.calibration.errors import ImplausibleError
from scanner.calibration.results import FieldImages
from scanner.coordinates import StagePoint
from scanner.microscope import Microscope

# Fields that the median is taken over: what lies on the slide is elsewhere in each.
PLACES = ((0.0, 0.0), (0.9, 0.1), (-0.2, 0.9), (-0.9, -0.1), (0.1, -0.9), (0.8, 0.8), (-0.8, 0.7))
# Little light, for the dark is extrapolated from it; enough that it isn't refused as a black frame.
_LOW_SHARE = 0.06
_LOW_REPEATS = 3
_HIGH_SHARE = 0.75
# Light falls off towards the corners; more than this is a condenser out of place.
MIN_FLAT, MAX_FLAT = 0.4, 1.6
MAX_DARK_FRACTION = 0.15
# Larger structure than this stays in the flat field whatever its depth; smaller one, dust, where it stands out of
# the noise by so many deviations. Noise does not stay.
_SMOOTH_PX = 31
_DUST_SIGMA_PX = 1.0
_DUST_DEVIATIONS = 5.0
_DUST_SPREAD_PX = 7


def measure_field_images(microscope: Microscope) -> FieldImages:
    """Photograph several fields at two exposures; light on; stage and focus end where they were.

    The picture at no exposure follows pixel by pixel from the two: the instrument refuses to photograph in the
    dark, and so the shutter need not be trusted either.

    Raises
    ------
    ImplausibleError
        Dark levels or a fall-off of the light that no camera and no lamp in order have.
    LimitError
        The fields about this place lie outside the limits.
    """
    objective = microscope.objective
    home, z_um = microscope.stage_position(), microscope.focus_position_um()
    camera = microscope.rig.camera
    view = microscope.rig.camera_frame(objective)
    width_um, height_um = view.width_um, view.height_um
    places = [home.shifted(x * width_um, y * height_um) for x, y in PLACES]
    for place in places:
        microscope.check_reachable(place)
    low_ms, high_ms = find_exposure(microscope, _LOW_SHARE), find_exposure(microscope, _HIGH_SHARE)
    # Out of focus, small dirt blurs away.
    microscope.focus_to(objective.focus.min_um)
    low, high = _medians(microscope, places, low_ms, high_ms)
    microscope.move_to(home)
    microscope.focus_to(z_um)
    return compute_field_images(objective.name, low, high, low_ms, high_ms, len(places), camera.full_scale)


def _medians(
    microscope: Microscope, places: list[StagePoint], low_ms: float, high_ms: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    stacks: tuple[list[NDArray[np.uint16]], list[NDArray[np.uint16]]] = ([], [])
    for place in places:
        microscope.move_to(place)
        stacks[0].extend(microscope.snap(low_ms).pixels for _ in range(_LOW_REPEATS))
        stacks[1].append(microscope.snap(high_ms).pixels)
    low, high = (np.median(np.stack(stack), axis=0).astype(np.float32) for stack in stacks)
    return low, high


def compute_field_images(
    objective: str,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    low_ms: float,
    high_ms: float,
    places: int,
    full_scale: int,
) -> FieldImages:
    """Flat field and dark from two exposures of the empty field.

    Parameters
    ----------
    objective
        Name in the rig.
    low, high
        float32, shape (h, w), grey levels at `low_ms` and `high_ms`.
    low_ms, high_ms
        Exposures, the second longer.
    places
        Fields that went into them.
    full_scale
        Largest grey level.

    Raises
    ------
    ImplausibleError
        See `measure_field_images`.
    """
    procedure = f"field images of {objective}"
    if not high_ms > low_ms:
        raise ImplausibleError(
            procedure,
            f"exposures {low_ms:g} and {high_ms:g} ms: the second has to be the longer one",
        )
    slope = (high - low) / np.float32(high_ms - low_ms)
    rate = float(np.mean(slope))
    if rate <= 0.0:
        raise ImplausibleError(procedure, "the field does not brighten with the exposure")
    dark = low - np.float32(low_ms) * slope
    level = float(np.median(dark))
    if not -0.01 * full_scale <= level <= MAX_DARK_FRACTION * full_scale:
        raise ImplausibleError(
            procedure, f"dark level {level:.0f}, allowed up to {MAX_DARK_FRACTION * full_scale:.0f}"
        )
    raw = slope / np.float32(rate)
    flat = _without_noise(raw)
    if float(flat.min()) < MIN_FLAT or float(flat.max()) > MAX_FLAT:
        raise ImplausibleError(
            procedure,
            f"light over the field from {flat.min():.2f} to {flat.max():.2f} of its mean, "
            f"allowed {MIN_FLAT:g} .. {MAX_FLAT:g}",
        )
    noise = float(np.std(raw - flat))
    return FieldImages(
        objective, flat, dark, evidence(noise, "share", places), float(np.std(dark - np.median(dark)))
    )


def _without_noise(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth light and, where they are surely there, the shadows of dust."""
    smooth = cv2.GaussianBlur(raw, (_SMOOTH_PX, _SMOOTH_PX), 0, borderType=cv2.BORDER_REFLECT)
    fine = cv2.GaussianBlur(raw, (0, 0), _DUST_SIGMA_PX, borderType=cv2.BORDER_REFLECT)
    off = np.abs(fine - smooth)
    noise = 1.4826 * float(np.median(off))
    # The flanks of a shadow are as faint as noise, so its surroundings are taken with it.
    spread = np.ones((_DUST_SPREAD_PX, _DUST_SPREAD_PX), np.uint8)
    dusty = cv2.dilate((off > _DUST_DEVIATIONS * noise).astype(np.uint8), spread, iterations=3).astype(np.float32)
    share = cv2.GaussianBlur(dusty, (0, 0), _DUST_SPREAD_PX / 2.0, borderType=cv2.BORDER_REFLECT)
    flat = smooth + share * (fine - smooth)
    return np.asarray(flat / np.float32(flat.mean()), dtype=np.float32)
