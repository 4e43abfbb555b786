from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np

from analysis.datasets.labelled_cells import bioimlab_cells, mfish_cells, tseng_views
from analysis.datasets.tseng import TsengImage
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation


def bar(picture: np.ndarray, x: int, y: int, length: int, value: int, width: int = 12) -> None:
    picture[y : y + length, x : x + width] = value


def test_every_seventh_cell_is_kept_for_validation(tmp_path: Path) -> None:
    folder = tmp_path / "bioimlab_qband"
    folder.mkdir()
    rows = ["file,cell,class,split"]
    with zipfile.ZipFile(folder / "crops.zip", "w") as archive:
        for cell in range(8):
            grey = np.zeros((60, 30), np.uint8)
            bar(grey, 8, 6, 48, 160 + cell)
            archive.writestr(f"{cell}.png", cv2.imencode(".png", grey)[1].tobytes())
            rows.append(f"{cell}.png,c{cell},{cell + 1},{'test' if cell == 7 else 'train'}")
    (folder / "crops.csv").write_text("\n".join(rows) + "\n")
    val, train = (list(bioimlab_cells(tmp_path, split)) for split in ("val", "train"))
    assert [cell.classes for cell in val] == [(3,)]
    assert [cell.classes for cell in train] == [(0,), (1,), (2,), (4,), (5,), (6,)]


def test_homologues_in_one_piece_have_no_class(tmp_path: Path) -> None:
    folder = tmp_path / "mfish"
    folder.mkdir()
    (folder / "cells.csv").write_text(
        "cell,karyotype,split\nA0101XY,XY,train\nA0201XY,XY,train\nA0301XX,XX,train\n"
    )
    classmap = np.zeros((200, 200), np.uint8)
    bar(classmap, 10, 10, 60, 1)
    bar(classmap, 40, 10, 64, 1)
    # One piece of class 2, and a single X and Y as they should be.
    bar(classmap, 80, 10, 60, 2, width=24)
    bar(classmap, 120, 10, 50, 23)
    bar(classmap, 150, 10, 20, 24)
    cv2.imwrite(str(folder / "A0101XY_classmap.png"), classmap)
    for name in ("A0101XY", "A0301XX"):
        cv2.imwrite(str(folder / f"{name}_dapi.png"), np.where(classmap > 0, 180, 12).astype(np.uint8))

    def segment(image: GreyImage) -> Segmentation:
        shape = image.pixels.shape
        if image.source.endswith("A0301XX_dapi.png"):
            raise NoMetaphaseError("nothing there")
        return Segmentation((), np.full(shape, 243.0, np.float32), np.zeros(shape, np.bool_))

    (cell,) = mfish_cells(tmp_path, "train", segment, read_image)
    assert sorted(cell.classes) == [-1, 0, 0, 22, 23]
    assert not any(
        label >= 0 for label, piece in zip(cell.classes, cell.objects, strict=True) if piece.mask.size > 1400
    )


def test_a_metaphase_is_cut_by_the_segmentation_and_by_its_boxes(tmp_path: Path) -> None:
    grey = np.full((160, 160), 230, np.uint8)
    bar(grey, 30, 30, 60, 90)
    bar(grey, 90, 30, 50, 90)
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), grey)
    boxes = np.array([[23, 22, 47, 94], [83, 22, 107, 84]], np.int32)
    entry = TsengImage("m", "p", path, boxes, ("4", "X"))
    debris = Instance((130, 130, 140, 140), np.ones((10, 10), np.bool_), 1.0, SegmentationRoute.SINGLE)

    def segment(image: GreyImage) -> Segmentation:
        first = Instance((30, 30, 42, 90), np.ones((60, 12), np.bool_), 1.0, SegmentationRoute.SINGLE)
        shape = image.pixels.shape
        return Segmentation((first, debris), np.full(shape, 230.0, np.float32), np.zeros(shape, np.bool_))

    views = tseng_views(entry, segment, read_image)
    assert views is not None
    assert views.detected.classes == (3, 24)
    assert views.given.classes == (3, 22)
    assert next(piece.mask.shape for piece in views.given.objects) == (60, 12)

    def broken(_image: GreyImage) -> Segmentation:
        raise RuntimeError("no cut")

    assert tseng_views(entry, broken, read_image) is None
