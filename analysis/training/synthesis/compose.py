"""Slides of composed fields: real texture, composed layout."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from analysis.errors import DatasetError
from analysis.training.synthesis.camera import expose
from analysis.training.synthesis.canvas import Canvas, CutoutPose, moved
from analysis.training.synthesis.conditions import FIELD_PX, SlideConditions, draw_conditions
from analysis.training.synthesis.cutout import Cutout, circle_of
from analysis.training.synthesis.glass import ground, lay_bubble, lay_coverslip_edge
from analysis.training.synthesis.library import Library, load_library
from analysis.training.synthesis.metaphases import (
    COVERED,
    METAPHASE,
    SPOILT_KINDS,
    Specimen,
    mean_matter,
    spoilt,
)
from analysis.training.synthesis.negatives import KINDS, Negatives
from analysis.training.synthesis.quality import QualityTable, read_quality
from analysis.training.synthesis.truth import (
    BRIGHTFIELD,
    DAPI,
    FLUORESCENCE,
    GBAND,
    SPLITS,
    STAINS,
    ComposedField,
    ComposedMetaphase,
)

WORK_DIR: Final = Path("training/finder")
"""Folder of cut-outs and of the table of qualities, unless another is given."""

QUALITY_FILE: Final = "quality.json"

EMPTY_FRACTION: Final = 0.25
"""Fraction of slides without a metaphase."""

LEAST_ON_EMPTY: Final = 100
"""Hard negatives on a slide without a metaphase, at least."""


@dataclass(frozen=True, slots=True)
class SlideLayoutSettings:
    """How a composed field is laid out. Lengths in um, strengths factors of the slide's stain."""

    apart_um: float = 14.0
    """Between metaphases, and between them and hard negatives: half a small cell."""
    at_edge: float = 0.12
    """Chance that a metaphase is cut by the field's edge."""
    negative_at_edge: float = 0.05
    """The same of a hard negative."""
    tries: int = 40
    """Places that are tried."""
    negative_radius_um: float = 16.0
    """Room that a hard negative gets."""
    empty_margin: float = 1.15
    """Negatives drawn on an empty slide over those promised: some come to lie outside."""
    defocus: tuple[float, float] = (0.0, 2.0)
    """Of the slide's mean, field by field."""
    size: tuple[float, float] = (0.85, 1.12)
    """Factor of a metaphase's size: condensation, and people."""
    strength: tuple[float, float] = (0.85, 1.15)
    """Of metaphases: stain differs within a slide."""
    glow_dirt: float = 0.15
    """Light of dirt in fluorescence over its density."""
    coverslip_edge: float = 0.04
    """Chance of the coverslip's edge in a field."""
    bubble: float = 0.08
    """Chance of a bubble."""
    nucleus_reach: float = 0.75
    """Of a nucleus' radius that stays off metaphases: touching is common."""
    nucleus_strength: tuple[float, float] = (0.75, 1.2)
    nucleus_size: tuple[float, float] = (0.8, 1.2)
    nucleus_margin_px: float = 20.0
    """Nuclei lie beyond the edge by so much."""
    grain_size: tuple[float, float] = (0.4, 1.1)
    grain_strength: tuple[float, float] = (0.5, 1.2)
    full_turn_rad: float = 6.28
    """That grains turn by; it is drawn from, so that it stays as it was first written."""
    second_cover: float = 0.4
    """Chance of a second nucleus on a covered metaphase."""
    cover_away: tuple[float, float] = (0.1, 0.6)
    """Of the metaphase's radius."""
    margin_px: float = 2.0
    """Between a whole metaphase and the edge."""
    margin_most: float = 0.4
    """Of the field's sides at most."""
    beyond: tuple[float, float] = (-0.9, 0.9)
    """Of a cut metaphase's radius that its centre lies beyond the edge."""
    metaphase_clear: float = 0.85
    """Of a metaphase's radius that nuclei stay off."""
    coarse_px: int = 96
    """Distance over which the ground's slow unevenness changes."""


_SETTINGS: Final = SlideLayoutSettings()


