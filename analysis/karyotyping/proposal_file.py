"""A karyotype proposal as a file that can be edited and taken up again.

What may be edited of a chromosome is its ``class`` ("1" to "22", "X", "Y", "mar" for a marker, "?" for none) and
``flipped``; ``confirmed`` says that a person looked and the class is right; one that is deleted from the list
isn't drawn. ``proposed`` keeps what the software said. The picture itself stays where it was: masks and boxes are
read against it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import mask as coco_mask

from analysis.banding.technique import estimate_banding
from analysis.errors import DatasetError
from analysis.homologues.band_reading import read_bands
from analysis.homologues.cut_quality import measure_cut_quality
from analysis.imaging.background import estimate_background
from analysis.imaging.image_file import read_image
from analysis.karyotyping.iscn import compose_iscn
from analysis.karyotyping.review import judge_edited_proposal
from analysis.straightening.crops import crops_of_cell, cut_instances
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.band_reading import CutDefect
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.review import ReviewFinding, ReviewLevel, ReviewReason, ReviewVerdict


def read_proposal(path: Path, image: GreyImage | None = None) -> Karyotype:
    """Take up a proposal that `write_karyotype` wrote, edited or not.

    The ISCN string is composed anew from the classes; what the file says of it isn't believed. Where the verdict
    withholds it, it stays withheld unless a person named or confirmed most chromosomes (`judge_edited_proposal`).

    Parameters
    ----------
    path
        The JSON file.
    image
        The picture; read from where the file says where it is None.

    Raises
    ------
    DatasetError
        The file isn't a proposal, or names a class, a mask or a picture that can't be.
    ImageError
        The picture can't be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"can't be read ({error.strerror or error})", path=path) from error
    except ValueError as error:
        raise DatasetError(f"isn't JSON ({error})", path=path) from error
    try:
        picture = image or read_image(Path(content["image"]))
        size = (int(content["height_px"]), int(content["width_px"]))
        if size != picture.pixels.shape:
            raise DatasetError(
                f"is of a picture of {size[1]} x {size[0]} px, this one has another size", path=path
            )
        chromosomes = tuple(_chromosome(entry, size, path) for entry in content["chromosomes"])
        doubts = [entry.get("not_compared") for entry in content["chromosomes"]]
        told = [_doubt(doubt, entry) for doubt, entry in zip(doubts, chromosomes, strict=True)]
        verdict = _verdict(content.get("verdict", {}))
        seconds = float(content["seconds"])
        objects = int(content.get("proposed_objects", len(chromosomes)))
        complete = content.get("complete", False)
        if not isinstance(complete, bool):
            raise DatasetError("complete is neither true nor false", path=path)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"isn't a karyotype proposal ({error!r})", path=path) from error
    background = estimate_background(picture.pixels)
    iscn = IscnResult(None)
    proposal = Karyotype(
        picture,
        background,
        chromosomes,
        iscn,
        "",
        0.0,
        seconds,
        verdict,
        proposed_objects=objects,
        complete=complete,
    )
    proposal = _judged(proposal)
    return _with_bands(proposal, told) if chromosomes else proposal


def _judged(proposal: Karyotype) -> Karyotype:
    """Judge anew what was edited, and tell the karyotype or withhold it."""
    entries, verdict = proposal.chromosomes, proposal.verdict
    classes = [entry.class_name for entry in entries]
    if proposal.edited:
        probability = np.array([entry.probability for entry in entries], dtype=np.float64)
        touched = np.array([entry.touched for entry in entries], dtype=np.bool_)
        verdict = judge_edited_proposal(verdict, classes, probability, touched, complete=proposal.complete)
    believed = 0 if verdict.losses_doubted else None
    told = compose_iscn(classes, losses_believed=believed)
    iscn = IscnResult(None, verdict.withheld) if verdict.withheld else told
    return replace(proposal, verdict=verdict, iscn=iscn)


def _doubt(told: str | None, entry: KaryotypedChromosome) -> CutDefect | None:
    """What was doubted of a cut; which way up it stands is no doubt where a person looked."""
    doubt = CutDefect(told) if told else None
    looked = entry.confirmed or entry.proposed is not None
    return None if doubt is CutDefect.TURNED and looked else doubt


def _with_bands(proposal: Karyotype, told: Sequence[CutDefect | None]) -> Karyotype:
    """Read the bands anew: other classes have other homologues."""
    entries = proposal.chromosomes
    instances = [entry.instance for entry in entries]
    objects = cut_instances(proposal.image, proposal.background, instances)
    axes = medial_axes([piece.mask for piece in objects])
    crops = crops_of_cell(objects, axes)
    seen = estimate_banding(crops, fluorescent=proposal.image.inverted)
    flipped = [entry.flipped for entry in entries]
    classes = [entry.class_name for entry in entries]
    bands = read_bands(
        crops,
        flipped,
        classes,
        seen,
        cut_quality=measure_cut_quality(crops, classes, instances),
        recorded_defects=told,
    )
    straight = tuple(
        replace(entry, axis=axis, crop=crop) for entry, axis, crop in zip(entries, axes, crops, strict=True)
    )
    return replace(proposal, chromosomes=straight, banding=seen, bands=bands)


