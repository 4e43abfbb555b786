"""What a camera sees of a slide: absorption, blur, illumination, and the noise of light and electronics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.dust import Dust
from simulators.patches import PatchCache, lay_on
from simulators.specimen.banding import Contrast
from simulators.specimen.slide import SlideWorld

WAVELENGTH_UM = 0.55
CONDENSER_NA = 0.9
"""A dry condenser fills at most this aperture: it limits how fast a picture blurs out of focus."""

_NOISE_SPARE = 1 << 16
_NOISE_APART = 8
"""Exposures in a row that share no row of noise."""

_STRIP_ROWS = 32
_SMALLEST_SIGMA_PX = 0.25
_WIDE_SIGMA_PX = 6.0
_HAZE = 0.03
"""Light of an empty field where the specimen emits: scattered excitation, and glass that glows a little."""


_DIFFRACTION_SIGMA = 0.21
"""Standard deviation of the Gaussian that fits the Airy disc, in wavelengths over the numerical aperture."""
_KERNEL_SIGMAS = 2.6
"""Half a blur's kernel in standard deviations: what lies beyond is a hundredth."""
_FOLDED_SIGMA_PX = 2.5
"""A wide blur is done on a picture so small that it is about this wide there: enough for its shape."""
_LONGEST_SMEAR_PX = 201
"""Longer smears show nothing anyway."""
_BRIGHTEST_X, _BRIGHTEST_Y = 0.08, -0.05
"""Where the light is brightest, in half widths and heights beside the centre: no lamp is centred perfectly."""


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
        diffraction = _DIFFRACTION_SIGMA * WAVELENGTH_UM / self.numerical_aperture
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
    dust
        What lies on its window and on the optics.
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
    dust: Dust = field(default_factory=Dust)

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
    Transmittances of bodies that lie upon one another multiply, and what they emit adds up; each body is drawn and
    brought to the objective's resolution once. Noise is taken from a stored field of normal deviates at an offset
    that the exposure's number decides: drawing 1.4 million a frame would cost more than the rest.

    Memory is slower than arithmetic here, so the last steps, blur, light and noise, are made in strips that stay
    in the processor's cache from the first to the last.
    """

    def __init__(self, world: SlideWorld, sensor: SensorModel, seed: int = 0) -> None:
        self.world = world
        self.sensor = sensor
        self.cache = PatchCache()
        self._seed = seed
        self._offsets: list[int] = []
        size = sensor.width_px * sensor.height_px + _NOISE_SPARE
        deviates = np.random.default_rng([seed, 77]).standard_normal(size, dtype=np.float32)
        # See _digitise.
        self._deviates = deviates * np.float32(0.5 / math.sqrt(sensor.electrons_per_level))
        self._lights: dict[str, NDArray[np.float32]] = {}

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
        light = self._light_through(shot.objective)
        if not level > 0.0:
            return self._digitise(
                np.zeros((sensor.height_px, sensor.width_px), np.float32), 0.0, light, 0.0, number
            )
        sigma_px = self._sigma_px(shot)
        if sensor.is_straight and shot.smear_um == (0.0, 0.0) and sigma_px < _WIDE_SIGMA_PX:
            return self._digitise(self._sharp(shot, _margin_px(sigma_px)), sigma_px, light, level, number)
        return self._digitise(self.see(shot), 0.0, light, level, number)

    def see(self, shot: Shot) -> NDArray[np.float32]:
        """What comes from the slide over what comes from empty glass in transmitted light.

        Returns
        -------
        ndarray
            float32, shape (height_px, width_px): 0 .. 1 where the slide absorbs; where it emits, see
            `simulators.specimen.banding.Contrast`.
        """
        um_per_px = self.sensor.pixel_um / shot.objective.magnification
        sigma_px = self._sigma_px(shot)
        margin = _margin_px(sigma_px)
        blurred = _smear(_blur(self._sharp(shot, margin), sigma_px), shot.smear_um, um_per_px)
        rows, columns = blurred.shape
        return _mounted(blurred[margin : rows - margin, margin : columns - margin], self.sensor)

    def _sigma_px(self, shot: Shot) -> float:
        return shot.objective.blur_um(shot.defocus_um) * shot.objective.magnification / self.sensor.pixel_um

    def _light_through(self, objective: ObjectiveModel) -> NDArray[np.float32]:
        """Light over the field, with the shadows of dust."""
        light = self._lights.get(objective.label)
        if light is None:
            sensor = self.sensor
            shadows = sensor.dust.shadows(sensor.width_px, sensor.height_px, objective.label)
            light = self._lights[objective.label] = _light_field(sensor) * shadows
        return light

    def _sharp(self, shot: Shot, margin: int) -> NDArray[np.float32]:
        """The slide without blur, with so many pixels more on every side."""
        um_per_px = self.sensor.pixel_um / shot.objective.magnification
        rows, columns = _canvas_shape(self.sensor)
        height, width = rows + 2 * margin, columns + 2 * margin
        left_um = shot.centre_x_um - width / 2.0 * um_per_px
        top_um = shot.centre_y_um - height / 2.0 * um_per_px
        box_um = (left_um, top_um, left_um + width * um_per_px, top_um + height * um_per_px)
        emits = self.world.contrast is Contrast.EMITS
        canvas = np.full((height, width), _HAZE if emits else 1.0, np.float32)
        for body in self.world.bodies_in(box_um):
            lay_on(canvas, self.cache.level(body, um_per_px), body, (left_um, top_um), um_per_px)
        return canvas

    def _digitise(
        self,
        seen: NDArray[np.float32],
        sigma_px: float,
        light: NDArray[np.float32],
        level: float,
        number: int,
    ) -> NDArray[np.uint16]:
        """Blur, light, noise and rounding.

        The photons of n electrons scatter by sqrt(n), the amplifier adds its own noise: x = n + read noise squared
        is the variance. (sqrt(x) + deviate / 2)^2 has the mean x + 1 / 4 and this variance, and costs less than
        adding sqrt(x) times a deviate (Anscombe 1948, backwards).
        """
        sensor = self.sensor
        height, width = light.shape
        offset = self._noise_offset(number)
        deviates = self._deviates[offset : offset + light.size].reshape(light.shape)
        read = sensor.read_noise**2 / sensor.electrons_per_level
        above = np.float32(sensor.bias_level - read - 0.25 / sensor.electrons_per_level + 0.5)
        frame = np.empty(light.shape, np.uint16)
        levels = np.empty((_STRIP_ROWS, width), np.float32)
        for top in range(0, height, _STRIP_ROWS):
            rows = slice(top, min(top + _STRIP_ROWS, height))
            strip = levels[: rows.stop - rows.start]
            np.multiply(_blurred_rows(seen, rows, sigma_px, light.shape), light[rows], out=strip)
            strip *= np.float32(level)
            strip += np.float32(read)
            np.sqrt(strip, out=strip)
            strip += deviates[rows]
            strip *= strip
            strip += above
            np.clip(strip, np.float32(0.0), np.float32(sensor.full_scale), out=strip)
            frame[rows] = strip
        return frame

    def _noise_offset(self, number: int) -> int:
        """Where in the reservoir an exposure's noise begins.

        No row of it begins where one of the exposures shortly before did: on an empty field two rows would be
        alike to the last level, as no camera's are.
        """
        width = self.sensor.width_px
        while len(self._offsets) <= number:
            taken = {offset % width for offset in self._offsets[-_NOISE_APART:]}
            offset = self._drawn_offset(len(self._offsets))
            while offset % width in taken:
                offset = (offset + 1) % _NOISE_SPARE
            self._offsets.append(offset)
        return self._offsets[number]

    def _drawn_offset(self, number: int) -> int:
        return int(np.random.default_rng([self._seed, 78, number]).integers(_NOISE_SPARE))


def _margin_px(sigma_px: float) -> int:
    """Pixels beyond the frame whose light blurs into it."""
    return 0 if sigma_px < 1.0 else min(math.ceil(3 * sigma_px), 96)


def _blurred_rows(
    picture: NDArray[np.float32], rows: slice, sigma_px: float, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Rows of a frame of this shape, in the middle of a picture, blurred."""
    margin = (picture.shape[0] - shape[0]) // 2
    start, stop = rows.start + margin, rows.stop + margin
    if sigma_px < _SMALLEST_SIGMA_PX:
        return picture[start:stop, margin : margin + shape[1]]
    reach = _kernel_px(sigma_px) // 2
    first, last = max(start - reach, 0), min(stop + reach, picture.shape[0])
    blurred = _blur(picture[first:last], sigma_px)
    return blurred[start - first : stop - first, margin : margin + shape[1]]


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


