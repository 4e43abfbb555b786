"""A banded chromosome drawn in optical density, or in emitted light where the stain is fluorescent.

Optical density (OD, decadic: transmittance is ``10 ** -od``) adds where bodies lie upon one another, so a cell is
the sum of its chromosomes; so does emitted light. Bands are taken from the 850-band table and blurred over a fixed
distance on the slide: in a condensed chromosome neighbouring bands then merge as they do under the microscope.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import radians

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree

from simulators.specimen.banding import Banding, Contrast, band_density
from simulators.specimen.bands import ACROCENTRIC, Band, Stain, bands_of
from simulators.specimen.structure import Chromosome, Segment, centromere_of, normal
from simulators.specimen.variation import LogNormal, Normal, Uniform

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

VARIABLE_LENGTH: dict[str, float] = {"1": 0.2, "9": 0.2, "16": 0.2, "Y": 0.25}
"""Spread (standard deviation, relative) of the heterochromatic block between homologues and people."""

_PROFILE_STEP_UM = 0.02
_MARGIN_UM = 0.8
COARSEST_UM_PER_PX = 0.15
"""Bands of the 550 level are about 0.4 um long: coarser pixels can't show them."""
NATIVE_UM_PER_PX = 0.1024
"""Pixel of the preparations that lengths were measured on: 6.45 um behind a 63x objective."""


@dataclass(frozen=True, slots=True)
class AppearanceVariation:
    """How preparations differ between good spreads: set by eye against trypsin-Wright pictures.

    Attributes
    ----------
    stain
        Strength of the stain of the whole cell.
    condensation, light_od, dark_od, band_blur_um, chromatid_gap, constriction, grain, width
        As in `ChromosomeAppearance`; densities before the strength of the stain.
    """

    stain: LogNormal = LogNormal(1.0, 0.16)
    condensation: LogNormal = LogNormal(1.0, 0.1, 0.75, 1.35)
    light_od: Normal = Normal(0.19, 0.03, 0.12, 0.3)
    dark_od: Normal = Normal(0.63, 0.07, 0.45, 0.85)
    band_blur_um: Uniform = Uniform(0.12, 0.26)
    chromatid_gap: Normal = Normal(0.2, 0.18, 0.0, 0.8)
    constriction: Uniform = Uniform(0.1, 0.35)
    grain: Uniform = Uniform(0.03, 0.1)
    width: LogNormal = LogNormal(1.0, 0.05)


