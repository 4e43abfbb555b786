"""Composed fields: truth lies where cells were pasted, splits are apart, all follows from its numbers."""

from __future__ import annotations

import csv
import gzip
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.errors import DatasetError
from analysis.training.synthesis import (
    DAPI,
    FLUORESCENCE,
    GBAND,
    HELD_OUT_STAIN,
    ComposedField,
    compose_slides,
    interactions_table,
    rendered_fields,
)
from analysis.training.synthesis import library as library_module
from analysis.training.synthesis.canvas import Canvas, CutoutPose
from analysis.training.synthesis.compose import LEAST_ON_EMPTY, FieldComposer
from analysis.training.synthesis.library import Library, load_library
from analysis.training.synthesis.metaphases import SPOILT_KINDS, spoilt
from analysis.training.synthesis.negatives import KINDS, Negatives
from analysis.training.synthesis.quality import KaryotypedQuality, measure_quality, read_quality
from analysis.training.synthesis.sources import TSENG_UM_PER_PX, image_names
from analysis.training.synthesis.truth import STAINS

_SIZE = (300, 360)
_CASES = {"train": ("100", "101"), "val": ("200",), "test": ("300",)}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for the sets: drawn rods as chromosomes, discs as nuclei."""
    root = tmp_path_factory.mktemp("data")
    _write_tseng(root / "tseng")
    _write_mfish(root / "mfish")
    return root


@pytest.fixture(scope="module", autouse=True)
def _few_drawn() -> Iterator[None]:
    """Drawing clumps takes longer than all else; a few will do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_module, "_DRAWN", 2)
        yield


@pytest.fixture(scope="module")
def library(data_root: Path) -> Library:
    return load_library(data_root, GBAND, "train", work_dir=data_root / "kept")


