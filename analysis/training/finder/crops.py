"""From fields whose truth is known to labelled crops round the first stage's proposals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.finder.bodies import Crowd
from analysis.finder.flatten import WORK_UM_PER_PX, FlattenedField
from analysis.finder.proposals import Proposals, crops_at, propose
from analysis.finder.statistics import statistics_of
from analysis.nets.finder_net import CROP_SIDE_PX
from analysis.training.finder.table import MARGIN_PX, UNKNOWN, WIDE_PX, FinderCropTable, Shard, blank_table, joined
from analysis.training.synthesis.metaphases import METAPHASE
from analysis.training.synthesis.quality import QualityTable

LEAST_REACH_UM: Final = 12.0
"""A proposal this near to a metaphase's centre is its, however small the cell."""

# Between a metaphase's radius and this many of them a proposal is neither right nor wrong: it shows the metaphase,
# and the finder moves such finds onto its centre.
_DOUBTFUL_REACH: Final = 1.35
# A metaphase of which the field's edge leaves less than its centre and this share of its radius is not judged.
_LEAST_SHOWN: Final = 0.5


class FieldObjectLike(Protocol):
    """An object of a field's truth, in px of the field; None where a value is not known."""

    @property
    def x_px(self) -> float: ...  # noqa: D102

    @property
    def y_px(self) -> float: ...  # noqa: D102

    @property
    def radius_px(self) -> float: ...  # noqa: D102

    @property
    def is_metaphase(self) -> bool: ...  # noqa: D102

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def analysable(self) -> bool | None: ...  # noqa: D102

    @property
    def chromosomes(self) -> int | None: ...  # noqa: D102

    @property
    def overlap_fraction(self) -> float | None: ...  # noqa: D102

    @property
    def spread(self) -> float | None: ...  # noqa: D102

    @property
    def completeness(self) -> float | None: ...  # noqa: D102

    @property
    def contrast(self) -> float | None: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    @property
    def case(self) -> str: ...  # noqa: D102


