"""A G-banded chromosome drawn in optical density.

Optical density (OD, decadic: transmittance is ``10 ** -od``) adds where bodies lie upon one another, so a cell is
the sum of its chromosomes. Bands are taken from the 850-band table and blurred over a fixed distance on the slide:
in a condensed chromosome neighbouring bands then merge as they do under the microscope.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import radians

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree

from simulators.specimen.bands import ACROCENTRIC, Band, Stain, bands_of

LENGTH_UM: dict[str, float] = {
    "1": 13.2, "2": 12.7, "3": 11.4, "4": 10.8, "5": 10.2, "6": 9.8, "7": 9.1, "8": 8.2, "9": 7.7, "10": 7.9,
    "11": 7.8, "12": 7.8, "13": 6.4, "14": 6.3, "15": 6.2, "16": 5.3, "17": 5.2, "18": 5.0, "19": 4.1, "20": 4.15,
    "21": 3.2, "22": 3.5, "X": 8.7, "Y": 3.85,
}  # fmt: skip
"""Length at condensation 1: medians of isolated chromosomes of trypsin-Wright preparations (0.1024 um a pixel)."""

WIDTH_UM = 1.62
"""Width over both chromatids of a chromosome 4 um long at condensation 1, before the blur of the optics."""

WIDENING = 0.02
"""Increase of the width per um of length: long chromosomes lie a little broader."""

SHORT_ARM_UM: dict[str, float] = {"13": 0.95, "14": 0.95, "15": 0.95, "21": 0.75, "22": 1.15}
"""Drawn length of an acrocentric short arm: ISCN coordinates would give 20 to 40 per cent of the chromosome."""

LENGTH_FACTOR: dict[tuple[str, str, str], float] = {
    ("6", "p", "11.2"): 1.8,
    ("6", "p", "12.1"): 1.4,
    ("16", "p", "11.2"): 1.3,
    ("19", "q", "12"): 0.6,
    ("19", "q", "13.43"): 1.2,
    ("20", "p", "12.2"): 1.4,
    ("20", "p", "11.22"): 1.4,
    ("20", "p", "11.21"): 1.4,
    ("Y", "q", "12"): 0.7,
}
"""Bands that are drawn shorter or longer than their ISCN coordinates say."""

CENTROMERE_DENSITY = 0.5
VARIABLE_DENSITY = 0.55
STALK_DENSITY = 0.1
SHORT_ARM_DENSITY = 0.28

KNOWN_DENSITY: dict[tuple[str, str, str], float] = {
    ("1", "q", "12"): 0.85,
    ("3", "q", "11.2"): 0.9,
    ("6", "p", "11.1"): 0.2,
    ("6", "q", "11.1"): 0.6,
    ("9", "q", "12"): 0.15,
    ("16", "p", "11.1"): 0.25,
    ("16", "q", "11.1"): 0.45,
    ("16", "q", "11.2"): 0.95,
    ("19", "p", "12"): 0.95,
    ("19", "p", "11"): 0.9,
    ("19", "q", "11"): 0.5,
    ("19", "q", "12"): 0.4,
    ("20", "p", "11.1"): 0.55,
    ("20", "q", "11.1"): 0.95,
    ("22", "p", "11.1"): 0.45,
    ("22", "q", "11.1"): 0.9,
    ("Y", "q", "12"): 0.75,
}
"""Bands whose look under G-banding the table leaves open."""

VARIABLE_LENGTH: dict[str, float] = {"1": 0.2, "9": 0.2, "16": 0.2, "Y": 0.25}
"""Spread (standard deviation, relative) of the heterochromatic block between homologues and people."""

_PROFILE_STEP_UM = 0.02
_MARGIN_UM = 0.8


@dataclass(frozen=True, slots=True)
class Look:
    """What all chromosomes of a cell share.

    Attributes
    ----------
    condensation
        1 is a usual metaphase; larger is shorter and thicker.
    light_od, dark_od
        Optical density of a G-negative and of a fully G-positive band.
    band_blur_um
        Distance over which bands run into one another.
    chromatid_gap
        0: the chromatids touch over their whole width; 1: a clear line between them.
    constriction
        Relative narrowing at the centromere.
    grain
        Relative unevenness of the stain.
    width
        Relative width of all chromosomes.
    """

    condensation: float = 1.0
    light_od: float = 0.19
    dark_od: float = 0.63
    band_blur_um: float = 0.18
    chromatid_gap: float = 0.2
    constriction: float = 0.22
    grain: float = 0.07
    width: float = 1.0


def random_look(rng: np.random.Generator) -> Look:
    """Draw the look of a cell: condensation, stain and separation as they vary between good spreads."""
    stain = float(np.exp(rng.normal(0.0, 0.16)))
    return Look(
        condensation=float(np.clip(np.exp(rng.normal(0.0, 0.1)), 0.75, 1.35)),
        light_od=float(np.clip(rng.normal(0.19, 0.03), 0.12, 0.3)) * stain,
        dark_od=float(np.clip(rng.normal(0.63, 0.07), 0.45, 0.85)) * stain,
        band_blur_um=float(rng.uniform(0.12, 0.26)),
        chromatid_gap=float(np.clip(rng.normal(0.2, 0.18), 0.0, 0.8)),
        constriction=float(rng.uniform(0.1, 0.35)),
        grain=float(rng.uniform(0.03, 0.1)),
        width=float(np.exp(rng.normal(0.0, 0.05))),
    )


@dataclass(frozen=True, slots=True)
class RenderedChromosome:
    """A chromosome on its own patch.

    Attributes
    ----------
    class_name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    od
        float32, shape (height_px, width_px): optical density, without the blur of any optics.
    mask
        bool, same shape: the body, where it is dense enough to be seen.
    um_per_px
        Size of a patch pixel.
    axis_px
        float32, shape (n, 2): x, y along the middle line from the tip of the short arm to that of the long arm.
    centromere_px
        x, y on the patch.
    flipped
        True where the short arm lies lower in the image than the long one.
    """

    class_name: str
    od: NDArray[np.float32]
    mask: NDArray[np.bool_]
    um_per_px: float
    axis_px: NDArray[np.float32]
    centromere_px: tuple[float, float]
    flipped: bool

    @property
    def box_px(self) -> tuple[int, int, int, int]:
        """(xmin, ymin, xmax, ymax) of the mask, half open."""
        rows = np.flatnonzero(self.mask.any(axis=1))
        columns = np.flatnonzero(self.mask.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def render_chromosome(
    name: str,
    rng: np.random.Generator,
    *,
    um_per_px: float,
    look: Look | None = None,
    condensation: float = 1.0,
    angle_deg: float = 0.0,
    bend_deg: float = 0.0,
) -> RenderedChromosome:
    """Draw one chromosome.

    Parameters
    ----------
    name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    rng
        Source of everything that varies between two homologues.
    um_per_px
        Pixel size of the patch; at most 0.15, coarser pictures are made by averaging a fine one.
    look
        What the cell's chromosomes share; the usual look where left out.
    condensation
        Factor on the look's condensation.
    angle_deg
        0: short arm up; 90: short arm to the right (clockwise on the image, whose y grows downwards).
    bend_deg
        Change of direction between both tips; the sign says to which side.

    Raises
    ------
    ValueError
        The name is not a chromosome's or the pixel is too coarse to draw bands on.
    """
    if not 0.0 < um_per_px <= 0.15:
        raise ValueError(f"um_per_px {um_per_px}: chromosomes are drawn at 0.15 um a pixel or finer")
    chosen = look or Look()
    chosen = replace(chosen, condensation=chosen.condensation * condensation)
    profile = _profile(name, rng, chosen)
    axis_um, heading = _axis(profile.length_um, profile.centromere_um, bend_deg, angle_deg, rng)
    half_um = profile.width_um / 2.0 + _MARGIN_UM
    origin_um = axis_um.min(axis=0) - half_um
    width_px, height_px = np.ceil((axis_um.max(axis=0) + half_um - origin_um) / um_per_px).astype(int)
    along_um, across_um = _unroll(axis_um, heading, origin_um, (int(height_px), int(width_px)), um_per_px)
    body = _body(along_um, across_um, profile, chosen)
    stain = _stain(along_um, across_um, profile, rng)
    grain = gaussian_filter(rng.standard_normal(body.shape).astype(np.float32), 0.12 / um_per_px)
    grain *= chosen.grain / max(float(grain.std()), 1e-6)
    od = (body * stain * (1.0 + grain)).astype(np.float32)
    axis_px = ((axis_um - origin_um) / um_per_px - 0.5).astype(np.float32)
    centromere = axis_px[round(profile.centromere_um / profile.length_um * (len(axis_px) - 1))]
    return RenderedChromosome(
        class_name=name,
        od=np.maximum(od, 0.0),
        mask=body > 0.4,
        um_per_px=um_per_px,
        axis_px=axis_px,
        centromere_px=(float(centromere[0]), float(centromere[1])),
        flipped=bool(axis_px[0, 1] > axis_px[-1, 1]),
    )


def upright_crop(
    name: str,
    rng: np.random.Generator,
    um_per_px: float = 0.1024,
    *,
    look: Look | None = None,
    psf_um: float = 0.09,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw a nearly straight chromosome with its short arm up, as a karyogram shows it.

    Parameters
    ----------
    name, rng, um_per_px
        As for `render_chromosome`.
    look
        What the cell's chromosomes share; drawn from `rng` where left out.
    psf_um
        Standard deviation of the optics' blur.

    Returns
    -------
    od, mask
        float32 optical density and bool mask of the same shape, cropped to the mask with a border of two pixels.
    """
    chromosome = render_chromosome(
        name,
        rng,
        um_per_px=um_per_px,
        look=look or random_look(rng),
        angle_deg=float(rng.normal(0.0, 4.0)),
        bend_deg=float(rng.normal(0.0, 18.0)),
    )
    xmin, ymin, xmax, ymax = chromosome.box_px
    crop = np.s_[max(ymin - 2, 0) : ymax + 2, max(xmin - 2, 0) : xmax + 2]
    od = gaussian_filter(chromosome.od, psf_um / um_per_px) if psf_um > 0.0 else chromosome.od
    return np.ascontiguousarray(od[crop]), np.ascontiguousarray(chromosome.mask[crop])