def compose_slides(
    data_root: Path,
    split: str,
    *,
    seed: int,
    slides: int,
    fields_per_slide: int,
    domain: str = BRIGHTFIELD,
    stain: str | None = None,
    work_dir: Path | None = WORK_DIR,
    quality: QualityTable | None = None,
    first_slide: int = 0,
    size_px: tuple[int, int] = FIELD_PX,
    limit: int | None = None,
) -> Iterator[ComposedField]:
    """Compose fields, slide by slide.

    A slide has one stain strength, density, light, camera and magnification. Every fourth has no metaphase but at
    least `LEAST_ON_EMPTY` hard negatives. A field follows from the seed, the slide's number and its own number
    alone, whatever was composed before.

    Parameters
    ----------
    data_root
        Folder of the data sets.
    split
        ``"train"``, ``"val"`` or ``"test"``: images of its cases alone are used.
    seed
        Of all that is drawn.
    slides, fields_per_slide
        How many.
    domain
        ``"brightfield"`` or ``"fluorescence"``; chooses the stain where none is given.
    stain
        One of `STAINS`. The held-out stain has the split test alone.
    work_dir
        Folder of cut-outs and of the table of qualities; None: nothing is kept, no quality known.
    quality
        How cells karyotype, instead of the folder's table. The slide's images that it does not hold have an
        unknown analysability.
    first_slide
        Number of the first slide, so that processes can share the work.
    size_px
        Rows and columns of a field.
    limit
        Only this many images of the split, spread evenly: for trials.

    Raises
    ------
    DatasetError
        The data isn't there, or stain, domain and split don't go together.
    """
    if split not in SPLITS:
        raise DatasetError(f"split {split!r} is none of {', '.join(SPLITS)}")
    library = load_library(data_root, _stain_of(domain, stain), split, work_dir=work_dir, limit=limit)
    quality = _quality_in(work_dir) if quality is None else quality
    composer = FieldComposer(library, quality, seed, fields_per_slide, size_px)
    for slide in range(first_slide, first_slide + slides):
        for number in range(fields_per_slide):
            yield composer.field(slide, number)


def _quality_in(work_dir: Path | None) -> QualityTable:
    return {} if work_dir is None else read_quality(work_dir / QUALITY_FILE)


def _stain_of(domain: str, stain: str | None) -> str:
    """The stain asked for, or the domain's own."""
    chosen = stain or (DAPI if domain == FLUORESCENCE else GBAND)
    if chosen not in STAINS:
        raise DatasetError(f"stain {chosen!r} is none of {', '.join(STAINS)}")
    if STAINS[chosen] != domain:
        raise DatasetError(f"stain {chosen} is seen in {STAINS[chosen]}, not in {domain}")
    return chosen


def interactions_table(path: Path) -> Mapping[str, int]:
    """Edits that each cell needs at high magnification, by the name of its image (`ComposedMetaphase.source`).

    Raises
    ------
    DatasetError
        The file is no table of qualities.
    """
    return {name: entry.interactions for name, entry in read_quality(path).items()}


@dataclass(frozen=True, slots=True)
class _Placed:
    """A metaphase on the canvas."""

    specimen: Specimen
    truth: ComposedMetaphase


