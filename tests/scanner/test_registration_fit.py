"""A slide's frame from marks: the inverse of the transform, whatever the order, and no word for an outlier."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scanner.coordinates import SlideFrame, SlidePoint, StagePoint
from scanner.errors import RegistrationError
from scanner.registration.fit import RegistrationMark, Tolerances, fit_slide_frame

CORNERS = (
    SlidePoint(22_000.0, 2_000.0),
    SlidePoint(72_000.0, 2_000.0),
    SlidePoint(72_000.0, 24_000.0),
    SlidePoint(22_000.0, 24_000.0),
)
MIDDLE = SlidePoint(47_000.0, 13_000.0)

nominal_frames = st.builds(
    SlideFrame,
    st.builds(StagePoint, st.floats(-2e5, 2e5), st.floats(-2e5, 2e5)),
    st.sampled_from((0.0, 90.0, 180.0, -90.0, 12.5)),
    st.booleans(),
    st.booleans(),
)
turns_deg = st.floats(-1.4, 1.4)
shifts_um = st.floats(-1_500.0, 1_500.0)
places = st.builds(SlidePoint, st.floats(0.0, 76_000.0), st.floats(0.0, 26_000.0))


def moved(nominal: SlideFrame, turn_deg: float, dx_um: float, dy_um: float) -> SlideFrame:
    """A frame turned about the middle of the coverslip, and shifted."""
    turned = SlideFrame(nominal.origin, nominal.rotation_deg + turn_deg, nominal.flip_x, nominal.flip_y)
    before, after = nominal.to_stage(MIDDLE), turned.to_stage(MIDDLE)
    origin = turned.origin.shifted(before.x_um - after.x_um + dx_um, before.y_um - after.y_um + dy_um)
    return SlideFrame(origin, turned.rotation_deg, nominal.flip_x, nominal.flip_y)


def seen(frame: SlideFrame, points=CORNERS) -> list[RegistrationMark]:
    return [
        RegistrationMark(f"mark {number}", point, frame.to_stage(point)) for number, point in enumerate(points)
    ]


def displaced(mark: RegistrationMark, distance_um: float, angle: float) -> RegistrationMark:
    stage = mark.stage.shifted(distance_um * math.cos(angle), distance_um * math.sin(angle))
    return RegistrationMark(mark.name, mark.slide, stage)


@given(nominal_frames, turns_deg, shifts_um, shifts_um, st.lists(places, min_size=2, max_size=6))
def test_the_fit_is_the_inverse_of_the_transform(nominal, turn_deg, dx_um, dy_um, points):
    assume(max(one.distance_um(other) for one in points for other in points) > 6_000.0)
    truth = moved(nominal, turn_deg, dx_um, dy_um)
    limits = Tolerances(shift_um=5_000.0)
    found = fit_slide_frame(seen(truth, points), nominal, limits)
    for point in (*points, SlidePoint(0.0, 0.0), SlidePoint(76_000.0, 26_000.0)):
        assert found.frame.to_stage(point).distance_um(truth.to_stage(point)) < 1e-3
        assert found.frame.to_slide(truth.to_stage(point)).distance_um(point) < 1e-3
    assert found.rotation_deg == pytest.approx(turn_deg, abs=1e-6)
    assert found.rms_um < 1e-4
    assert found.outliers == ()


@given(nominal_frames, turns_deg, shifts_um, st.permutations(range(4)), st.lists(st.floats(-8, 8), min_size=8))
def test_the_order_of_marks_does_not_matter(nominal, turn_deg, dx_um, order, noise_um):
    marks = [
        RegistrationMark(mark.name, mark.slide, mark.stage.shifted(noise_um[2 * k], noise_um[2 * k + 1]))
        for k, mark in enumerate(seen(moved(nominal, turn_deg, dx_um, 0.0)))
    ]
    assert fit_slide_frame([marks[k] for k in order], nominal) == fit_slide_frame(marks, nominal)


@given(nominal_frames, turns_deg, shifts_um, st.integers(0, 3), st.floats(200, 20_000), st.floats(0, 2 * math.pi))
def test_one_wrong_corner_of_four_has_no_say(nominal, turn_deg, dx_um, which, distance_um, angle):
    truth = moved(nominal, turn_deg, dx_um, 0.0)
    marks = seen(truth)
    marks[which] = displaced(marks[which], distance_um, angle)
    found = fit_slide_frame(marks, nominal)
    assert found.outliers == (marks[which].name,)
    assert found.marks[which].residual_um == pytest.approx(distance_um, abs=1.0)
    for point in CORNERS:
        assert found.frame.to_stage(point).distance_um(truth.to_stage(point)) < 1e-3


@settings(max_examples=200)
@given(
    nominal_frames,
    turns_deg,
    st.lists(places, min_size=3, max_size=3),
    st.integers(0, 2),
    st.floats(80, 20_000),
    st.floats(0, 2 * math.pi),
)
def test_one_wrong_mark_of_three_is_left_out_or_all_are_refused(
    nominal, turn_deg, points, which, distance_um, angle
):
    assume(min(points[a].distance_um(points[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 6_000.0)
    truth = moved(nominal, turn_deg, 0.0, 0.0)
    marks = seen(truth, points)
    marks[which] = displaced(marks[which], distance_um, angle)
    try:
        found = fit_slide_frame(marks, nominal, Tolerances(shift_um=50_000.0, rotation_deg=180.0))
    except RegistrationError:
        return
    assert found.outliers in ((), (marks[which].name,))
    if found.outliers:
        assert found.frame.to_stage(points[which]).distance_um(truth.to_stage(points[which])) < 1e-3


@given(nominal_frames, st.floats(100, 3_000), st.floats(0, 2 * math.pi))
def test_two_halves_that_contradict_each_other_are_both_refused(nominal, distance_um, angle):
    marks = seen(nominal)
    marks[:2] = [displaced(mark, distance_um, angle) for mark in marks[:2]]
    # Along the edge between the halves nothing but the turn of the whole tells, so other directions only.
    assume(abs(math.sin(angle - math.radians(nominal.rotation_deg))) > 0.3)
    with pytest.raises(RegistrationError, match="contradict"):
        fit_slide_frame(marks, nominal)


@pytest.mark.parametrize("turn_deg", [1.6, -1.6, 90.0, 180.0])
def test_an_implausible_rotation_is_refused(turn_deg):
    with pytest.raises(RegistrationError, match="can't lie like this") as refused:
        fit_slide_frame(seen(moved(SlideFrame(), turn_deg, 0.0, 0.0)), SlideFrame())
    assert refused.value.axis == "rotation"
    assert abs(refused.value.actual) == pytest.approx(abs(turn_deg))
    assert refused.value.allowed == "up to 1.5 deg"


def test_an_implausible_shift_is_refused_at_the_slide_not_at_its_far_origin():
    # Turned about its middle, the slide has not been shifted, however far its origin went.
    far = SlideFrame(StagePoint(0.0, 0.0))
    assert fit_slide_frame(seen(moved(far, 1.4, 0.0, 0.0)), far).shift_um < 1e-3
    with pytest.raises(RegistrationError, match="can't lie like this") as refused:
        fit_slide_frame(seen(moved(far, 0.0, 0.0, 2_100.0)), far)
    assert refused.value.axis == "shift"
    assert refused.value.actual == pytest.approx(2_100.0)


def test_a_mirrored_slide_is_refused():
    upside_down = SlideFrame(StagePoint(0.0, 26_000.0), flip_y=True)
    with pytest.raises(RegistrationError):
        fit_slide_frame(seen(upside_down), SlideFrame())


def test_two_marks_at_a_wrong_distance_are_refused():
    marks = seen(SlideFrame(), CORNERS[:2])
    marks[1] = displaced(marks[1], 60.0, 0.0)
    with pytest.raises(RegistrationError, match="contradict") as refused:
        fit_slide_frame(marks, SlideFrame())
    assert refused.value.actual == pytest.approx(30.0)
    assert refused.value.allowed == "25 um"


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (CORNERS[:1], "too few"),
        ((), "too few"),
        ((SlidePoint(0.0, 0.0), SlidePoint(4_000.0, 0.0)), "too near"),
        ((SlidePoint(0.0, 0.0), SlidePoint(0.0, 0.0)), "too near"),
    ],
)
def test_marks_that_can_t_carry_a_frame_are_refused(points, words):
    with pytest.raises(RegistrationError, match=words):
        fit_slide_frame(seen(SlideFrame(), points), SlideFrame())


def test_marks_of_one_name_are_refused():
    marks = [RegistrationMark("cross", point, StagePoint(point.x_um, point.y_um)) for point in CORNERS[:2]]
    with pytest.raises(RegistrationError, match="one name"):
        fit_slide_frame(marks, SlideFrame())


def test_a_refusal_is_not_passed_by_no_number():
    marks = seen(SlideFrame())
    marks[0] = RegistrationMark("mark 0", CORNERS[0], StagePoint(math.nan, 0.0))
    with pytest.raises(RegistrationError):
        fit_slide_frame(marks[:2], SlideFrame())
