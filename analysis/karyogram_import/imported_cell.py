"""What is kept of an imported karyogram: one strict JSON object a cell, `FORMAT` and `VERSION` in it."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.karyogram_import.layout_fit import ClassDefect
from analysis.karyogram_import.matching import UnmatchedReason

FORMAT: Final = "karyoscan-imported-cell"
VERSION: Final = 1
Count = Annotated[int, Field(ge=0)]
BoxPx = tuple[Count, Count, Count, Count]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
ImportedClass = Annotated[str, Field(pattern=r"^([1-9]|1[0-9]|2[0-2]|X|Y|mar|\?)$")]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ImportedPicture(_StrictModel):
    """One of the two pictures of a cell."""

    file: str = Field(min_length=1, description="name within the folder that was imported")
    sha256: Sha256 = Field(description="of the file")
    height_px: Count
    width_px: Count


class MatchedPlace(_StrictModel):
    """Where a chromosome lies in the metaphase."""

    box_px: BoxPx = Field(description="xmin, ymin, xmax, ymax in px of the metaphase, half open")
    mask: str = Field(description="COCO's compressed run lengths of the metaphase, column by column")
    angle_deg: float = Field(ge=0.0, lt=360.0, description="turn of the sheet's picture, counter-clockwise")
    scale: float = Field(gt=0.0, description="px of the metaphase a px of the sheet")
    mirrored: bool = Field(description="whether the sheet's picture is mirrored before it is turned")
    score: float = Field(ge=-1.0, le=1.0, description="normalised cross-correlation within the mask")


class ImportedChromosome(_StrictModel):
    """One chromosome of the sheet."""

    number: Count = Field(description="row by row on the sheet, from 0")
    class_name: ImportedClass = Field(alias="class", description='"?" where the place on the sheet is uncertain')
    class_defect: ClassDefect | None = Field(description="why it has no class")
    sheet_box_px: BoxPx = Field(description="on the sheet")
    crop: str = Field(min_length=1, description="file of its picture, beside this one, upright as on the sheet")
    place: MatchedPlace | None = Field(description="null where it has none")
    best_score: float = Field(ge=-1.0, le=1.0, description="of the best place, whether it was taken or not")
    unmatched: UnmatchedReason | None = Field(description="why it has no place")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.class_name == "?") != (self.class_defect is not None):
            raise ValueError("a chromosome has either a class or a class_defect")
        if (self.place is None) != (self.unmatched is not None):
            raise ValueError("a chromosome has either a place or a reason why it is unmatched")
        return self


class UnexplainedBox(_StrictModel):
    """Stain of the metaphase that no picture of the sheet matches."""

    box_px: BoxPx
    area_px: Count


class ImportedCell(_StrictModel):
    """A karyogram with its metaphase."""

    format: Literal["karyoscan-imported-cell"] = FORMAT
    version: Literal[1] = VERSION
    name: str = Field(min_length=1, description="what both file names have in common")
    metaphase: ImportedPicture
    karyogram: ImportedPicture
    layout: str | None = Field(description="name of the sheet's layout; null where none fits")
    layout_agreement: float = Field(ge=0.0, le=1.0, description="fraction of the labels that read as the layout")
    settings_sha256: Sha256 = Field(description="of layouts and thresholds: other ones, and it is imported again")
    scale: float = Field(gt=0.0, description="px of the metaphase a px of the sheet")
    chromosomes: tuple[ImportedChromosome, ...]
    unexplained: tuple[UnexplainedBox, ...]

    @property
    def matched(self) -> tuple[ImportedChromosome, ...]:
        """Chromosomes that have a place in the metaphase."""
        return tuple(each for each in self.chromosomes if each.place is not None)

    @property
    def usable(self) -> tuple[ImportedChromosome, ...]:
        """Chromosomes that have a place and a class."""
        return tuple(each for each in self.matched if each.class_defect is None)