def _rods(rng: np.random.Generator, side: int, count: int) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Rods 10 px wide round the middle; label image and boxes."""
    labels = np.zeros((side, side), np.uint8)
    boxes = []
    for number in range(count):
        away, angle, turn = 0.3 * side * math.sqrt(rng.random()), rng.uniform(0, 6.28), rng.uniform(0, 3.14)
        x, y = side / 2 + away * math.cos(angle), side / 2 + away * math.sin(angle)
        half = rng.uniform(10, 28)
        dx, dy = half * math.cos(turn), half * math.sin(turn)
        mask = np.zeros_like(labels)
        cv2.line(mask, (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy)), (1,), 10)
        labels[mask > 0] = 1 + number % 24
        left, top, width, height = cv2.boundingRect(mask)
        boxes.append((left, top, left + width, top + height))
    return labels, boxes


def _write_tseng(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(5)
    rows: list[tuple[object, ...]] = []
    boxes: list[tuple[object, ...]] = []
    for split, cases in _CASES.items():
        for case in cases:
            for number in range(2):
                name = f"{case}{number}"
                labels, found = _rods(rng, 640, 30)
                grey = np.full(labels.shape, 235.0, np.float32)
                grey[labels > 0] = 110.0
                cv2.circle(grey, (75, 75), 55, (120.0,), -1)
                cv2.circle(grey, (610, 60), 60, (120.0,), -1)
                cv2.circle(grey, (40, 600), 7, (90.0,), -1)
                grey += rng.normal(0.0, 3.0, grey.shape)
                cv2.imwrite(str(folder / "images" / f"{name}.jpg"), np.clip(grey, 0, 255).astype(np.uint8))
                rows.append((name, case, split))
                boxes += [(name, str(1 + k % 22), *box) for k, box in enumerate(found)]
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "case", "split"), *rows])
    text = "\n".join(
        ",".join(map(str, row)) for row in [("image", "class", "xmin", "ymin", "xmax", "ymax"), *boxes]
    )
    (folder / "boxes.csv.gz").write_bytes(gzip.compress(text.encode()))


def _write_mfish(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(6)
    rows = []
    for cell, split in (("A0101XY", "train"), ("A0201XY", "train"), ("A0301XY", "test")):
        labels, _ = _rods(rng, 400, 26)
        light = 12.0 + 120.0 * (labels > 0) + rng.normal(0.0, 2.0, labels.shape)
        cv2.imwrite(str(folder / f"{cell}_dapi.png"), np.clip(light, 0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / f"{cell}_classmap.png"), labels)
        rows.append((cell, "XY", split))
    with (folder / "cells.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("cell", "karyotype", "split"), *rows])


def _fields(data_root: Path, split: str = "train", **others: object) -> list[ComposedField]:
    chosen = {
        "seed": 3,
        "slides": 1,
        "fields_per_slide": 3,
        "size_px": _SIZE,
        "work_dir": data_root / "kept",
        **others,
    }
    return list(compose_slides(data_root, split, **chosen))  # type: ignore[arg-type]


def test_a_cell_is_cut_with_what_is_known_of_it(library: Library) -> None:
    assert len(library.cells) == 4
    cell = library.cells[0]
    assert cell.chromosomes == 30
    assert 15.0 < cell.body.radius_um < 30.0
    assert cell.overlap_fraction == pytest.approx(0.45, abs=0.4)
    assert cell.spread == pytest.approx(0.6, abs=0.3)
    # The density of the rods: ln(235 / 110).
    on = cell.body.matter > 0.4
    assert np.median(cell.body.matter[on]) == pytest.approx(math.log(235 / 110), abs=0.12)


def test_nuclei_are_cut_and_those_that_the_frame_cuts_go_on(library: Library) -> None:
    radii = sorted(nucleus.radius_um for nucleus in library.nuclei if nucleus.source)
    assert len(radii) >= 6
    assert radii[0] == pytest.approx(55 * TSENG_UM_PER_PX, rel=0.2)
    assert radii[-1] == pytest.approx(60 * TSENG_UM_PER_PX, rel=0.25)


def test_splits_share_no_case(data_root: Path) -> None:
    cases = [
        load_library(data_root, GBAND, split, work_dir=data_root / "kept").cases
        for split in ("train", "val", "test")
    ]
    assert [sorted(found) for found in cases] == [sorted(_CASES[split]) for split in ("train", "val", "test")]
    glowing = [set(image_names(data_root, DAPI, split)) for split in ("train", "val", "test")]
    assert all(glowing)
    assert sum(len(names) for names in glowing) == len(set.union(*glowing)) == 3


def test_truth_names_only_cases_of_the_split(data_root: Path) -> None:
    fields = _fields(data_root, "test", slides=2)
    assert {cell.case for field in fields for cell in field.truth if cell.case} <= {"300"}


@pytest.mark.parametrize("um_per_px", [0.4, 0.645, 1.3])
@pytest.mark.parametrize("flip", [False, True])
def test_truth_lies_where_the_matter_is(library: Library, um_per_px: float, flip: bool) -> None:
    canvas = Canvas(260, 300, um_per_px)
    body = library.cells[1].body
    canvas.lay(body, CutoutPose(151.0, 128.5, 0.7, flip, 1.05))
    y, x = np.indices(canvas.matter.shape)
    weight = np.maximum(canvas.matter - 0.05, 0.0)
    found = float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())
    # Where rods cross, mass and boxes weigh them a little differently.
    assert math.dist(found, (151.0, 128.5)) * um_per_px < 1.5
    inside = np.hypot(x - 151.0, y - 128.5) <= 1.2 * body.radius_um * 1.05 / um_per_px
    assert weight[inside].sum() > 0.95 * weight.sum()


def test_metaphases_of_a_field_are_darker_than_their_surroundings(data_root: Path) -> None:
    judged = 0
    for field in _fields(data_root, slides=3, first_slide=0):
        y, x = np.indices(field.pixels.shape)
        for cell in field.truth:
            if cell.kind != "metaphase" or (cell.completeness or 0.0) < 1.0:
                continue
            away = np.hypot(x - cell.x_px, y - cell.y_px) / cell.radius_px
            inside = field.pixels[away < 0.8].mean()
            assert inside < 0.98 * np.median(field.pixels[(away > 1.1) & (away < 1.6)])
            judged += 1
    assert judged >= 2


def test_a_field_follows_from_its_numbers_alone(data_root: Path) -> None:
    first = _fields(data_root, slides=2)
    later = _fields(data_root, slides=1, first_slide=1)
    for one, same in zip(first[3:], later, strict=True):
        assert np.array_equal(one.pixels, same.pixels)
        assert (one.truth, one.slide, one.number) == (same.truth, same.slide, same.number)
    other = _fields(data_root, slides=1, seed=4)
    assert not np.array_equal(first[0].pixels, other[0].pixels)


def test_what_was_kept_gives_the_same_fields(data_root: Path, tmp_path: Path) -> None:
    fresh = _fields(data_root, work_dir=tmp_path, fields_per_slide=1)
    assert list(tmp_path.glob("cutouts-gband-train-*.npz"))
    kept = _fields(data_root, work_dir=tmp_path, fields_per_slide=1)
    assert np.array_equal(fresh[0].pixels, kept[0].pixels)
    assert fresh[0].truth == kept[0].truth


def test_empty_slides_have_no_metaphase_but_a_hundred_hard_negatives(data_root: Path) -> None:
    slide = _fields(data_root, first_slide=3, fields_per_slide=6)
    kinds = Counter(cell.kind for field in slide for cell in field.truth)
    assert not any(cell.is_metaphase for field in slide for cell in field.truth)
    assert sum(kinds.values()) >= LEAST_ON_EMPTY
    assert set(KINDS) <= set(kinds)


def test_every_spoilt_kind_is_a_metaphase_that_is_not_analysable(library: Library) -> None:
    quality = {
        cell.body.source: KaryotypedQuality("train", cell.body.case, 30, 30, 1.0, 0.97, 1)
        for cell in library.cells
    }
    studio = FieldComposer(library, quality, 1, 2, _SIZE)
    conditions = replace(studio.conditions(0), metaphases=3.0, spoilt_fraction=0.6)
    canvas = Canvas(*_SIZE, conditions.um_per_px)
    rng = np.random.default_rng(0)
    found = [cell for _ in range(25) for cell in studio._lay_metaphases(canvas, conditions, rng)]
    assert {cell.kind for cell in found} == {"metaphase", *SPOILT_KINDS}
    for cell in found:
        assert cell.is_metaphase
        whole = cell.kind == "metaphase" and cell.completeness == 1.0
        assert cell.analysable is whole
        assert 0.0 <= (cell.contrast or 0.0) <= 1.0


def test_analysability_is_the_tables_and_unknown_without(library: Library) -> None:
    names = [cell.body.source for cell in library.cells]
    table = {names[0]: KaryotypedQuality("train", "100", 30, 30, 1.0, 0.8, 4),
             names[1]: KaryotypedQuality("train", "100", 30, 22, 0.7, 0.79, 14)}  # fmt: skip
    studio = FieldComposer(library, table, 1, 2, _SIZE)
    judged = [
        studio._analysable(spoilt(cell, "metaphase", np.random.default_rng(0)), 1.0) for cell in library.cells
    ]
    assert judged == [True, False, None, None]


def test_incomplete_cells_tell_what_is_left(library: Library) -> None:
    specimen = spoilt(library.cells[0], "incomplete", np.random.default_rng(2))
    assert specimen.cell.chromosomes == len(specimen.cell.boxes_px) == round(30 * specimen.kept)
    assert 0.35 < specimen.kept < 0.85


def test_crowded_cells_are_smaller_and_overlap_more(library: Library) -> None:
    cell = library.cells[0]
    crowded = spoilt(cell, "tight", np.random.default_rng(2)).cell
    assert crowded.body.radius_um < 0.9 * cell.body.radius_um
    assert (crowded.overlap_fraction or 0.0) > (cell.overlap_fraction or 1.0)
    assert crowded.body.matter.max() <= 2.3


@pytest.mark.parametrize("kind", KINDS)
def test_each_hard_negative_shows(library: Library, kind: str) -> None:
    canvas = Canvas(240, 240, 0.645)
    made = Negatives(library, 1.0, 0.8).lay(kind, canvas, 120.0, 118.0, np.random.default_rng(1))
    assert made is not None
    assert (made.kind, made.is_metaphase, made.analysable) == (kind, False, False)
    y, x = np.indices(canvas.matter.shape)
    near = np.hypot(x - made.x_px, y - made.y_px) < 1.5 * made.radius_px + 6.0
    assert canvas.matter[near].max() > 0.08
    assert canvas.matter[near].sum() > 0.8 * canvas.matter.sum()


def test_fluorescence_is_bright_on_dark(data_root: Path) -> None:
    fields = _fields(data_root, domain=FLUORESCENCE, slides=2)
    assert {field.stain for field in fields} == {DAPI}
    cells = [(field, cell) for field in fields for cell in field.truth if cell.kind == "metaphase"]
    assert cells
    for field, cell in cells:
        x, y = (round(value) for value in (cell.x_px, cell.y_px))
        patch = field.pixels[max(y - 12, 0) : y + 13, max(x - 12, 0) : x + 13]
        if patch.size:
            assert patch.max() > np.median(field.pixels)


def test_the_held_out_stain_has_a_test_split_alone(data_root: Path) -> None:
    with pytest.raises(DatasetError, match="never trained on"):
        _fields(data_root, "train", stain=HELD_OUT_STAIN)


@pytest.mark.parametrize(
    ("others", "word"),
    [({"stain": "silver"}, "none of"), ({"stain": DAPI}, "fluorescence"), ({"split": "all"}, "none of")],
)
def test_what_can_not_be_composed_is_refused(data_root: Path, others: dict[str, str], word: str) -> None:
    with pytest.raises(DatasetError, match=word):
        _fields(data_root, others.pop("split", "train"), **others)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"images\.csv"):
        _fields(tmp_path)


class _Refusing:
    """A pipeline that finds nothing, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def karyotype(self, image: object) -> object:
        from analysis.errors import NoMetaphaseError

        self.calls += 1
        raise NoMetaphaseError("nothing there")

    def classify_instances(self, image: object, instances: object) -> object:
        raise AssertionError("not asked for")


