from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.errors import WeightsError
from analysis.karyotyping.cell_confidence import (
    SIGNS,
    CellConfidence,
    cell_signs,
    load_confidence,
)
from analysis.karyotyping.cell_quality import CellQualityMeasures
from analysis.karyotyping.iscn import LOSSES_BELIEVED, compose_iscn
from analysis.karyotyping.review import losses_reportable, review_edited_proposal, review_proposal
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.selection.alternatives import PileAlternative, PileAlternatives
from analysis.structures.assignment import Assignment
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.review import ReviewFinding, ReviewLevel
from analysis.training.fits.cell_confidence import (
    confidence_figures,
    cross_validated_probability,
    fit_confidence,
    write_confidence,
)
from analysis.training.selection.assigned import AssignedCell

PAIRS = [name for name in CLASS_NAMES[:22] for _ in range(2)]
NORMAL = [*PAIRS, "X", "Y"]
SOUND = CellQualityMeasures(46, 0.3, 0.97, 4.0)
SURE = np.full(46, 0.999)
GOOD = np.full(46, 0.9)


def assigned(classes: list[str], probability: NDArray[np.float64]) -> Assignment:
    return Assignment(tuple(classes), probability.astype(np.float32), "XY", 5.0, (), ())


def pile(probability: float) -> PileAlternatives:
    return PileAlternatives((0,), probability, (PileAlternative((), (0,), 1.0 - probability),))


def test_a_flawless_cell_is_sure_and_every_sign_of_trouble_tells() -> None:
    confidence = load_confidence()
    best = confidence.of(cell_signs(assigned(NORMAL, SURE), GOOD, [0.05]))
    assert best >= ReviewSettings().auto_cell_from
    one_doubtful = SURE.copy()
    one_doubtful[3] = 0.4
    assert confidence.of(cell_signs(assigned(NORMAL, one_doubtful), GOOD, [0.05])) < best
    assert confidence.of(cell_signs(assigned(NORMAL, SURE), GOOD, [0.05], [pile(0.5)])) < best - 0.02
    assert confidence.of(cell_signs(assigned(NORMAL[1:], SURE[1:]), GOOD[1:], [0.05])) < best - 0.05


@given(st.lists(st.sampled_from([*CLASS_NAMES, "?"]), max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_a_cell_looks_like_it_has_a_probability(classes: list[str], data: st.DataObject) -> None:
    def drawn(count: int) -> list[float]:
        return data.draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count))

    chance, scores = np.asarray(drawn(len(classes))), np.asarray(drawn(len(classes)))
    signs = cell_signs(
        assigned(classes, chance), scores, drawn(data.draw(st.integers(0, 3))), [pile(each) for each in drawn(2)]
    )
    assert signs.shape == (len(SIGNS),)
    assert np.isfinite(signs).all()
    assert 0.0 <= load_confidence().of(signs) <= 1.0


def test_a_cell_needs_a_look_until_all_of_it_is_likely_right() -> None:
    assert (
        review_proposal(SOUND, NORMAL, SURE, cell_confidence=ReviewSettings().auto_cell_from).level
        is ReviewLevel.AUTO
    )
    doubted = review_proposal(SOUND, NORMAL, SURE, cell_confidence=0.52)
    assert doubted.level is ReviewLevel.CHECK
    assert doubted.reasons_text == "all chromosomes are cut and named rightly with 52 % probability"
    wrong = review_proposal(SOUND, NORMAL, SURE, cell_confidence=0.49)
    assert (wrong.level, wrong.reasons[0].finding) == (ReviewLevel.MUST_REVIEW, ReviewFinding.CELL_UNCERTAIN)
    unmeasured = review_proposal(SOUND, NORMAL, SURE, cell_confidence=float("nan"))
    assert (unmeasured.level, unmeasured.reasons[0].finding) == (ReviewLevel.CHECK, ReviewFinding.CUTS_UNMEASURED)
    # Who cut the cell elsewhere answers for the cuts.
    assert review_proposal(SOUND, NORMAL, SURE).level is ReviewLevel.AUTO


def test_a_chromosome_that_is_not_there_is_lost_only_in_a_cell_that_is_likely_right() -> None:
    without = [name for k, name in enumerate(NORMAL) if k != 40]
    assert losses_reportable(None)
    assert losses_reportable(0.6)
    assert not losses_reportable(0.1)
    assert not losses_reportable(float("nan"))
    believed = review_proposal(SOUND, without, SURE[:45], cell_confidence=0.6)
    assert believed.reasons[0].text == "not a normal set: -21"
    doubted = review_proposal(SOUND, without, SURE[:45], cell_confidence=0.1)
    assert doubted.level is ReviewLevel.MUST_REVIEW
    assert doubted.reasons[0].finding is ReviewFinding.MISSING_CLASSES
    assert doubted.reasons[0].text == "nothing found for 21: lost, or missed by the software"
    assert compose_iscn(without, losses_believed=LOSSES_BELIEVED).text == "45,XY,-21"
    assert compose_iscn(without, losses_believed=0).text == "45,XY,inc"


