"""What a camera sees of a slide: absorption, blur, illumination, and the noise of light and electronics."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.specimen.banding import Contrast
from simulators.specimen.clutter import Patch
from simulators.specimen.slide import Body, SlideWorld

WAVELENGTH_UM = 0.55
CONDENSER_NA = 0.9
"""A dry condenser fills at most this aperture: it limits how fast a picture blurs out of focus."""

_CACHE_BYTES = 256 * 2**20
_NOISE_SPARE = 1 << 16
_STRIP_ROWS = 32
_STAMP_PX = 24
_PHASES = 4
_SMALLEST_SIGMA_PX = 0.25
_WIDE_SIGMA_PX = 6.0


@dataclass(frozen=True, slots=True)
class ObjectiveModel:
    """An objective as the twin has it; what a rig file says of it may differ a little, as it does on real glass.

    Attributes
    ----------
    label
        Label of its turret position.
    magnification, numerical_aperture, index
        Optics; the index is the immersion's.
    working_distance_um
        Way from its focus to the glass: beyond it, lens and slide collide.
    parcentric_um
        Where its centre looks against the first objective's, x and y along the stage axes.
    parfocal_um
        Its focus minus the first objective's.
    brightness
        Light on a camera pixel, relative to the first objective.
    """

    label: str
    magnification: float
    numerical_aperture: float
    index: float
    working_distance_um: float
    parcentric_um: tuple[float, float] = (0.0, 0.0)
    parfocal_um: float = 0.0
    brightness: float = 1.0

    @property
    def depth_of_field_um(self) -> float:
        """Wave-optical depth of field."""
        return WAVELENGTH_UM * self.index / self.numerical_aperture**2

    def blur_um(self, defocus_um: float) -> float:
        """Standard deviation of the blur on the specimen: diffraction, and the disc of defocus."""
        diffraction = 0.21 * WAVELENGTH_UM / self.numerical_aperture
        aperture = min(self.numerical_aperture, CONDENSER_NA) / self.index
        disc = abs(defocus_um) * math.tan(math.asin(aperture))
        return math.hypot(diffraction, disc / 2.0)


TEN = ObjectiveModel("10x/0.45", 10.0, 0.45, 1.0, working_distance_um=2000.0)
SIXTY_THREE = ObjectiveModel(
    "63x/1.4 oil",
    63.0,
    1.4,
    1.515,
    working_distance_um=190.0,
    parcentric_um=(24.0, -17.0),
    parfocal_um=3.5,
    brightness=0.25,
)


@dataclass(frozen=True, slots=True)
class SensorModel:
    """A camera and the light that falls on it.

    Attributes
    ----------
    width_px, height_px, pixel_um
        Geometry of the sensor.
    bit_depth
        Bits a sample.
    electrons_per_level, read_noise, bias_level
        Electrons a grey level, read noise in electrons, grey level without light.
    levels_per_ms
        Grey levels a blank field gains each ms at full lamp through an objective of brightness 1: with the lamp at
        0.5, 8 ms through the 10x and 32 ms through the 63x give about 3200.
    fall_off
        Loss of light in the corners.
    rotation_deg, flip_x, flip_y
        How it is mounted: from image axes to stage axes, flips first.
    """

    width_px: int = 1360
    height_px: int = 1024
    pixel_um: float = 6.45
    bit_depth: int = 12
    electrons_per_level: float = 4.2
    read_noise: float = 9.0
    bias_level: float = 40.0
    levels_per_ms: float = 800.0
    fall_off: float = 0.12
    rotation_deg: float = 0.0
    flip_x: bool = False
    flip_y: bool = False

    @property
    def is_straight(self) -> bool:
        """Whether its axes run along the stage's."""
        return not (self.rotation_deg or self.flip_x or self.flip_y)

    def image_to_stage(self) -> NDArray[np.float64]:
        """Directions of the image axes along the stage axes, shape (2, 2), without scale."""
        angle = math.radians(self.rotation_deg)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        flips = np.diag([-1.0 if self.flip_x else 1.0, -1.0 if self.flip_y else 1.0])
        return np.asarray(rotation @ flips, dtype=np.float64)

    @property
    def full_scale(self) -> int:
        """Largest grey level."""
        return int(2**self.bit_depth - 1)