@dataclass(frozen=True, slots=True)
class _Profile:
    """Stain and width along the axis, sampled every `_PROFILE_STEP_UM`."""

    length_um: float
    width_um: float
    centromere_um: float
    stain_od: NDArray[np.float64]
    width: NDArray[np.float64]


@cache
def _drawn_bands(name: str) -> tuple[tuple[Band, float, float], ...]:
    """Bands with their drawn length (um, at condensation 1) and darkness."""
    bands = bands_of(name)
    short = SHORT_ARM_UM.get(name)
    sizes = [(band.stop - band.start) * LENGTH_FACTOR.get((name, band.arm, band.name), 1.0) for band in bands]
    total = sum(size for size, band in zip(sizes, bands, strict=True) if short is None or band.arm == "q")
    short_total = sum(size for size, band in zip(sizes, bands, strict=True) if band.arm == "p")
    scale = (LENGTH_UM[name] - (short or 0.0)) / total
    drawn = []
    for band, size in zip(bands, sizes, strict=True):
        length = size * scale
        if short is not None and band.arm == "p":
            length = size / short_total * short
        drawn.append((band, length, _density(name, band)))
    return tuple(drawn)


def _density(name: str, band: Band) -> float:
    known = KNOWN_DENSITY.get((name, band.arm, band.name))
    if known is not None:
        return known
    if name in ACROCENTRIC and band.arm == "p":
        return STALK_DENSITY if band.stain is Stain.STALK else SHORT_ARM_DENSITY
    kinds = {
        Stain.CENTROMERE: CENTROMERE_DENSITY,
        Stain.VARIABLE: VARIABLE_DENSITY,
        Stain.STALK: STALK_DENSITY,
    }
    return kinds.get(band.stain, band.density)


