"""Which pictures of a case's folder show which cell: its focus planes, copies, exports, and our own drawings."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from acquisition.errors import StorageError
from acquisition.storage import CaptureMetadata, read_capture
from analysis.case.same_picture import PictureSignature, groups_of_same_pictures, picture_signature
from analysis.case.summary import FurtherPicture, PictureKind
from analysis.errors import AnalysisError
from analysis.imaging.image_file import read_image
from analysis.karyogram.text import drawable
from analysis.karyotyping.external_cells import PICTURE_ENDINGS
from scanner.portable.file_names import file_stem
from station.cell_files import ENDINGS
from station.edited_proposals import CASE_STEM
from station.errors import UsageError

_OME_ENDINGS: Final = (".ome.tiff", ".ome.tif")
_LOSSY_ENDINGS: Final = (".jpg", ".jpeg")
_PLANE: Final = re.compile(r".+-z\d+")
"""Uid of a plane of a stack; the sharpest one is stored once more under the uid of the capture itself."""
_KARYOGRAM: Final = ".karyogram.png"
_METAPHASE: Final = ".metaphase.png"


@dataclass(frozen=True, slots=True)
class CellPictures:
    """The pictures of one cell.

    Attributes
    ----------
    path
        The picture to karyotype.
    further
        The others.
    """

    path: Path
    further: tuple[FurtherPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class CasePictures:
    """The pictures of a case's folder.

    Attributes
    ----------
    cells
        By the name of the picture to karyotype.
    own_drawings
        Names of karyograms and outlined metaphases that were drawn here; they are left out.
    """

    cells: tuple[CellPictures, ...]
    own_drawings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Picture:
    path: Path
    metadata: CaptureMetadata | None
    signature: PictureSignature
    sha256: str
    pixels: int
    bit_depth: int
    sharpness: float


def stem_of(path: Path) -> str:
    """Name of a picture without its ending."""
    for ending in _OME_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def output_stem(path: Path) -> str:
    """What the names of a picture's results begin with: its own name, altered where no file system takes it."""
    return file_stem(stem_of(path))


def refuse_twins(images: Sequence[Path]) -> None:
    """Refuse pictures whose results would have the same name.

    Raises
    ------
    UsageError
        There are such.
    """
    counts = Counter(output_stem(image) for image in images)
    twice = sorted(stem for stem, count in counts.items() if count > 1)
    if twice:
        raise UsageError(f"several pictures would be written to {twice[0]}.json; karyotype them apart")


def refuse_overwriting(images: Sequence[Path], out: Path) -> None:
    """Refuse a folder for the results in which they would replace one of the pictures.

    Parameters
    ----------
    images
        The pictures.
    out
        Where the results go.

    Raises
    ------
    UsageError
        A result would have the place of a picture.
    """
    resolved = {image.resolve(): image for image in images}
    for image in images:
        for ending in ENDINGS:
            overwritten = resolved.get((out / f"{output_stem(image)}.{ending}").resolve())
            if overwritten is not None:
                raise UsageError(
                    f"{overwritten}: would be replaced by a result of {image.name}; choose another --out"
                )


