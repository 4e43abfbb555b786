"""A karyotype proposal as a file that can be edited and taken up again; the only reader and the only writer of it.

What may be edited of a chromosome is its ``class`` ("1" to "22", "X", "Y", "mar" for a marker, "?" for none) and
``flipped``; ``confirmed`` says that a person looked and the class is right; one that is deleted from the list
isn't drawn. ``proposed`` keeps what the software said. The picture itself stays where it was: masks and boxes are
read against it. The keys are those of `analysis.karyotyping.proposal_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, ProposalFileError
from analysis.imaging.background import estimate_background
from analysis.karyotyping.completion import report_iscn
from analysis.karyotyping.edited_proposal import revise_karyotype
from analysis.karyotyping.proposal_bands import (
    banding_from_model,
    banding_to_model,
    bands_from_model,
    bands_to_models,
)
from analysis.karyotyping.proposal_model import (
    FORMAT,
    VERSION,
    ChromosomeModel,
    ExplainingChromosomeModel,
    ExplanationModel,
    MaskModel,
    PileModel,
    ProposalModel,
    ProposedClassModel,
    ReasonModel,
    UnexplainedModel,
    UnselectedModel,
    VerdictModel,
)
from analysis.karyotyping.proposal_picture import check_image, find_image, image_reference, image_sha256
from analysis.karyotyping.proposal_text import load_json, parse_proposal, proposal_text
from analysis.karyotyping.proposal_v1 import is_version_1, upgraded
from analysis.karyotyping.run_lengths import decode_run_lengths, encode_run_lengths
from analysis.structures.alternatives import Pile, PileExplanation
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.review import ReviewReason, ReviewVerdict
from analysis.structures.segmentation import UnselectedProposal
from analysis.structures.unexplained import UnexplainedObject
from scanner.portable.atomic_files import write_atomic

_PROBABILITY_DIGITS = 4
_LENGTH_DIGITS = 2
_SECONDS_DIGITS = 3
"""Decimals that a file keeps: more are noise, and make files of the same proposal differ."""


def read_proposal(path: Path, image: GreyImage | None = None) -> Karyotype:
    """Take up a proposal that `write_proposal` wrote, edited or not.

    The ISCN string is composed anew from the classes; what the file says of it isn't believed. An edited proposal
    is reviewed and completed anew like a fresh one. Where the verdict reports no karyotype, none is reported
    unless a person named or confirmed most chromosomes (`review_edited_proposal`).

    Parameters
    ----------
    path
        The JSON file.
    image
        The picture; looked for where the file says, or beside it, where it is None.

    Raises
    ------
    ProposalFileError
        The file isn't a proposal, contradicts itself, or is of another picture; with the place.
    ImageError
        The picture can't be read.
    """
    content = load_json(path)
    first_version = is_version_1(content)
    if first_version:
        picture = image or _image_of_version_1(content, path)
        content = upgraded(content, image_reference(picture.source, path.parent), image_sha256(picture))
        model = parse_proposal(content, path)
        check_image(picture, path, (model.height_px, model.width_px), None)
    else:
        _refuse_other_versions(content, path)
        model = parse_proposal(content, path)
        size = (model.height_px, model.width_px)
        picture = image or find_image(model.image, path, size, model.image_sha256, plane=model.picture_plane)
        check_image(picture, path, size, model.image_sha256)
        picture = replace(picture, remarks=model.picture_remarks or picture.remarks, plane=model.picture_plane)
    masks = _checked_masks(model, path)
    _check_verdicts(model, path)
    recorded = _recorded_karyotype(model, masks, picture, path)
    if first_version or recorded.edited or model.proposed_verdict is not None:
        return revise_karyotype(recorded, [each.not_compared for each in model.chromosomes])
    return _restored(recorded, model, path)


def write_proposal(karyotype: Karyotype, path: Path) -> None:
    """Write a proposal, whole or not at all.

    Parameters
    ----------
    karyotype
        The proposal, fresh or edited.
    path
        The JSON file; its folder is made where it isn't there.

    Raises
    ------
    AnalysisError
        It can't be written.
    """
    text = proposal_text(proposal_model(karyotype, path.parent))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as error:
        raise AnalysisError(f"can't be written ({error.strerror})", path=path) from error


def proposal_model(karyotype: Karyotype, folder: Path | None = None) -> ProposalModel:
    """A proposal as its file holds it.

    Parameters
    ----------
    karyotype
        The proposal.
    folder
        Where its file lies, from which the picture is named; None gives the picture's name.
    """
    image, count = karyotype.image, len(karyotype.chromosomes)
    level, homologues = bands_to_models(karyotype.bands)
    defects = karyotype.bands.defects or (None,) * count
    return ProposalModel(
        format=FORMAT,
        version=VERSION,
        image=image_reference(image.source, folder),
        image_sha256=image_sha256(image),
        picture_remarks=image.remarks,
        picture_plane=image.plane,
        width_px=image.width_px,
        height_px=image.height_px,
        iscn=karyotype.iscn.text,
        seconds=round(karyotype.seconds, _SECONDS_DIGITS),
        edited=karyotype.edited,
        complete=karyotype.complete,
        proposed_objects=count if karyotype.proposed_objects is None else karyotype.proposed_objects,
        chromosomes=tuple(
            _chromosome_model(each, image, not_compared=defect)
            for each, defect in zip(karyotype.chromosomes, defects, strict=True)
        ),
        verdict=_verdict_model(karyotype.verdict),
        proposed_verdict=None
        if karyotype.proposed_verdict is None
        else _verdict_model(karyotype.proposed_verdict),
        banding=banding_to_model(karyotype.banding),
        protocol_banding=karyotype.protocol_banding,
        band_level=level,
        homologues=homologues,
        hypothesis=karyotype.hypothesis,
        margin=round(karyotype.margin, _PROBABILITY_DIGITS),
        losses_believed=karyotype.losses_believed,
        left_out=tuple(
            UnselectedModel(extent_px=_rounded(each.extent_px), score=round(each.score, _PROBABILITY_DIGITS))
            for each in karyotype.left_out
        ),
        weights=dict(karyotype.weights),
        unexplained=tuple(_unexplained_model(each, image) for each in karyotype.unexplained),
        piles=tuple(_pile_model(each, image) for each in karyotype.piles),
        cell_edits=karyotype.cell_edits,
        superseded=tuple(_chromosome_model(each, image, not_compared=None) for each in karyotype.superseded),
    )


def _unexplained_model(unexplained: UnexplainedObject, image: GreyImage) -> UnexplainedModel:
    return UnexplainedModel(
        box_px=unexplained.box_px,
        mask=_mask_model(unexplained.box_px, unexplained.mask, image),
        reason=unexplained.reason,
        probability=round(unexplained.probability, _PROBABILITY_DIGITS),
        stain_probability=round(unexplained.stain_probability, _PROBABILITY_DIGITS),
        dismissed=unexplained.dismissed,
    )


def _mask_model(box_px: tuple[int, int, int, int], mask: NDArray[np.bool_], image: GreyImage) -> MaskModel:
    counts = encode_run_lengths(mask, box_px, image.height_px, image.width_px)
    return MaskModel(size=(image.height_px, image.width_px), counts=counts)


def _pile_model(pile: Pile, image: GreyImage) -> PileModel:
    return PileModel(
        explanations=tuple(
            ExplanationModel(
                probability=round(explanation.probability, _PROBABILITY_DIGITS),
                chromosomes=tuple(
                    ExplainingChromosomeModel(
                        box_px=each.box_px,
                        mask=_mask_model(each.box_px, each.mask, image),
                        score=round(float(each.score), _PROBABILITY_DIGITS),
                        route=each.route,
                        extent_px=None if each.extent_px is None else _rounded(each.extent_px),
                    )
                    for each in explanation.instances
                ),
            )
            for explanation in pile.explanations
        )
    )


def _chromosome_model(
    chromosome: KaryotypedChromosome, image: GreyImage, not_compared: str | None
) -> ChromosomeModel:
    instance = chromosome.instance
    class_name, flipped = chromosome.proposed or (chromosome.class_name, chromosome.flipped)
    xmin, ymin, xmax, ymax = (int(side) for side in instance.box_px)
    return ChromosomeModel.model_validate(
        {
            "id": chromosome.id,
            "class": chromosome.class_name,
            "probability": round(chromosome.probability, _PROBABILITY_DIGITS),
            "box_px": (xmin, ymin, xmax, ymax),
            "mask": _mask_model((xmin, ymin, xmax, ymax), instance.mask, image),
            "flipped": chromosome.flipped,
            "proposed": ProposedClassModel.model_validate({"class": class_name, "flipped": flipped}),
            "confirmed": chromosome.confirmed,
            "overlaps": tuple(int(other) for other in instance.overlaps),
            "not_compared": not_compared,
            "score": round(float(instance.score), _PROBABILITY_DIGITS),
            "route": instance.route,
            "extent_px": None if instance.extent_px is None else _rounded(instance.extent_px),
            "edits": tuple(dict(record) for record in chromosome.edits),
        }
    )


def _verdict_model(verdict: ReviewVerdict) -> VerdictModel:
    return VerdictModel(
        level=verdict.level,
        reasons=tuple(
            ReasonModel(finding=each.finding, text=each.text, review=each.review) for each in verdict.reasons
        ),
        mostly_confirmed=verdict.mostly_confirmed,
    )


def _rounded(extent_px: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    xmin, ymin, xmax, ymax = (round(float(side), _LENGTH_DIGITS) for side in extent_px)
    return xmin, ymin, xmax, ymax


def _image_of_version_1(content: dict[str, Any], path: Path) -> GreyImage:
    reference, size = content.get("image"), (content.get("height_px"), content.get("width_px"))
    if not isinstance(reference, str) or not all(isinstance(side, int) for side in size):
        raise ProposalFileError("isn't a karyotype proposal: it names no picture and its size", path=path)
    return find_image(reference, path, (int(str(size[0])), int(str(size[1]))), None)


def _refuse_other_versions(content: dict[str, Any], path: Path) -> None:
    if content.get("format") == FORMAT and content.get("version") != VERSION:
        raise ProposalFileError(
            f"is of version {content.get('version')!r}, this software reads up to {VERSION}: take a newer one",
            place="version",
            path=path,
        )


def _checked_masks(model: ProposalModel, path: Path) -> list[NDArray[np.bool_]]:
    """Decode the masks, each within its box; ids and masks have to be unique."""
    size = (model.height_px, model.width_px)
    ids: dict[int, int] = {}
    contents: dict[tuple[tuple[int, ...], bytes], int] = {}
    masks = []
    for place, each in enumerate(model.chromosomes):
        at = f"chromosomes[{place}]"
        first = ids.setdefault(each.id, place)
        if first != place:
            raise ProposalFileError(
                f"{each.id} is the id of chromosomes[{first}] too", place=f"{at}.id", path=path
            )
        full = _decoded(each.mask, each.box_px, size, at, path)
        rows, columns = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
        tight = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        content = full[tight[1] : tight[3], tight[0] : tight[2]].tobytes()
        first = contents.setdefault((tight, content), place)
        if first != place:
            problem = f"is the mask of chromosomes[{first}] too"
            raise ProposalFileError(problem, place=f"{at}.mask", path=path)
        xmin, ymin, xmax, ymax = each.box_px
        masks.append(np.ascontiguousarray(full[ymin:ymax, xmin:xmax]))
    return masks


def _decoded(
    mask: MaskModel, box_px: tuple[int, int, int, int], size: tuple[int, int], at: str, path: Path
) -> NDArray[np.bool_]:
    """The mask in the full image, once it is sure that it lies in its box and the box in the picture."""
    xmin, ymin, xmax, ymax = box_px
    if not (xmin < xmax <= size[1] and ymin < ymax <= size[0]):
        problem = f"{list(box_px)} isn't a box within the picture of {size[1]} x {size[0]} px"
        raise ProposalFileError(problem, place=f"{at}.box_px", path=path)
    if mask.size != size:
        raise ProposalFileError("isn't the size of the picture", place=f"{at}.mask.size", path=path)
    try:
        full = decode_run_lengths(mask.counts, *size)
    except ValueError as error:
        raise ProposalFileError(str(error), place=f"{at}.mask.counts", path=path) from error
    inside = int(np.count_nonzero(full[ymin:ymax, xmin:xmax]))
    if inside == 0:
        raise ProposalFileError("its mask is empty within its box", place=f"{at}.mask", path=path)
    if inside < np.count_nonzero(full):
        raise ProposalFileError("its mask reaches beyond its box", place=f"{at}.mask", path=path)
    return full


def _check_verdicts(model: ProposalModel, path: Path) -> None:
    """Refuse a level that its own reasons contradict."""
    for place, stored in (("verdict", model.verdict), ("proposed_verdict", model.proposed_verdict)):
        if stored is not None and stored.level is not _verdict_from_model(stored).level:
            raise ProposalFileError(
                f"says {stored.level.value!r}, its reasons ask for {_verdict_from_model(stored).level.value!r}",
                place=f"{place}.level",
                path=path,
            )


def _verdict_from_model(model: VerdictModel) -> ReviewVerdict:
    reasons = tuple(ReviewReason(each.finding, each.text, each.review) for each in model.reasons)
    return ReviewVerdict(reasons, model.mostly_confirmed)


def _recorded_karyotype(
    model: ProposalModel, masks: Sequence[NDArray[np.bool_]], image: GreyImage, path: Path
) -> Karyotype:
    """What a file records, without what follows from it."""
    return Karyotype(
        image=image,
        background=estimate_background(image.pixels),
        chromosomes=tuple(
            _chromosome_from_model(each, mask) for each, mask in zip(model.chromosomes, masks, strict=True)
        ),
        iscn=IscnResult(None),
        hypothesis=model.hypothesis,
        margin=model.margin,
        seconds=model.seconds,
        verdict=_verdict_from_model(model.verdict),
        left_out=tuple(UnselectedProposal(each.extent_px, each.score) for each in model.left_out),
        proposed_objects=model.proposed_objects,
        complete=model.complete,
        protocol_banding=model.protocol_banding,
        losses_believed=model.losses_believed,
        proposed_verdict=None if model.proposed_verdict is None else _verdict_from_model(model.proposed_verdict),
        weights=dict(model.weights),
        unexplained=tuple(
            _unexplained_from_model(each, model, f"unexplained[{place}]", path)
            for place, each in enumerate(model.unexplained)
        ),
        piles=tuple(
            _pile_from_model(each, model, f"piles[{place}]", path) for place, each in enumerate(model.piles)
        ),
        cell_edits=model.cell_edits,
        superseded=tuple(
            _chromosome_from_model(each, _mask_within(each.mask, each.box_px, model, f"superseded[{place}]", path))
            for place, each in enumerate(model.superseded)
        ),
    )


def _unexplained_from_model(
    unexplained: UnexplainedModel, model: ProposalModel, at: str, path: Path
) -> UnexplainedObject:
    return UnexplainedObject(
        unexplained.box_px,
        _mask_within(unexplained.mask, unexplained.box_px, model, at, path),
        unexplained.reason,
        unexplained.probability,
        unexplained.stain_probability,
        unexplained.dismissed,
    )


def _pile_from_model(pile: PileModel, model: ProposalModel, at: str, path: Path) -> Pile:
    explanations = []
    for number, explanation in enumerate(pile.explanations):
        instances = tuple(
            Instance(
                each.box_px,
                _mask_within(
                    each.mask, each.box_px, model, f"{at}.explanations[{number}].chromosomes[{row}]", path
                ),
                each.score,
                each.route,
                extent_px=each.extent_px,
            )
            for row, each in enumerate(explanation.chromosomes)
        )
        explanations.append(PileExplanation(explanation.probability, instances))
    return Pile(tuple(explanations))


def _mask_within(
    mask: MaskModel, box_px: tuple[int, int, int, int], model: ProposalModel, at: str, path: Path
) -> NDArray[np.bool_]:
    """A mask cropped to its box."""
    full = _decoded(mask, box_px, (model.height_px, model.width_px), at, path)
    xmin, ymin, xmax, ymax = box_px
    return np.ascontiguousarray(full[ymin:ymax, xmin:xmax])


def _chromosome_from_model(model: ChromosomeModel, mask: NDArray[np.bool_]) -> KaryotypedChromosome:
    proposed = (model.proposed.class_name, model.proposed.flipped)
    return KaryotypedChromosome(
        id=model.id,
        class_name=model.class_name,
        probability=model.probability,
        instance=Instance(model.box_px, mask, model.score, model.route, model.overlaps, extent_px=model.extent_px),
        flipped=model.flipped,
        proposed=None if proposed == (model.class_name, model.flipped) else proposed,
        confirmed=model.confirmed,
        edits=tuple(dict(record) for record in model.edits),
    )


def _restored(recorded: Karyotype, model: ProposalModel, path: Path) -> Karyotype:
    """An unedited proposal as it was written; its ISCN string is composed anew all the same."""
    count = len(model.chromosomes)
    for number, each in enumerate(model.homologues):
        if max(each.chromosomes, default=0) >= count:
            place = f"homologues[{number}].chromosomes"
            raise ProposalFileError(f"there are {count} chromosomes only", place=place, path=path)
    defects = tuple(each.not_compared for each in model.chromosomes)
    restored = replace(
        recorded,
        banding=banding_from_model(model.banding),
        bands=bands_from_model(model.band_level, model.homologues, defects),
    )
    return replace(restored, iscn=report_iscn(restored))