def test_a_gain_beside_a_doubted_loss_is_still_told() -> None:
    swapped = [*(name for k, name in enumerate(NORMAL) if k != 40), "8"]
    verdict = review_proposal(SOUND, swapped, SURE, cell_confidence=0.01)
    assert [reason.finding for reason in verdict.reasons[:2]] == [
        ReviewFinding.ABNORMAL,
        ReviewFinding.MISSING_CLASSES,
    ]
    assert "+8" in verdict.reasons_text
    assert "-21" not in verdict.reasons_text
    one_x = review_proposal(SOUND, [*PAIRS, "X"], SURE[:45], cell_confidence=0.01)
    assert "nothing found for X or Y" in one_x.reasons_text


def simulated(count: int) -> list[AssignedCell]:
    rng = np.random.default_rng(2)
    cells = []
    for number in range(count):
        uncertainty = float(rng.uniform(0.0, 4.0))
        signs = np.zeros(len(SIGNS))
        signs[[0, SIGNS.index("class uncertainty")]] = 1.0, uncertainty
        right = bool(rng.random() < 1.0 / (1.0 + np.exp(3 * uncertainty - 6)))
        true = (*NORMAL, "21") if number % 50 == 0 else tuple(NORMAL)
        cells.append(AssignedCell(str(number), f"case {number % 9}", signs, right, true, tuple(NORMAL)))
    return cells


def test_a_fit_finds_what_makes_cells_wrong() -> None:
    cells = simulated(200)
    confidence = fit_confidence(cells)
    assert confidence.weights[SIGNS.index("class uncertainty")] == pytest.approx(-3.0, abs=1.0)
    figures = confidence_figures(cells, cross_validated_probability(cells), least=0.9)
    assert figures["auc"] > 0.85
    assert figures["sure_wrong"] <= 0.15 * figures["sure"] * figures["cells"]
    assert figures["called_normal"] == 4
    assert figures["sure_called_normal"] <= 4


def test_weights_are_written_and_read_and_others_refused(tmp_path: Path) -> None:
    confidence = CellConfidence(np.linspace(-2.0, 1.5, len(SIGNS)).round(2))
    write_confidence(confidence, tmp_path, figures={"cells": 2}, command="this")
    assert np.array_equal(load_confidence(tmp_path).weights, confidence.weights)
    manifest = json.loads((tmp_path / "cell-confidence.json").read_text())
    manifest["columns"]["weights"] = ["doubt"]
    (tmp_path / "cell-confidence.json").write_text(json.dumps(manifest))
    load_confidence.cache_clear()
    with pytest.raises(WeightsError, match="other features"):
        load_confidence(tmp_path)


def test_a_person_can_say_that_none_was_missed() -> None:
    without = [name for k, name in enumerate(NORMAL) if k != 40]
    before = review_proposal(SOUND, without, SURE[:45], cell_confidence=0.1)
    assert before.losses_uncertain
    untouched = np.zeros(45, np.bool_)
    one = untouched.copy()
    one[3] = True
    flipped_one = review_edited_proposal(before, without, SURE[:45], one)
    assert flipped_one.losses_uncertain
    complete = review_edited_proposal(before, without, SURE[:45], one, complete=True)
    assert not complete.losses_uncertain
    assert "not a normal set: -21" in complete.reasons_text
    assert not review_edited_proposal(before, without, SURE[:45], ~untouched).losses_uncertain


def test_a_few_edits_do_not_make_a_doubtful_cut_sound() -> None:
    touched = np.zeros(46, np.bool_)
    touched[3] = True
    for whole, level in (
        (0.2, ReviewLevel.MUST_REVIEW),
        (0.7, ReviewLevel.CHECK),
        (float("nan"), ReviewLevel.CHECK),
    ):
        before = review_proposal(SOUND, NORMAL, SURE, cell_confidence=whole)
        after = review_edited_proposal(before, NORMAL, SURE, touched)
        assert after.level is level
        assert before.reasons[0] in after.reasons
        for seen in (
            review_edited_proposal(before, NORMAL, SURE, touched, complete=True),
            review_edited_proposal(before, NORMAL, SURE, ~touched),
        ):
            assert [reason.finding for reason in seen.reasons] == [ReviewFinding.EDITED]
    swapped = ["2" if k == 0 else name for k, name in enumerate(NORMAL)]
    odd = review_proposal(SOUND, swapped, SURE, cell_confidence=0.7)
    assert [reason.review for reason in odd.reasons] == [True, False]
    assert review_edited_proposal(odd, NORMAL, SURE, touched).level is ReviewLevel.CHECK


def test_a_sex_chromosome_may_have_been_missed_as_well() -> None:
    assert compose_iscn([*PAIRS, "X"], losses_believed=0).text == "45,X,inc"
    assert compose_iscn([*PAIRS, "X"], losses_believed=LOSSES_BELIEVED).text == "45,X"
    assert compose_iscn([*PAIRS, "X"]).text == "45,X"
