"""Import one cell: two files in, a record, crops and an overview out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import ImageError
from analysis.imaging.image_file import read_image
from analysis.karyogram_import.imported_cell import (
    ImportedCell,
    ImportedChromosome,
    ImportedPicture,
    MatchedPlace,
    UnexplainedBox,
)
from analysis.karyogram_import.matching import MatchedPicture, match_cell
from analysis.karyogram_import.overview import draw_overview
from analysis.karyogram_import.pairs import KaryogramPair
from analysis.karyogram_import.settings import LABEL, REGISTRATION, SHEET
from analysis.karyogram_import.sheet_layout import BUILT_IN_LAYOUTS, SheetLayout
from analysis.karyogram_import.sheet_reading import read_karyogram
from analysis.karyotyping.run_lengths import encode_run_lengths
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.grey_image import GreyImage
from scanner.portable.file_names import file_stem

_CROP_MARGIN_PX = 4
"""Paper round a crop, so that no edge of the chromosome is an edge of the picture."""
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ImportedPair:
    """What an import gives.

    Attributes
    ----------
    cell
        The record.
    crops
        File name within the cell's folder of crops to uint8 picture, shape (h, w), white round the chromosome.
    overview
        uint8, shape (h, w, 3), BGR: the sheet beside the metaphase, what belongs together in one colour.
    """

    cell: ImportedCell
    crops: Mapping[str, NDArray[np.uint8]]
    overview: NDArray[np.uint8]


def import_pair(pair: KaryogramPair, layouts: Sequence[SheetLayout] = BUILT_IN_LAYOUTS) -> ImportedPair:
    """Read a karyogram and find its chromosomes in its metaphase.

    Parameters
    ----------
    pair
        The files.
    layouts
        That the sheet may have.

    Raises
    ------
    ImageError
        A file can't be read, or shows no chromosome.
    NoMetaphaseError
        There is no metaphase on the metaphase's picture.
    """
    sheet, metaphase = read_image(pair.karyogram), read_image(pair.metaphase)
    karyogram = read_karyogram(sheet, layouts)
    matched = match_cell(karyogram, metaphase)
    chromosomes = tuple(_chromosome(each, metaphase, pair.name) for each in matched.pictures)
    cell = ImportedCell(
        name=pair.name,
        metaphase=_picture(pair.metaphase, metaphase),
        karyogram=_picture(pair.karyogram, sheet),
        layout=None if karyogram.fitted.layout is None else karyogram.fitted.layout.name,
        layout_agreement=round(karyogram.fitted.agreement, _DECIMALS),
        settings_sha256=settings_sha256(layouts),
        scale=matched.scale,
        chromosomes=chromosomes,
        unexplained=tuple(
            UnexplainedBox(box_px=each.box_px, area_px=each.area_px) for each in matched.unexplained
        ),
    )
    crops = {chromosome.crop: _crop(each) for chromosome, each in zip(chromosomes, matched.pictures, strict=True)}
    return ImportedPair(cell, crops, draw_overview(cell, sheet, metaphase))


def settings_sha256(layouts: Sequence[SheetLayout]) -> str:
    """sha256 of the layouts and of all thresholds: with other ones a cell is imported again."""
    content = [layout.model_dump_json() for layout in layouts] + [
        asdict(each) for each in (SHEET, LABEL, REGISTRATION)
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file.

    Raises
    ------
    ImageError
        It can't be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ImageError(f"can't be read: {error.strerror}", path=path) from error


def crop_file(cell: str, number: int, class_name: str) -> str:
    """Name of a crop's file: cell, number and class; a class that isn't certain is ``unclassified``.

    Parameters
    ----------
    cell
        Its name.
    number
        Of the chromosome.
    class_name
        Its class.
    """
    return f"{file_stem(cell)}.{number:02d}.{'unclassified' if class_name == UNCLASSIFIED else class_name}.png"


def _picture(path: Path, image: GreyImage) -> ImportedPicture:
    return ImportedPicture(
        file=path.name, sha256=file_sha256(path), height_px=image.height_px, width_px=image.width_px
    )


def _chromosome(matched: MatchedPicture, metaphase: GreyImage, cell: str) -> ImportedChromosome:
    picture, match = matched.picture, matched.match
    class_name = picture.class_name or UNCLASSIFIED
    place = None
    if match is not None:
        place = MatchedPlace(
            box_px=match.box_px,
            mask=encode_run_lengths(match.mask, match.box_px, metaphase.height_px, metaphase.width_px),
            angle_deg=round(match.pose.angle_deg, _DECIMALS) % 360.0,
            scale=match.pose.scale,
            mirrored=match.pose.mirrored,
            score=round(match.score, _DECIMALS),
        )
    return ImportedChromosome.model_validate(
        {
            "number": picture.number,
            "class": class_name,
            "class_defect": picture.defect,
            "sheet_box_px": picture.box_px,
            "crop": crop_file(cell, picture.number, class_name),
            "place": place,
            "best_score": round(matched.best_score, _DECIMALS),
            "unmatched": matched.reason,
        }
    )


def _crop(matched: MatchedPicture) -> NDArray[np.uint8]:
    picture = matched.picture
    white = np.where(picture.mask, picture.levels, np.uint8(255)).astype(np.uint8)
    return np.pad(white, _CROP_MARGIN_PX, constant_values=255)
