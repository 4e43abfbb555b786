"""Captures come back from OME-TIFF as they went in, and other readers understand them."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from ome_types import from_tiff, to_xml

from acquisition.errors import DiskFullError, StorageError
from acquisition.storage import (
    CaptureMetadata,
    Immersion,
    Modality,
    ObjectiveMetadata,
    read_capture,
    write_capture,
)
from acquisition.storage.ome_xml import from_ome_xml, to_ome_xml

OIL = ObjectiveMetadata("Plan-Apochromat 63x/1.4 Öl", 63.0, 1.4, Immersion.OIL)
METADATA = CaptureMetadata(
    uid="p0001", run_uid="run-1", candidate_uid="c0001", slide="S 26/017 <µ> & co",
    um_per_px=6.45 / 63, stage_x_um=12345.678, stage_y_um=-987.654, z_um=3021.25, slide_x_um=11111.5,
    slide_y_um=2222.25, exposure_ms=12.5, objective=OIL,
    taken_at=datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC),
)  # fmt: skip


@pytest.fixture
def pixels() -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 4096, (64, 96), dtype=np.uint16)


def test_pixels_and_metadata_come_back(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p0001.ome.tiff"
    sha256 = write_capture(path, pixels, METADATA)
    capture = read_capture(path, sha256=sha256)
    np.testing.assert_array_equal(capture.pixels, pixels)
    assert capture.metadata == METADATA
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [item.name for item in tmp_path.iterdir()] == ["p0001.ome.tiff"]


def test_another_reader_understands_the_metadata(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p0001.ome.tiff"
    write_capture(path, pixels, METADATA)
    ome = from_tiff(path)
    image = ome.images[0]
    described, plane, channel = image.pixels, image.pixels.planes[0], image.pixels.channels[0]
    assert (described.size_x, described.size_y, described.size_z) == (96, 64, 1)
    assert (described.type.value, described.significant_bits) == ("uint16", 12)
    assert described.physical_size_x == described.physical_size_y == METADATA.um_per_px
    assert described.physical_size_x_unit.value == described.physical_size_y_unit.value == "µm"
    assert (plane.position_x, plane.position_y, plane.position_z) == (12345.678, -987.654, 3021.25)
    assert {plane.position_x_unit.value, plane.position_y_unit.value, plane.position_z_unit.value} == {"µm"}
    assert (plane.exposure_time, plane.exposure_time_unit.value) == (12.5, "ms")
    assert channel.contrast_method is not None
    assert image.acquisition_date == METADATA.taken_at
    objective = ome.instruments[0].objectives[0]
    assert (objective.nominal_magnification, objective.lens_na) == (63.0, 1.4)
    assert (objective.model, objective.immersion.value) == (OIL.name, "Oil")
    assert image.objective_settings.id == objective.id
    notes = ome.structured_annotations[0]
    assert notes.id == image.annotation_refs[0].id
    assert {item.k: item.value for item in notes.value.ms}["slide_x_um"] == "11111.5"


def test_tifffile_sees_one_plane_with_its_resolution(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p0001.ome.tiff"
    write_capture(path, pixels, METADATA)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert len(tiff.series) == 1
        assert (tiff.series[0].axes, tiff.series[0].shape) == ("YX", (64, 96))
        page = tiff.pages.first
        assert page.get_resolution("MICROMETER")[0] == pytest.approx(1 / METADATA.um_per_px, rel=1e-6)
        assert page.datetime == datetime(2026, 3, 4, 5, 6, 7)  # noqa: DTZ001 - the tag has no zone


def test_time_is_kept_in_utc(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p.ome.tiff"
    local = METADATA.taken_at.astimezone(timezone(timedelta(hours=-7)))
    write_capture(path, pixels, replace(METADATA, taken_at=local))
    taken_at = read_capture(path).metadata.taken_at
    assert taken_at == METADATA.taken_at
    assert taken_at.utcoffset() == timedelta(0)


position = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-3, 1e3, allow_nan=False)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pixels=hnp.arrays(np.uint16, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 4095)),
    metadata=st.builds(
        CaptureMetadata, uid=words, run_uid=words, candidate_uid=words, slide=words, um_per_px=positive,
        stage_x_um=position, stage_y_um=position, z_um=position, slide_x_um=position, slide_y_um=position,
        exposure_ms=positive, taken_at=st.integers(0, 10**15).map(
            lambda us: METADATA.taken_at + timedelta(microseconds=us)
        ),
        objective=st.builds(
            ObjectiveMetadata, words, positive, st.floats(0.01, 1.6), st.sampled_from(Immersion)
        ),
        significant_bits=st.integers(12, 16), accession=words, modality=st.sampled_from(Modality),
    ),
)  # fmt: skip
def test_axes_and_sizes_survive(tmp_path: Path, pixels: NDArray[np.uint16], metadata: CaptureMetadata) -> None:
    path = tmp_path / "any.ome.tiff"
    write_capture(path, pixels, metadata)
    capture = read_capture(path)
    np.testing.assert_array_equal(capture.pixels, pixels)
    assert capture.metadata == metadata
    ome = from_tiff(path)
    described = ome.images[0].pixels
    assert (described.size_y, described.size_x) == pixels.shape
    assert described.physical_size_x == metadata.um_per_px
    # What another program reads and writes again still says the same.
    assert from_ome_xml(to_xml(ome)) == metadata


@pytest.mark.parametrize(
    ("modality", "illumination", "contrast"),
    [
        (Modality.BRIGHT_FIELD, "Transmitted", "Brightfield"),
        (Modality.FLUORESCENCE, "Epifluorescence", "Fluorescence"),
    ],
)
def test_the_modality_is_in_the_terms_of_the_schema(tmp_path, pixels, modality, illumination, contrast):
    path = tmp_path / "p.ome.tiff"
    write_capture(path, pixels, replace(METADATA, modality=modality, accession="17-0042"))
    ome = from_tiff(path)
    channel = ome.images[0].pixels.channels[0]
    assert (channel.illumination_type.value, channel.contrast_method.value) == (illumination, contrast)
    assert (channel.acquisition_mode.value, channel.name) == ("WideField", modality.value)
    notes = {item.k: item.value for item in ome.structured_annotations[0].value.ms}
    assert notes["accession"] == "17-0042"
    assert read_capture(path).metadata.accession == "17-0042"


def test_a_capture_of_an_earlier_version_is_read():
    xml = to_ome_xml(METADATA, width_px=4, height_px=3).decode()
    older = xml.replace('<M K="accession" />', "").replace(' AcquisitionMode="WideField"', "")
    assert len(older) < len(xml) - 40
    assert from_ome_xml(older) == METADATA


def test_another_contrast_is_not_taken_for_one_of_ours():
    xml = to_ome_xml(METADATA, width_px=4, height_px=3).decode()
    with pytest.raises(ValueError, match="contrast method 'DIC'"):
        from_ome_xml(xml.replace('"Brightfield"', '"DIC"'))


def test_characters_xml_cannot_hold_are_replaced(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p.ome.tiff"
    write_capture(path, pixels, replace(METADATA, slide="a\x00b\x1bc\ud800"))
    assert read_capture(path).metadata.slide == "a\ufffdb\ufffdc\ufffd"


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((2, 4, 4), np.uint16),
        np.zeros((0, 4), np.uint16),
        np.full((4, 4), 4096, np.uint16),
    ],
    ids=["8-bit", "stack", "empty", "beyond-12-bit"],
)
def test_what_is_no_capture_is_refused(tmp_path: Path, wrong: NDArray[np.uint16]) -> None:
    with pytest.raises(StorageError):
        write_capture(tmp_path / "p.ome.tiff", wrong, METADATA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"um_per_px": 0.0},
        {"exposure_ms": -1.0},
        {"z_um": float("nan")},
        {"slide_x_um": float("inf")},
        {"significant_bits": 17},
        {"taken_at": METADATA.taken_at.replace(tzinfo=None)},
    ],
)
def test_metadata_no_picture_can_have_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="capture p0001"):
        replace(METADATA, **change)


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, pixels: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="No space left") as caught:
        write_capture(tmp_path / "p.ome.tiff", pixels, METADATA)
    assert isinstance(caught.value.__cause__, OSError)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_one_line(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    with pytest.raises(StorageError, match="can't be written: No such file"):
        write_capture(tmp_path / "absent" / "p.ome.tiff", pixels, METADATA)


def test_an_altered_file_is_refused(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p.ome.tiff"
    sha256 = write_capture(path, pixels, METADATA)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="SHA-256 differs"):
        read_capture(path, sha256=sha256)


def test_a_truncated_file_is_refused(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    path = tmp_path / "p.ome.tiff"
    write_capture(path, pixels, METADATA)
    whole = path.read_bytes()
    for size in (0, 6, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(StorageError):
            read_capture(path)


def test_other_files_are_refused(tmp_path: Path, pixels: NDArray[np.uint16]) -> None:
    with pytest.raises(StorageError, match="can't be read"):
        read_capture(tmp_path / "absent.tiff")
    plain, foreign = tmp_path / "plain.tiff", tmp_path / "foreign.ome.tiff"
    tifffile.imwrite(plain, pixels)
    with pytest.raises(StorageError, match="not an OME-TIFF"):
        read_capture(plain)
    tifffile.imwrite(foreign, pixels, ome=True)
    with pytest.raises(StorageError, match="metadata of another form"):
        read_capture(foreign)