@dataclass(frozen=True, slots=True)
class HomologueVariation:
    """How two homologues of one cell differ: set by eye against trypsin-Wright pictures.

    Attributes
    ----------
    length, arm_length, width
        Of the whole chromosome, of each arm, of the body.
    density
        Standard deviation of a band's darkness.
    satellite_length, band_length
        Of an acrocentric short arm, whose size differs most, and of any other band.
    satellite_width
        Width of an acrocentric's stalk over that of the body.
    kink_at_centromere
        Probability that the chromosome bends most at its centromere.
    kink_place, kink_extent
        Where it bends most otherwise, and over how much of its length, both over its length.
    wave_deg
        Standard deviation of a slight S shape.
    upright_angle_deg, upright_bend_deg
        Standard deviations of what `upright_crop` leaves of turn and bend: karyograms are cut by hand.
    band_skew_um
        Standard deviation of how far a band is shifted on one chromatid.
    """

    length: LogNormal = LogNormal(1.0, 0.035)
    arm_length: LogNormal = LogNormal(1.0, 0.03)
    width: LogNormal = LogNormal(1.0, 0.03)
    density: float = 0.07
    satellite_length: LogNormal = LogNormal(1.0, 0.18)
    band_length: LogNormal = LogNormal(1.0, 0.04)
    satellite_width: Uniform = Uniform(0.5, 0.8)
    kink_at_centromere: float = 0.4
    kink_place: Uniform = Uniform(0.25, 0.75)
    kink_extent: Uniform = Uniform(0.08, 0.3)
    wave_deg: float = 4.0
    upright_angle_deg: float = 4.0
    upright_bend_deg: float = 18.0
    band_skew_um: float = 0.05


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Shape of a chromosome's body, the same for all: set by eye against trypsin-Wright pictures.

    Attributes
    ----------
    reference_length_um
        Length of the chromosome whose width is `WIDTH_UM`.
    constriction_um
        Standard deviation of the narrowing about the centromere, along the axis.
    satellite_slope
        The short arm of an acrocentric has its least width beyond this part of its length, as 1 over it.
    shortest_satellite_um
        Below this a short arm is treated as if it were so long.
    density_gamma
        Exponent from a band's darkness to optical density: pale bands take up a little more stain.
    mask_level
        Part of a chromatid's thickness from which a pixel belongs to the body.
    grain_um
        Size of the stain's grains.
    axis_step_um
        Distance of points on the middle line.
    kink_part, even_part
        How much of the bend lies in the kink, and how much is spread over the axis.
    chromatid_offset, chromatid_gap_offset
        Distance of a chromatid from the middle line over the body's width, and what a full gap adds.
    chromatid_overlap_um
        Chromatids without a gap reach so far over the middle line.
    cap
        Length of the round ends over a chromatid's radius.
    skew_step_um
        Along the axis, bands change their skew over this distance.
    """

    reference_length_um: float = 4.0
    constriction_um: float = 0.3
    satellite_slope: float = 1.6
    shortest_satellite_um: float = 0.1
    density_gamma: float = 0.85
    mask_level: float = 0.4
    grain_um: float = 0.12
    axis_step_um: float = 0.1
    kink_part: float = 0.6
    even_part: float = 0.4
    chromatid_offset: float = 0.22
    chromatid_gap_offset: float = 0.05
    chromatid_overlap_um: float = 0.06
    cap: float = 0.6
    skew_step_um: float = 0.5


_APPEARANCE = AppearanceVariation()
_HOMOLOGUES = HomologueVariation()
_SHAPE = BodyShape()
_LEAST_GRAIN = 1e-6
"""Keeps a patch without grain from being divided by nothing."""
_BANDING_DENSITIES: dict[Banding, tuple[float, float]] = {
    Banding.R: (0.85, 0.95),
    Banding.Q: (0.95, 0.85),
    Banding.DAPI: (1.5, 0.95),
}
"""Density of unstained and of stained bands over those of G-banding."""
_GLOW_BLUR = 1.25
"""Fluorescent bands are less sharply set off: their light comes from the whole depth of the body."""


@dataclass(frozen=True, slots=True)
class ChromosomeAppearance:
    """What all chromosomes of a cell share.

    Attributes
    ----------
    condensation
        1 is an average metaphase; larger is shorter and thicker.
    light_od, dark_od
        Optical density of an unstained and of a fully stained band; what they emit where the stain is fluorescent.
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
    banding
        Technique.
    """

    condensation: float = 1.0
    light_od: float = 0.19
    dark_od: float = 0.63
    band_blur_um: float = 0.18
    chromatid_gap: float = 0.2
    constriction: float = 0.22
    grain: float = 0.07
    width: float = 1.0
    banding: Banding = Banding.G


def banded(appearance: ChromosomeAppearance, banding: Banding) -> ChromosomeAppearance:
    """The same preparation banded another way: fluorescent bands are fainter and less sharply set off.

    Parameters
    ----------
    appearance
        Of the G-banded preparation.
    banding
        The other technique.
    """
    if banding is Banding.G:
        return appearance
    light, dark = _BANDING_DENSITIES[banding]
    blur = _GLOW_BLUR if banding.contrast is Contrast.EMITS else 1.0
    return replace(
        appearance,
        banding=banding,
        light_od=appearance.light_od * light,
        dark_od=appearance.dark_od * dark,
        band_blur_um=appearance.band_blur_um * blur,
    )


def draw_appearance(
    rng: np.random.Generator, variation: AppearanceVariation = _APPEARANCE
) -> ChromosomeAppearance:
    """Draw the appearance of a cell: condensation, stain and separation as they vary between good spreads.

    Parameters
    ----------
    rng
        Source of the variation.
    variation
        How much varies.
    """
    stain = variation.stain.draw(rng)
    return ChromosomeAppearance(
        condensation=variation.condensation.draw(rng),
        light_od=variation.light_od.draw(rng) * stain,
        dark_od=variation.dark_od.draw(rng) * stain,
        band_blur_um=variation.band_blur_um.draw(rng),
        chromatid_gap=variation.chromatid_gap.draw(rng),
        constriction=variation.constriction.draw(rng),
        grain=variation.grain.draw(rng),
        width=variation.width.draw(rng),
    )


@dataclass(frozen=True, slots=True)
class RenderedChromosome:
    """A chromosome on its own patch.

    Attributes
    ----------
    class_name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``: that of its centromere.
    designation
        ISCN's name of a chromosome that is no normal one; else None.
    od
        float32, shape (height_px, width_px): optical density or emitted light, without the blur of any optics.
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
    designation: str | None
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
    chromosome: str | Chromosome,
    rng: np.random.Generator,
    *,
    um_per_px: float,
    appearance: ChromosomeAppearance | None = None,
    condensation: float = 1.0,
    angle_deg: float = 0.0,
    bend_deg: float = 0.0,
) -> RenderedChromosome:
    """Draw one chromosome.

    Parameters
    ----------
    chromosome
        Name of a normal one, ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``, or what a rearranged one is made of.
    rng
        Source of everything that varies between two homologues.
    um_per_px
        Pixel size of the patch; at most 0.15, coarser pictures are made by averaging a fine one.
    appearance
        What the cell's chromosomes share; that of an average cell where left out.
    condensation
        Factor on the appearance's condensation.
    angle_deg
        0: short arm up; 90: short arm to the right (clockwise on the image, whose y grows downwards).
    bend_deg
        Change of direction between both tips; the sign says to which side.

    Raises
    ------
    ValueError
        The name is not a chromosome's or the pixel is too coarse to draw bands on.
    """
    if not 0.0 < um_per_px <= COARSEST_UM_PER_PX:
        raise ValueError(
            f"um_per_px {um_per_px}: chromosomes are drawn at {COARSEST_UM_PER_PX} um a pixel or finer"
        )
    appearance = appearance or ChromosomeAppearance()
    appearance = replace(appearance, condensation=appearance.condensation * condensation)
    made_of = normal(chromosome) if isinstance(chromosome, str) else chromosome
    profile = _profile(made_of, rng, appearance)
    axis_um, heading = _axis(profile.length_um, profile.centromere_um, bend_deg, angle_deg, rng)
    origin_um, shape = _patch_bounds(axis_um, profile.width_um / 2.0 + _MARGIN_UM, um_per_px)
    along_um, across_um = _unroll(axis_um, heading, origin_um, shape, um_per_px)
    body = _body(along_um, across_um, profile, appearance)
    stain = _stain(along_um, across_um, profile, rng)
    od = (body * stain * (1.0 + _grain(body.shape, rng, appearance, um_per_px))).astype(np.float32)
    axis_px = ((axis_um - origin_um) / um_per_px - 0.5).astype(np.float32)
    centromere = axis_px[round(profile.centromere_um / profile.length_um * (len(axis_px) - 1))]
    return RenderedChromosome(
        class_name=made_of.class_name,
        designation=made_of.designation,
        od=np.maximum(od, 0.0),
        mask=body > _SHAPE.mask_level,
        um_per_px=um_per_px,
        axis_px=axis_px,
        centromere_px=(float(centromere[0]), float(centromere[1])),
        flipped=bool(axis_px[0, 1] > axis_px[-1, 1]),
    )