class TrueField(Protocol):
    """A field with its truth."""

    @property
    def pixels(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Grey levels, shape (height_px, width_px)."""
        ...

    @property
    def um_per_px(self) -> float: ...  # noqa: D102

    @property
    def truth(self) -> Sequence[FieldObjectLike]: ...  # noqa: D102

    @property
    def domain(self) -> str: ...  # noqa: D102

    @property
    def stain(self) -> str: ...  # noqa: D102

    @property
    def slide(self) -> str: ...  # noqa: D102

    @property
    def number(self) -> int: ...  # noqa: D102


def shard_of(fields: Iterable[TrueField]) -> Shard:
    """Propose on fields, of one slide or several, and label what was proposed."""
    tables: list[FinderCropTable] = []
    kinds: list[str] = []
    proposed: list[bool] = []
    readings: list[dict[str, float]] = []
    for each in fields:
        proposals = propose(each.pixels, each.um_per_px)
        table, planted = label_field(each, proposals)
        tables.append(table)
        kinds += [kind for kind, _ in planted]
        proposed += [is_proposed for _, is_proposed in planted]
        readings.append(statistics_of(proposals).measured())
    return Shard(
        joined(tables),
        np.array(kinds, dtype="<U48"),
        np.array(proposed, dtype=np.bool_),
        len(readings),
        {name: np.array([each.get(name, np.nan) for each in readings]) for name in sorted(set().union(*readings))},
    )


def label_field(field: TrueField, proposals: Proposals) -> tuple[FinderCropTable, list[tuple[str, bool]]]:
    """Crops of a field's proposals with what the truth says of each.

    Parameters
    ----------
    field
        With its truth.
    proposals
        Proposals on it.

    Returns
    -------
    tuple
        The crops; and of every whole metaphase its kind and whether a proposal lies on it.
    """
    return _Labeller(field, proposals).run()


class _Labeller:
    def __init__(self, field: TrueField, proposals: Proposals) -> None:
        self._field, self._found = field, proposals
        scale = proposals.field.scale
        self._truth = list(field.truth)
        # Centres of pixels: the work image's (0, 0) lies half a work pixel inside the given image.
        self._places = np.array(
            [((cell.x_px + 0.5) / scale - 0.5, (cell.y_px + 0.5) / scale - 0.5) for cell in self._truth],
            np.float64,
        ).reshape(-1, 2)
        self._radii = np.array([cell.radius_px / scale for cell in self._truth], np.float64)

    def run(self) -> tuple[FinderCropTable, list[tuple[str, bool]]]:
        crowds = self._found.crowds
        centres = np.rint(np.array([(c.x_px, c.y_px) for c in crowds], np.float64).reshape(-1, 2))
        columns = blank_table(len(crowds))
        columns["crops"] = wide_crops(self._found.field, centres.astype(np.float32))
        columns["radius_um"][:] = [crowd.radius_px * WORK_UM_PER_PX for crowd in crowds]
        columns["noise_od"][:] = self._found.field.noise_od
        columns["field"][:] = self._field.number
        columns["kind"][:] = "background"
        for name in ("stain", "domain", "slide"):
            columns[name][:] = getattr(self._field, name)
        for row, centre in enumerate(centres):
            self._label(columns, row, centre)
        return FinderCropTable(**columns), self._planted(crowds)

    def _label(self, columns: dict[str, NDArray[np.generic]], row: int, centre: NDArray[np.float64]) -> None:
        number = self._nearest(centre, metaphases=True, reach=1.0)
        if number is not None and not self._can_be_shown(number, centre):
            number = None
        if number is None:
            doubtful = self._nearest(centre, metaphases=True, reach=_DOUBTFUL_REACH) is not None
            columns["metaphase"][row] = UNKNOWN if doubtful else 0
            negative = self._nearest(centre, metaphases=False, reach=1.0)
            if doubtful:
                columns["kind"][row] = "beside"
            elif negative is not None:
                columns["kind"][row] = self._truth[negative].kind
                columns["case"][row] = self._truth[negative].case
            return
        cell = self._truth[number]
        columns["kind"][row], columns["case"][row], columns["source"][row] = cell.kind, cell.case, cell.source
        if self._shown(number) < _LEAST_SHOWN:
            return
        columns["metaphase"][row] = 1
        # The middle of a crop of even side lies half a pixel before the pixel it is cut round.
        columns["offset_px"][row] = self._places[number] - (centre - 0.5)
        columns["cell_radius_um"][row] = self._radii[number] * WORK_UM_PER_PX
        if self._shown(number) < 1.0:
            return
        columns["analysable"][row] = UNKNOWN if cell.analysable is None else int(cell.analysable)
        columns["chromosomes"][row] = _number(cell.chromosomes)
        measured = (cell.spread, cell.overlap_fraction, cell.completeness, cell.contrast)
        columns["quality"][row] = [_number(value) for value in measured]

    def _nearest(self, centre: NDArray[np.float64], *, metaphases: bool, reach: float) -> int | None:
        if not self._truth:
            return None
        distance = np.hypot(*(self._places - centre).T)
        limit = np.maximum(self._radii * reach, LEAST_REACH_UM / WORK_UM_PER_PX)
        kind = np.array([cell.is_metaphase == metaphases for cell in self._truth])
        held = kind & (distance <= limit)
        if not held.any():
            return None
        return int(np.argmin(np.where(held, distance, np.inf)))

    def _can_be_shown(self, number: int, centre: NDArray[np.float64]) -> bool:
        """Whether a crop there shows the cell's centre: what it does not show can't be pointed at."""
        return bool(np.hypot(*(self._places[number] - centre)) < CROP_SIDE_PX // 2 - 8)

    def _shown(self, number: int) -> float:
        """How much of a cell's radius the field shows at its nearest edge: 1 and more for a whole cell."""
        height, width = self._found.field.od.shape
        x, y = self._places[number]
        edge = min(x, y, width - 1 - x, height - 1 - y)
        return float(edge / max(self._radii[number], 1e-6))

    def _planted(self, crowds: Sequence[Crowd]) -> list[tuple[str, bool]]:
        planted = []
        places = np.array([(crowd.x_px, crowd.y_px) for crowd in crowds], np.float64).reshape(-1, 2)
        for number, cell in enumerate(self._truth):
            if not cell.is_metaphase or self._shown(number) < 1.0:
                continue
            reach = max(self._radii[number], LEAST_REACH_UM / WORK_UM_PER_PX)
            near = np.hypot(*(places - self._places[number]).T) <= reach
            planted.append((cell.kind, bool(near.any())))
        return planted


def with_quality(table: FinderCropTable, quality: QualityTable, *, presume: bool = False) -> FinderCropTable:
    """A table that knows how its cells karyotype: analysability and share right of whole, unspoilt metaphases.

    Parameters
    ----------
    table
        Crops as they were cut; the table of qualities may have grown since.
    quality
        How cells karyotype, by the name of their image.
    presume
        Whether unspoilt cells that nobody has karyotyped count as analysable: else the spoilt ones alone would be
        known, and the net would learn to tell who was asked. Those of a stain of which no cell was karyotyped
        always count so.
    """
    analysable, correct = table.analysable.copy(), table.correct_fraction.copy()
    unspoilt = (table.kind == METAPHASE) & (table.metaphase == 1) & (table.quality[:, 2] == 1.0)
    for row in np.flatnonzero(unspoilt):
        measured = quality.get(str(table.source[row]))
        if measured is not None:
            analysable[row], correct[row] = int(measured.is_analysable), measured.correct_fraction
    asked = np.unique(table.stain[np.isfinite(correct)])
    open_ = unspoilt & (analysable == UNKNOWN)
    analysable[open_ if presume else open_ & ~np.isin(table.stain, asked)] = 1
    return replace(table, analysable=analysable, correct_fraction=correct)


def wide_crops(field: FlattenedField, centres_px: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Crops as the finder cuts them, and a margin round them: uint8, shape (n, 160, 160).

    Parameters
    ----------
    field
        The field, flattened.
    centres_px
        Shape (n, 2): x, y.
    """
    wide = np.empty((len(centres_px), WIDE_PX, WIDE_PX), np.uint8)
    for top in (0, WIDE_PX - CROP_SIDE_PX):
        for left in (0, WIDE_PX - CROP_SIDE_PX):
            moved = np.rint(centres_px) + np.array([left - MARGIN_PX, top - MARGIN_PX], np.float32)
            wide[:, top : top + CROP_SIDE_PX, left : left + CROP_SIDE_PX] = crops_at(field, moved)
    return wide


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
