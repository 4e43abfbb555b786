"""Fields of simulated slides, in the form of composed ones."""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.camera import expose
from analysis.training.synthesis.canvas import Canvas, CutoutPose
from analysis.training.synthesis.conditions import FIELD_PX, SlideConditions, draw_conditions
from analysis.training.synthesis.cutout import CUTOUT_UM_PER_PX, Cutout, circle_of, describe
from analysis.training.synthesis.drawn import NATURAL, cutout_of
from analysis.training.synthesis.metaphases import METAPHASE
from analysis.training.synthesis.truth import BRIGHTFIELD, FLUORESCENCE, ComposedField, ComposedMetaphase
from simulators.specimen.banding import Banding, Contrast
from simulators.specimen.quality import CLINICAL, Quality
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld, SpecimenBody

_CORNER_UM: Final = (20_000.0, 2_000.0)
_LIGHT: Final = 2.5
"""Chromosomes' light over what the specimen counts in: composed fields count in chromosomes."""
_KEPT_PATCHES: Final = 600
_EMPTY_EVERY: Final = 4
_STAINED: Final = 0.08
_SPACING_UM: Final = 110.0
_MOST_METAPHASES: Final = 2.0
"""A field of more cells would take long to draw."""

_FILLED: Final = 0.25
"""Of the places on a slide that cells may take: they lie by chance."""

_PRECIPITATES_PER_MM2: Final = (0.0, 8.0)
_PRECIPITATE_CORE: Final = 0.6
"""Of a clot's radius: its rim is too faint to count."""

_LEAST_RADIUS_UM: Final = 3.0


def rendered_fields(
    split: str,
    *,
    seed: int,
    slides: int,
    fields_per_slide: int,
    banding: str = Banding.G,
    cells_per_field: float = 1.0,
    first_slide: int = 0,
    size_px: tuple[int, int] = FIELD_PX,
) -> Iterator[ComposedField]:
    """Render fields of simulated slides: mixed qualities as in routine, nuclei, dirt and precipitate.

    Parameters
    ----------
    split
        Splits differ in all that is drawn.
    seed
        Of all that is drawn.
    slides, fields_per_slide
        How many; every fourth slide has no metaphase.
    banding
        ``"G"``, ``"R"`` (brightfield), ``"Q"`` or ``"DAPI"`` (fluorescence).
    cells_per_field
        Mean number of dividing cells, clumps among them; each takes a third of a second to draw.
    first_slide
        Number of the first slide.
    size_px
        Rows and columns of a field.

    Notes
    -----
    Truth: what the specimen says of each cell. Analysable is a good spread of which nothing is lost and which the
    field shows whole. Prophases and burst cells of the specimen count as metaphases; clumps and clots of
    precipitate are hard negatives.
    """
    mark = zlib.crc32(f"{banding}/{split}".encode())
    for slide in range(first_slide, first_slide + slides):
        rendered_slide = _RenderedSlide(
            [seed, mark, slide], Banding(banding), fields_per_slide, cells_per_field, size_px
        )
        name = f"rendered-{banding}-{split}-{seed}-{slide}"
        for number in range(fields_per_slide):
            pixels, truth = rendered_slide.field(number)
            yield ComposedField(
                pixels,
                rendered_slide.conditions.um_per_px,
                truth,
                rendered_slide.domain,
                f"rendered_{banding}",
                "rendered",
                split,
                name,
                number,
            )