def _patch_bounds(
    axis_um: NDArray[np.float64], half_um: float, um_per_px: float
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Upper left corner, and rows and columns, of a patch that holds a body of this half width along an axis."""
    origin_um = axis_um.min(axis=0) - half_um
    width_px, height_px = np.ceil((axis_um.max(axis=0) + half_um - origin_um) / um_per_px).astype(int)
    return origin_um, (int(height_px), int(width_px))


def _grain(
    shape: tuple[int, ...], rng: np.random.Generator, appearance: ChromosomeAppearance, um_per_px: float
) -> NDArray[np.float32]:
    """Relative unevenness of the stain."""
    grain = gaussian_filter(rng.standard_normal(shape).astype(np.float32), _SHAPE.grain_um / um_per_px)
    grain *= appearance.grain / max(float(grain.std()), _LEAST_GRAIN)
    return np.asarray(grain)


def upright_crop(
    name: str,
    rng: np.random.Generator,
    um_per_px: float = NATIVE_UM_PER_PX,
    *,
    appearance: ChromosomeAppearance | None = None,
    psf_um: float = 0.09,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw a nearly straight chromosome with its short arm up, as a karyogram shows it.

    Parameters
    ----------
    name, rng, um_per_px
        As for `render_chromosome`.
    appearance
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
        appearance=appearance or draw_appearance(rng),
        angle_deg=float(rng.normal(0.0, _HOMOLOGUES.upright_angle_deg)),
        bend_deg=float(rng.normal(0.0, _HOMOLOGUES.upright_bend_deg)),
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


@dataclass(frozen=True, slots=True)
class _Piece:
    """A band, or the part of one, in a drawn chromosome; the length is that at condensation 1."""

    source: str
    band: Band
    length_um: float
    density: float


def length_um(chromosome: Chromosome) -> float:
    """Length at condensation 1."""
    if chromosome.designation is None:
        return LENGTH_UM[chromosome.class_name]
    return sum(piece.length_um for piece in _pieces(chromosome, Banding.G))


@cache
def _pieces(chromosome: Chromosome, banding: Banding) -> tuple[_Piece, ...]:
    """Bands from the upper tip to the lower one."""
    return tuple(piece for segment in chromosome.segments for piece in _cut(segment, banding))


def _cut(segment: Segment, banding: Banding) -> list[_Piece]:
    name = segment.chromosome
    low, high = sorted((segment.start, segment.stop))
    pieces = []
    for band, length in _drawn_lengths(name):
        fraction = (min(band.stop, high) - max(band.start, low)) / (band.stop - band.start)
        if fraction > 0.0:
            pieces.append(_Piece(name, band, length * fraction, band_density(name, band, banding)))
    return pieces if segment.start <= segment.stop else pieces[::-1]


@cache
def _pieces_above_centromere(chromosome: Chromosome) -> int:
    """Pieces between the upper tip and the centromere."""
    count = 0
    for segment in chromosome.segments:
        middle = centromere_of(segment.chromosome)
        if segment.stop == middle:
            return count + len(_cut(segment, Banding.G))
        if min(segment.start, segment.stop) < middle < max(segment.start, segment.stop):
            return count + len(_cut(Segment(segment.chromosome, segment.start, middle), Banding.G))
        count += len(_cut(segment, Banding.G))
    raise ValueError(f"{chromosome.designation} has no centromere")


@cache
def _drawn_lengths(name: str) -> tuple[tuple[Band, float], ...]:
    """Bands with their drawn length, um at condensation 1."""
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
        drawn.append((band, length))
    return tuple(drawn)


def _profile(chromosome: Chromosome, rng: np.random.Generator, appearance: ChromosomeAppearance) -> _Profile:
    shrink = _HOMOLOGUES.length.draw(rng) / appearance.condensation
    stretch = {"p": _HOMOLOGUES.arm_length.draw(rng), "q": _HOMOLOGUES.arm_length.draw(rng)}
    width_um = WIDTH_UM + WIDENING * (length_um(chromosome) - _SHAPE.reference_length_um)
    width_um *= appearance.width * appearance.condensation**0.5 * _HOMOLOGUES.width.draw(rng)
    above = _pieces_above_centromere(chromosome)
    lengths: list[float] = []
    densities: list[float] = []
    centromere_um = 0.0
    for number, piece in enumerate(_pieces(chromosome, appearance.banding)):
        drawn = piece.length_um * shrink * stretch[piece.band.arm] * _variation(piece.source, piece.band, rng)
        lengths.append(drawn)
        density = piece.density + rng.normal(0.0, _HOMOLOGUES.density)
        densities.append(float(np.clip(density, 0.0, max(1.0, piece.density))))
        if number < above:
            centromere_um += drawn
    edges = np.concatenate(([0.0], np.cumsum(lengths)))
    positions = np.arange(0.0, edges[-1], _PROFILE_STEP_UM)
    index = np.clip(np.searchsorted(edges, positions, side="right") - 1, 0, len(densities) - 1)
    blur = appearance.band_blur_um / _PROFILE_STEP_UM
    density_along = gaussian_filter1d(np.asarray(densities)[index], blur, mode="nearest")
    from_centromere = (positions - centromere_um) / _SHAPE.constriction_um
    width = 1.0 - appearance.constriction * np.exp(-0.5 * from_centromere**2)
    if _has_satellite(chromosome):
        width *= _satellite_width(positions, centromere_um, rng)
    return _Profile(
        length_um=float(edges[-1]),
        width_um=width_um,
        centromere_um=centromere_um,
        stain_od=appearance.light_od
        + (appearance.dark_od - appearance.light_od) * density_along**_SHAPE.density_gamma,
        width=width,
    )


def _has_satellite(chromosome: Chromosome) -> bool:
    """Whether the upper tip is a whole acrocentric short arm."""
    first = chromosome.segments[0]
    return first.chromosome in ACROCENTRIC and first.start == 0.0 and first.stop > centromere_of(first.chromosome)


def _variation(name: str, band: Band, rng: np.random.Generator) -> float:
    if name in ACROCENTRIC and band.arm == "p":
        return _HOMOLOGUES.satellite_length.draw(rng)
    if name in VARIABLE_LENGTH and band.stain is Stain.VARIABLE:
        return float(np.exp(rng.normal(0.0, VARIABLE_LENGTH[name])))
    return _HOMOLOGUES.band_length.draw(rng)


def _satellite_width(
    positions_um: NDArray[np.float64], centromere_um: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The short arm narrows towards its stalk; the satellite is a knob on top."""
    thin = _HOMOLOGUES.satellite_width.draw(rng)
    arm_um = max(centromere_um, _SHAPE.shortest_satellite_um)
    away = np.clip((centromere_um - positions_um) / arm_um, 0.0, 1.0)
    return 1.0 - (1.0 - thin) * np.clip(away * _SHAPE.satellite_slope, 0.0, 1.0)


def _axis(
    length_um: float, centromere_um: float, bend_deg: float, angle_deg: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points along a smooth curve, and the direction there (unit vectors, short to long arm)."""
    variation = _HOMOLOGUES
    count = max(round(length_um / _SHAPE.axis_step_um), 8) + 1
    along = np.linspace(0.0, 1.0, count)
    is_at_centromere = rng.random() < variation.kink_at_centromere
    kink_at = centromere_um / length_um if is_at_centromere else variation.kink_place.draw(rng)
    kink = np.exp(-0.5 * ((along - kink_at) / variation.kink_extent.draw(rng)) ** 2)
    curvature = kink / kink.mean() * _SHAPE.kink_part + _SHAPE.even_part
    wave = radians(float(rng.normal(0.0, variation.wave_deg))) * np.sin(2.0 * np.pi * (along + rng.random()))
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
    along_um: NDArray[np.float64],
    across_um: NDArray[np.float64],
    profile: _Profile,
    appearance: ChromosomeAppearance,
) -> NDArray[np.float64]:
    """Thickness in [0, about 1] of two chromatids side by side, each with round ends."""
    last = len(profile.width) - 1
    index = np.clip((along_um / _PROFILE_STEP_UM).astype(int), 0, last)
    width_um = profile.width_um * profile.width[index]
    gap = appearance.chromatid_gap
    centre_um = width_um * (_SHAPE.chromatid_offset + _SHAPE.chromatid_gap_offset * gap)
    radius_um = width_um / 2.0 - centre_um + _SHAPE.chromatid_overlap_um * (1.0 - gap)
    cap_um = radius_um * _SHAPE.cap
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
    count = max(int(profile.length_um / _SHAPE.skew_step_um), 4)
    knots = np.linspace(0.0, profile.length_um, count)
    shifts = rng.normal(0.0, _HOMOLOGUES.band_skew_um, (2, count))
    left = np.interp(along_um, knots, shifts[0])
    right = np.interp(along_um, knots, shifts[1])
    rightness = np.clip(0.5 + across_um / profile.width_um, 0.0, 1.0)
    position = along_um + left * (1.0 - rightness) + right * rightness
    grid = np.arange(len(profile.stain_od)) * _PROFILE_STEP_UM
    od: NDArray[np.float64] = np.interp(position, grid, profile.stain_od)
    return od
