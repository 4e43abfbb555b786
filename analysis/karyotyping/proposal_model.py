"""What stands in a proposal file: one strict model a JSON object (``karyoscan schema proposal``).

Unknown keys, numbers that aren't finite and values of another type are refused; what needs the picture or several
entries at once is checked by `analysis.karyotyping.proposal_file`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.structures.band_reading import CutDefect, Rearrangement
from analysis.structures.banding import BandingKind
from analysis.structures.cell_edit import RecordedEdit
from analysis.structures.class_field import ClassName
from analysis.structures.instance import SegmentationRoute
from analysis.structures.review import ReviewFinding, ReviewLevel
from analysis.structures.unexplained import UnexplainedReason

FORMAT: Final = "karyoscan-proposal"
VERSION: Final = 2
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
BoxPx = tuple[Count, Count, Count, Count]
ExtentPx = tuple[float, float, float, float]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class MaskModel(_StrictModel):
    """A mask as COCO run lengths of the full image."""

    size: tuple[Count, Count] = Field(description="height and width of the image, px")
    counts: str = Field(description="COCO's compressed run lengths, column by column")


class ProposedClassModel(_StrictModel):
    """What the software proposed for a chromosome; never edited."""

    class_name: ClassName = Field(alias="class")
    flipped: bool


class ChromosomeModel(_StrictModel):
    """One chromosome."""

    id: Count = Field(description="number in the PDF's table; unique")
    class_name: ClassName = Field(alias="class", description='may be edited; "mar" is a marker, "?" no class')
    probability: Probability = Field(description="that the class proposed is right")
    box_px: BoxPx = Field(description="xmin, ymin, xmax, ymax in image px, half open")
    mask: MaskModel
    flipped: bool = Field(description="may be edited; whether the short arm is at the lower end in the image")
    proposed: ProposedClassModel
    confirmed: bool = Field(description="may be edited; whether a person says that the class is right")
    overlaps: tuple[Count, ...] = Field(
        description="ids of instances that share pixels or a cut line with this one"
    )
    not_compared: CutDefect | None = Field(description="why it isn't compared with its homologue")
    score: Probability = Field(description="that this is exactly one chromosome")
    route: SegmentationRoute = Field(description="how its pixels were told from others'")
    extent_px: ExtentPx | None = Field(
        description="xmin, ymin, xmax, ymax of the whole chromosome, hidden parts too"
    )
    edits: tuple[dict[str, str | int | float | bool | None], ...] = Field(
        default=(), description="records that an editor attached, kept as they are"
    )


class ReasonModel(_StrictModel):
    """One reason of the verdict."""

    finding: ReviewFinding
    text: str
    review: bool = Field(description="whether it takes a review")


class VerdictModel(_StrictModel):
    """What the proposal asks of a person."""

    level: ReviewLevel
    reasons: tuple[ReasonModel, ...]
    mostly_confirmed: bool = Field(description="whether a person named most chromosomes")


class BandingModel(_StrictModel):
    """What banding the cell shows."""

    kind: BandingKind | None
    confidence: Probability
    text: str
    likeness: dict[str, float]


class BandLevelModel(_StrictModel):
    """How finely the cell is banded."""

    bands: Count
    low: Count
    high: Count
    counted: float
    level: str


class DefectModel(_StrictModel):
    """Why a chromosome isn't compared."""

    chromosome: Count = Field(description="place in the list of chromosomes")
    defect: CutDefect


class ComparedModel(_StrictModel):
    """Homologues that were compared."""

    class_name: ClassName = Field(alias="class")
    chromosomes: tuple[Count, Count] = Field(description="places in the list of chromosomes")
    compared: Literal[True]
    changed: Count = Field(description="place of that of both which is the less like its class")
    difference: Probability = Field(description="fraction of normal pairs that differ less")
    score: float
    flagged: bool
    kind: Rearrangement
    start: float = Field(description="of the differing stretch, as a fraction of the length from the short arm on")
    stop: float
    where: str
    text: str


