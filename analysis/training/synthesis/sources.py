"""Cutting metaphases, nuclei, debris and empty glass from the images of the data sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.mfish import OVERLAP_LABEL, MfishCell, load_mfish
from analysis.datasets.tseng import load_tseng
from analysis.errors import DatasetError
from analysis.training.synthesis.cutout import CUTOUT_UM_PER_PX, CellCutout, Cutout, coverage, describe
from analysis.training.synthesis.truth import DAPI, GBAND, HELD_OUT_STAIN

TSENG_UM_PER_PX: Final = 0.1024
MFISH_UM_PER_PX: Final = 0.15
"""The set states none; with this chromosomes and nuclei are as large as those of the others."""

_SOLID_UM_PER_PX: Final = {3264: 0.062, 1920: 0.1, 1440: 0.1}
"""Pixel size of the solid-stained fields by their width, judged by the width of the chromosomes."""
_SOLID_PATTERN: Final = "giemsa_*"

_GLASS_SIDE: Final = 32
_MIN_BODIES: Final = 18
"""Thin bodies that lie together and make a metaphase where no boxes are known."""


@dataclass(frozen=True, slots=True)
class CuttingSettings:
    """What is cut from an image, and how. Lengths in um, areas in square um, densities natural."""

    stained_od: float = 0.08
    """Density from which a pixel is stained."""
    stained_light: float = 0.25
    """The same of light, over a chromosome's."""
    nucleus_half_um: float = 2.0
    """Half width that no chromosome has."""
    nucleus_um2: tuple[float, float] = (22.0, 700.0)
    """Whole nuclei."""
    debris_um2: tuple[float, float] = (0.4, 22.0)
    """Grains."""
    least_solidity: float = 0.93
    """Of a nucleus: area over that of its hull."""
    unlabelled_debris_um2: float = 1.2
    """Where chromosomes are not labelled, a larger body may be one that nobody assigned to a cell."""
    unlabelled_clear_um: float = 8.0
    """Objects so near to an unlabelled cell may be its own."""
    completion_um: float = 14.0
    """How far a nucleus that the frame cuts is gone on."""
    soft_um: float = 0.7
    """Soft edge of a cut-out cell."""
    least_heap_um2: float = 20.0
    """Thick bodies from this area are nuclei within a cell, unless they are heaps."""
    least_cell_um2: float = 20.0
    """Stain of a cell at least."""
    region_margin_um: float = 1.2
    """Round the hull of a cell's boxes."""
    nucleus_margin_um: float = 0.9
    """Round nuclei that are taken out of a cell."""
    heap_cover: float = 0.6
    """Of a thick body that boxes cover: then it is chromosomes upon one another."""
    within: float = 0.03
    """Of a nucleus within a cell's region at most."""
    cut_margin_um: float = 1.0
    """Round a nucleus that is cut out."""
    debris_margin_um: float = 0.6
    """Round a grain."""
    completed_margin_um: float = 0.4
    """Round a nucleus that was completed."""
    ellipse_um: tuple[float, float] = (5.0, 28.0)
    """Axes of a completed nucleus."""
    ellipse_ratio: float = 1.7
    """Longer ellipses are two nuclei."""
    ellipse_agreement: float = 0.9
    """Intersection over union of the ellipse and what the image shows."""
    ellipse_shown: float = 0.3
    """Of the ellipse within the image."""
    ellipse_stained: float = 0.93
    """Of the mirrored texture that is no glass."""
    cut_blur_px: float = 1.2
    """Soft edge of a cut-out object."""
    glass_clear_um: float = 0.8
    """Between a tile of glass and anything stained."""
    body_um2: tuple[float, float] = (0.7, 120.0)
    """Thin bodies that may be chromosomes."""
    ground_um: float = 20.0
    """Over which the light of empty glass changes."""
    glass_level: float = 0.93
    """Of the ground, from which a pixel is glass."""
    ground_prior: float = 0.02
    """Weight of the whole picture's level where no glass is near."""
    thick_margin_um: float = 1.5
    """Round thick bodies, within which a thin one is theirs."""
    group_um: float = 2.6
    """Bodies nearer than twice this lie together."""
    group_um2: float = 70.0
    """Stain of a group that makes a metaphase."""


