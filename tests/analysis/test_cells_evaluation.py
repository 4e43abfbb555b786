from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from analysis.evaluation.aneuploidy import aneuploidy_figures, deviations
from analysis.evaluation.cells import CellRecord, Named
from analysis.evaluation.risk import risk_curve, risk_picture, study
from analysis.metrics.interactions import Interactions
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.review import ReviewLevel

PAIRS = [name for name in CLASS_NAMES[:22] for _ in range(2)]


def cell(
    case: str, truth: list[str], claim: list[str], chance: float = 0.99, missed: int = 0, *, whole: bool = True
) -> CellRecord:
    """A cell whose objects are named in the order of the truth."""
    named = tuple(Named(name, chance, own) for name, own in zip(claim, truth, strict=True))
    return CellRecord(
        f"{case}.1",
        case,
        tuple(truth),
        named,
        named if whole else None,
        missed,
        "auto" if chance > 0.9 else "check",
        True,
        Interactions(0, 0, 0, 0, 0),
        0.1,
    )


def test_deviations_of_the_sex_chromosomes() -> None:
    assert deviations(Counter([*PAIRS, "X", "Y"])) == deviations(Counter([*PAIRS, "X", "X"])) == frozenset()
    assert deviations(Counter([*PAIRS, "X"])) == {("X", -1)}
    assert deviations(Counter([*PAIRS, "X", "X", "Y"])) == {("X", 1)}
    assert deviations(Counter([*PAIRS, "X", "Y", "Y"])) == {("Y", 1)}
    assert deviations(Counter([*PAIRS, "Y", "21"])) == {("X", -1), ("21", 1)}


def test_sensitivity_and_specificity_of_count_and_class() -> None:
    normal, trisomy = [*PAIRS, "X", "X"], [*PAIRS, "21", "X", "X"]
    forced = [*PAIRS, "?", "X", "X"]
    neighbour = [*PAIRS, "22", "X", "X"]
    records = [
        cell("a", normal, normal),
        cell("b", normal, ["2" if k == 0 else name for k, name in enumerate(normal)]),
        cell("c", trisomy, trisomy),
        cell("d", trisomy, neighbour),
        cell("e", trisomy, forced),
        cell("f", [*PAIRS, "?", "X", "X"], trisomy),
    ]
    figures = aneuploidy_figures(records, detected=True)
    assert (figures["cells"], figures["aneuploid"]) == (5, 3)
    assert figures["count_sensitivity"] == pytest.approx(2 / 3)
    assert figures["count_specificity"] == 1.0
    assert figures["count_exact"] == pytest.approx(4 / 5)
    assert figures["class_sensitivity"] == pytest.approx(1 / 3)
    assert figures["class_specificity"] == 0.5
    assert figures["false_alarms"] == 0.5
    # An object without a class leaves the question open: the cell isn't called normal.
    assert figures["missed"] == 0.0
    low, high = figures["class_sensitivity_ci95"]  # type: ignore[misc]
    assert 0.0 <= low <= 1 / 3 <= high <= 1.0


def test_risk_falls_with_coverage_where_confidence_says_anything() -> None:
    confidence = np.array([0.99, 0.98, 0.9, 0.9, 0.6])
    curve = risk_curve(confidence, np.array([True, True, True, False, False]))
    assert curve.coverage.tolist() == [0.2, 0.4, 0.8, 1.0]
    assert curve.risk.tolist() == [0.0, 0.0, 0.25, 0.4]
    assert curve.coverage_at(0.01) == 0.4
    assert curve.confidence_at(0.01) == 0.98
    assert curve.area == pytest.approx(0.4 * 0.25 + 0.2 * 0.4)
    nothing = risk_curve(np.zeros(0), np.zeros(0, np.bool_))
    assert nothing.coverage_at(0.5) == 0.0
    assert np.isnan(nothing.area)


def test_study_counts_cells_and_levels() -> None:
    normal = [*PAIRS, "X", "Y"]
    swapped = ["2" if k == 0 else name for k, name in enumerate(normal)]
    records = [cell("a", normal, normal), cell("b", normal, swapped, 0.8), cell("c", normal, normal, missed=1)]
    result = study(records, detected=True)
    assert result.figures["chromosomes"] == 3 * 46
    assert result.figures["wrong"] == pytest.approx(1 / 138)
    assert result.figures["cells_wrong"] == pytest.approx(2 / 3)
    assert result.figures["levels"][ReviewLevel.AUTO.value] == {"share": pytest.approx(2 / 3), "risk": 0.0}
    assert result.figures["levels"][ReviewLevel.MUST_REVIEW.value]["risk"] == pytest.approx(1 / 46)
    assert result.figures["cell_levels"]["check"] == {"share": pytest.approx(1 / 3), "risk": 1.0}
    assert study(records, detected=False).figures["cells_wrong"] == pytest.approx(1 / 3)
    content = result.to_json()
    assert content["curve"][-1]["coverage"] == 1.0
    assert sum(entry["count"] for entry in content["bins"]) == 138
    picture = risk_picture({"own": result}, "three cells")
    assert picture.shape == (560, 1680, 3)
    assert (picture[60:480, 90:510] != 255).any()
