"""A slide with planted metaphases, which knows its truth.

Slide um: origin in the corner of the glass, x along the 76 mm side, y along the 26 mm side; y grows in the image's
downward direction. Whatever lies on the slide follows from the settings alone, not from what was looked at first:
every cell has its own random stream, and clutter is drawn square by square, each square from its own stream.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simulators.specimen.cell import Spread, render_cell
from simulators.specimen.clutter import Patch, render_nucleus, render_speck
from simulators.specimen.karyotype import draw_chromosomes, iscn_of
from simulators.specimen.pictures import (
    MARGIN_UM,
    TSENG_UM_PER_PX,
    find_boxes,
    list_pictures,
    margin_px,
    picture_od,
    read_size,
)

GLASS_UM = (76_000.0, 26_000.0)
RENDERED = "rendered"
SQUARE_UM = 400.0
"""Side of the squares that clutter is drawn in."""

PATTERNS = 200
"""Different nuclei, and different specks, on a slide: enough that no one field shows two alike side by side."""

_CELL_STREAM, _SQUARE_STREAM, _PLACE_STREAM, _BODY_STREAM = range(4)
_PLACING_TRIES = 2000
_LARGEST_GROWTH = 1.35

BoxUm = tuple[float, float, float, float]
"""(xmin, ymin, xmax, ymax) in slide um."""


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

    def __post_init__(self) -> None:
        """Refuse what can't be a slide."""
        xmin, ymin, xmax, ymax = self.area_um
        if not (0.0 <= xmin < xmax <= GLASS_UM[0] and 0.0 <= ymin < ymax <= GLASS_UM[1]):
            raise ValueError(f"area_um {self.area_um} must lie on the glass of {GLASS_UM} um")
        if self.cells < 0:
            raise ValueError(f"cells must not be negative, got {self.cells}")


@dataclass(frozen=True, slots=True)
class ChromosomeTruth:
    """A planted chromosome.

    Attributes
    ----------
    class_name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    box_um
        (xmin, ymin, xmax, ymax) in slide um. Boxes of pictures are the data set's own, with its padding.
    flipped
        True where the short arm lies lower in the image than the long one; None where nobody has said.
    """

    class_name: str
    box_um: BoxUm
    flipped: bool | None