def case_pictures(folder: Path, edited: frozenset[str] = frozenset(), *, plane: int | None = None) -> CasePictures:
    """Sort the pictures of a case's folder by the cell that they show.

    Focus planes of a capture are recognised by its metadata; copies, exports and retakes by the picture itself
    (see `analysis.case.same_picture`). Of several pictures of a cell the one is karyotyped whose proposal a person
    edited, else our own capture, else the one of most bits and pixels without loss.

    Parameters
    ----------
    folder
        The pictures.
    edited
        Stems whose proposal a person edited.
    plane
        Which plane is taken of pictures that have several; the sharpest where it is None.

    Raises
    ------
    UsageError
        There is no such folder, no picture in it, two of different cells that only differ in their ending, or one
        whose results would have the names of the case's own.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".")
    )
    drawn = [path for path in paths if is_own_drawing(path)]
    paths = [path for path in paths if path not in drawn]
    if not paths:
        raise UsageError(f"{folder}: no picture in it ({', '.join(sorted(PICTURE_ENDINGS))})")
    unreadable: list[CellPictures] = []
    readable: list[_Picture] = []
    for path in paths:
        try:
            readable.append(_read(path, plane))
        except AnalysisError:
            # Its own cell: karyotyping it tells why it can't be.
            unreadable.append(CellPictures(path))
    cells = [_cell([readable[row] for row in group], edited) for group in _groups(readable)]
    ordered = sorted([*cells, *unreadable], key=lambda cell: cell.path.name)
    refuse_twins([cell.path for cell in ordered])
    named_as_case = [cell.path for cell in ordered if output_stem(cell.path).casefold() == CASE_STEM]
    if named_as_case:
        raise UsageError(f"{named_as_case[0]}: its results would be called as the case's own; rename the picture")
    return CasePictures(tuple(ordered), tuple(path.name for path in drawn))


def is_own_drawing(path: Path) -> bool:
    """Whether a picture is a karyogram or an outlined metaphase that was written beside a proposal."""
    for ending, companions in ((_KARYOGRAM, (".json", _METAPHASE)), (_METAPHASE, (".json", _KARYOGRAM))):
        if path.name.endswith(ending):
            stem = path.name.removesuffix(ending)
            return any(path.with_name(stem + companion).exists() for companion in companions)
    return False


def _read(path: Path, plane: int | None) -> _Picture:
    image = read_image(path, plane, single_as_it_is=True)
    metadata: CaptureMetadata | None = None
    if path.name.lower().endswith(_OME_ENDINGS):
        try:
            metadata = read_capture(path).metadata
        except StorageError:
            # An OME-TIFF of another instrument.
            metadata = None
    return _Picture(
        path=path,
        metadata=metadata,
        signature=picture_signature(image),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        pixels=image.pixels.size,
        bit_depth=image.bit_depth,
        sharpness=float(cv2.Laplacian(image.pixels, cv2.CV_32F).std()),
    )


def _groups(pictures: Sequence[_Picture]) -> list[list[int]]:
    """Indices of the pictures of each cell: joined where content, candidate or bytes are the same."""
    groups = [set(group) for group in groups_of_same_pictures([picture.signature for picture in pictures])]
    keyed: dict[object, set[int]] = {}
    for row, picture in enumerate(pictures):
        keyed.setdefault(picture.sha256, set()).add(row)
        if picture.metadata is not None:
            keyed.setdefault((picture.metadata.run_uid, picture.metadata.candidate_uid), set()).add(row)
    for joined in keyed.values():
        touched = [group for group in groups if group & joined]
        groups = [group for group in groups if not group & joined]
        groups.append(set().union(*touched))
    return [sorted(group) for group in groups]


def _cell(pictures: Sequence[_Picture], edited: frozenset[str]) -> CellPictures:
    def preference(picture: _Picture) -> tuple[bool, bool, bool, int, int, bool, float, str]:
        return (
            output_stem(picture.path) not in edited,
            picture.metadata is None,
            _is_plane(picture),
            -picture.bit_depth,
            -picture.pixels,
            picture.path.suffix.lower() in _LOSSY_ENDINGS,
            -picture.sharpness,
            picture.path.name,
        )

    first, *others = sorted(pictures, key=preference)
    return CellPictures(
        first.path,
        tuple(
            FurtherPicture(
                drawable(other.path.name), PictureKind.FOCUS_PLANE if _is_plane(other) else PictureKind.COPY
            )
            for other in sorted(others, key=lambda other: other.path.name)
        ),
    )


def _is_plane(picture: _Picture) -> bool:
    return picture.metadata is not None and _PLANE.fullmatch(picture.metadata.uid) is not None
