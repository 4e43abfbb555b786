from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulators.specimen.pictures import find_boxes, margin_px, picture_od
from simulators.specimen.slide import SlideSettings, SlideWorld

pytestmark = pytest.mark.usefixtures("drawn_anew")

AREA = (20_000.0, 8_000.0, 21_500.0, 9_000.0)


@pytest.fixture(scope="module")
def small() -> SlideWorld:
    return SlideWorld(SlideSettings(seed=3, cells=3, area_um=AREA))


def test_cells_lie_wholly_in_the_area_and_apart(small: SlideWorld) -> None:
    truth = small.truth()
    assert len(truth) == 3
    for cell in truth:
        assert AREA[0] < cell.slide_x_um - cell.radius_um < cell.slide_x_um + cell.radius_um < AREA[2]
        assert AREA[1] < cell.slide_y_um - cell.radius_um < cell.slide_y_um + cell.radius_um < AREA[3]
        assert cell.iscn is not None
        assert len(cell.chromosomes) == int(cell.iscn.split(",")[0])
        for chromosome in cell.chromosomes:
            xmin, ymin, xmax, ymax = chromosome.box_um
            corner = max(abs(xmin - cell.slide_x_um), abs(xmax - cell.slide_x_um))
            assert corner <= cell.radius_um + 0.2
            assert 0.5 < max(xmax - xmin, ymax - ymin) < 20.0
    for index, one in enumerate(truth):
        for other in truth[index + 1 :]:
            gap = np.hypot(one.slide_x_um - other.slide_x_um, one.slide_y_um - other.slide_y_um)
            assert gap >= small.settings.spacing_um


def test_what_lies_on_the_slide_does_not_depend_on_the_order_of_looking(small: SlideWorld) -> None:
    again = SlideWorld(small.settings)
    boxes = [(20_000.0, 8_000.0, 20_900.0, 8_700.0), (21_000.0, 8_300.0, 21_400.0, 8_900.0)]
    there = [[(b.patch_key, b.x_um, b.y_um) for b in small.bodies_in(box)] for box in boxes]
    back = [[(b.patch_key, b.x_um, b.y_um) for b in again.bodies_in(box)] for box in reversed(boxes)]
    assert there == list(reversed(back))
    # Cells drawn last first are the same cells.
    assert again.truth()[::-1] == small.truth()[::-1]


def test_another_seed_is_another_slide(small: SlideWorld) -> None:
    other = SlideWorld(SlideSettings(seed=4, cells=3, area_um=AREA))
    assert [cell.slide_x_um for cell in other.truth()] != [cell.slide_x_um for cell in small.truth()]


def test_no_nucleus_lies_on_a_cell(small: SlideWorld) -> None:
    for cell in small.truth():
        reach = cell.radius_um
        box = (cell.slide_x_um - reach, cell.slide_y_um - reach, cell.slide_x_um + reach, cell.slide_y_um + reach)
        assert all(body.patch_key[0] != "nucleus" for body in small.bodies_in(box))


def test_surface_rises_and_falls_by_some_tens_of_um(small: SlideWorld) -> None:
    heights = np.array([small.surface_um(x, y) for x in range(0, 76_001, 1000) for y in (0, 13_000, 26_000)])
    assert 25.0 < np.ptp(heights) < 50.0
    # Neighbouring fields differ by less than the depth of field of the 10x.
    assert (
        max(abs(small.surface_um(x + 800, 13_000) - small.surface_um(x, 13_000)) for x in range(0, 75_000, 500))
        < 4.2
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area_um": (0.0, 0.0, 80_000.0, 1_000.0)}, "must lie on the glass"),
        ({"cells": -1}, "must not be negative"),
        ({"area_um": (0.0, 0.0, 300.0, 300.0), "cells": 9}, "no room for 9 cells"),
        ({"specimen": "/nowhere/at/all"}, "no such folder"),
    ],
)
def test_impossible_slides_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlideWorld(SlideSettings(**change))


def _write_pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,class,xmin,ymin,xmax,ymax"]
    for number in range(count):
        grey = rng.normal(215.0, 3.0, (300, 360))
        grey[100:160, 150:165] = 90.0
        grey[:, :40] = 120.0
        cv2.imwrite(str(folder / f"cell{number}.png"), np.clip(grey, 0, 255).astype(np.uint8))
        rows.append(f"cell{number},1,148,98,167,162")
        rows.append(f"cell{number},X,20,30,60,80")
    (folder.parent / "boxes.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))


def test_pictures_are_laid_out_at_their_scale_with_their_boxes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    _write_pictures(folder, 4)
    world = SlideWorld(SlideSettings(specimen=str(folder), cells=9, area_um=AREA, picture_um_per_px=0.2))
    truth = world.truth()
    assert [cell.uid for cell in truth] == ["cell0", "cell1", "cell2", "cell3"]
    box = truth[0].chromosomes[0].box_um
    assert (box[2] - box[0], box[3] - box[1]) == pytest.approx((19 * 0.2, 64 * 0.2))
    assert truth[0].chromosomes[0].flipped is None
    # Links into a labelled set are labelled too.
    links = tmp_path / "elsewhere" / "chosen"
    links.mkdir(parents=True)
    (links / "cell2.png").symlink_to(folder / "cell2.png")
    assert [label.class_name for label in find_boxes(links / "cell2.png")] == ["1", "X"]


def test_a_pictures_border_does_not_show(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    _write_pictures(folder, 1)
    od = picture_od(folder / "cell0.png", 0.2)
    assert od.dtype == np.float32
    border = np.concatenate((od[0], od[-1], od[:, 0], od[:, -1]))
    assert np.abs(border).max() < 0.02
    margin = margin_px(0.2)
    assert od.shape == (300 + 2 * margin, 360 + 2 * margin)
    # The nucleus that the frame has cut goes on beyond it, as its mirror image.
    np.testing.assert_allclose(od[150:400, margin - 20], od[150:400, margin + 19], atol=0.02)
    assert od[200:350, margin].mean() == pytest.approx(np.log10(215.0 / 120.0), abs=0.04)
    od = od[margin:-margin, margin:-margin]
    assert od[110:150, 152:163].mean() == pytest.approx(np.log10(215.0 / 90.0), abs=0.03)
    assert np.abs(od[200:280, 200:340]).mean() < 0.01


def test_broken_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="not a readable picture"):
        SlideWorld(SlideSettings(specimen=str(tmp_path), area_um=AREA))
