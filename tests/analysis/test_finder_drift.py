"""The drift alarm: known answers, few false alarms, and no alarm from a few odd fields."""

import numpy as np
import pytest

from analysis.finder.drift import (
    LEAST_FIELDS,
    METAPHASE_SCORE_MEAN,
    UNCERTAIN_FRACTION,
    FieldSummary,
    ReferenceStatistics,
    SlideSummaries,
    SlideSummary,
    current_names,
    drifts,
    reference_from_json,
    reference_statistics_of,
    reference_to_json,
    summarise,
)

NAMES = ("background", "noise_od", "dark_fraction", "p95_od", "focus")


def slide(rng, *, fields=80, shift=0.0, name="noise_od", candidates=2, unsure=0.05):
    """A slide with its own level of each statistic, and fields that scatter around it."""
    levels = dict(zip(NAMES, rng.normal(1.0, 0.1, len(NAMES)), strict=True))
    levels[name] += shift
    readings = []
    for _ in range(fields):
        statistics = {key: float(level + rng.normal(0, 0.2)) for key, level in levels.items()}
        sure = np.where(
            rng.random(candidates) < 0.3, rng.uniform(0.85, 1, candidates), rng.uniform(0, 0.1, candidates)
        )
        scores = np.where(rng.random(candidates) < unsure, rng.uniform(0.3, 0.7, candidates), sure)
        readings.append(FieldSummary(statistics, tuple(float(score) for score in scores)))
    return readings


def population(rng, slides=30):
    return reference_statistics_of(summarise(slide(rng)) for _ in range(slides))


def test_a_slide_is_summed_up_by_medians_that_a_few_odd_fields_do_not_move():
    readings = [FieldSummary({"focus": 2.0}), FieldSummary({"focus": 3.0}), FieldSummary({"focus": 4.0})]
    assert summarise(readings)["focus"].value == 3.0
    assert (
        summarise([*readings, FieldSummary({"focus": 1e9}), FieldSummary({"focus": -1e9})])["focus"].value == 3.0
    )


def test_scores_are_summed_up_by_how_sure_they_are():
    readings = [FieldSummary({}, (0.5, 0.9)), FieldSummary({}, (0.02, 0.95))] * 20
    summary = summarise(readings)
    assert summary[UNCERTAIN_FRACTION].value == pytest.approx(0.25)
    assert summary[METAPHASE_SCORE_MEAN].value == pytest.approx((0.5 + 0.9 + 0.95) / 3)
    assert UNCERTAIN_FRACTION not in summarise(readings[:10])


def test_known_answer_of_the_distance():
    usual = {"noise_od": ReferenceStatistics(0.02, 0.002)}
    assert drifts({"noise_od": SlideSummary(0.0279)}, usual) == ()
    (drift,) = drifts({"noise_od": SlideSummary(0.03)}, usual)
    assert (drift.statistic, drift.value) == ("noise_od", 0.03)
    assert (drift.low, drift.high, drift.z) == (pytest.approx(0.012), pytest.approx(0.028), pytest.approx(5.0))
    assert str(drift) == "noise od is 0.03, typical are 0.012 to 0.028 (z +5.0)"
    # An error of the number itself as large as the deviation between slides takes the alarm back.
    assert drifts({"noise_od": SlideSummary(0.03, 0.002)}, usual) == ()


def test_a_number_that_never_varied_is_not_divided_by_nothing():
    assert drifts({"p95_od": SlideSummary(1.0)}, {"p95_od": ReferenceStatistics(1.0, 0.0)}) == ()
    assert [
        d.statistic for d in drifts({"p95_od": SlideSummary(1.1)}, {"p95_od": ReferenceStatistics(1.0, 0.0)})
    ] == ["p95_od"]


def test_slides_of_the_population_raise_hardly_any_alarm():
    rng = np.random.default_rng(4)
    usual = population(rng)
    alarms = sum(bool(drifts(summarise(slide(rng)), usual)) for _ in range(100))
    assert alarms <= 1


@pytest.mark.parametrize(
    ("name", "shift"),
    [(name, shift) for name in NAMES for shift in (-0.8, 0.8) if (name, shift) != ("focus", 0.8)],
)
def test_a_slide_that_is_off_is_told_with_the_number_that_is_off(name, shift):
    rng = np.random.default_rng(5)
    usual = population(rng)
    for _ in range(3):
        found = drifts(summarise(slide(rng, name=name, shift=shift)), usual)
        assert name in [drift.statistic for drift in found]
        assert found[0].z * shift > 0


def test_a_finder_that_became_unsure_is_told():
    rng = np.random.default_rng(6)
    found = drifts(summarise(slide(rng, unsure=0.5)), population(rng))
    assert UNCERTAIN_FRACTION in [drift.statistic for drift in found]


def test_few_fields_say_nothing_and_a_field_searched_twice_counts_once():
    rng = np.random.default_rng(7)
    usual, readings = population(rng), SlideSummaries()
    for index, reading in enumerate(slide(rng, fields=LEAST_FIELDS, shift=3.0)):
        assert readings.drifts(usual) == ()
        readings.add(index, reading)
        readings.add(index, reading)
    assert [drift.statistic for drift in readings.drifts(usual)] == ["noise_od"]


def test_what_is_usual_survives_the_manifest():
    usual = {"focus": ReferenceStatistics(1.5, 0.25)}
    assert reference_from_json(reference_to_json(usual)) == usual


def test_a_background_in_grey_levels_of_other_cameras_is_not_compared():
    share, levels = {"mean": 0.8, "std": 0.05}, {"mean": 1250.0, "std": 900.0}
    assert reference_from_json({"background": share}) == {"background": ReferenceStatistics(0.8, 0.05)}
    assert reference_from_json({"background": levels}) == {}


@pytest.mark.parametrize(
    "values",
    [{"mean": 1.0}, {"mean": 1.0, "std": -1.0}, {"mean": float("nan"), "std": 1.0}, {"mean": "x", "std": 1}],
)
def test_a_damaged_manifest_is_refused(values):
    with pytest.raises(ValueError, match=r"drift\.focus"):
        reference_from_json({"focus": values})


def test_a_slide_sharper_than_usual_raises_no_alarm_and_a_blurred_one_does():
    usual = {"focus": ReferenceStatistics(0.5, 0.05)}
    assert drifts({"focus": SlideSummary(1.2)}, usual) == ()
    assert [drift.statistic for drift in drifts({"focus": SlideSummary(0.1)}, usual)] == ["focus"]


def test_statistics_of_older_manifests_are_read_under_their_names_of_today():
    stored = {"dark_share": {"mean": 0.02, "std": 0.01}, "focus": {"mean": 0.4, "std": 0.1}}
    assert reference_from_json(stored) == {
        "dark_fraction": ReferenceStatistics(0.02, 0.01),
        "focus": ReferenceStatistics(0.4, 0.1),
    }
    assert current_names({"uncertain_share": 1, "noise_od": 2}) == {UNCERTAIN_FRACTION: 1, "noise_od": 2}
