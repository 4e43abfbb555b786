"""How much can be believed without a look, and how often that would be wrong.

Chromosomes are sorted by their confidence; the share that is believed is the coverage, the share of those that is
wrong the risk (El-Yaniv and Wiener, JMLR 11, 2010). A reviewer who only looks at the rest saves time at that risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis.evaluation.cells import CellRecord, Named
from analysis.evaluation.drawing import COLOURS, INK, Axes, Rgb, blank, put_text
from analysis.metrics.statistics import Bools, Floats, calibration
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.review import ReviewLevel, chromosome_level

RISKS: Final = (0.001, 0.005, 0.01)
_HEIGHT_PX, _WIDTH_PX = 560, 1680
_TOP_RISK: Final = 0.05
_POINTS: Final = 200


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """Risk over coverage.

    Attributes
    ----------
    confidence, coverage, risk
        float64, shape (n,): of believing all of at least that confidence, from the surest on.
    """

    confidence: Floats
    coverage: Floats
    risk: Floats

    @property
    def area(self) -> float:
        """Mean risk over all coverages (AURC); NaN for an empty curve."""
        if not self.coverage.size:
            return float("nan")
        return float(np.sum(np.diff(self.coverage, prepend=0.0) * self.risk))

    def coverage_at(self, risk: float) -> float:
        """Largest coverage at this risk or less; 0 where there is none."""
        held = self.coverage[self.risk <= risk]
        return float(held.max()) if held.size else 0.0

    def confidence_at(self, risk: float) -> float:
        """Confidence from which on that coverage is believed; 1 where there is none."""
        held = np.flatnonzero(self.risk <= risk)
        return float(self.confidence[held[-1]]) if held.size else 1.0


def risk_curve(confidence: Floats, right: Bools) -> RiskCurve:
    """Risk over coverage.

    Parameters
    ----------
    confidence
        Shape (n,).
    right
        Shape (n,): whether what was said is true. What is of one confidence is believed together.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, wrong = confidence[order], np.cumsum(~right[order])
    last = np.flatnonzero(np.diff(ordered, append=-np.inf) != 0.0)
    count = last + 1.0
    return RiskCurve(ordered[last], count / max(len(confidence), 1), wrong[last] / count)


@dataclass(frozen=True, slots=True)
class RiskStudy:
    """What is known about the confidence of one way of naming.

    Attributes
    ----------
    chromosomes, cells
        Curves. A cell's confidence is the product of its chromosomes'; it is right where every chromosome there is
        has its class, and nothing else has one.
    figures
        As `study` describes them.
    said, came_true, count
        Calibration of the chromosomes, by bins.
    """

    chromosomes: RiskCurve
    cells: RiskCurve
    figures: dict[str, Any]
    said: Floats
    came_true: Floats
    count: Floats

    def to_json(self) -> dict[str, Any]:
        """Figures and curves (thinned out to some 200 points each) as plain data."""
        bins = zip(self.said, self.came_true, self.count, strict=True)
        return {
            **self.figures,
            "curve": _thinned(self.chromosomes),
            "cell_curve": _thinned(self.cells),
            "bins": [
                {"said": round(float(said), 4), "came_true": round(float(true), 4), "count": int(count)}
                for said, true, count in bins
                if count > 0
            ],
        }


def study(records: Sequence[CellRecord], *, detected: bool) -> RiskStudy:
    """Study the confidence of cells.

    Parameters
    ----------
    records
        The cells.
    detected
        True for the own segmentation, where a find that is no chromosome and was given a class is wrong; False for
        the true boxes or crops given.

    Returns
    -------
    RiskStudy
        Its figures: ``chromosomes`` that were given a class, ``wrong`` share of them, ``ece`` expected calibration
        error, ``aurc``; ``coverage_at_0.1 %`` ... largest share at that risk, ``confidence_at_0.1 %`` ... where it
        begins; ``levels``: share and risk of auto, check and must review; ``cells``, ``cells_wrong``,
        ``cell_aurc``, ``cell_ece``, ``cell_levels`` (by the verdict, own segmentation alone).
    """
    pairs = [(record, _objects(record, detected=detected)) for record in records]
    named = [entry for _, objects in pairs for entry in objects if entry.class_name != UNCLASSIFIED]
    named = [entry for entry in named if entry.truth != UNCLASSIFIED]
    confidence = np.asarray([entry.probability for entry in named], np.float64)
    right = np.asarray([entry.right for entry in named], np.bool_)
    cell_confidence = np.asarray([_all_right(objects) for _, objects in pairs], np.float64)
    cell_right = np.asarray([_whole(record, objects, detected=detected) for record, objects in pairs], np.bool_)
    curve, cell_curve = risk_curve(confidence, right), risk_curve(cell_confidence, cell_right)
    bins = calibration(confidence, right)
    levels = [chromosome_level(float(value)).value for value in confidence]
    figures: dict[str, Any] = {
        "chromosomes": len(named),
        "wrong": _mean(~right),
        "ece": bins.error,
        "aurc": curve.area,
        **{f"coverage_at_{100 * risk:g} %": curve.coverage_at(risk) for risk in RISKS},
        **{f"confidence_at_{100 * risk:g} %": curve.confidence_at(risk) for risk in RISKS},
        "levels": _by_level(levels, right),
        "cells": len(pairs),
        "cells_wrong": _mean(~cell_right),
        "cell_aurc": cell_curve.area,
        "cell_ece": calibration(cell_confidence, cell_right).error,
    }
    if detected:
        figures["cell_levels"] = _by_level([record.level for record, _ in pairs], cell_right)
    return RiskStudy(curve, cell_curve, figures, bins.said, bins.came_true, bins.count.astype(np.float64))