def _kernel_px(sigma_px: float) -> int:
    return 2 * max(round(_KERNEL_SIGMAS * sigma_px), 1) + 1


def _blur(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    if sigma_px < _SMALLEST_SIGMA_PX:
        return picture
    if sigma_px < _WIDE_SIGMA_PX:
        size = _kernel_px(sigma_px)
        blurred = cv2.GaussianBlur(picture, (size, size), sigma_px, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32)
    # A wide blur is done on a small picture: nothing fine is left of it anyway.
    fold = int(min(2 ** math.floor(math.log2(sigma_px / _FOLDED_SIGMA_PX)), 32))
    height, width = picture.shape
    small = cv2.resize(picture, (max(width // fold, 1), max(height // fold, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / fold, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _smear(picture: NDArray[np.float32], smear_um: tuple[float, float], um_per_px: float) -> NDArray[np.float32]:
    dx, dy = smear_um[0] / um_per_px, smear_um[1] / um_per_px
    length = min(math.hypot(dx, dy), _LONGEST_SMEAR_PX)
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
    x = np.linspace(-1.0, 1.0, sensor.width_px, dtype=np.float32) - _BRIGHTEST_X
    y = np.linspace(-1.0, 1.0, sensor.height_px, dtype=np.float32) - _BRIGHTEST_Y
    distance = (x[None, :] ** 2 + y[:, None] ** 2) / 2.0
    return np.asarray(1.0 - sensor.fall_off * distance, dtype=np.float32)
