"""Precision, recall and calibration of a finder as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.evaluation.drawing import COLOURS, INK, Axes, Colour, Rgb, blank, put_text
from analysis.evaluation.finder import GOAL_PRECISION, GOAL_RECALL, curve, reliability
from analysis.evaluation.finder_scores import CALL_SCORE, FinderScores
from analysis.metrics.statistics import CalibrationCurve, PrecisionRecall

_HEIGHT_PX, _WIDTH_PX = 560, 1680
_LEAST_RANGE: Final = 0.8
# A bin of fewer finds says little; it is drawn small.
_FEW: Final = 10


def finder_picture(populations: Mapping[str, FinderScores], note: str) -> Rgb:
    """Draw precision over recall, whole and near the goal, and calibration.

    Parameters
    ----------
    populations
        Scores by what they are to be called in the legend; six at most are told apart by colour.
    note
        Line below, for instance what the fields are.

    Returns
    -------
    ndarray
        uint8, shape (560, 1680, 3), RGB. The dot on a curve is the call at 0.5; the shade is the goal; of
        calibration, small dots are bins of fewer than ten finds.
    """
    picture = blank(_HEIGHT_PX, _WIDTH_PX)
    curves = {name: curve(scores) for name, scores in populations.items()}
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(populations)}
    whole = Axes(picture, (90, 60, 510, 480), (0.0, 1.0), (0.0, 1.0))
    near = Axes(picture, (640, 60, 1060, 480), (_LEAST_RANGE, 1.0), (_LEAST_RANGE, 1.0))
    for axes, title in ((whole, "Precision over recall"), (near, "The same near the goal")):
        axes.shade(GOAL_RECALL, GOAL_PRECISION)
        axes.frame(title, "recall", "precision")
        _draw_curves(axes, curves, colours)
    whole.legend([(name, colours[name]) for name in populations], (110, 480 - 20 * len(populations)))
    bins = Axes(picture, (1190, 60, 1610, 480), (0.0, 1.0), (0.0, 1.0))
    bins.frame("Calibration of the score", "said", "came true")
    bins.line((0.0, 1.0), (0.0, 1.0), (150, 150, 150), width_px=1)
    for name, scores in populations.items():
        _draw_calibration(bins, reliability(scores), colours[name])
    put_text(picture, note, (90, 545), 0.42, INK)
    return picture


def _draw_curves(axes: Axes, curves: Mapping[str, PrecisionRecall], colours: Mapping[str, Colour]) -> None:
    for name, drawn in curves.items():
        if not drawn.recall.size:
            continue
        axes.line(drawn.recall.tolist(), drawn.precision.tolist(), colours[name])
        called = np.flatnonzero(drawn.threshold >= CALL_SCORE)
        if called.size:
            axes.dot(float(drawn.recall[called[-1]]), float(drawn.precision[called[-1]]), colours[name])


def _draw_calibration(axes: Axes, drawn: CalibrationCurve, colour: Colour) -> None:
    held = np.flatnonzero(drawn.count)
    axes.line(drawn.said[held].tolist(), drawn.came_true[held].tolist(), colour, width_px=1)
    for number in held:
        radius = 5 if drawn.count[number] >= _FEW else 2
        axes.dot(float(drawn.said[number]), float(drawn.came_true[number]), colour, radius_px=radius)
