"""What a finder process does with one field; imports as little as a process needs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.run.field_scores import Crops, Finder, search_image, write_crops
from acquisition.storage.atomic import write_png_atomic
from acquisition.storage.capture_file import write_capture
from acquisition.storage.capture_metadata import CaptureMetadata
from acquisition.storage.overview import OverviewGrid, OverviewTile, overview_tile
from acquisition.storage.spool import Shape, frame_checksum, read_slot
from acquisition.workers import prepare_process
from analysis.finder import Candidate
from analysis.finder.drift import FieldSummary
from scanner.flat_field import FlatField
from scanner.focus.measure import object_mask, relative_transmission
from scanner.frame import Exposure, Frame
from scanner.rig import load_rig

THUMBNAIL_UM = 120.0
WHITE: Final = 255
"""Largest grey level of an 8-bit picture."""
MS_PER_S: Final = 1000
# A landmark is kept at half the size: nuclei of 10 um are still 8 px wide at 10x, and three suffice for a shift.
LANDMARK_FOLD = 2


@dataclass(frozen=True, slots=True)
class SearchTask:
    """One field to search.

    Attributes
    ----------
    field_index
        Which field.
    spool, slot, shape
        Where its pixels are.
    exposure
        Where and how it was taken.
    min_score
        Candidates below are left out.
    finder
        Pixels and um/px in, candidates out; has to be importable by name where workers are processes.
    run_dir
        Folder of the run; thumbnails go to ``finds/``.
    landmark
        Whether a reduced copy is to be kept in ``landmarks/``, if the field shows enough to be known again.
    flat_field_of
        Folder of the rig whose flat field is divided out before the search; None leaves the frame as it is.
    overview
        Grid for which the field's share is made; None makes none.
    keep
        Metadata with which the whole field is stored in ``fields/``; None stores nothing.
    full_scale
        The camera's largest grey level.
    checksum
        Of the frame as it came from the camera; None where that isn't known.
    """

    field_index: int
    spool: Path
    slot: int
    shape: Shape
    exposure: Exposure
    min_score: float
    finder: Finder
    run_dir: Path
    landmark: bool = False
    flat_field_of: Path | None = None
    overview: OverviewGrid | None = None
    keep: CaptureMetadata | None = None
    full_scale: float = 65535.0
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What a field showed.

    Attributes
    ----------
    field_index, slot
        From the task.
    candidates
        At or above the score asked for.
    thumbnails
        Paths of their pictures, relative to the run folder, in the same order.
    find_ms
        Time the search took in the worker.
    landmark
        Path of the reduced copy, relative to the run folder; None where there is none.
    tile
        Its share of the overview; None where none was asked for.
    picture
        Path of the whole field, relative to the run folder; None where it is not kept.
    error
        Why the field could not be searched; None where it was.
    crops
        What the finder had of each candidate.
    reading
        What the field says about its slide; None where the finder doesn't say.
    is_storage_fault
        Whether the disk is what failed: that says nothing about the field.
    """

    field_index: int
    slot: int
    candidates: tuple[Candidate, ...] = ()
    thumbnails: tuple[str, ...] = ()
    find_ms: float = 0.0
    landmark: str | None = None
    tile: OverviewTile | None = None
    picture: str | None = None
    error: str | None = None
    crops: Crops = field(default_factory=Crops)
    reading: FieldSummary | None = None
    is_storage_fault: bool = False


def search_field(task: SearchTask) -> SearchAnswer:
    """Search one field and write its thumbnails; doing it twice gives the same files.

    Raises
    ------
    StorageError
        The frame can't be read, or a thumbnail can't be written.
    """
    start_s = time.perf_counter()
    raw = read_slot(task.spool, task.shape, task.slot)
    um_per_px = task.exposure.view.camera.um_per_px
    if task.checksum is not None and frame_checksum(raw) != task.checksum:
        reason = (
            "its frame on the disk is not the one that was photographed (checksum), so that nothing is known of it"
        )
        return SearchAnswer(task.field_index, task.slot, find_ms=_ms_since(start_s), error=reason)
    try:
        pixels = _corrected(raw, task)
        result = search_image(task.finder, pixels, um_per_px, min_score=task.min_score, full_scale=task.full_scale)
    except Exception as error:  # noqa: BLE001 - one field's failure is an answer; the protocol decides what follows
        reason = f"{type(error).__name__}: {error}"
        return SearchAnswer(task.field_index, task.slot, find_ms=_ms_since(start_s), error=reason)
    find_ms = _ms_since(start_s)
    candidates = result.candidates
    thumbnails = []
    for number, candidate in enumerate(candidates):
        path = task.run_dir / "finds" / f"f{task.field_index:05d}-{number:02d}.png"
        write_png_atomic(path, thumbnail(pixels, candidate, um_per_px))
        thumbnails.append(str(path.relative_to(task.run_dir)))
    return SearchAnswer(
        task.field_index,
        task.slot,
        candidates,
        tuple(thumbnails),
        find_ms,
        _landmark(task, raw) if task.landmark else None,
        None if task.overview is None else overview_tile(task.overview, pixels, task.exposure.view),
        _kept(task, pixels),
        crops=write_crops(task.run_dir, task.field_index, pixels, um_per_px, candidates),
        reading=result.reading,
    )