class NotComparedModel(_StrictModel):
    """Homologues that couldn't be compared."""

    class_name: ClassName = Field(alias="class")
    chromosomes: tuple[Count, ...] = Field(description="places in the list of chromosomes")
    compared: Literal[False]
    flagged: Literal[False]
    defects: tuple[DefectModel, ...]
    text: str


class UnselectedModel(_StrictModel):
    """A proposal that the selection left out: where a missed chromosome may be looked for."""

    extent_px: ExtentPx
    score: Probability


class UnexplainedModel(_StrictModel):
    """An object that is dark and of chromosome-like size, and lies in no mask."""

    box_px: BoxPx = Field(description="xmin, ymin, xmax, ymax in image px, half open")
    mask: MaskModel
    reason: UnexplainedReason
    probability: Probability = Field(description="that it is a chromosome that was missed")
    stain_probability: Probability = Field(
        description="that it is a chromosome's stain: of one that was missed, or a part that the mask of one lacks"
    )
    dismissed: bool = Field(default=False, description="whether a person said that it is no chromosome")


class ExplainingChromosomeModel(_StrictModel):
    """A chromosome of one explanation of a pile."""

    box_px: BoxPx = Field(description="xmin, ymin, xmax, ymax in image px, half open")
    mask: MaskModel
    score: Probability = Field(description="that this is exactly one chromosome")
    route: SegmentationRoute = Field(description="how its pixels were told from others'")
    extent_px: ExtentPx | None


class ExplanationModel(_StrictModel):
    """One explanation of a pile."""

    probability: Probability
    chromosomes: tuple[ExplainingChromosomeModel, ...]


class PileModel(_StrictModel):
    """Connected stain that may be explained in several ways."""

    explanations: tuple[ExplanationModel, ...] = Field(
        description="what was proposed first, then from the likeliest on"
    )


class ProposalModel(_StrictModel):
    """A karyotype proposal of KaryoScan."""

    format: Literal["karyoscan-proposal"]
    version: Literal[2]
    image: str = Field(min_length=1, description="the picture: a path relative to this file, or its name")
    image_sha256: Sha256 = Field(description="of the picture's grey pixels, row by row, 8 bit, dark on bright")
    picture_remarks: tuple[str, ...] = Field(
        default=(), description="what was chosen or changed when the picture was read: plane, border, orientation"
    )
    picture_plane: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="which plane of the picture's file it is of, counted from 1; null where it has one",
    )
    width_px: Annotated[int, Field(gt=0)]
    height_px: Annotated[int, Field(gt=0)]
    iscn: str | None = Field(description="worked out anew from the classes whenever the file is read")
    seconds: Annotated[float, Field(ge=0.0)]
    edited: bool = Field(description="worked out anew whenever the file is read")
    complete: bool = Field(description="may be edited; whether a person says that no chromosome was missed")
    proposed_objects: Count = Field(description="objects that the software proposed")
    chromosomes: tuple[ChromosomeModel, ...]
    verdict: VerdictModel
    proposed_verdict: VerdictModel | None = Field(description="on what the software proposed, where it was edited")
    banding: BandingModel | None
    protocol_banding: str | None
    band_level: BandLevelModel | None
    homologues: tuple[Annotated[ComparedModel | NotComparedModel, Field(discriminator="compared")], ...]
    hypothesis: str = Field(description="sex complement that fits best; empty where it isn't recorded")
    margin: Annotated[float, Field(ge=0.0, description="nats between the best and the second-best assignment")]
    losses_believed: Count | None = Field(description="autosomes that may be called lost; null for all")
    left_out: tuple[UnselectedModel, ...]
    weights: dict[str, Sha256] = Field(description="sha256 of the nets that proposed it")
    unexplained: tuple[UnexplainedModel, ...] = Field(
        default=(), description="what is dark, of chromosome-like size and in no mask, as the software proposed it"
    )
    piles: tuple[PileModel, ...] = Field(
        default=(), description="stain with other explanations than the proposed one"
    )
    cell_edits: tuple[RecordedEdit, ...] = Field(
        default=(), description="edits of the cell in the order in which they were made, see karyoscan refine"
    )
    superseded: tuple[ChromosomeModel, ...] = Field(
        default=(), description="chromosomes as they were before edits of the cell changed or removed them"
    )