@dataclass(frozen=True, slots=True)
class Shot:
    """Circumstances of one exposure.

    Attributes
    ----------
    centre_x_um, centre_y_um
        Slide position in the image centre.
    objective
        In the light path.
    defocus_um
        Distance of the specimen from the plane of focus.
    light
        Lamp intensity in [0, 1], 0 when closed.
    exposure_ms
        Exposure time.
    smear_um
        Way that the stage went during the exposure, x and y.
    """

    centre_x_um: float
    centre_y_um: float
    objective: ObjectiveModel
    defocus_um: float
    light: float
    exposure_ms: float
    smear_um: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class _Level:
    """A body's transmittance at one resolution."""

    transmittance: NDArray[np.float32]
    um_per_px: float
    stamps: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict)


@dataclass(slots=True)
class PatchCache:
    """Transmittance of bodies at the resolutions in use, oldest dropped first.

    Attributes
    ----------
    limit_bytes
        Largest sum of the kept arrays.
    """

    limit_bytes: int = _CACHE_BYTES
    _levels: OrderedDict[tuple[object, ...], _Level] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def level(self, body: Body, um_per_px: float) -> _Level:
        """The body at a resolution that suits a camera pixel of this size."""
        key = (*body.patch_key, round(um_per_px, 6))
        level = self._levels.get(key)
        if level is None:
            level = _make_level(body.render(), um_per_px)
            self._levels[key] = level
            self._bytes += level.transmittance.nbytes
            while self._bytes > self.limit_bytes and len(self._levels) > 1:
                _, dropped = self._levels.popitem(last=False)
                self._bytes -= dropped.transmittance.nbytes
        else:
            self._levels.move_to_end(key)
        return level

    @property
    def held_bytes(self) -> int:
        """Bytes of the kept arrays."""
        return self._bytes


