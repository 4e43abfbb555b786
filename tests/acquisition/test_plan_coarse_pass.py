"""The coarse pass on the twin: from moves and pictures to where its coverslip lies."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from acquisition.casebook import open_casebook
from acquisition.errors import CoverslipError, PlanError
from acquisition.plan.coarse_pass import detect_coverslip
from acquisition.plan.coverslip import LocatedCoverslip, coarse_fields
from acquisition.plan.scan_plan import plan_fields
from acquisition.protocol import Area, DetectedArea, Protocol
from acquisition.records import RunRecord
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.scanned_area import COVERSLIP_NAME, scanned_area
from acquisition.storage import RunFolder
from scanner.coordinates import SlidePoint
from scanner.errors import MoveStoppedError
from simulators.faults import TwinFault, TwinFaultKind


@pytest.fixture
def slide(bench):
    """A slide whose coverslip is all that takes time to draw, and the few fields that look at its edges."""
    bench.twin.settings = replace(
        bench.twin.settings, coverslip=True, cells=0, nuclei_per_mm2=3.0, specks_per_mm2=0.0, seed=8
    )
    return bench


def look(bench, area, **more):
    microscope = bench.microscope
    microscope.select_objective("10x")
    with microscope.lit():
        return detect_coverslip(microscope, area, 5.0, bench.rig.slide.frame, **more)


def two_lines(bench, **changes):
    """Two rows and two columns of fields: the least that tells how a coverslip is turned."""
    true = bench.twin.world.coverslip
    return true, DetectedArea(type="detected", size_mm="22x50", step_um=12_600.0, **changes)


@pytest.fixture
def only_near_the_edges(monkeypatch):
    """Leave out what lies far from every edge: the coarse pass of a slide takes its time, here as on glass."""

    def keep(true):
        def chosen(area, width_um, height_um):
            return tuple(
                field
                for field in coarse_fields(area, width_um, height_um)
                if abs(true.depth_um(field.centre.x_um, field.centre.y_um)) < 900.0
            )

        monkeypatch.setattr("acquisition.plan.coarse_pass.coarse_fields", chosen)

    return keep


def test_the_twins_coverslip_is_found_within_fifty_micrometres(slide, only_near_the_edges):
    true, area = two_lines(slide)
    only_near_the_edges(true)
    found = look(slide, area)
    assert found.confidence > 0.9
    for corner, wanted in zip(found.outline_um(), true.corners_um, strict=True):
        assert math.dist(corner, wanted) < 50.0
    inner = found.area(1000.0)
    assert all(true.depth_um(*corner) == pytest.approx(1000.0, abs=50.0) for corner in inner.points_um)
    # What the instrument says of itself is where the specimen is: the area holds the coverslip's middle.
    assert SlidePoint(found.x_um, found.y_um).distance_um(SlidePoint(true.x_um, true.y_um)) < 30.0


def test_without_light_there_is_no_coverslip_but_a_reason(slide, only_near_the_edges):
    true, area = two_lines(slide)
    only_near_the_edges(true)
    slide.twin.faults.add(TwinFault(TwinFaultKind.BLACK_FRAME, "Camera", times=None))
    with pytest.raises(CoverslipError, match="are no pictures"):
        look(slide, area)


def test_the_pass_ends_when_it_is_asked_to(slide):
    _, area = two_lines(slide)
    before = slide.twin.exposures
    with pytest.raises(CoverslipError, match="stopped"):
        look(slide, area, step=lambda: slide.twin.exposures < before + 3)
    assert slide.twin.exposures == before + 3


# -- within a run ------------------------------------------------------------------------------------------


@pytest.fixture
def context(bench, tmp_path):
    demo = yaml.safe_load((Path(__file__).parents[2] / "protocols" / "demo.yaml").read_text())
    demo["scan"]["area"] = {"type": "detected", "size_mm": "22x50", "margin_um": 1500}
    with RunFolder.create(tmp_path / "run") as folder, open_casebook(folder.casebook) as casebook:
        casebook.begin_run(RunRecord("r", "s", "simulated", "", "demo", "", "0", datetime(2026, 1, 1, tzinfo=UTC)))
        yield RunContext(
            run_uid="r",
            slide="s",
            instrument=RunInstrument(bench.microscope),
            protocol=Protocol.model_validate(demo),
            storage=RunStorage(folder, casebook),
            finders=RunFinders(lambda pixels, um_per_px: []),
        )


def test_a_run_looks_once_and_goes_on_with_what_it_found(context, monkeypatch):
    found = LocatedCoverslip(47_500.0, 13_000.0, 50_000.0, 22_000.0, 0.7, 0.98, 4.0)
    monkeypatch.setattr("acquisition.run.scanned_area.detect_coverslip", lambda *_, **__: found)
    area = scanned_area(context)
    assert area == found.area(1500.0)
    fields = plan_fields(context.protocol, context.microscope.rig, area, context.instrument.slide_frame)
    assert 1500 < len(fields) < 2400
    (event,) = context.casebook.events("r")
    assert (event.kind, event.context["angle_deg"]) == ("coverslip", 0.7)
    monkeypatch.setattr("acquisition.run.scanned_area.detect_coverslip", None)
    assert scanned_area(context) == area


def test_a_run_that_is_stopped_while_it_looks_says_so_and_leaves_the_light_off(context, bench):
    context.control.request_stop()
    with pytest.raises(MoveStoppedError, match="stopped during the search for the coverslip"):
        scanned_area(context)
    assert not bench.twin.lamp_open
    assert not (context.folder.path / COVERSLIP_NAME).exists()


def test_what_the_rig_refuses_is_refused_before_anything_moves(context, bench):
    capture = context.protocol.capture.model_copy(update={"oil": "forbidden"})
    before = bench.twin.stage_um(), bench.twin.exposures
    with pytest.raises(PlanError, match=r"capture\.oil"):
        scanned_area(replace(context, protocol=context.protocol.model_copy(update={"capture": capture})))
    assert (bench.twin.stage_um(), bench.twin.exposures) == before


def test_an_area_that_is_known_is_not_looked_for(context):
    rectangle = Area(x_min_um=30_000, y_min_um=9_000, x_max_um=31_000, y_max_um=10_000)
    scan = context.protocol.scan.model_copy(update={"area": rectangle})
    assert scanned_area(replace(context, protocol=context.protocol.model_copy(update={"scan": scan}))) == rectangle