class FieldComposer:
    """Composes the fields of one library.

    Parameters
    ----------
    library
        What they are made of.
    quality
        How its cells karyotype.
    seed
        Of all that is drawn.
    fields_per_slide
        Fields that a slide's hard negatives are spread over.
    size_px
        Rows and columns of a field.
    """

    def __init__(
        self,
        library: Library,
        quality: QualityTable,
        seed: int,
        fields_per_slide: int,
        size_px: tuple[int, int] = FIELD_PX,
    ) -> None:
        self.library = library
        self.domain = STAINS[library.stain]
        self._quality = quality
        self._seed = [seed, zlib.crc32(f"{library.stain}/{library.split}".encode())]
        self._fields = fields_per_slide
        self._size_px = size_px
        self._slide: tuple[int, SlideConditions, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] | None = None

    def conditions(self, slide: int) -> SlideConditions:
        """What a slide's fields have in common."""
        rng = np.random.default_rng([*self._seed, slide, 0])
        empty = self.is_empty(slide)
        least = _SETTINGS.empty_margin * LEAST_ON_EMPTY / self._fields if empty else 0.0
        return draw_conditions(rng, self.domain, empty=empty, least_negatives=least, size_px=self._size_px)

    def is_empty(self, slide: int) -> bool:
        """Whether a slide has no metaphase."""
        return slide % round(1.0 / EMPTY_FRACTION) == 3

    def field(self, slide: int, number: int) -> ComposedField:
        """Compose one field.

        Parameters
        ----------
        slide
            Number of the slide.
        number
            Of the field on it.
        """
        conditions, texture = self._of_slide(slide)
        rng = np.random.default_rng([*self._seed, slide, 1, number])
        canvas = Canvas(conditions.height_px, conditions.width_px, conditions.um_per_px)
        self._lay_ground(canvas, texture, conditions, rng)
        truth = self._lay_metaphases(canvas, conditions, rng)
        truth += self._lay_negatives(canvas, conditions, truth, rng, number)
        truth = self._lay_clutter(canvas, conditions, truth, rng)
        blur = math.hypot(conditions.blur_um, conditions.defocus_um * float(rng.uniform(*_SETTINGS.defocus)))
        return ComposedField(
            pixels=expose(canvas.matter, conditions, self.domain, blur, rng),
            um_per_px=conditions.um_per_px,
            truth=tuple(truth),
            domain=self.domain,
            stain=self.library.stain,
            origin="composed",
            split=self.library.split,
            slide=f"{self.library.stain}-{self.library.split}-{self._seed[0]}-{slide}",
            number=number,
        )

    def _of_slide(self, slide: int) -> tuple[SlideConditions, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        if self._slide is None or self._slide[0] != slide:
            conditions = self.conditions(slide)
            rng = np.random.default_rng([*self._seed, slide, 2])
            shape = (conditions.height_px, conditions.width_px)
            texture = ground(self.library.glass, shape, conditions.um_per_px, rng) * np.float32(conditions.grain)
            self._slide = (slide, conditions, texture)
        return self._slide[1], self._slide[2]

    def _lay_ground(
        self,
        canvas: Canvas,
        texture: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        conditions: SlideConditions,
        rng: np.random.Generator,
    ) -> None:
        rows, columns = canvas.matter.shape
        rolled = np.roll(texture, (int(rng.integers(rows)), int(rng.integers(columns))), axis=(0, 1))
        canvas.matter += rolled[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
        coarse = rng.standard_normal((rows // _SETTINGS.coarse_px + 3, columns // _SETTINGS.coarse_px + 3)).astype(
            np.float32
        )
        slow = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
        canvas.matter += np.float32(conditions.haze) * slow

    def _lay_metaphases(
        self, canvas: Canvas, conditions: SlideConditions, rng: np.random.Generator
    ) -> list[ComposedMetaphase]:
        truth: list[ComposedMetaphase] = []
        for _ in range(int(rng.poisson(conditions.metaphases))):
            cell = self.library.cells[int(rng.integers(len(self.library.cells)))]
            kind = METAPHASE
            if rng.random() < conditions.spoilt_fraction:
                kind = SPOILT_KINDS[int(rng.integers(len(SPOILT_KINDS)))]
            specimen = spoilt(cell, kind, rng)
            scale = float(rng.uniform(*_SETTINGS.size))
            place = _place(canvas, scale * specimen.cell.body.radius_um, truth, rng, at_edge=_SETTINGS.at_edge)
            if place is None:
                continue
            turn, flip = float(rng.uniform(0.0, 2.0 * np.pi)), bool(rng.random() < 0.5)
            pose = CutoutPose(*place, turn, flip, scale)
            strength = conditions.stain * float(rng.uniform(*_SETTINGS.strength))
            canvas.lay(specimen.cell.body, pose, strength)
            truth.append(self._true_cell(canvas, specimen, pose, strength, conditions))
        return truth

    def _true_cell(
        self, canvas: Canvas, specimen: Specimen, pose: CutoutPose, strength: float, conditions: SlideConditions
    ) -> ComposedMetaphase:
        cell, body = specimen.cell, specimen.cell.body
        matrix = pose.matrix(body.x_px, body.y_px, canvas.um_per_px)
        boxes = moved(cell.boxes_px, matrix)
        rows, columns = canvas.matter.shape
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2.0
        shown = np.all((middles >= 0.0) & (middles < (columns, rows)), axis=1)
        radius_px = circle_of(cell.boxes_px)[2] * abs(float(np.linalg.det(matrix[:, :2]))) ** 0.5
        light = mean_matter(cell) * strength
        if self.domain == FLUORESCENCE:
            contrast = light / (light + conditions.background)
        else:
            contrast = 1.0 - math.exp(-light)
        completeness = specimen.kept * float(shown.mean())
        return ComposedMetaphase(
            x_px=pose.x_px,
            y_px=pose.y_px,
            radius_px=radius_px,
            is_metaphase=True,
            kind=specimen.kind,
            analysable=self._analysable(specimen, completeness),
            chromosomes=cell.chromosomes,
            overlap_fraction=cell.overlap_fraction,
            spread=cell.spread,
            completeness=completeness,
            contrast=float(np.clip(contrast, 0.0, 1.0)),
            source=body.source,
            case=body.case,
        )

    def _analysable(self, specimen: Specimen, completeness: float) -> bool | None:
        if specimen.kind != METAPHASE or completeness < 1.0:
            return False
        known = self._quality.get(specimen.cell.body.source)
        return None if known is None else known.is_analysable

    def _lay_negatives(
        self,
        canvas: Canvas,
        conditions: SlideConditions,
        taken: list[ComposedMetaphase],
        rng: np.random.Generator,
        number: int,
    ) -> list[ComposedMetaphase]:
        maker = Negatives(self.library, conditions.stain, conditions.nucleus_scale)
        truth: list[ComposedMetaphase] = []
        dirt = _SETTINGS.glow_dirt if self.domain == FLUORESCENCE else 1.0
        if rng.random() < _SETTINGS.coverslip_edge:
            truth += lay_coverslip_edge(canvas, rng, dirt)
        if rng.random() < _SETTINGS.bubble:
            truth += lay_bubble(canvas, rng, dirt)
        # An empty slide's number is a promise: it is not left to chance.
        promised = conditions.metaphases == 0.0
        count = math.ceil(conditions.negatives) if promised else int(rng.poisson(conditions.negatives))
        for _ in range(count):
            kind = KINDS[int(rng.integers(len(KINDS)))]
            at_edge = 0.0 if promised else _SETTINGS.negative_at_edge
            taken_places = [*taken, *truth]
            place = _place(
                canvas, _SETTINGS.negative_radius_um, taken_places, rng, at_edge=at_edge, force=promised
            )
            if place is not None:
                made = maker.lay(kind, canvas, *place, rng)
                if made is not None:
                    truth.append(made)
        return truth

    def _lay_clutter(
        self,
        canvas: Canvas,
        conditions: SlideConditions,
        composed: list[ComposedMetaphase],
        rng: np.random.Generator,
    ) -> list[ComposedMetaphase]:
        """Single nuclei and grains; nuclei stay off metaphases except off those that they are to cover."""
        cells = list(composed)
        for _ in range(int(rng.poisson(conditions.nuclei_per_mm2 * conditions.field_mm2))):
            nucleus, pose = self._nucleus(canvas, conditions, rng)
            reach = _SETTINGS.nucleus_reach * nucleus.radius_um * pose.scale / canvas.um_per_px
            if not _on_metaphase(cells, pose, reach):
                canvas.lay(nucleus, pose, conditions.stain * float(rng.uniform(*_SETTINGS.nucleus_strength)))
        for cell in cells:
            if cell.kind == COVERED:
                self._cover(canvas, conditions, cell, rng)
        grains = self.library.debris
        for _ in range(int(rng.poisson(conditions.debris_per_mm2 * conditions.field_mm2))):
            grain = grains[int(rng.integers(len(grains)))]
            x_px, y_px = rng.uniform((0.0, 0.0), canvas.matter.shape[::-1])
            pose = CutoutPose(
                float(x_px),
                float(y_px),
                float(rng.uniform(0.0, _SETTINGS.full_turn_rad)),
                False,
                float(rng.uniform(*_SETTINGS.grain_size)),
            )
            canvas.lay(grain, pose, conditions.stain * float(rng.uniform(*_SETTINGS.grain_strength)))
        return cells

    def _nucleus(
        self, canvas: Canvas, conditions: SlideConditions, rng: np.random.Generator
    ) -> tuple[Cutout, CutoutPose]:
        nucleus = self.library.nuclei[int(rng.integers(len(self.library.nuclei)))]
        rows, columns = canvas.matter.shape
        pose = CutoutPose(
            float(rng.uniform(-_SETTINGS.nucleus_margin_px, columns + _SETTINGS.nucleus_margin_px)),
            float(rng.uniform(-_SETTINGS.nucleus_margin_px, rows + _SETTINGS.nucleus_margin_px)),
            float(rng.uniform(0.0, 2.0 * np.pi)),
            bool(rng.random() < 0.5),
            conditions.nucleus_scale * float(rng.uniform(*_SETTINGS.nucleus_size)),
        )
        return nucleus, pose

    def _cover(
        self, canvas: Canvas, conditions: SlideConditions, metaphase: ComposedMetaphase, rng: np.random.Generator
    ) -> None:
        for _ in range(1 + int(rng.random() < _SETTINGS.second_cover)):
            nucleus, pose = self._nucleus(canvas, conditions, rng)
            away = float(rng.uniform(*_SETTINGS.cover_away)) * metaphase.radius_px
            angle = float(rng.uniform(0.0, 2.0 * np.pi))
            x_px, y_px = metaphase.x_px + away * math.cos(angle), metaphase.y_px + away * math.sin(angle)
            canvas.lay(nucleus, replace(pose, x_px=x_px, y_px=y_px), conditions.stain)


def _place(
    canvas: Canvas,
    radius_um: float,
    taken: list[ComposedMetaphase],
    rng: np.random.Generator,
    *,
    at_edge: float,
    force: bool = False,
) -> tuple[float, float] | None:
    """A place apart from what lies there already; with the chance ``at_edge``, one that the field's edge cuts."""
    rows, columns = canvas.matter.shape
    radius_px = radius_um / canvas.um_per_px
    x_px = y_px = 0.0
    for _ in range(_SETTINGS.tries):
        margin = min(
            radius_px + _SETTINGS.margin_px, _SETTINGS.margin_most * rows, _SETTINGS.margin_most * columns
        )
        x_px = float(rng.uniform(margin, columns - margin))
        y_px = float(rng.uniform(margin, rows - margin))
        if rng.random() < at_edge:
            beyond = float(rng.uniform(*_SETTINGS.beyond)) * radius_px
            side = int(rng.integers(4))
            x_px = (beyond, columns - 1 - beyond, x_px, x_px)[side]
            y_px = (y_px, y_px, beyond, rows - 1 - beyond)[side]
        gap = _SETTINGS.apart_um / canvas.um_per_px
        if all(
            math.hypot(cell.x_px - x_px, cell.y_px - y_px)
            > (cell.radius_px + radius_px if cell.is_metaphase else 0.0) + gap
            for cell in taken
        ):
            return x_px, y_px
    return (x_px, y_px) if force else None


def _on_metaphase(composed: list[ComposedMetaphase], pose: CutoutPose, reach_px: float) -> bool:
    return any(
        cell.is_metaphase
        and math.hypot(cell.x_px - pose.x_px, cell.y_px - pose.y_px)
        < _SETTINGS.metaphase_clear * cell.radius_px + reach_px
        for cell in composed
    )
