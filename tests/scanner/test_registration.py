"""Registering slides on the twin, which lies as it likes and tells nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from scanner.coordinates import SlideFrame, SlidePoint, StagePoint
from scanner.errors import DeviceError, FrameError, RegistrationError
from scanner.microscope import Microscope
from scanner.registration.fit import Registration, Tolerances
from scanner.registration.landmarks import Cross, RegisteredCoverslip
from scanner.registration.survey import SurveyPlan, register_slide, seen_coverslip
from scanner.rig import Rig
from simulators.faults import TwinFault, TwinFaultKind
from simulators.instrument import SimulatedInstrument, open_instrument, shipped_rig
from simulators.specimen.slide import SlideSettings

NOMINAL = RegisteredCoverslip.rectangle(47_500.0, 13_000.0, 50_000.0, 22_000.0)
HIDDEN_UM = (312.0, -187.0)

Lay = Callable[..., SimulatedInstrument]


@pytest.fixture
def lay() -> Iterator[Lay]:
    """Lay a slide on a simulated stage, away from where the rig says."""
    with ExitStack() as stack:

        def lay(rig: str = "simulated", hidden_um: tuple[float, float] = HIDDEN_UM, **slide: object):
            settings = SlideSettings(cells=0, **{"nuclei_per_mm2": 0.0, "coverslip": True, **slide})
            instrument = stack.enter_context(open_instrument(shipped_rig(rig), slide=settings))
            instrument.twin.anatomy = replace(instrument.twin.anatomy, slide_origin_um=hidden_um)
            return instrument

        yield lay


def frame_of(instrument: SimulatedInstrument) -> SlideFrame:
    return instrument.rig.slides["1"]


def true_corners(instrument: SimulatedInstrument) -> list[StagePoint]:
    origin = instrument.twin.anatomy.slide_origin_um
    coverslip = instrument.twin.world.coverslip
    assert coverslip is not None
    return [StagePoint(x_um + origin[0], y_um + origin[1]) for x_um, y_um in coverslip.corners_um]


def worst_um(found: Registration, instrument: SimulatedInstrument) -> float:
    pairs = zip(NOMINAL.corners, true_corners(instrument), strict=True)
    return max(found.frame.to_stage(corner).distance_um(truth) for corner, truth in pairs)


def assert_nothing_happened(instrument: SimulatedInstrument) -> None:
    assert not instrument.twin.lamp_open
    assert instrument.twin.collisions == ()


@pytest.mark.parametrize("seed", [2, 5])
def test_a_hidden_shift_and_turn_are_recovered_from_the_coverslip(lay, seed):
    instrument = lay(seed=seed, nuclei_per_mm2=40.0, bubbles=6, scratches=4)
    found = register_slide(instrument.microscope, NOMINAL, frame_of(instrument))
    assert worst_um(found, instrument) < 10.0
    truth = instrument.twin.world.coverslip
    assert found.frame.rotation_deg == pytest.approx(truth.angle_deg, abs=0.05)
    assert found.rotation_deg == pytest.approx(truth.angle_deg, abs=0.05)
    assert found.shift_um == pytest.approx(
        ((truth.x_um + HIDDEN_UM[0] - 47_500.0) ** 2 + (truth.y_um + HIDDEN_UM[1] - 13_000.0) ** 2) ** 0.5,
        abs=10.0,
    )
    assert len(found.marks) == 4
    assert found.outliers == ()
    assert found.rms_um < 5.0
    assert found.exposures <= 16
    assert_nothing_happened(instrument)


def test_the_camera_may_be_turned_and_flipped(lay):
    instrument = lay(seed=2)
    anatomy = instrument.twin.anatomy
    mounted = {"rotation_deg": 91.7, "flip_x": True}
    instrument.twin.anatomy = replace(anatomy, sensor=replace(anatomy.sensor, **mounted))
    rig = instrument.rig.model_copy(update={"camera": instrument.rig.camera.model_copy(update=mounted)})
    found = register_slide(Microscope(instrument.core, rig), NOMINAL, frame_of(instrument))
    assert worst_um(found, instrument) < 10.0


def test_the_serial_rig_registers_too(lay):
    instrument = lay("tango-serial", seed=2)
    assert worst_um(register_slide(instrument.microscope, NOMINAL, frame_of(instrument)), instrument) < 10.0


@pytest.mark.parametrize("away_um", [-70.0, 70.0])
def test_edges_are_found_out_of_focus(lay, away_um):
    instrument = lay(seed=2)
    plan = SurveyPlan(focus_um=2_000.0 + away_um)
    assert worst_um(register_slide(instrument.microscope, NOMINAL, frame_of(instrument), plan), instrument) < 10.0


def test_a_slide_laid_down_again_keeps_its_coordinates(lay):
    instrument = lay(seed=2)
    nominal = frame_of(instrument)
    first = register_slide(instrument.microscope, NOMINAL, nominal)
    coverslip = seen_coverslip(first, nominal)
    spot = SlidePoint(30_000.0, 9_000.0)
    before_um = [nominal.to_stage(spot).x_um - HIDDEN_UM[0], nominal.to_stage(spot).y_um - HIDDEN_UM[1]]
    instrument.twin.anatomy = replace(instrument.twin.anatomy, slide_origin_um=(-95.0, 240.0))
    again = register_slide(instrument.microscope, coverslip, nominal)
    there = again.frame.to_stage(spot)
    assert [there.x_um + 95.0, there.y_um - 240.0] == pytest.approx(before_um, abs=3.0)
    assert again.rotation_deg == pytest.approx(0.0, abs=0.01)
    assert again.rms_um < 3.0
    # The nominal size of a coverslip is not its true one; its own corners are.
    assert again.exposures <= first.exposures + 4


def test_three_edges_are_enough(lay):
    instrument = lay(seed=2, hidden_um=(0.0, 0.0))
    stage = instrument.rig.stage
    short = stage.model_copy(update={"y": stage.y.model_copy(update={"max_um": 20_000.0})})
    rig: Rig = instrument.rig.model_copy(update={"stage": short})
    found = register_slide(Microscope(instrument.core, rig), NOMINAL, frame_of(instrument))
    assert [fitted.mark.name for fitted in found.marks] == ["corner 1", "corner 2"]
    assert worst_um(found, instrument) < 10.0
    with pytest.raises(RegistrationError, match="not all corners"):
        seen_coverslip(found, frame_of(instrument))


def test_a_slide_without_coverslip_is_refused(lay):
    instrument = lay(seed=1, coverslip=False, nuclei_per_mm2=40.0)
    with pytest.raises(RegistrationError, match="the coverslip was not found, 32 pictures taken") as refused:
        register_slide(instrument.microscope, NOMINAL, frame_of(instrument))
    assert (refused.value.actual, refused.value.allowed) == ("0 of 2", "3 of 4")
    assert_nothing_happened(instrument)


def test_a_coverslip_of_another_size_is_refused(lay):
    instrument = lay(seed=2)
    smaller = RegisteredCoverslip.rectangle(47_500.0, 13_000.0, 49_600.0, 22_000.0)
    with pytest.raises(RegistrationError, match="contradict") as refused:
        register_slide(instrument.microscope, smaller, frame_of(instrument))
    assert refused.value.axis == "residual"
    assert refused.value.actual == pytest.approx(200.0, abs=5.0)


def test_a_coverslip_turned_too_far_is_refused(lay):
    instrument = lay(seed=5)
    plan = SurveyPlan(tolerances=Tolerances(rotation_deg=1.0))
    with pytest.raises(RegistrationError, match="can't lie like this") as refused:
        register_slide(instrument.microscope, NOMINAL, frame_of(instrument), plan)
    assert refused.value.axis == "rotation"
    assert refused.value.actual == pytest.approx(1.17, abs=0.05)


def test_engraved_crosses_tell_the_same(lay):
    instrument = lay(seed=2, marks=True, nuclei_per_mm2=40.0)
    crosses = [
        Cross(f"cross {n}", SlidePoint(*place)) for n, place in enumerate(instrument.twin.world.marks_um, 1)
    ]
    found = register_slide(instrument.microscope, crosses, frame_of(instrument))
    for cross in crosses:
        truth = StagePoint(cross.place.x_um + HIDDEN_UM[0], cross.place.y_um + HIDDEN_UM[1])
        assert found.frame.to_stage(cross.place).distance_um(truth) < 5.0
    assert found.frame.rotation_deg == pytest.approx(0.0, abs=0.01)
    assert found.exposures <= 8
    assert_nothing_happened(instrument)


def test_a_slide_without_crosses_is_refused(lay):
    instrument = lay(seed=2)
    crosses = [Cross("one", SlidePoint(40_000.0, 9_000.0)), Cross("two", SlidePoint(60_000.0, 15_000.0))]
    plan = SurveyPlan(tolerances=Tolerances(shift_um=400.0))
    with pytest.raises(RegistrationError, match="too few crosses were found"):
        register_slide(instrument.microscope, crosses, frame_of(instrument), plan)
    with pytest.raises(RegistrationError, match="too few crosses to look for"):
        register_slide(instrument.microscope, crosses[:1], frame_of(instrument))


@pytest.mark.parametrize(
    ("kind", "device", "error"),
    [
        (TwinFaultKind.LAMP_DEAD, "Lamp", FrameError),
        (TwinFaultKind.CAMERA_RAISES, "Camera", DeviceError),
        (TwinFaultKind.MOVE_SHORT, "XY", DeviceError),
    ],
)
def test_a_failing_instrument_ends_it_in_the_dark(lay, kind, device, error):
    instrument = lay(seed=2)
    instrument.twin.faults.add(TwinFault(kind, device, nth=5, times=None))
    with pytest.raises(error):
        register_slide(instrument.microscope, NOMINAL, frame_of(instrument))
    assert_nothing_happened(instrument)


def test_corners_that_go_no_way_round_are_refused():
    one, two, three, four = NOMINAL.corners
    with pytest.raises(ValueError, match="go round it in order"):
        RegisteredCoverslip((one, three, two, four))
    with pytest.raises(ValueError, match="go round it in order"):
        RegisteredCoverslip((one, one, three, four))
    assert RegisteredCoverslip((four, three, two, one)).middle == NOMINAL.middle
