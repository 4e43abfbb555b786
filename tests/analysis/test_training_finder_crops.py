"""Labelled crops for the finder's net: what is labelled how, shards on disk, and views that keep their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.errors import DatasetError
from analysis.finder.net_scores import net_inputs
from analysis.finder.proposals import crops_of, propose
from analysis.training.finder.augmentation import FinderAugmentation, FinderBatch, augment
from analysis.training.finder.crops import label_field, shard_of, with_quality
from analysis.training.finder.table import FinderCropTable, joined, plain_crops, read_shard, write_shard
from analysis.training.synthesis.quality import KaryotypedQuality

UM_PER_PX = 0.645


@dataclass(frozen=True)
class Cell:
    x_px: float
    y_px: float
    radius_px: float
    is_metaphase: bool
    kind: str
    analysable: bool | None = None
    chromosomes: int | None = None
    overlap_fraction: float | None = None
    spread: float | None = None
    completeness: float | None = None
    contrast: float | None = None
    source: str = ""
    case: str = ""


@dataclass(frozen=True)
class Picture:
    pixels: NDArray[np.uint16]
    truth: tuple[Cell, ...]
    um_per_px: float = UM_PER_PX
    domain: str = "brightfield"
    stain: str = "drawn"
    slide: str = "s1"
    number: int = 3


def drawn(places: list[tuple[int, int]], seed: int = 5, side: int = 420) -> NDArray[np.uint16]:
    """Rods scattered round each place, on a bright noisy background."""
    rng = np.random.default_rng(seed)
    density = np.zeros((side, side), np.float32)
    for x, y in places:
        for _ in range(40):
            radius, angle, turn = 26 * rng.random() ** 0.5, rng.uniform(0, 6.28), rng.uniform(0, 3.14)
            cx, cy = x + radius * np.cos(angle), y + radius * np.sin(angle)
            dx, dy = 3 * np.cos(turn), 3 * np.sin(turn)
            ends = [(round(cx - dx), round(cy - dy)), (round(cx + dx), round(cy + dy))]
            cv2.line(density, ends[0], ends[1], 0.5, 2)
    grey = 3000 * np.exp(-cv2.GaussianBlur(density, (0, 0), 0.8)) + rng.normal(0, 20, density.shape)
    return grey.astype(np.uint16)


QUALITY = KaryotypedQuality("train", "c7", 46, 45, 0.95, 0.9, 3)
WHOLE = Cell(130, 140, 26, True, "metaphase", None, 46, 0.1, 0.8, 1.0, 0.6, "img", "c7")
PILE = Cell(300, 290, 26, False, "debris pile")


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(drawn([(130, 140), (300, 290), (300, 120)]), (WHOLE, PILE))


def rows_of(table: FinderCropTable, kind: str) -> np.ndarray:
    return np.flatnonzero(table.kind == kind)


def test_a_proposal_on_a_metaphase_carries_all_that_is_known_of_it(picture: Picture) -> None:
    table, planted = label_field(picture, propose(picture.pixels, UM_PER_PX))
    assert planted == [("metaphase", True)]
    (row,) = rows_of(table, "metaphase")
    assert table.analysable[row] == -1
    table = with_quality(table, {"img": QUALITY})
    assert (table.metaphase[row], table.analysable[row], table.wanted[row]) == (1, 1, -1)
    assert table.cell_radius_um[row] == pytest.approx(26 * UM_PER_PX)
    assert table.chromosomes[row] == 46
    assert table.quality[row] == pytest.approx([0.8, 0.1, 1.0, 0.6])
    assert table.correct_fraction[row] == pytest.approx(0.9)
    assert (table.case[row], table.slide[row], table.field[row]) == ("c7", "s1", 3)
    assert np.hypot(*table.offset_px[row]) < 6


def test_negatives_are_named_and_what_nobody_planted_is_background(picture: Picture) -> None:
    table, _ = label_field(picture, propose(picture.pixels, UM_PER_PX))
    for kind in ("debris pile", "background"):
        rows = rows_of(table, kind)
        assert rows.size
        assert np.all(table.metaphase[rows] == 0)
        assert np.all(table.analysable[rows] == -1)
        assert np.all(np.isnan(table.chromosomes[rows]))
    assert np.all(np.isnan(table.correct_fraction))


def test_cells_that_nobody_karyotyped_are_presumed_where_that_is_asked_or_nobody_ever_asked(
    picture: Picture,
) -> None:
    table, _ = label_field(picture, propose(picture.pixels, UM_PER_PX))
    (row,) = rows_of(table, "metaphase")
    assert with_quality(table, {}).analysable[row] == 1
    both = joined([table, replace(table, source=np.full(len(table), "other"))])
    rows = rows_of(both, "metaphase")
    assert with_quality(both, {"other": QUALITY}).analysable[rows].tolist() == [-1, 1]
    assert with_quality(both, {"other": QUALITY}, presume=True).analysable[rows].tolist() == [1, 1]


def test_what_shows_a_part_of_a_huge_cell_is_no_negative() -> None:
    pixels = drawn([(60, 200), (340, 200)])
    huge = Cell(200, 200, 150, True, "metaphase")
    table, _ = label_field(Picture(pixels, (huge,)), propose(pixels, UM_PER_PX))
    assert len(table)
    assert np.all(table.metaphase == -1)
    assert np.all(table.kind == "beside")


def test_a_spoilt_cell_has_no_share_right(picture: Picture) -> None:
    spoilt = Picture(picture.pixels, (Cell(130, 140, 26, True, "crowded", False, 46, source="img"), PILE))
    table, _ = label_field(spoilt, propose(picture.pixels, UM_PER_PX))
    table = with_quality(table, {"img": QUALITY})
    (row,) = rows_of(table, "crowded")
    assert table.analysable[row] == 0
    assert np.isnan(table.correct_fraction[row])


def test_the_net_learns_from_the_crops_that_the_finder_cuts(picture: Picture) -> None:
    found = propose(picture.pixels, UM_PER_PX)
    table, _ = label_field(picture, found)
    assert np.array_equal(plain_crops(table), crops_of(found.field, found.crowds))


def test_metaphases_cut_by_the_edge_are_not_judged() -> None:
    pixels = drawn([(12, 200)])
    table, planted = label_field(
        Picture(pixels, (Cell(4, 200, 26, True, "spread", True),)), propose(pixels, UM_PER_PX)
    )
    assert planted == []
    rows = rows_of(table, "spread")
    assert rows.size
    assert np.all(table.metaphase[rows] == -1)


def test_truth_at_another_scale_is_the_same_truth(picture: Picture) -> None:
    large = np.asarray(cv2.resize(picture.pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR), np.uint16)
    cell = Cell(2 * 130 + 0.5, 2 * 140 + 0.5, 52, True, "spread", True)
    table, _ = label_field(Picture(large, (cell,), UM_PER_PX / 2), propose(large, UM_PER_PX / 2))
    (row,) = rows_of(table, "spread")
    assert table.cell_radius_um[row] == pytest.approx(26 * UM_PER_PX)
    assert np.hypot(*table.offset_px[row]) < 6


def test_shards_come_back_and_damaged_ones_are_refused(picture: Picture, tmp_path: Path) -> None:
    shard = shard_of([picture, picture])
    assert (shard.field_count, shard.proposal_recall) == (2, 1.0)
    assert shard.statistics["noise_od"].shape == (2,)
    path = tmp_path / "train-0.npz"
    write_shard(path, shard)
    back = read_shard(path)
    assert np.array_equal(back.table.crops, shard.table.crops)
    assert back.table.kind.tolist() == shard.table.kind.tolist()
    assert back.statistics["noise_od"] == pytest.approx(shard.statistics["noise_od"])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match="not a shard"):
        read_shard(path)


def spot(x_px: float, y_px: float, count: int) -> tuple[torch.Tensor, FinderBatch]:
    """Stored crops with one dark spot, offset by (x_px, y_px) from the middle."""
    ys, xs = np.mgrid[:160, :160] - 79.5
    od = np.exp(-((xs - x_px) ** 2 + (ys - y_px) ** 2) / 18)
    wide = torch.from_numpy(np.rint((od + 0.2) * 100).astype(np.uint8)).expand(count, -1, -1)
    _, extras = net_inputs(np.zeros((count, 1, 1), np.uint8), np.full(count, 20.0), np.full(count, 0.01))
    offset = torch.tensor([[x_px, y_px]]).expand(count, -1)
    return wide, FinderBatch(torch.zeros(0), extras, offset, torch.zeros(count))


def test_a_view_moves_its_label_along() -> None:
    wide, batch = spot(11.0, -6.5, 24)
    settings = FinderAugmentation(noise_fraction=0.0, level_od=0.0, blur_fraction=0.0, exact_fraction=0.5)
    view = augment(wide, batch, torch.Generator().manual_seed(2), settings)
    od = view.crops[:, 0].clamp(min=0.05) - 0.05
    steps = torch.arange(128.0) - 63.5
    weight = od.sum((1, 2))
    found = torch.stack([(od.sum(1) * steps).sum(1) / weight, (od.sum(2) * steps).sum(1) / weight], 1)
    assert found.numpy() == pytest.approx(view.offset.numpy(), abs=0.3)
    assert len({tuple(row) for row in view.offset.round().int().tolist()}) > 12
    # Magnified cells are told as larger, by the same factor everywhere.
    assert view.extras[:, 0].numpy() == pytest.approx(view.log_radius.numpy(), abs=1e-5)
    assert view.log_radius.abs().max() > 0.05


def test_views_depend_on_the_seed_alone() -> None:
    wide, batch = spot(3.0, 2.0, 4)
    views = [
        augment(wide, batch, torch.Generator().manual_seed(seed), FinderAugmentation()).crops for seed in (7, 7, 8)
    ]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
