"""Which pictures of a folder show which cell."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from acquisition.storage import CaptureMetadata, Immersion, ObjectiveMetadata, write_capture
from analysis.case.summary import FurtherPicture, PictureKind
from station.case_pictures import case_pictures
from station.edited_proposals import edited_stems
from station.errors import UsageError

METADATA = CaptureMetadata(
    uid="p0001", run_uid="run-1", candidate_uid="c0001", slide="S 1", um_per_px=0.1, stage_x_um=0.0,
    stage_y_um=0.0,
    z_um=0.0, slide_x_um=0.0, slide_y_um=0.0, exposure_ms=10.0, taken_at=datetime(2026, 3, 4, tzinfo=UTC),
    objective=ObjectiveMetadata("63x", 63.0, 1.4, Immersion.OIL),
)  # fmt: skip


def cell(seed: int, blur_px: float = 0.0) -> np.ndarray:
    """A picture like no other one: float64 in [0, 1], shape (240, 320)."""
    small = np.random.default_rng(seed).random((30, 40))
    large = np.clip(cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC), 0.0, 1.0)
    return cv2.GaussianBlur(large, (0, 0), blur_px) if blur_px else large


def capture(folder: Path, uid: str, pixels: np.ndarray, candidate: str = "c0001") -> Path:
    path = folder / f"{uid}.ome.tiff"
    metadata = replace(METADATA, uid=uid, candidate_uid=candidate)
    write_capture(path, (500 + 3000 * pixels).astype(np.uint16), metadata)
    return path


def eight_bit(path: Path, pixels: np.ndarray, *options: int) -> None:
    assert cv2.imwrite(str(path), (40 + 200 * pixels).astype(np.uint8), options)


def test_focus_planes_of_a_capture_are_one_cell_however_blurred(tmp_path):
    for number, blur_px in enumerate((12.0, 1.0, 14.0), start=1):
        capture(tmp_path, f"p0001-z{number:02d}", cell(1, blur_px))
    capture(tmp_path, "p0001", cell(1, 1.0))
    capture(tmp_path, "p0002", cell(2), candidate="c0002")
    pictures = case_pictures(tmp_path)
    assert [entry.path.name for entry in pictures.cells] == ["p0001.ome.tiff", "p0002.ome.tiff"]
    assert pictures.cells[0].further == tuple(
        FurtherPicture(f"p0001-z{number:02d}.ome.tiff", PictureKind.FOCUS_PLANE) for number in (1, 2, 3)
    )


def test_the_plane_that_is_asked_for_is_taken_of_files_that_have_several(tmp_path):
    first, second = ((40 + 200 * cell(seed)).astype(np.uint8) for seed in (1, 2))
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([first, second]), photometric="minisblack")
    assert cv2.imwrite(str(tmp_path / "single.png"), second)
    by_plane = {plane: case_pictures(tmp_path, plane=plane).cells for plane in (1, 2, 3)}
    # Plane 2 is the same picture as the single one; plane 3 there is none, so that its file tells when it is read.
    assert [len(cells) for cells in by_plane.values()] == [2, 1, 2]


def test_planes_alone_are_karyotyped_by_the_sharpest(tmp_path):
    for number, blur_px in enumerate((6.0, 0.0, 8.0), start=1):
        capture(tmp_path, f"p0001-z{number:02d}", cell(1, blur_px))
    assert [entry.path.name for entry in case_pictures(tmp_path).cells] == ["p0001-z02.ome.tiff"]


def test_a_capture_its_copy_and_its_export_are_one_cell(tmp_path):
    shutil.copy(capture(tmp_path, "p0001", cell(1)), tmp_path / "again.ome.tiff")
    eight_bit(tmp_path / "p0001.jpg", cell(1), cv2.IMWRITE_JPEG_QUALITY, 50)
    eight_bit(tmp_path / "other.png", cell(2))
    pictures = case_pictures(tmp_path)
    assert [len(entry.further) for entry in pictures.cells] == [2, 0]
    assert pictures.cells[0].path.name == "again.ome.tiff"
    assert {picture.kind for picture in pictures.cells[0].further} == {PictureKind.COPY}


def test_the_same_uids_of_another_run_are_another_cell(tmp_path):
    capture(tmp_path, "p0001", cell(1))
    path = tmp_path / "other.ome.tiff"
    write_capture(path, (500 + 3000 * cell(2)).astype(np.uint16), replace(METADATA, run_uid="run-2"))
    assert len(case_pictures(tmp_path).cells) == 2


def test_of_several_pictures_the_one_with_an_edited_proposal_counts(tmp_path):
    eight_bit(tmp_path / "a.png", cell(1))
    eight_bit(tmp_path / "b.jpg", cell(1), cv2.IMWRITE_JPEG_QUALITY, 60)
    assert [entry.path.name for entry in case_pictures(tmp_path).cells] == ["a.png"]
    assert [entry.path.name for entry in case_pictures(tmp_path, frozenset({"b"})).cells] == ["b.jpg"]


def test_a_metaphase_that_somebody_named_like_our_drawings_is_a_cell(tmp_path):
    eight_bit(tmp_path / "a.metaphase.png", cell(1))
    assert [entry.path.name for entry in case_pictures(tmp_path).cells] == ["a.metaphase.png"]
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match="no picture in it"):
        case_pictures(tmp_path)


@pytest.mark.parametrize(
    ("content", "edited"),
    [
        ('{"chromosomes": [{"class": "1", "flipped": false}]}', False),
        (
            '{"chromosomes": [{"class": "1", "flipped": false, "proposed": {"class": "2", "flipped": false}}]}',
            True,
        ),
        ('{"chromosomes": [{"class": "1", "flipped": false, "confirmed": true}]}', True),
        ('{"chromosomes": [{"class": "1", "flipped": false, "edits": [{}]}]}', True),
        ('{"chromosomes": [], "proposed_objects": 1}', True),
        ('{"chromosomes": [], "complete": true}', True),
        ('{"chromosomes": [], "edited": true}', True),
        ('{"chromosomes": [null]}', True),
        ("{", True),
        ("[]", False),
        ('{"other": 1}', False),
    ],
)
def test_edits_are_recognised_before_they_are_drawn(tmp_path, content, edited):
    (tmp_path / "a.json").write_text(content)
    (tmp_path / "case.json").write_text("{")
    assert edited_stems(tmp_path) == (frozenset({"a"}) if edited else frozenset())