class _RenderedSlide:
    """One slide; its fields lie side by side."""

    def __init__(
        self, seeds: list[int], banding: Banding, fields: int, cells_per_field: float, size_px: tuple[int, int]
    ) -> None:
        self._seeds = seeds
        self.domain = FLUORESCENCE if banding.contrast is Contrast.EMITS else BRIGHTFIELD
        rng = np.random.default_rng([*seeds, 0])
        empty = seeds[-1] % _EMPTY_EVERY == _EMPTY_EVERY - 1
        self.conditions = draw_conditions(rng, self.domain, empty=empty, least_negatives=0.0, size_px=size_px)
        self._columns = math.ceil(math.sqrt(fields))
        rows = math.ceil(fields / self._columns)
        width_um, height_um = self._field_um
        area = (*_CORNER_UM, _CORNER_UM[0] + self._columns * width_um, _CORNER_UM[1] + rows * height_um)
        mean = 0.0 if empty else cells_per_field * fields * min(self.conditions.metaphases, _MOST_METAPHASES)
        room = _FILLED * (area[2] - area[0]) * (area[3] - area[1]) / _SPACING_UM**2
        self._world = SlideWorld(
            SlideSettings(
                seed=int(rng.integers(2**31)),
                cells=int(min(rng.poisson(mean), room)),
                area_um=area,
                nuclei_per_mm2=self.conditions.nuclei_per_mm2,
                specks_per_mm2=self.conditions.debris_per_mm2,
                precipitates_per_mm2=float(rng.uniform(*_PRECIPITATES_PER_MM2)),
                spacing_um=_SPACING_UM,
                qualities=CLINICAL,
                banding=banding,
            )
        )
        self._truth = self._world.truth()
        self._cutouts: OrderedDict[tuple[object, ...], Cutout] = OrderedDict()

    @property
    def _field_um(self) -> tuple[float, float]:
        conditions: SlideConditions = self.conditions
        return conditions.width_px * conditions.um_per_px, conditions.height_px * conditions.um_per_px

    def field(self, number: int) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], tuple[ComposedMetaphase, ...]]:
        """Pixels and truth of a field."""
        conditions = self.conditions
        rng = np.random.default_rng([*self._seeds, 1, number])
        width_um, height_um = self._field_um
        left = _CORNER_UM[0] + number % self._columns * width_um
        top = _CORNER_UM[1] + number // self._columns * height_um
        canvas = Canvas(conditions.height_px, conditions.width_px, conditions.um_per_px)
        truth: list[ComposedMetaphase] = []
        for body in self._world.bodies_in((left, top, left + width_um, top + height_um)):
            cutout = self._cutout(body)
            x_px, y_px = self._place(body.x_um - left, body.y_um - top)
            canvas.lay(cutout, CutoutPose(x_px, y_px), conditions.stain)
            if body.patch_key[0] == "precipitate":
                radius_px = max(_PRECIPITATE_CORE * cutout.radius_um, _LEAST_RADIUS_UM) / conditions.um_per_px
                truth.append(ComposedMetaphase(x_px, y_px, radius_px, False, "precipitate", analysable=False))
        for cell in self._truth:
            true_cell = self._true_cell(cell, left, top)
            if true_cell is not None:
                truth.append(true_cell)
        blur = math.hypot(conditions.blur_um, conditions.defocus_um * float(rng.uniform(0.0, 2.0)))
        return expose(canvas.matter, conditions, self.domain, blur, rng), tuple(truth)

    def _place(self, x_um: float, y_um: float) -> tuple[float, float]:
        # A pixel's middle lies half a pixel inside its corner.
        return x_um / self.conditions.um_per_px - 0.5, y_um / self.conditions.um_per_px - 0.5

    def _cutout(self, body: SpecimenBody) -> Cutout:
        if body.patch_key not in self._cutouts:
            strength = _LIGHT if self.domain == FLUORESCENCE else NATURAL
            self._cutouts[body.patch_key] = cutout_of(body.render(), strength)
            if len(self._cutouts) > _KEPT_PATCHES:
                self._cutouts.popitem(last=False)
        return self._cutouts[body.patch_key]

    def _true_cell(self, cell_truth: CellTruth, left: float, top: float) -> ComposedMetaphase | None:
        um_per_px = self.conditions.um_per_px
        rows, columns = self.conditions.height_px, self.conditions.width_px
        boxes_um = np.array([body.box_um for body in cell_truth.chromosomes], np.float32).reshape(-1, 4)
        x_um, y_um, radius_um = cell_truth.slide_x_um, cell_truth.slide_y_um, cell_truth.radius_um
        if len(boxes_um):
            x_um, y_um, radius_um = circle_of(boxes_um)
        x_px, y_px = self._place(x_um - left, y_um - top)
        radius_px = radius_um / um_per_px
        if not (-radius_px < x_px < columns + radius_px and -radius_px < y_px < rows + radius_px):
            return None
        quality = cell_truth.quality or Quality.SPREAD
        kind = METAPHASE if quality is Quality.SPREAD else quality.value
        if not len(boxes_um):
            return ComposedMetaphase(
                x_px, y_px, radius_px, cell_truth.is_metaphase, kind, analysable=False, source=cell_truth.uid
            )
        middles = (boxes_um[:, :2] + boxes_um[:, 2:]) / 2.0 - (left, top)
        shown = np.all((middles >= 0.0) & (middles < (columns * um_per_px, rows * um_per_px)), axis=1)
        there = len(boxes_um) / (len(boxes_um) + len(cell_truth.lost))
        completeness = there * float(shown.mean())
        overlap, spread, light = self._appearance(cell_truth, boxes_um)
        light *= self.conditions.stain
        glows = self.domain == FLUORESCENCE
        contrast = light / (light + self.conditions.background) if glows else 1.0 - math.exp(-light)
        return ComposedMetaphase(
            x_px=x_px,
            y_px=y_px,
            radius_px=radius_px,
            is_metaphase=cell_truth.is_metaphase,
            kind=kind,
            analysable=cell_truth.analysable and cell_truth.is_complete and completeness >= 1.0,
            chromosomes=len(boxes_um),
            overlap_fraction=overlap,
            spread=spread,
            completeness=completeness,
            contrast=contrast,
            source=cell_truth.uid,
        )

    def _appearance(self, cell_truth: CellTruth, boxes_um: NDArray[np.float32]) -> tuple[float, float, float]:
        """Overlap fraction, spread and mean density (light) of a cell's chromosomes."""
        cutout = next(
            self._cutout(body)
            for body in self._world.bodies_in(
                (
                    cell_truth.slide_x_um - 1.0,
                    cell_truth.slide_y_um - 1.0,
                    cell_truth.slide_x_um + 1.0,
                    cell_truth.slide_y_um + 1.0,
                )
            )
            if body.patch_key == ("cell", cell_truth.uid)
        )
        centre = np.array([cell_truth.slide_x_um, cell_truth.slide_y_um] * 2)
        middle = np.array([cutout.x_px, cutout.y_px] * 2)
        boxes_px = ((boxes_um - centre) / CUTOUT_UM_PER_PX + middle).astype(np.float32)
        stained = cutout.matter > _STAINED
        _, overlap, spread = describe(stained, boxes_px)
        light = float(cutout.matter[stained].mean()) if stained.any() else 0.0
        return overlap, spread, light