def _chromosome(entry: dict[str, Any], size: tuple[int, int], path: Path) -> KaryotypedChromosome:
    name = entry["class"]
    if name not in {*CLASS_NAMES, MARKER, UNCLASSIFIED}:
        raise DatasetError(f"chromosome {entry['id']}: there is no class {name!r}", path=path)
    if not isinstance(entry["flipped"], bool):
        raise DatasetError(f"chromosome {entry['id']}: flipped is neither true nor false", path=path)
    xmin, ymin, xmax, ymax = (int(value) for value in entry["box_px"])
    if tuple(entry["mask"]["size"]) != size or not (0 <= xmin < xmax <= size[1] and 0 <= ymin < ymax <= size[0]):
        raise DatasetError(f"chromosome {entry['id']}: its box or mask isn't within the picture", path=path)
    full = coco_mask.decode({"size": list(size), "counts": entry["mask"]["counts"].encode("ascii")})
    mask = np.ascontiguousarray(full[ymin:ymax, xmin:xmax] > 0)
    if not mask.any():
        raise DatasetError(f"chromosome {entry['id']}: its mask is empty", path=path)
    overlaps = tuple(int(other) for other in entry["overlaps"])
    instance = Instance((xmin, ymin, xmax, ymax), mask, 1.0, SegmentationRoute.PROPOSAL_FILE, overlaps)
    flipped, confirmed = entry["flipped"], entry.get("confirmed", False)
    if not isinstance(confirmed, bool):
        raise DatasetError(f"chromosome {entry['id']}: confirmed is neither true nor false", path=path)
    before = entry.get("proposed", {"class": name, "flipped": flipped})
    was = str(before["class"]), bool(before["flipped"])
    return KaryotypedChromosome(
        int(entry["id"]),
        name,
        float(entry["probability"]),
        instance,
        flipped,
        None if was == (name, flipped) else was,
        confirmed,
    )


def _verdict(content: dict[str, Any]) -> ReviewVerdict:
    review = content.get("level") == ReviewLevel.MUST_REVIEW.value
    return ReviewVerdict(
        tuple(
            ReviewReason(ReviewFinding(entry["finding"]), str(entry["text"]), review)
            for entry in content.get("reasons", ())
        )
    )


def proposal_json(karyotype: Karyotype) -> dict[str, Any]:
    """Karyotype as plain data, masks as COCO run lengths of the full image; ``iscn`` may be None."""
    doubts = karyotype.bands.defects or (None,) * len(karyotype.chromosomes)
    return {
        "image": karyotype.image.source,
        "width_px": karyotype.image.width_px,
        "height_px": karyotype.image.height_px,
        "iscn": karyotype.iscn.text,
        "seconds": round(karyotype.seconds, 3),
        "edited": karyotype.edited,
        "complete": karyotype.complete,
        "proposed_objects": len(karyotype.chromosomes)
        if karyotype.proposed_objects is None
        else karyotype.proposed_objects,
        "chromosomes": [
            _chromosome_json(karyotype, entry, doubt)
            for entry, doubt in zip(karyotype.chromosomes, doubts, strict=True)
        ],
        "verdict": karyotype.verdict.to_json(),
        "banding": None if karyotype.banding is None else karyotype.banding.to_json(),
        **karyotype.bands.to_json(),
    }


def _chromosome_json(karyotype: Karyotype, entry: KaryotypedChromosome, doubt: CutDefect | None) -> dict[str, Any]:
    proposed = entry.proposed or (entry.class_name, entry.flipped)
    return {
        "id": entry.id,
        "class": entry.class_name,
        "probability": round(entry.probability, 4),
        "box_px": [int(value) for value in entry.instance.box_px],
        "mask": encode_mask(entry.instance, karyotype.image.height_px, karyotype.image.width_px),
        "flipped": entry.flipped,
        "proposed": {"class": proposed[0], "flipped": proposed[1]},
        "confirmed": entry.confirmed,
        "overlaps": [int(other) for other in entry.instance.overlaps],
        "not_compared": None if doubt is None else doubt.value,
    }


def encode_mask(instance: Instance, height_px: int, width_px: int) -> dict[str, Any]:
    """COCO run lengths of an instance in the full image: ``{"size": [height, width], "counts": str}``."""
    full = np.zeros((height_px, width_px), dtype=np.uint8, order="F")
    xmin, ymin, xmax, ymax = instance.box_px
    full[ymin:ymax, xmin:xmax] = instance.mask
    encoded = coco_mask.encode(full)
    counts = encoded["counts"]
    return {
        "size": [int(height_px), int(width_px)],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else str(counts),
    }