_SETTINGS: Final = CuttingSettings()
_SOLID_DEFAULT_UM_PER_PX: Final = 0.1
"""Of a solid-stained field of another width."""

_MANY_CHROMOSOMES: Final = 46


@dataclass(slots=True)
class SourceCutouts:
    """What was cut.

    Attributes
    ----------
    cells, nuclei, debris
        Cut-outs.
    glass
        float32 tiles, shape (32, 32): optical density (light) of empty ground less its mean.
    """

    cells: list[CellCutout] = field(default_factory=list)
    nuclei: list[Cutout] = field(default_factory=list)
    debris: list[Cutout] = field(default_factory=list)
    glass: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Source:
    """An image at the scale of cut-outs."""

    matter: NDArray[np.float32]
    boxes_px: NDArray[np.float32] | None
    name: str
    case: str
    threshold: float
    chromosomes: int | None = None


def cut_sources(data_root: Path, stain: str, split: str, limit: int | None = None) -> SourceCutouts:
    """Cut all objects of a split's images.

    Parameters
    ----------
    data_root
        Folder of the data sets.
    stain
        One of `STAINS`.
    split
        ``"train"``, ``"val"`` or ``"test"``. Splits are disjoint by case.
    limit
        Only this many images, spread evenly.

    Raises
    ------
    DatasetError
        The set isn't there, a picture can't be read, or the stain has no such split.
    """
    readers = {GBAND: _tseng_sources, DAPI: _mfish_sources, HELD_OUT_STAIN: _solid_sources}
    if stain not in readers:
        raise DatasetError(f"stain {stain!r} is none of {', '.join(readers)}")
    cutouts = SourceCutouts()
    for source in readers[stain](data_root, split, limit):
        _cut(source, cutouts)
    if not cutouts.cells:
        raise DatasetError(f"no metaphase could be cut for stain {stain}, split {split}", path=data_root)
    return cutouts


def image_names(data_root: Path, stain: str, split: str) -> tuple[str, ...]:
    """Names of the images that `cut_sources` reads.

    Parameters
    ----------
    data_root
        Folder of the data sets.
    stain
        One of `STAINS`.
    split
        Of the set.
    """
    if stain == GBAND:
        return tuple(entry.name for entry in load_tseng(data_root / "tseng", split))
    if stain == DAPI:
        return tuple(cell.name for cell in _mfish_split(data_root / "mfish", split))
    return tuple(path.stem for path in _solid_paths(data_root, split))


def _thinned(count: int, limit: int | None) -> NDArray[np.intp]:
    if limit is None or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, max(limit, 1)).round().astype(np.intp)


def _tseng_sources(data_root: Path, split: str, limit: int | None) -> Iterator[_Source]:
    entries = load_tseng(data_root / "tseng", split)
    for k in _thinned(len(entries), limit):
        entry = entries[k]
        matter = _density(_read_grey(entry.path), TSENG_UM_PER_PX)
        boxes = entry.boxes_px.astype(np.float32) * np.float32(TSENG_UM_PER_PX / CUTOUT_UM_PER_PX)
        yield _Source(matter, boxes, entry.name, entry.case, _SETTINGS.stained_od)


def _mfish_split(folder: Path, split: str) -> list[MfishCell]:
    """The set has no val split: every fourth slide of its train split is one."""
    if split == "test":
        return list(load_mfish(folder, "test"))
    cells = load_mfish(folder, "train")
    held = set(sorted({cell.case for cell in cells})[::4])
    return [cell for cell in cells if (cell.case in held) == (split == "val")]


