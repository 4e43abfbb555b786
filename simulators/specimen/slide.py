"""A slide with planted metaphases, which knows its truth.

Slide um: origin in the corner of the glass, x along the 76 mm side, y along the 26 mm side; y grows in the image's
downward direction. Whatever lies on the slide follows from the settings alone, not from what was looked at first:
every cell has its own random stream, and clutter is drawn square by square, each square from its own stream.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np

from simulators.specimen.banding import Banding, Contrast
from simulators.specimen.cell import Spread
from simulators.specimen.clutter import ClutterPatch, render_nucleus, render_precipitate, render_speck
from simulators.specimen.glass import GLASS_UM, LABEL_UM, BoxUm, Bubble, Coverslip, Glass, Label
from simulators.specimen.karyotype import KaryotypeMixture, check_mixture, draw_karyotype, iscn_of
from simulators.specimen.metaphase import reach_um, render_metaphase
from simulators.specimen.pictures import (
    MARGIN_UM,
    TSENG_UM_PER_PX,
    find_boxes,
    list_pictures,
    margin_px,
    picture_od,
    read_size,
)
from simulators.specimen.quality import SPREAD_ONLY, Quality, QualityMixture
from simulators.specimen.variation import LogNormal, Normal

RENDERED = "rendered"
SQUARE_UM = 400.0
"""Side of the squares that clutter is drawn in."""

PATTERNS = 200
"""Different nuclei, and different specks, on a slide: enough that no one field shows two alike side by side."""

_CELL_STREAM, _SQUARE_STREAM, _PLACE_STREAM, _BODY_STREAM, _QUALITY_STREAM, _CLOT_STREAM = range(6)
_PLACING_TRIES = 2000
_LONGEST_LABEL = 200

_Kind = TypeVar("_Kind", bound=StrEnum)


_CLUTTER_REACH_UM = 40.0
"""No piece of clutter reaches farther than this beyond its square."""
_CLUTTER_MARGIN_UM = 1.2
"""What the blur of its edge adds to a piece of clutter."""


@dataclass(frozen=True, slots=True)
class GlassShape:
    """How the specimen plane is curved, relative to a slide's tilt and warp; as focus maps of real slides show it.

    Attributes
    ----------
    tilt_along
        Tilt along the short side over that along the long one.
    bow
        Warp along the short side over that along the long one.
    waves, wave_x_um, wave_y_um
        Small waves of the glass over its warp, and their lengths, each over 2 pi.
    """

    tilt_along: float = 0.15
    bow: float = 0.4
    waves: float = 0.05
    wave_x_um: float = 3500.0
    wave_y_um: float = 5000.0


_GLASS = GlassShape()


@dataclass(frozen=True, slots=True)
class SlideSettings:
    """Everything a slide follows from.

    Attributes
    ----------
    specimen
        ``"rendered"`` or a folder of metaphase pictures.
    seed
        Seed of all that is drawn.
    cells
        Metaphases to plant; never more than there are pictures.
    area_um
        (xmin, ymin, xmax, ymax) in slide um within which whole cells lie.
    abnormal_fraction
        Share of rendered cells with a whole-chromosome aneuploidy.
    spread
        How rendered chromosomes lie.
    nuclei_per_mm2, specks_per_mm2
        Density of interphase nuclei and of debris, over the whole glass.
    spacing_um
        Smallest distance between the centres of two cells.
    picture_um_per_px
        Pixel size of pictures.
    tilt_um, warp_um
        Rise of the surface over the length of the glass, and height of its waves.
    qualities
        What becomes of rendered cells, with weights; see `quality`. Pictures are what they are.
    karyotypes
        What rendered cells' karyotypes are drawn from, ISCN strings or kinds with weights; see
        `karyotype.KaryotypeKind`. Empty: normal ones and `abnormal_fraction`.
    banding
        Technique of rendered cells. Q and DAPI emit light, and all on the slide with them: `SlideWorld.contrast`.
    coverslip
        Whether there is one, 22 x 50 mm, a little askew; without, the slide has no mounting edges and no bubbles.
    bubbles
        Air bubbles under the coverslip; nothing is seen inside them.
    precipitates_per_mm2
        Density of clots of precipitated stain.
    label
        Text of the barcode on the label at the slide's left end; empty: no label.
    scratches
        Long scratches in the glass.
    marks
        Whether two registration crosses are engraved.
    """

    specimen: str = RENDERED
    seed: int = 0
    cells: int = 12
    area_um: BoxUm = (28_000.0, 10_000.0, 32_000.0, 13_000.0)
    abnormal_fraction: float = 0.25
    spread: Spread = field(default_factory=Spread)
    nuclei_per_mm2: float = 40.0
    specks_per_mm2: float = 180.0
    spacing_um: float = 190.0
    picture_um_per_px: float = TSENG_UM_PER_PX
    tilt_um: float = 24.0
    warp_um: float = 7.0
    qualities: QualityMixture = SPREAD_ONLY
    karyotypes: KaryotypeMixture = ()
    banding: Banding = Banding.G
    coverslip: bool = False
    bubbles: int = 0
    precipitates_per_mm2: float = 0.0
    label: str = ""
    scratches: int = 0
    marks: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be a slide."""
        # Names do as well as members of the enumerations: settings come from forms and test markers too.
        object.__setattr__(self, "banding", _member(Banding, self.banding, "banding"))
        named = tuple(
            (_member(Quality, quality, "qualities"), float(weight)) for quality, weight in self.qualities
        )
        object.__setattr__(self, "qualities", named)
        for check in (_check_area, _check_numbers, _check_mixtures, _check_glass):
            check(self)