def _profile(name: str, rng: np.random.Generator, look: Look) -> _Profile:
    shrink = float(np.exp(rng.normal(0.0, 0.035))) / look.condensation
    stretch = {"p": float(np.exp(rng.normal(0.0, 0.03))), "q": float(np.exp(rng.normal(0.0, 0.03)))}
    width_um = WIDTH_UM + WIDENING * (LENGTH_UM[name] - 4.0)
    width_um *= look.width * look.condensation**0.5 * float(np.exp(rng.normal(0.0, 0.03)))
    lengths: list[float] = []
    densities: list[float] = []
    centromere_um = 0.0
    for band, length, density in _drawn_bands(name):
        drawn = length * shrink * stretch[band.arm] * _variation(name, band, rng)
        lengths.append(drawn)
        densities.append(float(np.clip(density + rng.normal(0.0, 0.07), 0.0, 1.0)))
        if band.arm == "p":
            centromere_um += drawn
    edges = np.concatenate(([0.0], np.cumsum(lengths)))
    positions = np.arange(0.0, edges[-1], _PROFILE_STEP_UM)
    index = np.clip(np.searchsorted(edges, positions, side="right") - 1, 0, len(densities) - 1)
    blur = look.band_blur_um / _PROFILE_STEP_UM
    density_along = gaussian_filter1d(np.asarray(densities)[index], blur, mode="nearest")
    width = 1.0 - look.constriction * np.exp(-0.5 * ((positions - centromere_um) / 0.3) ** 2)
    if name in ACROCENTRIC:
        width *= _satellite_width(positions, centromere_um, rng)
    return _Profile(
        length_um=float(edges[-1]),
        width_um=width_um,
        centromere_um=centromere_um,
        stain_od=look.light_od + (look.dark_od - look.light_od) * density_along**0.85,
        width=width,
    )