def risk_picture(studies: dict[str, RiskStudy], note: str) -> Rgb:
    """Draw risk over coverage of chromosomes and of cells, and calibration.

    Parameters
    ----------
    studies
        By what they are to be called; six at most are told apart by colour.
    note
        Line below.

    Returns
    -------
    ndarray
        uint8, shape (560, 1680, 3), RGB. Dots are the end of "auto", and of "auto" and "check" together.
    """
    picture = blank(_HEIGHT_PX, _WIDTH_PX)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(studies)}
    top = max([_TOP_RISK, *(float(entry.chromosomes.risk.max(initial=0.0)) for entry in studies.values())])
    single = Axes(picture, (90, 60, 510, 480), (0.0, 1.0), (0.0, top))
    whole = Axes(picture, (640, 60, 1060, 480), (0.0, 1.0), (0.0, 1.0))
    bins = Axes(picture, (1190, 60, 1610, 480), (0.5, 1.0), (0.5, 1.0))
    single.frame("Chromosomes: risk over coverage", "coverage", "risk")
    whole.frame("Whole cells: risk over coverage", "coverage", "risk")
    bins.frame("Calibration", "said", "came true")
    bins.line((0.5, 1.0), (0.5, 1.0), (150, 150, 150), width_px=1)
    for name, entry in studies.items():
        single.line(entry.chromosomes.coverage.tolist(), entry.chromosomes.risk.tolist(), colours[name])
        whole.line(entry.cells.coverage.tolist(), entry.cells.risk.tolist(), colours[name])
        _dots(single, entry, colours[name])
        for said, true, count in zip(entry.said, entry.came_true, entry.count, strict=True):
            if count > 0:
                bins.dot(float(said), float(true), colours[name], radius_px=5 if count >= 10 else 2)
    single.legend([(name, colours[name]) for name in studies], (110, 90))
    put_text(picture, note, (90, 545), 0.42, INK)
    return picture


def _dots(axes: Axes, risk_study: RiskStudy, colour: tuple[int, int, int]) -> None:
    covered, wrong = 0.0, 0.0
    for level in (ReviewLevel.AUTO, ReviewLevel.CHECK):
        own = risk_study.figures["levels"][level.value]
        covered += own["share"]
        wrong += own["share"] * own["risk"]
        if covered:
            axes.dot(covered, wrong / covered, colour)


def _objects(record: CellRecord, *, detected: bool) -> tuple[Named, ...]:
    return (record.detected or ()) if detected else record.given


def _all_right(objects: Sequence[Named]) -> float:
    """Probability that every class is right, as if mistakes didn't come in company."""
    named = [entry.probability for entry in objects if entry.class_name != UNCLASSIFIED]
    return float(np.prod(named)) if named else 0.0


def _whole(record: CellRecord, objects: Sequence[Named], *, detected: bool) -> bool:
    if detected and record.missed:
        return False
    return all(entry.right for entry in objects if entry.class_name != UNCLASSIFIED or entry.truth is not None)


def _by_level(levels: Sequence[str], right: Bools) -> dict[str, dict[str, float]]:
    """Share of every level, and how much of it is wrong."""
    table = {}
    for level in ReviewLevel:
        own = np.asarray([entry == level.value for entry in levels], np.bool_)
        table[level.value] = {"share": _mean(own), "risk": _mean(~right[own])}
    return table


def _mean(values: Bools) -> float:
    return float(values.mean()) if values.size else 0.0


def _thinned(curve: RiskCurve) -> list[dict[str, float]]:
    count = len(curve.coverage)
    if not count:
        return []
    kept = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int))
    return [
        {
            "confidence": round(float(curve.confidence[k]), 5),
            "coverage": round(float(curve.coverage[k]), 5),
            "risk": round(float(curve.risk[k]), 5),
        }
        for k in kept
    ]