class SlideCamera:
    """Takes pictures of a slide.

    Parameters
    ----------
    world
        The slide.
    sensor
        The camera.
    seed
        Seed of the noise: with the number of the exposure it decides every pixel's noise.

    Notes
    -----
    Transmittances of bodies that lie upon one another multiply, so a frame is the product of its bodies, each
    drawn and brought to the objective's resolution once. Noise is taken from a stored field of normal deviates at
    an offset that the exposure's number decides: drawing 1.4 million a frame would cost more than the rest.
    """

    def __init__(self, world: SlideWorld, sensor: SensorModel, seed: int = 0) -> None:
        self.world = world
        self.sensor = sensor
        self.cache = PatchCache()
        self._seed = seed
        size = sensor.width_px * sensor.height_px + _NOISE_SPARE
        self._deviates = np.random.default_rng([seed, 77]).standard_normal(size, dtype=np.float32)
        self._light = _light_field(sensor)

    def expose(self, shot: Shot, number: int) -> NDArray[np.uint16]:
        """Take a picture.

        Parameters
        ----------
        shot
            Circumstances.
        number
            Number of the exposure; the same shot with the same number gives the same picture.

        Returns
        -------
        ndarray
            uint16, shape (height_px, width_px), levels 0 .. full scale.
        """
        sensor = self.sensor
        level = sensor.levels_per_ms * shot.exposure_ms * shot.light * shot.objective.brightness
        seen = self.see(shot) if level > 0.0 else np.zeros((sensor.height_px, sensor.width_px), np.float32)
        return self._digitise(seen, level, number)

    def see(self, shot: Shot) -> NDArray[np.float32]:
        """Light that passes the slide, or that it emits, over that of empty glass: float32, (rows, columns)."""
        um_per_px = self.sensor.pixel_um / shot.objective.magnification
        sigma_px = shot.objective.blur_um(shot.defocus_um) / um_per_px
        margin = 0 if sigma_px < 1.0 else min(math.ceil(3.0 * sigma_px), 96)
        rows, columns = _canvas_shape(self.sensor)
        shape = (rows + 2 * margin, columns + 2 * margin)
        sharp = self._transmittance((shot.centre_x_um, shot.centre_y_um), um_per_px, shape)
        blurred = _smear(_blur(sharp, sigma_px), shot.smear_um, um_per_px)
        return _mounted(blurred[margin : shape[0] - margin, margin : shape[1] - margin], self.sensor)

    def _transmittance(
        self, centre_um: tuple[float, float], um_per_px: float, shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        height, width = shape
        left_um = centre_um[0] - width / 2.0 * um_per_px
        top_um = centre_um[1] - height / 2.0 * um_per_px
        box_um = (left_um, top_um, left_um + width * um_per_px, top_um + height * um_per_px)
        canvas = np.ones(shape, np.float32)
        for body in self.world.bodies_in(box_um):
            _multiply_in(canvas, self.cache.level(body, um_per_px), body, (left_um, top_um), um_per_px)
        if self.world.contrast is Contrast.EMITS:
            # Emissions add: as exponents they were summed by the product.
            return np.asarray(cv2.log(canvas) * np.float32(-1.0 / math.log(10.0)), dtype=np.float32)
        return canvas

    def _digitise(self, seen: NDArray[np.float32], level: float, number: int) -> NDArray[np.uint16]:
        sensor = self.sensor
        offset = int(np.random.default_rng([self._seed, 78, number]).integers(_NOISE_SPARE))
        deviates = self._deviates[offset : offset + seen.size].reshape(seen.shape)
        light = self._light * np.float32(level)
        frame = np.empty(seen.shape, np.uint16)
        # In strips that stay in the processor's cache: a whole frame at a time costs twice as much.
        for top in range(0, sensor.height_px, _STRIP_ROWS):
            rows = np.s_[top : top + _STRIP_ROWS]
            levels = seen[rows] * light[rows]
            # Photons of n electrons scatter by sqrt(n); the amplifier adds its own noise.
            noise = levels * np.float32(1.0 / sensor.electrons_per_level)
            noise += np.float32((sensor.read_noise / sensor.electrons_per_level) ** 2)
            np.sqrt(noise, out=noise)
            noise *= deviates[rows]
            levels += noise
            levels += np.float32(sensor.bias_level + 0.5)
            np.clip(levels, np.float32(0.0), np.float32(sensor.full_scale), out=levels)
            frame[rows] = levels
        return frame


def _canvas_shape(sensor: SensorModel) -> tuple[int, int]:
    """Rows and columns along the stage axes that hold all a sensor sees."""
    if sensor.is_straight:
        return sensor.height_px, sensor.width_px
    columns, rows = np.abs(sensor.image_to_stage()) @ np.array([sensor.width_px, sensor.height_px])
    return math.ceil(rows) + 2, math.ceil(columns) + 2


def _mounted(canvas: NDArray[np.float32], sensor: SensorModel) -> NDArray[np.float32]:
    """What a sensor that is turned or flipped against the stage axes sees of a canvas along them."""
    if sensor.is_straight:
        return canvas
    turn = sensor.image_to_stage()
    centre = np.array([(sensor.width_px - 1) / 2.0, (sensor.height_px - 1) / 2.0])
    middle = np.array([(canvas.shape[1] - 1) / 2.0, (canvas.shape[0] - 1) / 2.0])
    seen = cv2.warpAffine(
        canvas,
        np.column_stack([turn, middle - turn @ centre]),
        (sensor.width_px, sensor.height_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(seen, dtype=np.float32)


def _make_level(patch: Patch, um_per_px: float) -> _Level:
    transmittance = np.power(np.float32(10.0), -patch.od, dtype=np.float32)
    if um_per_px <= 1.6 * patch.um_per_px:
        return _Level(transmittance, patch.um_per_px)
    # Half the camera's pixel: a frame then places it between pixels and averages two by two.
    height, width = transmittance.shape
    scale = patch.um_per_px / (um_per_px / 2.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    reduced = cv2.resize(transmittance, size, interpolation=cv2.INTER_AREA)
    return _Level(np.asarray(reduced, dtype=np.float32), patch.um_per_px * width / size[0])


def _multiply_in(
    canvas: NDArray[np.float32], level: _Level, body: Body, corner_um: tuple[float, float], um_per_px: float
) -> None:
    """Darken the canvas by a body."""
    height, width = level.transmittance.shape
    # Left and upper edge of the body, in pixels of the canvas.
    left = (body.x_um - corner_um[0] - width * level.um_per_px / 2.0) / um_per_px
    top = (body.y_um - corner_um[1] - height * level.um_per_px / 2.0) / um_per_px
    if max(height, width) <= _STAMP_PX:
        # Grains are many and small: each is kept at a few places between pixels, and only multiplied in.
        column, row = divmod(round(left * _PHASES), _PHASES), divmod(round(top * _PHASES), _PHASES)
        stamp = level.stamps.get((column[1], row[1]))
        if stamp is None:
            size = (
                math.ceil(width * level.um_per_px / um_per_px) + 2,
                math.ceil(height * level.um_per_px / um_per_px) + 2,
            )
            stamp = _sample(level, (-column[1] / _PHASES, -row[1] / _PHASES), size, um_per_px)
            level.stamps[(column[1], row[1])] = stamp
        _multiply_at(canvas, stamp, column[0], row[0])
        return
    x0, y0 = max(math.floor(left), 0), max(math.floor(top), 0)
    x1 = min(math.ceil(left + width * level.um_per_px / um_per_px) + 1, canvas.shape[1])
    y1 = min(math.ceil(top + height * level.um_per_px / um_per_px) + 1, canvas.shape[0])
    if x0 < x1 and y0 < y1:
        sampled = _sample(level, (x0 - left, y0 - top), (x1 - x0, y1 - y0), um_per_px)
        _multiply_at(canvas, sampled, x0, y0)


def _sample(
    level: _Level, start_px: tuple[float, float], size: tuple[int, int], um_per_px: float
) -> NDArray[np.float32]:
    """Part of a body on the camera's pixels.

    Parameters
    ----------
    level
        The body.
    start_px
        Left and upper edge of the part, in camera pixels from the body's own.
    size
        Columns and rows of the part.
    um_per_px
        Camera pixel.
    """
    fold = 2 if level.um_per_px < 0.75 * um_per_px else 1
    step = um_per_px / fold / level.um_per_px
    # Centre of the first (sub)pixel, in pixels of the level, whose own centres lie at whole numbers.
    first = [edge * um_per_px / level.um_per_px + step / 2.0 - 0.5 for edge in start_px]
    sampled = cv2.warpAffine(
        level.transmittance,
        np.array([[step, 0.0, first[0]], [0.0, step, first[1]]]),
        (size[0] * fold, size[1] * fold),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(1.0, 1.0, 1.0, 1.0),
    )
    if fold > 1:
        sampled = cv2.resize(sampled, size, interpolation=cv2.INTER_AREA)
    return np.asarray(sampled, dtype=np.float32)


def _multiply_at(canvas: NDArray[np.float32], patch: NDArray[np.float32], column: int, row: int) -> None:
    x0, y0 = max(column, 0), max(row, 0)
    x1, y1 = min(column + patch.shape[1], canvas.shape[1]), min(row + patch.shape[0], canvas.shape[0])
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] *= patch[y0 - row : y1 - row, x0 - column : x1 - column]


def _blur(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    if sigma_px < _SMALLEST_SIGMA_PX:
        return picture
    if sigma_px < _WIDE_SIGMA_PX:
        size = 2 * math.ceil(2.7 * sigma_px) + 1
        blurred = cv2.GaussianBlur(picture, (size, size), sigma_px, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32)
    # A wide blur is done on a small picture: nothing fine is left of it anyway.
    fold = int(min(2 ** math.floor(math.log2(sigma_px / 2.5)), 32))
    height, width = picture.shape
    small = cv2.resize(picture, (max(width // fold, 1), max(height // fold, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / fold, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _smear(picture: NDArray[np.float32], smear_um: tuple[float, float], um_per_px: float) -> NDArray[np.float32]:
    dx, dy = smear_um[0] / um_per_px, smear_um[1] / um_per_px
    length = min(math.hypot(dx, dy), 201.0)
    if length < 0.5:
        return picture
    half = math.ceil(length / 2.0) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for part in np.linspace(-0.5, 0.5, 4 * half):
        scale = length / math.hypot(dx, dy)
        kernel[round(half + part * dy * scale), round(half + part * dx * scale)] += 1.0
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def _light_field(sensor: SensorModel) -> NDArray[np.float32]:
    """Illumination over its maximum: brightest a little beside the centre, fading towards the corners."""
    x = np.linspace(-1.0, 1.0, sensor.width_px, dtype=np.float32) - 0.08
    y = np.linspace(-1.0, 1.0, sensor.height_px, dtype=np.float32) + 0.05
    distance = (x[None, :] ** 2 + y[:, None] ** 2) / 2.0
    return np.asarray(1.0 - sensor.fall_off * distance, dtype=np.float32)