def _variation(name: str, band: Band, rng: np.random.Generator) -> float:
    if name in ACROCENTRIC and band.arm == "p":
        return float(np.exp(rng.normal(0.0, 0.18)))
    if name in VARIABLE_LENGTH and band.stain is Stain.VARIABLE:
        return float(np.exp(rng.normal(0.0, VARIABLE_LENGTH[name])))
    return float(np.exp(rng.normal(0.0, 0.04)))


def _satellite_width(
    positions_um: NDArray[np.float64], centromere_um: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The short arm narrows towards its stalk; the satellite is a knob on top."""
    thin = float(rng.uniform(0.5, 0.8))
    away = np.clip((centromere_um - positions_um) / max(centromere_um, 0.1), 0.0, 1.0)
    return 1.0 - (1.0 - thin) * np.clip(away * 1.6, 0.0, 1.0)


def _axis(
    length_um: float, centromere_um: float, bend_deg: float, angle_deg: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points every 0.1 um along a smooth curve, and the direction there (unit vectors, short to long arm)."""
    count = max(round(length_um / 0.1), 8) + 1
    along = np.linspace(0.0, 1.0, count)
    kink_at = centromere_um / length_um if rng.random() < 0.4 else float(rng.uniform(0.25, 0.75))
    kink = np.exp(-0.5 * ((along - kink_at) / float(rng.uniform(0.08, 0.3))) ** 2)
    curvature = kink / kink.mean() * 0.6 + 0.4
    wave = radians(float(rng.normal(0.0, 4.0))) * np.sin(2.0 * np.pi * (along + rng.random()))
    turn = radians(bend_deg) * (np.cumsum(curvature) / curvature.sum() - 0.5) + wave
    direction = radians(angle_deg) + turn
    # Angle 0 points down the image: the short arm's tip is the upper end.
    heading = np.stack((-np.sin(direction), np.cos(direction)), axis=1)
    steps = (heading[1:] + heading[:-1]) / 2.0 * (length_um / (count - 1))
    points = np.concatenate((np.zeros((1, 2)), np.cumsum(steps, axis=0)))
    return points, heading


def _unroll(
    axis_um: NDArray[np.float64],
    heading: NDArray[np.float64],
    origin_um: NDArray[np.float64],
    shape: tuple[int, int],
    um_per_px: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position along and across the axis for every pixel of the patch."""
    rows, columns = np.indices(shape)
    points = np.stack((columns.ravel() + 0.5, rows.ravel() + 0.5), axis=1) * um_per_px + origin_um
    _, nearest = cKDTree(axis_um).query(points)
    step_um = float(np.hypot(*(axis_um[1] - axis_um[0])))
    offset = points - axis_um[nearest]
    along = nearest * step_um + np.einsum("ij,ij->i", offset, heading[nearest])
    across = offset[:, 0] * heading[nearest, 1] - offset[:, 1] * heading[nearest, 0]
    return along.reshape(shape), across.reshape(shape)


def _body(
    along_um: NDArray[np.float64], across_um: NDArray[np.float64], profile: _Profile, look: Look
) -> NDArray[np.float64]:
    """Thickness in [0, about 1] of two chromatids side by side, each with round ends."""
    last = len(profile.width) - 1
    index = np.clip((along_um / _PROFILE_STEP_UM).astype(int), 0, last)
    width_um = profile.width_um * profile.width[index]
    centre_um = width_um * (0.22 + 0.05 * look.chromatid_gap)
    radius_um = width_um / 2.0 - centre_um + 0.06 * (1.0 - look.chromatid_gap)
    cap_um = radius_um * 0.6
    from_ends = np.maximum(cap_um - along_um, along_um - (profile.length_um - cap_um))
    beyond = np.maximum(from_ends, 0.0) * (radius_um / cap_um)
    thickness = np.zeros_like(along_um)
    for side in (-1.0, 1.0):
        reach = np.hypot(across_um - side * centre_um, beyond) / radius_um
        thickness += np.clip(1.0 - reach**4, 0.0, 1.0)
    # Where both chromatids share a pixel the dried chromosome is no thicker than one of them.
    return np.minimum(thickness, 1.0)


def _stain(
    along_um: NDArray[np.float64], across_um: NDArray[np.float64], profile: _Profile, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Optical density of the stain; bands run a little askew, and not quite alike on both chromatids."""
    count = max(int(profile.length_um / 0.5), 4)
    knots = np.linspace(0.0, profile.length_um, count)
    shifts = rng.normal(0.0, 0.05, (2, count))
    left = np.interp(along_um, knots, shifts[0])
    right = np.interp(along_um, knots, shifts[1])
    share = np.clip(0.5 + across_um / profile.width_um, 0.0, 1.0)
    position = along_um + left * (1.0 - share) + right * share
    grid = np.arange(len(profile.stain_od)) * _PROFILE_STEP_UM
    od: NDArray[np.float64] = np.interp(position, grid, profile.stain_od)
    return od
