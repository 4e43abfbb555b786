"""Banding and band reading as a proposal file holds them, and back."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.karyotyping.proposal_model import (
    BandingModel,
    BandLevelModel,
    ComparedModel,
    DefectModel,
    NotComparedModel,
)
from analysis.structures.band_reading import BandReading, CutDefect, HomologueDifference, NotCompared
from analysis.structures.banding import BandingEstimate, BandLevel
from analysis.structures.classes import CLASS_NAMES

_DIGITS = 4
_CONFIDENCE_DIGITS = 3
"""Decimals that a file keeps: more are noise."""


def banding_to_model(banding: BandingEstimate | None) -> BandingModel | None:
    """An estimate of the banding as a file holds it."""
    if banding is None:
        return None
    return BandingModel(
        kind=banding.kind,
        confidence=round(banding.confidence, _CONFIDENCE_DIGITS),
        text=banding.text,
        likeness={name: round(value, _CONFIDENCE_DIGITS) for name, value in banding.likeness.items()},
    )


def banding_from_model(model: BandingModel | None) -> BandingEstimate | None:
    """An estimate of the banding from a file."""
    return (
        None if model is None else BandingEstimate(model.kind, model.confidence, model.text, dict(model.likeness))
    )


def bands_to_models(
    reading: BandReading,
) -> tuple[BandLevelModel | None, tuple[ComparedModel | NotComparedModel, ...]]:
    """Band level and homologues as a file holds them, in the order of the classes."""
    level = reading.level
    homologues: list[ComparedModel | NotComparedModel] = [
        *(_compared_to_model(each) for each in reading.homologues),
        *(_not_compared_to_model(each) for each in reading.not_compared),
    ]
    homologues.sort(key=lambda each: CLASS_NAMES.index(each.class_name))
    if level is None:
        return None, tuple(homologues)
    counted = round(level.counted, _DIGITS)
    model = BandLevelModel(bands=level.bands, low=level.low, high=level.high, counted=counted, level=level.level)
    return model, tuple(homologues)


def bands_from_model(
    level: BandLevelModel | None,
    homologues: Sequence[ComparedModel | NotComparedModel],
    defects: Sequence[CutDefect | None],
) -> BandReading:
    """A band reading from a file.

    Parameters
    ----------
    level
        Band level; None where there is none.
    homologues
        Pairs, compared or not.
    defects
        Defect of every chromosome.
    """
    compared = [_compared_from_model(each) for each in homologues if isinstance(each, ComparedModel)]
    not_compared = [
        NotCompared(each.class_name, each.chromosomes, tuple((one.chromosome, one.defect) for one in each.defects))
        for each in homologues
        if isinstance(each, NotComparedModel)
    ]
    return BandReading(
        None if level is None else BandLevel(level.bands, level.low, level.high, level.counted),
        tuple(compared),
        tuple(not_compared),
        tuple(defects) if any(defect is not None for defect in defects) else (),
    )


def _compared_to_model(pair: HomologueDifference) -> ComparedModel:
    return ComparedModel.model_validate(
        {
            "class": pair.class_name,
            "chromosomes": (int(pair.rows[0]), int(pair.rows[1])),
            "compared": True,
            "changed": int(pair.changed_row),
            "difference": round(1.0 - float(pair.p_value), _DIGITS),
            "score": round(float(pair.score), _DIGITS),
            "flagged": bool(pair.flagged),
            "kind": pair.kind,
            "start": round(float(pair.start), _DIGITS),
            "stop": round(float(pair.stop), _DIGITS),
            "where": pair.where,
            "text": pair.text,
        }
    )


def _compared_from_model(model: ComparedModel) -> HomologueDifference:
    return HomologueDifference(
        class_name=model.class_name,
        rows=model.chromosomes,
        changed_row=model.changed,
        score=model.score,
        p_value=round(1.0 - model.difference, _DIGITS),
        flagged=model.flagged,
        kind=model.kind,
        start=model.start,
        stop=model.stop,
        where=model.where,
    )


def _not_compared_to_model(not_compared: NotCompared) -> NotComparedModel:
    return NotComparedModel.model_validate(
        {
            "class": not_compared.class_name,
            "chromosomes": tuple(int(row) for row in not_compared.rows),
            "compared": False,
            "flagged": False,
            "defects": tuple(
                DefectModel(chromosome=int(row), defect=defect) for row, defect in not_compared.defects
            ),
            "text": f"not compared: {not_compared.reason}",
        }
    )