def _mfish_sources(data_root: Path, split: str, limit: int | None) -> Iterator[_Source]:
    cells = _mfish_split(data_root / "mfish", split)
    for k in _thinned(len(cells), limit):
        grey = _read_grey(cells[k].image_path)
        classes = cells[k].classmap()
        if classes.shape != grey.shape:
            raise DatasetError("class map and picture differ in size", path=cells[k].classmap_path)
        level = float(np.median(grey[classes > 0])) if (classes > 0).any() else 0.0
        light = _reduced(grey, MFISH_UM_PER_PX)
        ground = float(np.percentile(light, 20))
        matter = np.maximum(light - ground, 0.0) / max(level - ground, 1.0)
        boxes = _boxes_of_classes(classes) * np.float32(MFISH_UM_PER_PX / CUTOUT_UM_PER_PX)
        if len(boxes) >= _MIN_BODIES:
            yield _Source(
                matter.astype(np.float32),
                boxes.astype(np.float32),
                cells[k].name,
                cells[k].case,
                _SETTINGS.stained_light,
                _MANY_CHROMOSOMES,
            )


def _boxes_of_classes(class_map: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Boxes of the pieces of each class; homologues that touch stay one."""
    boxes: list[tuple[int, int, int, int]] = []
    for value in range(1, 25):
        # A chromosome under another goes on beyond the overlap.
        mask = ((class_map == value) | ((class_map == OVERLAP_LABEL) & _near(class_map == value))).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        for x, y, width, height, area in stats[1:count]:
            if area >= 40:
                boxes.append((int(x), int(y), int(x + width), int(y + height)))
    return np.asarray(boxes, np.float32).reshape(-1, 4)


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _solid_paths(data_root: Path, split: str) -> list[Path]:
    if split != "test":
        raise DatasetError(f"stain {HELD_OUT_STAIN} is never trained on: it has the split test alone, not {split}")
    paths = sorted((data_root / "fields").glob(_SOLID_PATTERN))
    if not paths:
        raise DatasetError("the data set isn't there: no solid-stained fields", path=data_root / "fields")
    return paths


def _solid_sources(data_root: Path, split: str, limit: int | None) -> Iterator[_Source]:
    paths = _solid_paths(data_root, split)
    for k in _thinned(len(paths), limit):
        grey = _read_grey(paths[k])
        matter = _density(grey, _SOLID_UM_PER_PX.get(grey.shape[1], _SOLID_DEFAULT_UM_PER_PX))
        yield _Source(matter, None, paths[k].stem, paths[k].stem.split("__")[0], _SETTINGS.stained_od)


def _read_grey(path: Path) -> NDArray[np.uint8]:
    try:
        raw = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DatasetError(f"can't be read ({error.strerror})", path=path) from error
    grey = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE) if raw.size else None
    if grey is None:
        raise DatasetError("not a readable picture", path=path)
    return np.asarray(grey, dtype=np.uint8)


def _reduced(grey: NDArray[np.uint8], um_per_px: float) -> NDArray[np.float32]:
    """Mean light over the pixels of a cut-out, which is what a coarser camera sees."""
    share = um_per_px / CUTOUT_UM_PER_PX
    size = (max(round(grey.shape[1] * share), 1), max(round(grey.shape[0] * share), 1))
    return np.asarray(cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _density(grey: NDArray[np.uint8], um_per_px: float) -> NDArray[np.float32]:
    light = np.maximum(_reduced(grey, um_per_px), 2.0)
    level = float(np.percentile(light, 80))
    sigma = _SETTINGS.ground_um / CUTOUT_UM_PER_PX
    ground = np.full_like(light, level)
    for _ in range(2):
        glass = cv2.erode(
            (light > _SETTINGS.glass_level * ground).astype(np.uint8), np.ones((5, 5), np.uint8)
        ).astype(np.float32)
        weight = cv2.GaussianBlur(glass, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        total = cv2.GaussianBlur(glass * light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        # Where hardly any glass is seen the level of the whole picture stands in.
        ground = np.asarray(
            (total + _SETTINGS.ground_prior * level) / (weight + _SETTINGS.ground_prior), np.float32
        )
    return np.asarray(np.log(ground / light), dtype=np.float32)


def _cut(source: _Source, cutouts: SourceCutouts) -> None:
    stained = source.matter > source.threshold
    thick = _thick(stained)
    groups = [source.boxes_px] if source.boxes_px is not None else _groups_of_thin_bodies(stained & ~thick)
    claimed, hulls = np.zeros(stained.shape, np.uint8), np.zeros(stained.shape, np.uint8)
    for boxes in groups:
        cell, region = _cut_cell(source, boxes, stained, thick)
        claimed |= (coverage(stained.shape, boxes) > 0).astype(np.uint8)
        hulls |= region
        if cell is not None:
            cutouts.cells.append(cell)
    _cut_nuclei(source, thick, claimed, cutouts)
    clear = (hulls == 0) & ~_grown(thick, _SETTINGS.thick_margin_um)
    if source.boxes_px is None:
        clear &= ~_grown(hulls > 0, _SETTINGS.unlabelled_clear_um)
    _cut_debris(source, stained & clear, cutouts)
    _cut_glass(source, stained, cutouts)


def _thick(stained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Nuclei and other bodies thicker than chromosomes; those that the frame cuts are taken to go on beyond it."""
    reach = round(_SETTINGS.nucleus_half_um / CUTOUT_UM_PER_PX)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    closed = cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    padded = np.pad(closed, 2 * reach, mode="edge")
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)
    return np.asarray(opened[2 * reach : -2 * reach, 2 * reach : -2 * reach] > 0)