def prepare_search() -> None:
    """Prepare a finder process: one thread, since several share the cores, and deaf to Ctrl-C."""
    prepare_process()
    cv2.setNumThreads(1)


def be_ready(finder: Finder) -> None:
    """Let a process import and load what a search needs."""
    prepare = getattr(finder, "prepare", None)
    if prepare is not None:
        prepare()


def thumbnail(pixels: NDArray[np.uint16], candidate: Candidate, um_per_px: float) -> NDArray[np.uint8]:
    """Cut the picture that a person will want to see.

    Parameters
    ----------
    pixels
        The field: uint16, shape (height_px, width_px).
    candidate
        The cell, px.
    um_per_px
        Size of a pixel on the slide.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height_px, width_px): `THUMBNAIL_UM` wide where the field's edge allows; grey levels stretched to
        [0, 255].
    """
    half = round(THUMBNAIL_UM / um_per_px / 2)
    row, column = round(candidate.y_px), round(candidate.x_px)
    height, width = pixels.shape
    part = pixels[max(0, row - half) : min(height, row + half), max(0, column - half) : min(width, column + half)]
    low, high = float(part.min()), float(np.percentile(part, 99))
    stretched = np.clip((part.astype(np.float32) - low) * (WHITE / max(high - low, 1.0)), 0, 255)
    return np.asarray(cv2.convertScaleAbs(stretched), dtype=np.uint8)


def reduced(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """A field as a landmark keeps it.

    Parameters
    ----------
    pixels
        uint16, shape (height_px, width_px).

    Returns
    -------
    NDArray[np.uint16]
        Means over `LANDMARK_FOLD` x `LANDMARK_FOLD` pixels.
    """
    height, width = pixels.shape
    size = (width // LANDMARK_FOLD, height // LANDMARK_FOLD)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint16)


def shows_enough(small: NDArray[np.uint16]) -> bool:
    """Whether a reduced field has enough on it to be recognised.

    Parameters
    ----------
    small
        As `reduced` gives it: uint16, shape (height_px, width_px).
    """
    return int(np.count_nonzero(object_mask(relative_transmission(small)))) >= MIN_LANDMARK_PX


MIN_LANDMARK_PX = 400
"""Object pixels of a landmark: well above what the measurement of a shift needs, since focus may differ."""


@lru_cache(maxsize=1)
def _flat_field(rig_folder: Path) -> FlatField:
    # Read once a process, not once a field.
    rig, _ = load_rig(rig_folder)
    return FlatField.of_rig(rig, rig_folder)


def _corrected(raw: NDArray[np.uint16], task: SearchTask) -> NDArray[np.uint16]:
    if task.flat_field_of is None:
        return raw
    taken = task.exposure
    frame = Frame(raw, taken.view, taken.z_um, taken.objective, taken.exposure_ms, taken.taken_at)
    return _flat_field(task.flat_field_of).correct(frame).pixels


def _kept(task: SearchTask, pixels: NDArray[np.uint16]) -> str | None:
    if task.keep is None:
        return None
    path = task.run_dir / "fields" / f"f{task.field_index:05d}.ome.tiff"
    write_capture(path, pixels, task.keep)
    return str(path.relative_to(task.run_dir))


def _landmark(task: SearchTask, pixels: NDArray[np.uint16]) -> str | None:
    small = reduced(pixels)
    if not shows_enough(small):
        return None
    path = task.run_dir / "landmarks" / f"f{task.field_index:05d}.png"
    write_png_atomic(path, small)
    return str(path.relative_to(task.run_dir))


def _ms_since(start_s: float) -> float:
    return MS_PER_S * (time.perf_counter() - start_s)