def _member(kind: type[_Kind], value: str, field_name: str) -> _Kind:
    try:
        return kind(value)
    except ValueError as error:
        raise ValueError(f"{field_name}: {value!r} is none of {', '.join(kind)}") from error


def _check_area(settings: SlideSettings) -> None:
    xmin, ymin, xmax, ymax = settings.area_um
    if not (0.0 <= xmin < xmax <= GLASS_UM[0] and 0.0 <= ymin < ymax <= GLASS_UM[1]):
        raise ValueError(f"area_um {settings.area_um} must lie on the glass of {GLASS_UM} um")
    if settings.label and xmin < LABEL_UM[2]:
        raise ValueError(
            f"area_um {settings.area_um} must lie beside the label, which ends at x {LABEL_UM[2]:g} um"
        )


def _check_numbers(settings: SlideSettings) -> None:
    for name in (
        "seed", "cells", "bubbles", "scratches", "nuclei_per_mm2", "specks_per_mm2", "precipitates_per_mm2",
        "spacing_um", "warp_um",
    ):  # fmt: skip
        value = getattr(settings, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must not be negative, got {value}")
    if not 0.0 <= settings.abnormal_fraction <= 1.0:
        raise ValueError(f"abnormal_fraction must lie in 0 .. 1, got {settings.abnormal_fraction}")
    if not settings.picture_um_per_px > 0.0:
        raise ValueError(f"picture_um_per_px must be larger than 0, got {settings.picture_um_per_px}")
    if not math.isfinite(settings.tilt_um):
        raise ValueError(f"tilt_um must be a number, got {settings.tilt_um}")


def _check_mixtures(settings: SlideSettings) -> None:
    weights = [weight for _, weight in settings.qualities]
    if any(not weight >= 0.0 for weight in weights) or not sum(weights) > 0.0:
        raise ValueError(f"qualities need weights that are not negative and not all 0, got {weights}")
    check_mixture(settings.karyotypes)


def _check_glass(settings: SlideSettings) -> None:
    if settings.bubbles and not settings.coverslip:
        raise ValueError(f"bubbles {settings.bubbles}: air is caught under a coverslip only, and there is none")
    if len(settings.label) > _LONGEST_LABEL or not (settings.label.isprintable() and settings.label.isascii()):
        raise ValueError(
            f"label must be at most {_LONGEST_LABEL} printable ASCII characters, got {settings.label!r}"
        )


@dataclass(frozen=True, slots=True)
class ChromosomeTruth:
    """A planted chromosome.

    Attributes
    ----------
    class_name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``; of a rearranged chromosome that of its centromere.
    box_um
        (xmin, ymin, xmax, ymax) in slide um. Boxes of pictures are the data set's own, with its padding.
    flipped
        True where the short arm lies lower in the image than the long one; None where nobody has said.
    designation
        ISCN's name of a chromosome that is no normal one, for instance ``"der(9)"``; None for a normal one.
    """

    class_name: str
    box_um: BoxUm
    flipped: bool | None
    designation: str | None = None


@dataclass(frozen=True, slots=True)
class CellTruth:
    """A planted metaphase, or the clump that one became.

    Attributes
    ----------
    uid
        Name of the cell: its number, or its picture's name.
    slide_x_um, slide_y_um
        Centre.
    radius_um
        Radius of the circle about the centre that holds its chromosomes.
    iscn
        Karyotype of the person or clone, whatever the preparation has lost of it; None where nobody has said.
    chromosomes
        Those on the slide; empty where nobody has said, and for a clump.
    quality
        What became of the cell; None where nobody has said (pictures).
    analysable
        Whether a person would karyotype it. Pictures are: they were taken for it.
    lost
        Names of chromosomes that the preparation has lost: with any, the cell is incomplete.
    """

    uid: str
    slide_x_um: float
    slide_y_um: float
    radius_um: float
    iscn: str | None
    chromosomes: tuple[ChromosomeTruth, ...]
    quality: Quality | None = None
    analysable: bool = True
    lost: tuple[str, ...] = ()

    @property
    def is_metaphase(self) -> bool:
        """Whether it is one at all; a clump is not, and finding it is a false find."""
        return self.quality is None or self.quality.is_metaphase

    @property
    def is_complete(self) -> bool:
        """Whether the preparation has lost nothing."""
        return not self.lost


@dataclass(frozen=True, slots=True)
class SpecimenBody:
    """Something that absorbs light, or emits it (see `ClutterPatch.contrast`); `render` draws it anew, alike.

    Attributes
    ----------
    patch_key
        Names the patch, for caches: bodies that look alike share it.
    x_um, y_um
        Centre of the patch on the slide.
    half_width_um, half_height_um
        The patch reaches no farther than this from its centre.
    render
        Draws the patch.
    """

    patch_key: tuple[object, ...]
    x_um: float
    y_um: float
    half_width_um: float
    half_height_um: float
    render: Callable[[], ClutterPatch]

    def touches(self, box_um: BoxUm) -> bool:
        """Whether the patch may reach into a box."""
        return (
            self.x_um + self.half_width_um > box_um[0]
            and self.x_um - self.half_width_um < box_um[2]
            and self.y_um + self.half_height_um > box_um[1]
            and self.y_um - self.half_height_um < box_um[3]
        )


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a cell lies."""

    uid: str
    x_um: float
    y_um: float
    half_width_um: float
    half_height_um: float
    picture: Path | None
    number: int = 0
    quality: Quality = Quality.SPREAD


class SlideWorld:
    """A slide under the microscope.

    Parameters
    ----------
    settings
        What it follows from.

    Raises
    ------
    ValueError
        The area has no room for the cells, or the folder of pictures can't be used.
    """

    def __init__(self, settings: SlideSettings) -> None:
        self.settings = settings
        self._glass = _glass_of(settings)
        self._sites = _plant(settings, self._glass)
        self._cell_bodies = tuple(self._cell_body(site) for site in self._sites)
        self._cells_by_square = _by_square(self._cell_bodies)
        self._cells: dict[str, tuple[CellTruth, ClutterPatch]] = {}
        self._sizes_um: dict[tuple[str, int], float] = {}
        self._squares: OrderedDict[tuple[int, int], tuple[SpecimenBody, ...]] = OrderedDict()
        self._warp_phase = np.random.default_rng([settings.seed, _PLACE_STREAM, 1]).uniform(0.0, 2.0 * np.pi, 3)

    @property
    def cell_uids(self) -> tuple[str, ...]:
        """Names of the planted cells."""
        return tuple(site.uid for site in self._sites)

    @property
    def contrast(self) -> Contrast:
        """Whether all on the slide absorbs light or emits it: what the lamp has to do, and optics with patches."""
        return self.settings.banding.contrast

    @property
    def coverslip(self) -> Coverslip | None:
        """Where the coverslip lies."""
        return self._glass.coverslip

    @property
    def bubbles(self) -> tuple[Bubble, ...]:
        """Air bubbles under the coverslip."""
        return self._glass.bubbles

    @property
    def label(self) -> Label | None:
        """Text and area of the label."""
        return self._glass.label

    @property
    def marks_um(self) -> tuple[tuple[float, float], ...]:
        """Middles of the registration crosses."""
        return self._glass.marks_um

    def truth(self) -> tuple[CellTruth, ...]:
        """All planted cells. Rendered ones are drawn for it, about a third of a second each, once."""
        return tuple(self._cell(site)[0] for site in self._sites)

    def surface_um(self, x_um: float, y_um: float) -> float:
        """Height of the specimen plane over its mean: tilt, warp and small waves of the glass.

        Parameters
        ----------
        x_um, y_um
            Place on the slide.
        """
        across, along = x_um / GLASS_UM[0] - 0.5, y_um / GLASS_UM[1] - 0.5
        tilt = self.settings.tilt_um * across + _GLASS.tilt_along * self.settings.tilt_um * along
        phase = self._warp_phase
        bow = math.sin(3 * math.pi * along + phase[1])
        warp = math.sin(2.0 * math.pi * across + phase[0]) + _GLASS.bow * bow
        waves = _GLASS.waves * math.sin(x_um / _GLASS.wave_x_um + y_um / _GLASS.wave_y_um + phase[2])
        return float(tilt + self.settings.warp_um * (warp + waves))

    def bodies_in(self, box_um: BoxUm) -> list[SpecimenBody]:
        """Bodies that may reach into a box, always in the same order."""
        reach = _CLUTTER_REACH_UM
        squares = _squares_of((box_um[0] - reach, box_um[1] - reach, box_um[2] + reach, box_um[3] + reach))
        bodies = self._cell_bodies_in(squares)
        for column, row in squares:
            bodies.extend(self._square(column, row))
        return [body for body in bodies if body.touches(box_um)]

    def _cell_bodies_in(self, squares: Iterable[tuple[int, int]]) -> list[SpecimenBody]:
        numbers = {number for square in squares for number in self._cells_by_square.get(square, ())}
        return [self._cell_bodies[number] for number in sorted(numbers)]

    def _cell_body(self, site: _Site) -> SpecimenBody:
        return SpecimenBody(
            ("cell", site.uid),
            site.x_um,
            site.y_um,
            site.half_width_um,
            site.half_height_um,
            lambda: self._cell(site)[1],
        )

    def _cell(self, site: _Site) -> tuple[CellTruth, ClutterPatch]:
        if site.uid not in self._cells:
            picture = site.picture
            drawn = self._render_cell(site) if picture is None else self._read_cell(site, picture)
            self._cells[site.uid] = drawn
        return self._cells[site.uid]

    def _render_cell(self, site: _Site) -> tuple[CellTruth, ClutterPatch]:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, _CELL_STREAM, site.number])
        karyotype = draw_karyotype(rng, settings.abnormal_fraction, settings.karyotypes)
        cell = render_metaphase(
            karyotype, rng, quality=site.quality, spread=settings.spread, banding=settings.banding
        )
        labels = [(body.class_name, body.box_px, body.flipped, body.designation) for body in cell.chromosomes]
        truth = CellTruth(
            site.uid,
            site.x_um,
            site.y_um,
            cell.radius_um,
            cell.iscn,
            _chromosomes_on_slide(site, labels, cell.od.shape, cell.um_per_px),
            quality=site.quality,
            analysable=site.quality.is_analysable,
            lost=cell.lost,
        )
        return truth, ClutterPatch(cell.od, cell.um_per_px, self.contrast)

    def _read_cell(self, site: _Site, picture: Path) -> tuple[CellTruth, ClutterPatch]:
        um_per_px = self.settings.picture_um_per_px
        od = picture_od(picture, um_per_px)
        boxes = find_boxes(picture)
        margin = margin_px(um_per_px)
        labels = [(box.class_name, _shifted(box.box_px, margin), None, None) for box in boxes]
        chromosomes = _chromosomes_on_slide(site, labels, od.shape, um_per_px)
        x_um, y_um, radius_um = _circle(chromosomes, site)
        iscn = iscn_of([box.class_name for box in boxes]) if boxes else None
        return CellTruth(site.uid, x_um, y_um, radius_um, iscn, chromosomes), ClutterPatch(
            od, um_per_px, self.contrast
        )

    def _square(self, column: int, row: int) -> tuple[SpecimenBody, ...]:
        key = (column, row)
        if key not in self._squares:
            self._squares[key] = self._draw_square(column, row)
            while len(self._squares) > 4096:
                self._squares.popitem(last=False)
        return self._squares[key]

    def _draw_square(self, column: int, row: int) -> tuple[SpecimenBody, ...]:
        settings = self.settings
        # Seeds must not be negative, and squares left of the glass are.
        rng = np.random.default_rng([settings.seed, _SQUARE_STREAM, column + 1000, row + 1000])
        area_mm2 = (SQUARE_UM / 1000) ** 2
        bodies: list[SpecimenBody] = []
        for kind, density in (("nucleus", settings.nuclei_per_mm2), ("speck", settings.specks_per_mm2)):
            bodies.extend(self._scatter(kind, density * area_mm2, (column, row), rng))
        if settings.precipitates_per_mm2 > 0.0:
            rng = np.random.default_rng([settings.seed, _CLOT_STREAM, column + 1000, row + 1000])
            count = settings.precipitates_per_mm2 * area_mm2
            bodies.extend(self._scatter("precipitate", count, (column, row), rng))
        bodies.extend(self._tiles(column, row))
        return tuple(bodies)

    def _scatter(
        self, kind: str, mean_count: float, square: tuple[int, int], rng: np.random.Generator
    ) -> Iterator[SpecimenBody]:
        settings = self.settings
        for _ in range(int(rng.poisson(mean_count))):
            x_um = (square[0] + rng.random()) * SQUARE_UM
            y_um = (square[1] + rng.random()) * SQUARE_UM
            pattern = int(rng.integers(PATTERNS))
            half_um = self._size_um(kind, pattern) * _REACH[kind] + _CLUTTER_MARGIN_UM
            if not (0.0 <= x_um <= GLASS_UM[0] and 0.0 <= y_um <= GLASS_UM[1]):
                continue
            # Grains lie on cells too; what hides chromosomes is told by the cell's quality.
            if kind != "speck" and self._is_on_cell(x_um, y_um, half_um):
                continue
            if self._glass.in_bubble(x_um, y_um):
                continue
            draw = _renderer(settings.seed, kind, pattern, self.contrast)
            yield SpecimenBody((kind, pattern), x_um, y_um, half_um, half_um, draw)

    def _size_um(self, kind: str, pattern: int) -> float:
        key = (kind, pattern)
        if key not in self._sizes_um:
            self._sizes_um[key] = _draw_size(kind, _pattern_stream(self.settings.seed, kind, pattern))
        return self._sizes_um[key]

    def _tiles(self, column: int, row: int) -> Iterator[SpecimenBody]:
        """What there is to see of the glass itself."""
        box_um = (column * SQUARE_UM, row * SQUARE_UM, (column + 1) * SQUARE_UM, (row + 1) * SQUARE_UM)
        for tile in self._glass.tiles_in(box_um):
            yield SpecimenBody(
                tile.key, tile.x_um, tile.y_um, tile.half_width_um, tile.half_height_um, tile.render
            )

    def _is_on_cell(self, x_um: float, y_um: float, radius_um: float) -> bool:
        box_um = (x_um - radius_um, y_um - radius_um, x_um + radius_um, y_um + radius_um)
        squares = _squares_of(box_um)
        return any(body.touches(box_um) for body in self._cell_bodies_in(squares))


_NUCLEUS_UM = Normal(11.0, 2.2, 7.0, 16.0)
_PRECIPITATE_UM = LogNormal(4.0, 0.5, 1.5, 14.0)
_SPECK_UM = LogNormal(0.35, 0.6, 0.15, 2.5)
"""Sizes of clutter, by eye from fields of routine slides."""

_REACH = {"nucleus": 1.45, "speck": 5.2, "precipitate": 2.3}
"""Half the patch of a piece of clutter over its size."""

_DRAW = {"nucleus": render_nucleus, "speck": render_speck, "precipitate": render_precipitate}

_DIRT_EMISSION = 0.15
"""Light that dirt and stain emit under fluorescence, over the optical density they would have."""


def _draw_size(kind: str, rng: np.random.Generator) -> float:
    if kind == "nucleus":
        return _NUCLEUS_UM.draw(rng)
    if kind == "precipitate":
        return _PRECIPITATE_UM.draw(rng)
    return _SPECK_UM.draw(rng)


def _pattern_stream(seed: int, kind: str, pattern: int) -> np.random.Generator:
    return np.random.default_rng([seed, _BODY_STREAM, tuple(_DRAW).index(kind), pattern])


def _renderer(seed: int, kind: str, pattern: int, contrast: Contrast) -> Callable[[], ClutterPatch]:
    def render() -> ClutterPatch:
        rng = _pattern_stream(seed, kind, pattern)
        patch = _DRAW[kind](rng, _draw_size(kind, rng))
        if contrast is Contrast.ABSORBS:
            return patch
        od = patch.od if kind == "nucleus" else patch.od * np.float32(_DIRT_EMISSION)
        return replace(patch, od=od, contrast=contrast)

    return render


def _glass_of(settings: SlideSettings) -> Glass:
    return Glass(
        settings.seed,
        coverslip=settings.coverslip,
        bubbles=settings.bubbles,
        scratches=settings.scratches,
        marks=settings.marks,
        label=settings.label,
        contrast=settings.banding.contrast,
    )


def _by_square(bodies: Sequence[SpecimenBody]) -> dict[tuple[int, int], list[int]]:
    """Numbers of the bodies that reach into each square."""
    numbers: dict[tuple[int, int], list[int]] = {}
    for number, body in enumerate(bodies):
        half_x, half_y = body.half_width_um, body.half_height_um
        box_um = (body.x_um - half_x, body.y_um - half_y, body.x_um + half_x, body.y_um + half_y)
        for square in _squares_of(box_um):
            numbers.setdefault(square, []).append(number)
    return numbers


def _squares_of(box_um: BoxUm) -> list[tuple[int, int]]:
    """Column and row of the squares that a box touches, row by row."""
    left, top, right, bottom = (math.floor(edge / SQUARE_UM) for edge in box_um)
    return [(column, row) for row in range(top, bottom + 1) for column in range(left, right + 1)]


def _draw_quality(settings: SlideSettings, number: int) -> Quality:
    if len(settings.qualities) == 1:
        return settings.qualities[0][0]
    weights = np.array([weight for _, weight in settings.qualities], np.float64)
    rng = np.random.default_rng([settings.seed, _QUALITY_STREAM, number])
    return settings.qualities[int(rng.choice(len(weights), p=weights / weights.sum()))][0]


def _plant(settings: SlideSettings, glass: Glass) -> tuple[_Site, ...]:
    rng = np.random.default_rng([settings.seed, _PLACE_STREAM, 0])
    wanted = _wanted(settings, rng)
    sites: list[_Site] = []
    for site in wanted:
        x_um, y_um = _find_place(settings, glass, sites, site, rng)
        sites.append(replace(site, x_um=x_um, y_um=y_um))
    return tuple(sites)


def _wanted(settings: SlideSettings, rng: np.random.Generator) -> list[_Site]:
    """Cells that are yet without a place."""
    if settings.specimen == RENDERED:
        qualities = [_draw_quality(settings, number) for number in range(settings.cells)]
        halves = [reach_um(quality, settings.spread) for quality in qualities]
        return [
            _Site(f"cell-{number:03d}", 0.0, 0.0, half, half, None, number, quality)
            for number, (quality, half) in enumerate(zip(qualities, halves, strict=True))
        ]
    pictures = list_pictures(Path(settings.specimen))
    count = min(settings.cells, len(pictures))
    chosen = [pictures[index] for index in sorted(rng.choice(len(pictures), count, replace=False))]
    scale = settings.picture_um_per_px / 2.0
    sites = []
    for number, path in enumerate(chosen):
        width, height = read_size(path)
        sites.append(
            _Site(path.stem, 0.0, 0.0, width * scale + MARGIN_UM, height * scale + MARGIN_UM, path, number)
        )
    return sites


def _find_place(
    settings: SlideSettings, glass: Glass, sites: Sequence[_Site], site: _Site, rng: np.random.Generator
) -> tuple[float, float]:
    xmin, ymin, xmax, ymax = settings.area_um
    half_width, half_height = site.half_width_um, site.half_height_um
    if xmax - xmin > 2.0 * half_width and ymax - ymin > 2.0 * half_height:
        for _ in range(_PLACING_TRIES):
            x_um = float(rng.uniform(xmin + half_width, xmax - half_width))
            y_um = float(rng.uniform(ymin + half_height, ymax - half_height))
            if all(
                math.hypot(x_um - other.x_um, y_um - other.y_um) >= settings.spacing_um for other in sites
            ) and glass.is_free(x_um, y_um, math.hypot(half_width, half_height)):
                return x_um, y_um
    raise ValueError(
        f"no room for {settings.cells} cells of {2 * half_width:.0f} x {2 * half_height:.0f} um, "
        f"{settings.spacing_um:.0f} um apart, in area_um {settings.area_um}"
    )


def _chromosomes_on_slide(
    site: _Site,
    labels: Sequence[tuple[str, tuple[float, float, float, float], bool | None, str | None]],
    shape: tuple[int, ...],
    um_per_px: float,
) -> tuple[ChromosomeTruth, ...]:
    left = site.x_um - shape[1] * um_per_px / 2.0
    top = site.y_um - shape[0] * um_per_px / 2.0
    return tuple(
        ChromosomeTruth(
            name,
            (
                left + box[0] * um_per_px,
                top + box[1] * um_per_px,
                left + box[2] * um_per_px,
                top + box[3] * um_per_px,
            ),
            flipped,
            designation,
        )
        for name, box, flipped, designation in labels
    )


def _shifted(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return box[0] + by, box[1] + by, box[2] + by, box[3] + by


def _circle(chromosomes: Sequence[ChromosomeTruth], site: _Site) -> tuple[float, float, float]:
    """Centre and radius of the labelled chromosomes; of the picture where there are no labels."""
    if not chromosomes:
        return site.x_um, site.y_um, min(site.half_width_um, site.half_height_um) - MARGIN_UM
    boxes = np.array([chromosome.box_um for chromosome in chromosomes])
    x_um = float((boxes[:, 0].min() + boxes[:, 2].max()) / 2.0)
    y_um = float((boxes[:, 1].min() + boxes[:, 3].max()) / 2.0)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0 - (x_um, y_um)
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2.0
    return x_um, y_um, float(np.hypot(*(np.abs(centres) + halves).T).max())
