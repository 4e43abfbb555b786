from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from useq import MDAEvent

from acquisition.plan.candidates import Sighting, merge, same_cell
from acquisition.plan.events import as_events
from acquisition.plan.tiling import serpentine, spread_out, steps_to_cover
from acquisition.protocol import Area
from scanner.coordinates import SlideFrame, SlidePoint, StagePoint

sides = st.floats(50, 30_000)


@st.composite
def areas(draw):
    x, y = draw(st.floats(0, 40_000)), draw(st.floats(0, 20_000))
    return Area(x_min_um=x, y_min_um=y, x_max_um=x + draw(sides), y_max_um=y + draw(sides))


@given(areas(), st.floats(300, 2000), st.floats(300, 2000), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_every_point_of_the_area_lies_in_a_field(area, width, height, overlap, u, v):
    fields = serpentine(area, width, height, overlap)
    x, y = area.x_min_um + u * area.width_um, area.y_min_um + v * area.height_um
    assert any(
        abs(f.centre.x_um - x) <= width / 2 + 1e-6 and abs(f.centre.y_um - y) <= height / 2 + 1e-6 for f in fields
    )


@given(areas(), st.floats(300, 2000), st.floats(300, 2000), st.floats(0, 0.5))
def test_fields_are_numbered_in_order_and_neighbours_follow_each_other(area, width, height, overlap):
    fields = serpentine(area, width, height, overlap)
    assert [f.index for f in fields] == list(range(len(fields)))
    assert len({(f.row, f.column) for f in fields}) == len(fields)
    for before, after in pairwise(fields):
        assert abs(before.row - after.row) + abs(before.column - after.column) == 1


@given(areas(), st.floats(300, 2000), st.floats(300, 2000), st.floats(0, 0.5))
def test_fields_stay_inside_the_area_where_it_is_larger_than_a_field(area, width, height, overlap):
    for f in serpentine(area, width, height, overlap):
        if area.width_um > width:
            assert area.x_min_um - 1e-6 <= f.centre.x_um - width / 2
            assert f.centre.x_um + width / 2 <= area.x_max_um + 1e-6


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


def test_the_plan_can_be_told_in_useq_events_and_read_back():
    area = Area(x_min_um=1000, y_min_um=2000, x_max_um=4000, y_max_um=5000)
    fields = serpentine(area, 877, 660, 0.1)
    frame = SlideFrame(StagePoint(50_000, 0), rotation_deg=90)
    events = list(as_events(fields, frame, 5.0))
    assert [event.index["p"] for event in events] == [field.index for field in fields]
    for event, field in zip(events, fields, strict=True):
        back = frame.to_slide(StagePoint(event.x_pos, event.y_pos))
        assert back.distance_um(field.centre) < 1e-6
        assert MDAEvent.model_validate_json(event.model_dump_json()) == event