def _grown(mask: NDArray[np.bool_], by_um: float) -> NDArray[np.bool_]:
    reach = max(round(by_um / CUTOUT_UM_PER_PX), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _whole_nuclei(thick: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], float, bool]]:
    """Each thick body: its mask, its area in um2, and whether the frame cuts it."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thick.astype(np.uint8))
    height, width = thick.shape
    for number in range(1, count):
        x, y, w, h, area = stats[number]
        cut = bool(x <= 1 or y <= 1 or x + w >= width - 1 or y + h >= height - 1)
        yield labels == number, float(area) * CUTOUT_UM_PER_PX**2, cut


def _cut_cell(
    source: _Source, boxes: NDArray[np.float32], stained: NDArray[np.bool_], thick: NDArray[np.bool_]
) -> tuple[CellCutout | None, NDArray[np.uint8]]:
    """The cell, and the region it takes in its image."""
    height, width = stained.shape
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    hull = cv2.convexHull(np.ascontiguousarray(np.rint(corners), dtype=np.int32))
    filled = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), hull, (1,))
    region: NDArray[np.uint8] = _grown(np.asarray(filled > 0), _SETTINGS.region_margin_um).astype(np.uint8)
    # Only bodies much thicker than a heap of chromosomes are nuclei within a cell.
    nuclei = np.zeros((height, width), np.bool_)
    for mask, area_um2, _ in _whole_nuclei(thick):
        if area_um2 > _SETTINGS.least_heap_um2 and not _is_heap(mask, boxes):
            nuclei |= mask
    keep = (region > 0) & ~_grown(nuclei, _SETTINGS.nucleus_margin_um)
    softened = cv2.GaussianBlur(keep.astype(np.float32), (0, 0), _SETTINGS.soft_um / CUTOUT_UM_PER_PX)
    soft = np.asarray(softened, np.float32)
    matter = np.asarray(source.matter * _inner(soft), np.float32)
    inside = stained & keep
    (x, y, radius), overlap, spread = describe(inside, boxes)
    if np.count_nonzero(inside) * CUTOUT_UM_PER_PX**2 < _SETTINGS.least_cell_um2:
        return None, region
    x0, y0 = (max(int(value) - 6, 0) for value in boxes[:, :2].min(axis=0))
    x1, y1 = (int(value) + 7 for value in boxes[:, 2:].max(axis=0))
    body = Cutout(
        np.pad(np.ascontiguousarray(matter[y0:y1, x0:x1]), 2),
        x - x0 + 2,
        y - y0 + 2,
        radius * CUTOUT_UM_PER_PX,
        source.name,
        source.case,
    )
    shifted = np.asarray(boxes - np.array([x0 - 2, y0 - 2] * 2, np.float32), np.float32)
    known = source.boxes_px is not None
    return CellCutout(body, shifted, _count(source) if known else None, overlap if known else None, spread), region


def _count(source: _Source) -> int:
    """Chromosomes: labelled ones, or, where boxes are pieces, those of a normal cell."""
    return source.chromosomes or len(source.boxes_px if source.boxes_px is not None else ())


def _inner(soft: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mask's soft edge drawn inwards, so that nothing beyond the mask shows."""
    ramp = np.clip(2.0 * soft - 1.0, 0.0, 1.0)
    return np.asarray(ramp * ramp * (3 - 2.0 * ramp), np.float32)


