"""Slides that lie on the stage together: none upon another, each with its own coordinates."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scanner.coordinates import GLASS_UM, SlideFrame, SlidePoint, StagePoint
from scanner.rig import Rig
from scanner.slots import overlapping_slides

TEMPLATE = Path(__file__).parents[2] / "hardware_configs" / "axioimager-z2-tango" / "rig.yaml.example"

# A nanometre within the edge, where rounding decides nothing.
glass_places = st.builds(SlidePoint, st.floats(1e-3, GLASS_UM[0] - 1e-3), st.floats(1e-3, GLASS_UM[1] - 1e-3))
# Where a frame's slots truly are: each a little beside, and turned.
errors = st.tuples(st.floats(-400.0, 400.0), st.floats(-400.0, 400.0), st.floats(-0.5, 0.5))


def template() -> dict:
    """The template of a rig, its documented frame of eight slides taken at its word."""
    text = TEMPLATE.read_text()
    head, _, slots = text.partition("# slots:")
    documented = "slots:" + slots.replace("\n#", "\n")
    data = yaml.safe_load(head) | yaml.safe_load(documented)
    del data["slide"]
    data["stage"] |= {"x": {"min_um": 0, "max_um": 120_000}, "y": {"min_um": 0, "max_um": 160_000}}
    return data


def rig_with(moved: list[tuple[float, float, float]]) -> Rig:
    data = template()
    for slot, (dx_um, dy_um, turn_deg) in zip(data["slots"], moved, strict=True):
        slot["x_um"] += dx_um
        slot["y_um"] += dy_um
        slot["rotation_deg"] += turn_deg
    return Rig.model_validate(data)


def test_the_documented_frame_holds_eight_slides_within_its_limits():
    rig = Rig.model_validate(template())
    assert list(rig.slides) == [str(number) for number in range(1, 9)]
    assert overlapping_slides(rig.slides) == ()
    for frame in rig.slides.values():
        lower, upper = frame.glass()
        assert lower.x_um in rig.stage.x
        assert upper.x_um in rig.stage.x
        assert lower.y_um in rig.stage.y
        assert upper.y_um in rig.stage.y


@given(st.lists(errors, min_size=8, max_size=8), glass_places)
def test_slide_to_stage_and_back_over_all_slots(moved, place):
    rig = rig_with(moved)
    stage_places = []
    for name, frame in rig.slides.items():
        there = frame.to_stage(place)
        stage_places.append(there)
        assert frame.to_slide(there).distance_um(place) < 1e-6
        assert rig.slide_at(there) == name
        # No other slide has this place of the stage on its glass.
        for other, strange in rig.slides.items():
            where = strange.to_slide(there)
            on_glass = 0.0 <= where.x_um <= GLASS_UM[0] and 0.0 <= where.y_um <= GLASS_UM[1]
            assert on_glass == (other == name)
    assert min(a.distance_um(b) for a, b in itertools.combinations(stage_places, 2)) > 25_000.0


@settings(max_examples=40)
@given(st.floats(-60_000.0, 60_000.0), st.floats(-60_000.0, 60_000.0), st.floats(-180.0, 180.0), st.booleans())
def test_slides_overlap_exactly_where_they_share_a_place(x_um, y_um, turn_deg, flip_x):
    frames = {"a": SlideFrame(), "b": SlideFrame(StagePoint(x_um, y_um), turn_deg, flip_x)}
    shared = margin_um(frames["a"], frames["b"])
    if abs(shared) > 3_000.0:  # finer than this grid
        assert bool(overlapping_slides(frames)) == (shared > 0.0)


def margin_um(one: SlideFrame, other: SlideFrame) -> float:
    """How deep the second glass reaches into the first, from a grid of its places; below 0: how far it is away."""
    deepest = -math.inf
    for across, down in itertools.product(range(0, 77, 4), range(0, 27, 2)):
        where = one.to_slide(other.to_stage(SlidePoint(across * 1000.0, down * 1000.0)))
        inside = min(where.x_um, GLASS_UM[0] - where.x_um, where.y_um, GLASS_UM[1] - where.y_um)
        deepest = max(deepest, inside)
    return deepest


def test_glass_that_touches_glass_does_not_overlap():
    beside = {str(n): SlideFrame(StagePoint(0.0, n * GLASS_UM[1])) for n in range(3)}
    assert overlapping_slides(beside) == ()
    beside["crossing"] = SlideFrame(StagePoint(30_000.0, -10_000.0), 90.0)
    assert overlapping_slides(beside) == (("0", "crossing"), ("1", "crossing"), ("2", "crossing"))


def test_a_rig_whose_slots_overlap_is_refused():
    data = template()
    data["slots"][3]["x_um"] = 88_000 + 25_900
    with pytest.raises(ValidationError, match="slots 3 and 4 overlap"):
        Rig.model_validate(data)
    data["slots"][3] |= {"x_um": 118_000, "rotation_deg": 95}
    with pytest.raises(ValidationError, match="slots 3 and 4 overlap"):
        Rig.model_validate(data)
