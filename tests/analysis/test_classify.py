from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from analysis.errors import DatasetError, ImageError
from analysis.karyotyping import external_cells
from analysis.karyotyping.external_cells import CropClassifier, CropFolderSettings, read_cells
from analysis.straightening.external_crops import emits_light, external_crop_of, objects_of, read_external_crop
from analysis.structures.classes import CLASS_NAMES
from simulators.specimen.chromosome import ChromosomeAppearance, render_chromosome

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]


def painted(level: int) -> Paint:
    """Bright field, the ground overpainted."""
    return lambda od, mask: np.where(mask, 210.0 * 10.0**-od, level)


def photographed(od: np.ndarray, _mask: np.ndarray) -> np.ndarray:
    return 205.0 * 10.0**-od + np.random.default_rng(3).normal(0.0, 1.5, od.shape)


def shining(od: np.ndarray, _mask: np.ndarray) -> np.ndarray:
    return 10.0 + 250.0 * od + np.random.default_rng(3).normal(0.0, 1.0, od.shape)


def drawn_cell(names: list[str], paint: Paint, seed: int = 5) -> tuple[list[np.ndarray], list[bool]]:
    """Pictures of single chromosomes at any angle, and which of them have their short arm down."""
    rng = np.random.default_rng(seed)
    pictures, flipped = [], []
    for name in names:
        body = render_chromosome(
            name,
            rng,
            um_per_px=0.1024,
            appearance=ChromosomeAppearance(),
            angle_deg=float(rng.uniform(0, 360)),
            bend_deg=15.0,
        )
        xmin, ymin, xmax, ymax = body.box_px
        window = np.s_[max(ymin - 3, 0) : ymax + 3, max(xmin - 3, 0) : xmax + 3]
        od = cv2.GaussianBlur(body.od, (0, 0), 0.9)[window]
        pictures.append(np.clip(np.rint(paint(od, body.mask[window])), 0, 255).astype(np.uint8))
        flipped.append(body.flipped)
    return pictures, flipped


def whole(sex: str, *extra: str) -> list[str]:
    return [*(name for name in CLASS_NAMES[:22] for _ in range(2)), *sex, *extra]


@pytest.fixture(scope="module")
def crop_classifier() -> CropClassifier:
    torch.set_num_threads(1)
    return CropClassifier.load()


GROUNDS = {
    "black": painted(0),
    "grey": painted(128),
    "photographed": photographed,
    "fluorescent": shining,
}


@pytest.mark.parametrize("ground", GROUNDS)
def test_any_ground_any_angle(ground: str, crop_classifier: CropClassifier) -> None:
    names = whole("XY", "21")
    pictures, flipped = drawn_cell(names, GROUNDS[ground])
    cuts = [external_crop_of(picture, "p") for picture in pictures]
    assert emits_light(cuts) == (ground == "fluorescent")
    done = crop_classifier.classify([str(k) for k in range(len(names))], cuts, one_cell=True)
    right = [entry.class_name == name for entry, name in zip(done, names, strict=True)]
    assert np.mean(right) >= 0.95
    assert np.mean([entry.flipped == way for entry, way in zip(done, flipped, strict=True)]) >= 0.9


def test_size_does_not_matter(crop_classifier: CropClassifier) -> None:
    names = whole("XX")
    pictures, _ = drawn_cell(names, painted(255))
    sized = [cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in pictures]
    cuts = [external_crop_of(np.asarray(p, dtype=np.uint8), "p") for p in sized]
    done = crop_classifier.classify([""] * len(cuts), cuts, one_cell=True)
    assert np.mean([entry.class_name == name for entry, name in zip(done, names, strict=True)]) >= 0.93


def test_folder_with_cells_and_bad_files(tmp_path: Path, crop_classifier: CropClassifier) -> None:
    names = whole("XX")
    pictures, _ = drawn_cell(names, painted(255))
    rows = ["file,cell,note"]
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{k:02}.png"), picture)
        rows.append(f"{k:02}.png,one,")
    (tmp_path / "torn.png").write_bytes((tmp_path / "00.png").read_bytes()[:60])
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((60, 40), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "readme.txt").write_text("no picture")
    table = tmp_path / "cells.csv"
    table.write_text("\n".join([*rows, "gone.png,one,"]))
    done, refused = crop_classifier.classify_folder(tmp_path, read_cells(table))
    assert [entry.file for entry in done] == [f"{k:02}.png" for k in range(len(names))]
    assert {entry.file for entry in refused} == {"torn.png", "empty.png", "tiny.png", "gone.png"}
    assert all(entry.file in entry.reason for entry in refused)
    for entry in done:
        content = entry.to_json()
        assert list(content) == ["file", "class", "probability", "top5", "flipped"]
        assert content["top5"][0] == content["class"]
        assert len(set(content["top5"])) == 5
        assert 0.0 <= content["probability"] <= 1.0
    assert sorted(entry.class_name for entry in done) == sorted(names)


def test_a_transparent_ground_is_no_part_of_it(tmp_path: Path) -> None:
    (picture,), _ = drawn_cell(["1"], painted(255))
    outside = picture == 255
    bgra = np.dstack([np.where(outside, 7, picture)] * 3 + [np.where(outside, 0, 255)]).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), bgra)
    cut = read_external_crop(tmp_path / "a.png")
    assert not (cut.mask & outside).any()
    (piece,) = objects_of([cut], emitted=False)
    assert piece.density[piece.mask].mean() > 0.1


def test_a_single_picture_needs_no_cell(tmp_path: Path, crop_classifier: CropClassifier) -> None:
    (picture,), _ = drawn_cell(["1"], painted(255))
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    (entry,), refused = crop_classifier.classify_folder(tmp_path)
    assert refused == ()
    assert entry.class_name in CLASS_NAMES


def test_nothing_to_classify_is_refused(tmp_path: Path, crop_classifier: CropClassifier) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        crop_classifier.classify_folder(tmp_path / "gone")
    with pytest.raises(DatasetError, match="no picture"):
        crop_classifier.classify_folder(tmp_path)
    with pytest.raises(ImageError, match="no chromosome"):
        external_crop_of(np.full((30, 30), 90, np.uint8), "flat")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("file\na.png", "'cell' is missing"),
        ("file,cell\n,1", "names no file"),
        ("file,cell\n../a.png,1", "isn't inside"),
        ("file,cell\na.png,1\na.png,2", "named twice"),
    ],
)
def test_bad_tables_are_refused_by_line(text: str, word: str, tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text(text)
    with pytest.raises(DatasetError, match=word):
        read_cells(table)


def test_a_folder_of_any_number_of_pictures_is_classified_a_part_at_a_time(
    tmp_path: Path, crop_classifier: CropClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = whole("XX")
    pictures, _ = drawn_cell(names, painted(255))
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), cv2.copyMakeBorder(picture, 40, 40, 40, 40, 0, value=255))
    (tmp_path / "empty.png").write_bytes(b"")
    together, refused = crop_classifier.classify_folder(tmp_path)
    monkeypatch.setattr(external_cells, "SETTINGS", CropFolderSettings(most_together=20, at_once=8))
    parts, refused_of_parts = crop_classifier.classify_folder(tmp_path)
    assert (
        [entry.file for entry in parts] == [entry.file for entry in together] == [f"{k:03}.png" for k in range(46)]
    )
    assert [entry.file for entry in refused_of_parts] == [entry.file for entry in refused] == ["empty.png"]
    same = [a.class_name == b.class_name for a, b in zip(parts, together, strict=True)]
    assert np.mean(same) >= 0.93