@dataclass(frozen=True, slots=True)
class CellTruth:
    """A planted metaphase.

    Attributes
    ----------
    uid
        Name of the cell: its number, or its picture's name.
    slide_x_um, slide_y_um
        Centre.
    radius_um
        Radius of the circle about the centre that holds its chromosomes.
    iscn
        Karyotype; None where nobody has said.
    chromosomes
        Empty where nobody has said.
    """

    uid: str
    slide_x_um: float
    slide_y_um: float
    radius_um: float
    iscn: str | None
    chromosomes: tuple[ChromosomeTruth, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """Something that absorbs light; `render` draws it anew, always alike.

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
    render: Callable[[], Patch]

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
        self._sites = _plant(settings)
        self._cells: dict[str, tuple[CellTruth, Patch]] = {}
        self._squares: OrderedDict[tuple[int, int], tuple[Body, ...]] = OrderedDict()
        self._warp_phase = np.random.default_rng([settings.seed, _PLACE_STREAM, 1]).uniform(0.0, 2.0 * np.pi, 3)

    @property
    def cell_uids(self) -> tuple[str, ...]:
        """Names of the planted cells."""
        return tuple(site.uid for site in self._sites)

    def truth(self) -> tuple[CellTruth, ...]:
        """All planted cells. Rendered ones are drawn for it, about a third of a second each, once."""
        return tuple(self._cell(site)[0] for site in self._sites)

    def surface_um(self, x_um: float, y_um: float) -> float:
        """Height of the specimen plane over its mean: tilt, warp and small waves of the glass."""
        across, along = x_um / GLASS_UM[0] - 0.5, y_um / GLASS_UM[1] - 0.5
        tilt = self.settings.tilt_um * across + 0.15 * self.settings.tilt_um * along
        phase = self._warp_phase
        warp = math.sin(2.0 * math.pi * across + phase[0]) + 0.4 * math.sin(3.0 * math.pi * along + phase[1])
        waves = 0.05 * math.sin(x_um / 3500.0 + y_um / 5000.0 + phase[2])
        return float(tilt + self.settings.warp_um * (warp + waves))

    def bodies_in(self, box_um: BoxUm) -> list[Body]:
        """Bodies that may reach into a box, always in the same order."""
        reach = 30.0
        columns = range(
            math.floor((box_um[0] - reach) / SQUARE_UM), math.floor((box_um[2] + reach) / SQUARE_UM) + 1
        )
        rows = range(math.floor((box_um[1] - reach) / SQUARE_UM), math.floor((box_um[3] + reach) / SQUARE_UM) + 1)
        bodies = [self._cell_body(site) for site in self._sites]
        for row in rows:
            for column in columns:
                bodies.extend(self._square(column, row))
        return [body for body in bodies if body.touches(box_um)]

    def _cell_body(self, site: _Site) -> Body:
        return Body(
            ("cell", site.uid),
            site.x_um,
            site.y_um,
            site.half_width_um,
            site.half_height_um,
            lambda: self._cell(site)[1],
        )

    def _cell(self, site: _Site) -> tuple[CellTruth, Patch]:
        if site.uid not in self._cells:
            picture = site.picture
            drawn = self._render_cell(site) if picture is None else self._read_cell(site, picture)
            self._cells[site.uid] = drawn
        return self._cells[site.uid]

    def _render_cell(self, site: _Site) -> tuple[CellTruth, Patch]:
        number = self.cell_uids.index(site.uid)
        rng = np.random.default_rng([self.settings.seed, _CELL_STREAM, number])
        chromosomes = draw_chromosomes(rng, self.settings.abnormal_fraction)
        cell = render_cell(chromosomes, rng, spread=self.settings.spread)
        labels = tuple((body.class_name, body.box_px, body.flipped) for body in cell.chromosomes)
        truth = CellTruth(
            site.uid,
            site.x_um,
            site.y_um,
            cell.radius_um,
            cell.iscn,
            _chromosomes_on_slide(site, labels, cell.od.shape, cell.um_per_px),
        )
        return truth, Patch(cell.od, cell.um_per_px)

    def _read_cell(self, site: _Site, picture: Path) -> tuple[CellTruth, Patch]:
        um_per_px = self.settings.picture_um_per_px
        od = picture_od(picture, um_per_px)
        boxes = find_boxes(picture)
        margin = margin_px(um_per_px)
        labels = tuple((box.class_name, _shifted(box.box_px, margin), None) for box in boxes)
        chromosomes = _chromosomes_on_slide(site, labels, od.shape, um_per_px)
        x_um, y_um, radius_um = _circle(chromosomes, site)
        iscn = iscn_of([box.class_name for box in boxes]) if boxes else None
        return CellTruth(site.uid, x_um, y_um, radius_um, iscn, chromosomes), Patch(od, um_per_px)

    def _square(self, column: int, row: int) -> tuple[Body, ...]:
        key = (column, row)
        if key not in self._squares:
            self._squares[key] = self._draw_square(column, row)
            while len(self._squares) > 4096:
                self._squares.popitem(last=False)
        return self._squares[key]

    def _draw_square(self, column: int, row: int) -> tuple[Body, ...]:
        settings = self.settings
        # Seeds must not be negative, and squares left of the glass are.
        rng = np.random.default_rng([settings.seed, _SQUARE_STREAM, column + 1000, row + 1000])
        area_mm2 = (SQUARE_UM / 1000.0) ** 2
        bodies: list[Body] = []
        for kind, density, reach in (
            ("nucleus", settings.nuclei_per_mm2, 1.45),
            ("speck", settings.specks_per_mm2, 5.2),
        ):
            for _ in range(int(rng.poisson(density * area_mm2))):
                x_um = (column + rng.random()) * SQUARE_UM
                y_um = (row + rng.random()) * SQUARE_UM
                pattern = int(rng.integers(PATTERNS))
                half_um = _draw_size(kind, _pattern_stream(settings.seed, kind, pattern)) * reach + 1.2
                if not (0.0 <= x_um <= GLASS_UM[0] and 0.0 <= y_um <= GLASS_UM[1]):
                    continue
                if kind == "nucleus" and self._is_on_cell(x_um, y_um, half_um):
                    continue
                bodies.append(
                    Body((kind, pattern), x_um, y_um, half_um, half_um, _renderer(settings.seed, kind, pattern))
                )
        return tuple(bodies)

    def _is_on_cell(self, x_um: float, y_um: float, radius_um: float) -> bool:
        return any(
            abs(site.x_um - x_um) < site.half_width_um + radius_um
            and abs(site.y_um - y_um) < site.half_height_um + radius_um
            for site in self._sites
        )


def _draw_size(kind: str, rng: np.random.Generator) -> float:
    if kind == "nucleus":
        return float(np.clip(rng.normal(11.0, 2.2), 7.0, 16.0))
    return float(np.clip(np.exp(rng.normal(math.log(0.35), 0.6)), 0.15, 2.5))


def _pattern_stream(seed: int, kind: str, pattern: int) -> np.random.Generator:
    return np.random.default_rng([seed, _BODY_STREAM, int(kind == "speck"), pattern])


def _renderer(seed: int, kind: str, pattern: int) -> Callable[[], Patch]:
    draw = render_nucleus if kind == "nucleus" else render_speck

    def render() -> Patch:
        rng = _pattern_stream(seed, kind, pattern)
        return draw(rng, _draw_size(kind, rng))

    return render


def _plant(settings: SlideSettings) -> tuple[_Site, ...]:
    rng = np.random.default_rng([settings.seed, _PLACE_STREAM, 0])
    if settings.specimen == RENDERED:
        half = settings.spread.radius_um * _LARGEST_GROWTH + 4.0
        wanted = [(f"cell-{number:03d}", half, half, None) for number in range(settings.cells)]
    else:
        pictures = list_pictures(Path(settings.specimen))
        count = min(settings.cells, len(pictures))
        chosen = [pictures[index] for index in sorted(rng.choice(len(pictures), count, replace=False))]
        wanted = []
        for path in chosen:
            width, height = read_size(path)
            scale = settings.picture_um_per_px / 2.0
            wanted.append((path.stem, width * scale + MARGIN_UM, height * scale + MARGIN_UM, path))
    sites: list[_Site] = []
    for uid, half_width, half_height, picture in wanted:
        x_um, y_um = _find_place(settings, sites, half_width, half_height, rng)
        sites.append(_Site(uid, x_um, y_um, half_width, half_height, picture))
    return tuple(sites)


def _find_place(
    settings: SlideSettings,
    sites: Sequence[_Site],
    half_width: float,
    half_height: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    xmin, ymin, xmax, ymax = settings.area_um
    if xmax - xmin > 2.0 * half_width and ymax - ymin > 2.0 * half_height:
        for _ in range(_PLACING_TRIES):
            x_um = float(rng.uniform(xmin + half_width, xmax - half_width))
            y_um = float(rng.uniform(ymin + half_height, ymax - half_height))
            if all(math.hypot(x_um - site.x_um, y_um - site.y_um) >= settings.spacing_um for site in sites):
                return x_um, y_um
    raise ValueError(
        f"no room for {settings.cells} cells of {2 * half_width:.0f} x {2 * half_height:.0f} um, "
        f"{settings.spacing_um:.0f} um apart, in area_um {settings.area_um}"
    )


def _chromosomes_on_slide(
    site: _Site,
    labels: Sequence[tuple[str, tuple[float, float, float, float], bool | None]],
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
        )
        for name, box, flipped in labels
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