def test_the_table_of_qualities_goes_on_where_it_was(data_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    pipeline = _Refusing()
    measure_quality(data_root / "tseng", path, pipeline, limits={"val": 1})  # type: ignore[arg-type]
    table = measure_quality(data_root / "tseng", path, pipeline, limits={"val": None, "test": 1})  # type: ignore[arg-type]
    assert pipeline.calls == len(table) == 3
    assert read_quality(path) == table
    assert {entry.split for entry in table.values()} == {"val", "test"}
    assert interactions_table(path) == dict.fromkeys(table, 30)
    assert not any(entry.is_analysable for entry in table.values())


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text('{"a": {"split": "val"}}')
    with pytest.raises(DatasetError, match="not a table"):
        read_quality(path)


def test_rendered_fields_have_the_same_form() -> None:
    chosen = {"seed": 2, "slides": 1, "fields_per_slide": 2, "size_px": (420, 520)}
    fields = list(rendered_fields("val", **chosen, cells_per_field=1.5))  # type: ignore[arg-type]
    again = list(rendered_fields("val", **chosen, cells_per_field=1.5))  # type: ignore[arg-type]
    assert [field.truth for field in fields] == [field.truth for field in again]
    assert all(np.array_equal(one.pixels, same.pixels) for one, same in zip(fields, again, strict=True))
    cells = [cell for field in fields for cell in field.truth if cell.is_metaphase]
    assert cells
    assert {field.origin for field in fields} == {"rendered"}


def test_a_rendered_empty_slide_has_no_metaphase() -> None:
    fields = rendered_fields(
        "val", seed=2, slides=1, fields_per_slide=1, first_slide=3, size_px=(300, 300), banding="Q"
    )
    field = next(iter(fields))
    assert field.domain == FLUORESCENCE
    assert not any(cell.is_metaphase for cell in field.truth)


@pytest.mark.data
@pytest.mark.parametrize("stain", list(STAINS))
def test_real_cells_make_fields(stain: str, tmp_path: Path) -> None:
    root = Path(os.environ.get("KARYOSCAN_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not (root / "tseng").is_dir():
        pytest.skip(f"needs the image sets under {root} (KARYOSCAN_DATA)")
    library = load_library(root, stain, "test", work_dir=tmp_path, limit=3)
    assert len(library.cells) >= 2
    assert all(cell.body.radius_um > 10.0 for cell in library.cells)
    assert all(8.0 < nucleus.radius_um * 2.0 < 40.0 for nucleus in library.nuclei if nucleus.source)
    counts = {None} if stain == HELD_OUT_STAIN else set(range(40, 50))
    assert {cell.chromosomes for cell in library.cells} <= counts
    assert FieldComposer(library, {}, 0, 4).field(0, 0).pixels.shape == (1024, 1360)
