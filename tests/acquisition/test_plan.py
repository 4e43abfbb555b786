import math
from itertools import pairwise, product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from useq import MDASequence

from acquisition.errors import PlanError
from acquisition.plan.candidates import Sighting, merge, same_cell
from acquisition.plan.capture_order import capture_order
from acquisition.plan.field_size import upright_within
from acquisition.plan.order import densest_first, sample
from acquisition.plan.sequence import plan_as_sequence
from acquisition.plan.stopping import StopReason, probability_of_at_least, stop_reason
from acquisition.plan.tiling import serpentine, spread_out, steps_to_cover
from acquisition.protocol import Area, PolygonArea, Stop
from scanner.coordinates import SlideFrame, SlidePoint, StagePoint

# How long one example takes says more of the machine than of the plan.
PATIENT = settings(deadline=None)
PATIENT_SHORT = settings(deadline=None, max_examples=60)

sides = st.floats(50, 30_000)


@st.composite
def areas(draw):
    x, y = draw(st.floats(0, 40_000)), draw(st.floats(0, 20_000))
    return Area(x_min_um=x, y_min_um=y, x_max_um=x + draw(sides), y_max_um=y + draw(sides))


@PATIENT
@given(areas(), st.floats(300, 2000), st.floats(300, 2000), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_every_point_of_the_area_lies_in_a_field(area, width, height, overlap, u, v):
    fields = serpentine(area, width, height, overlap)
    x, y = area.x_min_um + u * area.width_um, area.y_min_um + v * area.height_um
    assert any(
        abs(f.centre.x_um - x) <= width / 2 + 1e-6 and abs(f.centre.y_um - y) <= height / 2 + 1e-6 for f in fields
    )


@PATIENT
@given(areas(), st.floats(300, 2000), st.floats(300, 2000), st.floats(0, 0.5))
def test_fields_are_numbered_in_order_and_neighbours_follow_each_other(area, width, height, overlap):
    fields = serpentine(area, width, height, overlap)
    assert [f.index for f in fields] == list(range(len(fields)))
    assert len({(f.row, f.column) for f in fields}) == len(fields)
    for before, after in pairwise(fields):
        assert abs(before.row - after.row) + abs(before.column - after.column) == 1


@PATIENT
@given(areas(), st.floats(300, 2000), st.floats(300, 2000), st.floats(0, 0.5))
def test_fields_stay_inside_the_area_where_it_is_larger_than_a_field(area, width, height, overlap):
    for f in serpentine(area, width, height, overlap):
        if area.width_um > width:
            assert area.x_min_um - 1e-6 <= f.centre.x_um - width / 2
            assert f.centre.x_um + width / 2 <= area.x_max_um + 1e-6


@PATIENT
@given(st.floats(100, 50_000), st.floats(100, 2000), st.floats(0, 0.9))
def test_the_number_of_steps_is_the_least_that_covers(length, field, overlap):
    steps = steps_to_cover(length, field, overlap)
    assert field + (steps - 1) * field * (1 - overlap) >= length * (1 - 1e-6)
    if steps > 1:
        assert field + (steps - 2) * field * (1 - overlap) < length


def test_a_whole_coverslip_takes_the_number_of_fields_of_the_formula():
    # 22 x 50 mm at 10x with 5 % overlap: 0.877 x 0.660 mm fields.
    area = Area(x_min_um=0, y_min_um=0, x_max_um=50_000, y_max_um=22_000)
    assert len(serpentine(area, 1360 * 0.645, 1024 * 0.645, 0.05)) == 2160


@pytest.mark.parametrize(("length", "field", "overlap"), [(0, 1, 0), (1, 0, 0), (1, 1, 1.0), (1, 1, -0.1)])
def test_impossible_tilings_are_refused(length, field, overlap):
    with pytest.raises(ValueError, match="can't cover"):
        steps_to_cover(length, field, overlap)


def test_an_area_in_the_wrong_unit_is_refused_before_it_is_planned():
    area = Area(x_min_um=0, y_min_um=0, x_max_um=1e9, y_max_um=1e9)
    with pytest.raises(PlanError, match=r"scan\.area: takes [\d,]+ fields .* a slide is 76,000 x 26,000 um"):
        serpentine(area, 877.0, 660.0, 0.05)


@st.composite
def polygons(draw):
    """Star-shaped outlines: never crossing themselves, often not convex."""
    count = draw(st.integers(3, 9))
    radii = draw(st.lists(st.floats(600, 6000), min_size=count, max_size=count))
    turn = draw(st.floats(0, 2 * math.pi))
    angles = [turn + 2 * math.pi * k / count for k in range(count)]
    points = [(20_000 + r * math.cos(a), 13_000 + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
    return PolygonArea(type="polygon", points_um=points)


def inside(polygon, x, y):
    return cv2.pointPolygonTest(np.array(polygon.points_um, np.float32), (x, y), measureDist=False) >= 0


@PATIENT_SHORT
@given(polygons(), st.floats(400, 2000), st.floats(400, 2000), st.floats(0, 0.5), st.integers(0, 2**32 - 1))
def test_every_point_of_a_polygon_lies_in_a_field_and_no_field_lies_apart(polygon, width, height, overlap, seed):
    fields = serpentine(polygon, width, height, overlap)
    centres = np.array([[f.centre.x_um, f.centre.y_um] for f in fields])
    bounds = polygon.bounds
    places = np.random.default_rng(seed).uniform(
        (bounds.x_min_um, bounds.y_min_um), (bounds.x_max_um, bounds.y_max_um), (200, 2)
    )
    for x, y in [*polygon.points_um, *(place for place in places if inside(polygon, *place))]:
        assert (np.abs(centres - (x, y)) <= (width / 2 + 1e-6, height / 2 + 1e-6)).all(axis=1).any()
    outline = np.array(polygon.points_um, np.float32)
    for x, y in centres:
        # Distance to the outline is positive inside; a field further out than its own half diagonal is apart.
        away = -cv2.pointPolygonTest(outline, (float(x), float(y)), measureDist=True)
        assert away <= math.hypot(width, height) / 2 + 0.01
    assert [f.index for f in fields] == list(range(len(fields)))


@PATIENT
@given(polygons(), st.floats(400, 2000), st.floats(400, 2000), st.floats(0, 0.5))
def test_neighbours_in_a_polygon_overlap_by_at_least_what_was_asked(polygon, width, height, overlap):
    grid = {(f.row, f.column): f.centre for f in serpentine(polygon, width, height, overlap)}
    for (row, column), centre in grid.items():
        right, below = grid.get((row, column + 1)), grid.get((row + 1, column))
        if right is not None:
            assert right.x_um - centre.x_um <= width * (1 - overlap) + 1e-6
        if below is not None:
            assert below.y_um - centre.y_um <= height * (1 - overlap) + 1e-6


def test_a_polygon_takes_fewer_fields_than_the_rectangle_around_it():
    triangle = PolygonArea(type="polygon", points_um=[(0, 0), (20_000, 0), (0, 20_000)])
    assert 0.5 < len(serpentine(triangle, 900, 700, 0.1)) / len(serpentine(triangle.bounds, 900, 700, 0.1)) < 0.6


@PATIENT
@given(st.floats(200, 2000), st.floats(200, 2000), st.floats(0, 90))
def test_the_covered_rectangle_lies_within_the_turned_field(width, height, turn_deg):
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    w, h = upright_within(width, height, c, s)
    assert w > 0
    assert h > 0
    for x, y in ((w / 2, h / 2), (w / 2, -h / 2)):
        assert abs(c * x + s * y) <= width / 2 * (1 + 1e-6)
        assert abs(-s * x + c * y) <= height / 2 * (1 + 1e-6)


def test_a_field_turned_by_a_right_angle_covers_as_much_as_before():
    assert upright_within(800, 600, 1.0, 0.0) == (800, 600)
    assert upright_within(800, 600, 0.0, 1.0) == (600, 800)
    w, h = upright_within(800, 600, math.cos(0.02), math.sin(0.02))
    assert w * h > 0.95 * 800 * 600


def grid_of(columns, rows, pitch=800.0):
    area = Area(x_min_um=0, y_min_um=0, x_max_um=columns * pitch, y_max_um=rows * pitch)
    return serpentine(area, pitch, pitch, 0.0)


@PATIENT
@given(polygons(), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_densest_first_takes_every_field_that_is_left_once(polygon, seed, share):
    fields = serpentine(polygon, 877, 660, 0.1)
    rng = np.random.default_rng(seed)
    seen = {f.index: float(rng.poisson(1.0)) for f in fields if rng.random() < share}
    ordered = densest_first(fields, seen)
    assert sorted(f.index for f in ordered) == sorted({f.index for f in fields} - set(seen))
    assert ordered == densest_first(fields, seen)
    assert densest_first(fields, seen, at_most=5) == ordered[:5]


def test_the_sample_is_thin_and_no_field_is_far_from_it():
    fields = grid_of(24, 15)
    first = sample(fields)
    assert len(first) == len(fields) / 9
    for field in fields:
        assert min(max(abs(field.row - s.row), abs(field.column - s.column)) for s in first) <= 1


def test_densest_first_finds_most_cells_in_few_fields():
    fields = grid_of(36, 24)
    rng = np.random.default_rng(3)
    cells = {
        f.index: float(rng.poisson(4 * math.exp(-(((f.column - 26) / 4) ** 2 + ((f.row - 7) / 4) ** 2))))
        for f in fields
    }
    first = sample(fields)
    order = (*first, *densest_first(fields, {f.index: cells[f.index] for f in first}))
    cumulated = np.cumsum([cells[f.index] for f in order])
    half = int(np.argmax(cumulated >= 0.8 * cumulated[-1])) + 1
    assert half < 0.35 * len(fields)


def test_densest_first_spends_little_travel_on_it():
    fields = grid_of(30, 21)
    first = sample(fields)
    order = densest_first(fields, {f.index: 1.0 for f in first})
    legs = [a.centre.distance_um(b.centre) for a, b in pairwise(order)]
    # On a slide that is alike everywhere there is nothing to gain by jumping about.
    assert np.mean(legs) < 2.5 * 800


@PATIENT
@given(st.integers(0, 12), st.lists(st.floats(0, 1), max_size=9))
def test_the_probability_of_enough_cells_agrees_with_counting_all_cases(number, probabilities):
    truth = 0.0
    for case in product((0, 1), repeat=len(probabilities)):
        if sum(case) >= number:
            truth += math.prod(p if hit else 1 - p for hit, p in zip(case, probabilities, strict=True))
    assert probability_of_at_least(number, probabilities) == pytest.approx(truth, abs=1e-9)


def test_a_scan_stops_when_enough_cells_are_sure_or_time_is_over():
    stop = Stop(cells=3, probability=0.9, max_minutes=10)
    assert stop_reason(stop, [0.9] * 3, 0.0) is None
    assert stop_reason(stop, [0.9] * 4, 0.0) is StopReason.ENOUGH_CELLS
    assert stop_reason(stop, [0.9] * 3, 600.0) is StopReason.TIME
    assert stop_reason(Stop(), [1.0] * 1000, 1e9) is None


places = st.lists(st.tuples(st.floats(0, 60_000), st.floats(0, 24_000)), max_size=40)


@PATIENT_SHORT
@given(places, st.integers(0, 50))
def test_no_cell_loses_more_places_than_allowed_and_the_way_is_never_longer(where, delay):
    cells = [SlidePoint(x, y) for x, y in where]
    order = capture_order(cells, delay, start=SlidePoint(0, 0))
    assert sorted(order) == list(range(len(cells)))
    assert all(place <= rank + delay for place, rank in enumerate(order))

    def way(indices):
        stops = [SlidePoint(0, 0), *(cells[i] for i in indices)]
        return sum(a.distance_um(b) for a, b in pairwise(stops))

    assert way(order) <= way(range(len(cells))) + 1e-6


def test_some_patience_saves_much_travel():
    rng = np.random.default_rng(5)
    cells = [SlidePoint(float(x), float(y)) for x, y in rng.uniform((0, 0), (50_000, 20_000), (60, 2))]

    def way(indices):
        return sum(cells[a].distance_um(cells[b]) for a, b in pairwise(indices))

    ranked = way(capture_order(cells, 0))
    assert way(capture_order(cells, 10)) < 0.55 * ranked
    assert way(capture_order(cells, 60)) < 0.3 * ranked
    with pytest.raises(ValueError, match="max_delay"):
        capture_order(cells, -1)


def test_focus_points_are_spread_over_the_area():
    fields = serpentine(Area(x_min_um=0, y_min_um=0, x_max_um=9000, y_max_um=9000), 1000, 1000, 0)
    chosen = spread_out(fields, 5)
    assert len({f.index for f in chosen}) == 5
    xs, ys = [f.centre.x_um for f in chosen], [f.centre.y_um for f in chosen]
    assert max(xs) - min(xs) == pytest.approx(8000)
    assert max(ys) - min(ys) == pytest.approx(8000)
    assert len(spread_out(fields, 500)) == len(fields)
    assert spread_out((), 3) == ()


def sighting(x, y, score=0.9, field=0, radius=25.0, edge=200.0):
    return Sighting(field, SlidePoint(x, y), radius, score, edge)


def test_a_cell_seen_in_two_fields_is_one_candidate_placed_by_the_field_that_shows_it_whole():
    cut = sighting(1000, 1000, score=0.97, field=3, edge=5.0)
    whole = sighting(1008, 1002, score=0.91, field=4, edge=60.0)
    (only,) = merge([cut, whole])
    assert (only.where, only.field_index) == (whole.where, 4)
    assert only.score == 0.97


def test_neighbouring_cells_stay_apart():
    assert len(merge([sighting(0, 0), sighting(60, 0)])) == 2


@PATIENT
@given(
    st.lists(
        st.builds(
            sighting,
            st.floats(0, 2000),
            st.floats(0, 2000),
            st.floats(0.5, 1),
            st.integers(0, 9),
            st.floats(10, 40),
            st.floats(0, 400),
        ),
        max_size=25,
    )
)
def test_merging_leaves_no_two_of_one_cell_and_loses_none(sightings):
    merged = merge(sightings)
    for i, first in enumerate(merged):
        assert not any(same_cell(first, second) for second in merged[i + 1 :])
    for seen in sightings:
        assert any(same_cell(seen, kept) or seen.where == kept.where for kept in merged)
    assert [m.score for m in merged] == sorted((m.score for m in merged), reverse=True)


@PATIENT
@given(st.permutations([0, 1, 2, 3, 4, 5]))
def test_the_order_in_which_fields_were_seen_does_not_matter(order):
    seen = [
        sighting(1000, 1000, 0.97, field=3, edge=5.0),
        sighting(1008, 1002, 0.91, field=4, edge=60.0),
        sighting(1003, 999, 0.95, field=9, edge=4.0),
        sighting(1100, 1000, 0.6, field=3),
        sighting(1104, 1003, 0.7, field=4),
        sighting(2000, 500, 0.8, field=7),
    ]
    assert merge([seen[k] for k in order]) == merge(seen)
    assert len(merge(seen)) == 3


def test_the_plan_can_be_given_as_a_useq_sequence_and_read_back():
    area = Area(x_min_um=1000, y_min_um=2000, x_max_um=4000, y_max_um=5000)
    fields = serpentine(area, 877, 660, 0.1)
    frame = SlideFrame(StagePoint(50_000, 0), rotation_deg=90)
    sequence = plan_as_sequence(fields, frame, {"exposure_ms": 5.0})
    assert MDASequence.model_validate_json(sequence.model_dump_json()) == sequence
    assert sequence.metadata == {"karyoscan": {"exposure_ms": 5.0}}
    events = list(sequence)
    assert [event.pos_name for event in events] == [f"field-{field.index:05d}" for field in fields]
    for event, field in zip(events, fields, strict=True):
        back = frame.to_slide(StagePoint(event.x_pos, event.y_pos))
        assert back.distance_um(field.centre) < 1e-6