def _is_heap(mask: NDArray[np.bool_], boxes: NDArray[np.float32]) -> bool:
    """Whether boxes of chromosomes cover a thick body: then it is chromosomes upon one another."""
    cover = coverage(mask.shape, boxes)
    return bool(np.count_nonzero(mask & (cover > 0)) > _SETTINGS.heap_cover * np.count_nonzero(mask))


def _cut_nuclei(
    source: _Source, thick: NDArray[np.bool_], claimed: NDArray[np.uint8], cutouts: SourceCutouts
) -> None:
    for mask, area_um2, cut in _whole_nuclei(thick):
        within = float(np.mean(claimed[mask] > 0))
        if (
            within > _SETTINGS.within
            or not _SETTINGS.nucleus_um2[0] <= area_um2 <= _SETTINGS.nucleus_um2[1]
            or not _is_smooth(mask)
        ):
            continue
        nucleus = _completed(source, mask) if cut else _cut_object(source, mask, _SETTINGS.cut_margin_um)
        if nucleus is not None:
            cutouts.nuclei.append(nucleus)


def _is_smooth(mask: NDArray[np.bool_]) -> bool:
    """Whether a body's outline has no inlets: touching nuclei, and chromosomes upon one another, have."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    hull = cv2.contourArea(cv2.convexHull(outline))
    return bool(cv2.contourArea(outline) > _SETTINGS.least_solidity * max(hull, 1.0))


def _completed(source: _Source, mask: NDArray[np.bool_]) -> Cutout | None:
    """A nucleus that the frame cuts, its outline gone on as an ellipse and its texture as its own mirror image."""
    margin = round(_SETTINGS.completion_um / CUTOUT_UM_PER_PX)
    margin = min(margin, min(mask.shape) - 1)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0]
    height, width = mask.shape
    x, y = outline[:, 0], outline[:, 1]
    seen = outline[(x > 2) & (y > 2) & (x < width - 3) & (y < height - 3)]
    if len(seen) < 24:
        return None
    (cx, cy), axes, angle = cv2.fitEllipseDirect(np.ascontiguousarray(seen[:, None], dtype=np.float32))
    short, long = sorted(float(side) * CUTOUT_UM_PER_PX for side in axes)
    if not (
        _SETTINGS.ellipse_um[0] <= short <= long <= _SETTINGS.ellipse_um[1]
        and long < _SETTINGS.ellipse_ratio * short
    ):
        return None
    whole = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    cv2.ellipse(whole, ((cx + margin, cy + margin), axes, angle), (1,), -1)
    shown = whole[margin:-margin, margin:-margin] > 0
    if np.count_nonzero(shown & mask) < _SETTINGS.ellipse_agreement * np.count_nonzero(shown | mask):
        return None
    if np.count_nonzero(shown) < _SETTINGS.ellipse_shown * np.count_nonzero(whole):
        return None
    matter = np.pad(source.matter, margin, mode="symmetric")
    # A mirrored nucleus ends where the ellipse may go on: there is glass then, which is no nucleus.
    if np.count_nonzero((matter > source.threshold) & (whole > 0)) < _SETTINGS.ellipse_stained * np.count_nonzero(
        whole
    ):
        return None
    mirrored = _Source(np.asarray(matter, np.float32), None, source.name, source.case, source.threshold)
    return _cut_object(mirrored, whole > 0, _SETTINGS.completed_margin_um)


def _cut_debris(source: _Source, loose: NDArray[np.bool_], cutouts: SourceCutouts) -> None:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(loose.astype(np.uint8))
    height, width = loose.shape
    largest = _SETTINGS.debris_um2[1] if source.boxes_px is not None else _SETTINGS.unlabelled_debris_um2
    for number in range(1, count):
        x, y, w, h, area = stats[number]
        whole = x > 2 and y > 2 and x + w < width - 2 and y + h < height - 2
        if whole and _SETTINGS.debris_um2[0] <= area * CUTOUT_UM_PER_PX**2 <= largest:
            cutouts.debris.append(_cut_object(source, labels == number, _SETTINGS.debris_margin_um))


def _cut_object(source: _Source, mask: NDArray[np.bool_], margin_um: float) -> Cutout:
    ys, xs = np.nonzero(mask)
    pad = round(margin_um / CUTOUT_UM_PER_PX) + 5
    y0, y1, x0, x1 = max(ys.min() - pad, 0), ys.max() + pad, max(xs.min() - pad, 0), xs.max() + pad
    keep = _grown(mask[y0:y1, x0:x1], margin_um).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(np.pad(keep, 2), (0, 0), _SETTINGS.cut_blur_px), np.float32)
    soft = _inner(blurred[2:-2, 2:-2])
    matter = np.pad(np.asarray(source.matter[y0:y1, x0:x1] * soft, np.float32), 1)
    radius = float(np.hypot(xs - xs.mean(), ys - ys.mean()).max()) * CUTOUT_UM_PER_PX
    return Cutout(
        matter, float(xs.mean()) - x0 + 1.0, float(ys.mean()) - y0 + 1.0, radius, source.name, source.case
    )


def _cut_glass(source: _Source, stained: NDArray[np.bool_], cutouts: SourceCutouts) -> None:
    busy = cv2.integral(_grown(stained, _SETTINGS.glass_clear_um).astype(np.uint8))
    side = _GLASS_SIDE
    taken = 0
    for y in range(0, stained.shape[0] - side, side // 2):
        for x in range(0, stained.shape[1] - side, side // 2):
            if busy[y + side, x + side] - busy[y, x + side] - busy[y + side, x] + busy[y, x] == 0:
                tile = source.matter[y : y + side, x : x + side]
                cutouts.glass.append(np.asarray(tile - tile.mean(), np.float32))
                taken += 1
                if taken >= 4:
                    return


def _groups_of_thin_bodies(thin: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """Boxes of thin bodies that lie together, a group a cell, where no labels are known."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA] * CUTOUT_UM_PER_PX**2
    bodies = (areas >= _SETTINGS.body_um2[0]) & (areas <= _SETTINGS.body_um2[1])
    bodies[0] = False
    joined = _grown(bodies[labels], _SETTINGS.group_um)
    groups, places = cv2.connectedComponents(joined.astype(np.uint8))
    found = []
    for group in range(1, groups):
        members = np.unique(labels[(places == group) & bodies[labels]])
        if areas[members].sum() >= _SETTINGS.group_um2 and len(members) >= _MIN_BODIES:
            x, y, w, h = stats[members, :4].T.astype(np.float32)
            found.append(np.stack([x, y, x + w, y + h], axis=1))
    return found
