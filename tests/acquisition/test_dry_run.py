"""The dry run against arithmetic by hand, against what it refuses, and against the record of a run."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from acquisition.casebook import open_casebook
from acquisition.dry_run import Experience, Severity, estimate, experience_of, with_free_room
from acquisition.errors import PlanError
from acquisition.plan.check import check
from acquisition.plan.density import CellDensity
from acquisition.plan.order import sample
from acquisition.plan.scan_plan import plan_fields
from acquisition.protocol import Protocol
from acquisition.records import (
    CandidateRecord,
    CandidateStatus,
    CaptureRecord,
    FieldRecord,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunRecord,
    RunStatus,
)
from scanner.coordinates import SlideFrame, StagePoint
from scanner.rig import Motion, OilerConfig, load_rig

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "protocols" / "demo.yaml"
RIG_FILE = ROOT / "hardware_configs" / "simulated" / "rig.yaml"
NOTHING = Experience(
    field_s=0, focus_point_s=0, capture_s=0, find_s=0, karyotype_s=0, worker_start_s=0, turret_s=0, overhead_s=0
)


@pytest.fixture
def rig():
    return load_rig(RIG_FILE)[0]


def demo(change=lambda data: None):
    data = yaml.safe_load(DEMO.read_text())
    change(data)
    return Protocol.model_validate(data)


def phase(result, name):
    return next(phase for phase in result.phases if phase.name == name)


def part(result, name):
    return next(part for part in result.disk if part.name == name)


def faster(rig, **motion):
    changed = rig.stage.motion.model_copy(update=motion)
    return rig.model_copy(update={"stage": rig.stage.model_copy(update={"motion": changed})})


# -- time --------------------------------------------------------------------------------------------------


def test_a_scan_is_as_fast_as_the_slower_of_stage_and_read_out(rig):
    demo_fields = 8 * 9
    read_out_bound = estimate(demo(), rig, NOTHING)
    assert read_out_bound.fields == demo_fields
    # 5 ms of exposure and 83 ms of read-out, in which the stage goes and settles.
    assert phase(read_out_bound, "scan").seconds == pytest.approx(demo_fields * 0.088, rel=0.02)
    slow = faster(rig, settle_ms=300)
    # The short way along x, the rig's own trapezoid, then 300 ms; focus 5 ms; exposure 5 ms.
    field_um = 1360 * 0.645
    step_um = (6000 - field_um) / 7
    way_s = 2 * (step_um / 2_000_000) ** 0.5 + 0.3
    took_s = phase(estimate(demo(), slow, NOTHING), "scan").seconds
    assert took_s == pytest.approx(demo_fields * (way_s + 0.005 + 0.006 + 0.005), rel=0.03)


def test_the_finder_bounds_the_scan_where_it_is_slower(rig):
    slow = replace(NOTHING, find_s=0.5)
    result = estimate(demo(), rig, slow)
    assert phase(result, "scan").seconds + phase(result, "search").seconds == pytest.approx(72 * 0.5)


def test_time_grows_with_what_is_asked(rig):
    base = estimate(demo(), rig)
    for change in (
        lambda d: d["scan"].update(focus={"strategy": "each_field"}),
        lambda d: d["scan"].update(exposure_ms=200),
        lambda d: d["scan"].update(exposure="auto"),
        lambda d: d["capture"].update(z_stack={"planes": 11}),
        lambda d: d["capture"].update(check_still=True),
        lambda d: d["scan"].update(focus={"points": 20}),
    ):
        assert estimate(demo(change), rig).seconds > base.seconds + 0.1
    assert estimate(demo(), rig, expected_cells=3).seconds < base.seconds


def test_patience_with_the_rank_saves_travel_through_oil(rig):
    # The demo's cells lie more than a millimetre apart: each way lowers the objective out of the oil.
    wide = {"x_min_um": 20_000, "y_min_um": 3_000, "x_max_um": 70_000, "y_max_um": 22_000}
    seconds = [
        phase(
            estimate(
                demo(lambda d, n=n: (d["scan"].update(area=wide), d["capture"].update(max_rank_delay=n))), rig
            ),
            "capture",
        ).seconds
        for n in (0, 20)
    ]
    assert seconds[1] < seconds[0] - 1.0


def test_a_stop_rule_is_reckoned_with_where_the_number_of_cells_is_known(rig):
    protocol = demo(lambda d: d.update(stop={"cells": 10}))
    assert phase(estimate(protocol, rig), "scan").count == 72
    assert phase(estimate(protocol, rig, expected_cells=40), "scan").count == 18
    assert estimate(protocol, rig, expected_cells=40).fields == 72
    limited = demo(lambda d: d.update(stop={"max_minutes": 0.05}))
    assert phase(estimate(limited, rig), "scan").seconds == pytest.approx(3.0)


def test_the_analysis_goes_on_after_the_last_capture_as_long_as_it_is_behind(rig):
    slow = replace(NOTHING, karyotype_s=100.0)
    one = phase(estimate(demo(), rig, slow), "karyotype").seconds
    four = phase(estimate(demo(lambda d: d["karyotype"].update(workers=4)), rig, slow), "karyotype").seconds
    assert one == pytest.approx(20 * 100, rel=0.05)
    assert four == pytest.approx(5 * 100, rel=0.15)
    none = estimate(demo(lambda d: d["karyotype"].update(enabled=False)), rig, slow)
    assert all(phase.name != "karyotype" for phase in none.phases)


def test_a_coverslip_that_has_to_be_found_costs_a_coarse_pass(rig):
    protocol = demo(lambda d: d["scan"].update(area={"type": "detected", "size_mm": "22x50"}))
    result = estimate(protocol, rig)
    assert phase(result, "coverslip").count > 200
    assert phase(result, "coverslip").seconds > 200 * 0.08
    with pytest.raises(PlanError, match="has to be found"):
        plan_fields(protocol, rig)


# -- disk, oil, ways ---------------------------------------------------------------------------------------


def test_bytes_follow_from_the_camera_and_what_is_kept(rig):
    picture = 2 * 1360 * 1024
    base = estimate(demo(), rig)
    assert part(base, "captures").size_bytes == 20 * picture
    stack = estimate(demo(lambda d: d["capture"].update(z_stack={"planes": 5})), rig)
    assert part(stack, "captures").size_bytes == 120 * picture
    kept = estimate(demo(lambda d: d["scan"].update(keep_fields="all")), rig)
    assert part(kept, "fields").size_bytes == 72 * picture
    # 6 x 5 mm in pixels of 4 um, a byte each, and smaller copies.
    overview = 1500 * 1250 * 4 / 3
    assert 0.2 * overview < part(kept, "overview").size_bytes <= overview
    assert part(base, "spool").stays is False
    assert base.needed_bytes == base.stored_bytes + part(base, "spool").size_bytes


def test_a_disk_without_room_is_a_refusal(rig):
    result = estimate(demo(), rig)
    assert with_free_room(result, result.needed_bytes) is result
    short = with_free_room(result, result.needed_bytes - 1)
    assert short.refused
    assert "no room" in str(short.findings[0])


def test_oil_is_counted_in_drops(rig):
    assert estimate(demo(), rig).oil_drops == 1
    oiled = rig.model_copy(update={"oiler": OilerConfig(spot_radius_um=1500)})
    few = estimate(demo(), oiled).oil_drops
    assert 3 <= few <= 12
    narrow = rig.model_copy(update={"oiler": OilerConfig(spot_radius_um=10)})
    assert estimate(demo(), narrow).oil_drops == 20
    dry = demo(lambda d: d["capture"].update(objective="10x"))
    assert estimate(dry, rig).oil_drops == 0


def test_ways_stay_within_the_limits_they_are_shown_with(rig):
    reach = {r.axis: r for r in estimate(demo(), rig).reach}
    assert reach["x"].low_um == pytest.approx(20_000 - 24)
    assert reach["x"].high_um == pytest.approx(26_000 - 24)
    assert reach["y"].high_um == pytest.approx(13_000 + 17)
    assert (reach["z"].low_um, reach["z"].max_um) == (0, 4000)


# -- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        (lambda d: d["scan"].update(objective="5x"), "refused", "scan.objective: found 5x; allowed: 10x, 63x"),
        (lambda d: d["scan"].update(objective="63x"), "refused", "allowed: 10x (a scan needs a dry objective)"),
        (
            lambda d: d["capture"].update(oil="forbidden"),
            "refused",
            "capture.oil: found forbidden; allowed: allowed",
        ),
        (lambda d: d["scan"]["area"].update(y_max_um=27_000), "refused", "scan.area: found stage y 27017 um"),
        (lambda d: d["scan"].update(background="flat_field"), "refused", "no flat-field picture for 10x"),
        (lambda d: d["find"].update(model="gpt"), "refused", "find.model: found gpt; allowed: rules, default"),
        (lambda d: d["capture"].update(focus_range_um=120), "refused", "together at most +- 100"),
        (lambda d: d["scan"].update(overlap=0.02), "warning", "scan.overlap: found 0.02 (13 um)"),
        (lambda d: d["scan"]["focus"].update(range_um=500), "warning", "scan.focus.range_um: found 500"),
        (lambda d: d["capture"].update(focus_range_um=0.3), "warning", "less than one step"),
        (lambda d: d["capture"].update(objective="10x"), "warning", "bands can't be resolved"),
        (lambda d: d["capture"].update(number=5), "warning", "capture.number: found 5; allowed: at least 20"),
        (lambda d: d.update(stop={"cells": 5}), "warning", "stop.cells: found 5"),
        (lambda d: d.update(banding="DAPI"), "warning", "scan.exposure: found fixed; allowed: auto"),
    ],
)
def test_what_a_rig_refuses_or_questions(rig, change, level, told):
    findings = check(demo(change), rig)
    assert any(told in str(finding) and finding.level == level for finding in findings), findings
    assert estimate(demo(change), rig).refused is (level == "refused")
    if level == "refused":
        with pytest.raises(PlanError):
            plan_fields(demo(change), rig)


def test_planes_that_leave_gaps_between_them_are_questioned(rig):
    findings = check(demo(lambda d: d["capture"].update(z_stack={"planes": 3, "step_um": 3})), rig)
    assert any("sharp in neither" in str(finding) for finding in findings)


def test_nothing_is_found_in_the_demo_and_refusals_stand_first(rig):
    assert check(demo(), rig) == ()
    both = check(demo(lambda d: (d["capture"].update(number=5), d["scan"].update(objective="63x"))), rig)
    levels = [finding.level for finding in both]
    assert levels[0] is Severity.REFUSED
    assert levels == sorted(levels)
    assert Severity.WARNING in levels


def test_every_slot_of_a_rig_is_held_against_its_limits(rig):
    near = SlideFrame(StagePoint(0, 0))
    far = SlideFrame(StagePoint(60_000, 0))
    assert check(demo(), rig, frame=near) == ()
    assert check(demo(), rig, frame=far)[0].level is Severity.REFUSED


def test_a_turned_camera_takes_fields_as_they_lie_on_the_slide(rig):
    turned = rig.model_copy(update={"camera": rig.camera.model_copy(update={"rotation_deg": 90.0})})
    straight, across = plan_fields(demo(), rig), plan_fields(demo(), turned)
    assert {f.row for f in straight} != {f.row for f in across}
    ys = sorted({f.centre.y_um for f in across})
    assert ys[1] - ys[0] > 660


# -- an earlier run's own figures --------------------------------------------------------------------------


def pretend_run(folder, *, field_s, capture_s, fields=72, cells=8, find_ms=40.0):
    folder.mkdir()
    (folder / "captures").mkdir()
    (folder / "karyograms").mkdir()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with open_casebook(folder / "casebook.sqlite") as casebook:
        casebook.begin_run(
            RunRecord("r", "s", "simulated", RIG_FILE.read_text(), "demo", DEMO.read_text(), "0", start)
        )
        for n in range(fields):
            at = start + timedelta(seconds=n * field_s)
            place = (n, 0, n, 0.0, 0.0, 0.0, 0.0, 0.0)
            casebook.record_field("r", FieldRecord(*place, FieldStatus.DONE, at, 1, 1, 1, find_ms, 0))
        casebook.record_candidates(
            "r",
            [
                CandidateRecord(f"cell-{n}", n, 0, 0, 25, 0.9, n + 1, CandidateStatus.CAPTURED)
                for n in range(cells)
            ],
        )
        for n in range(cells):
            uid, path = f"cell-{n}", f"captures/{n}.ome.tiff"
            (folder / path).write_bytes(b"x" * 1_000_000)
            (folder / "karyograms" / f"{n}.png").write_bytes(b"x" * 300_000)
            at = start + timedelta(seconds=n * capture_s)
            casebook.record_capture(
                "r", CaptureRecord(uid, uid, path, "0" * 64, 0, 0, 0, 0, 0, "63x", 0.1, 40, 1, 0, at)
            )
            casebook.record_karyotype("r", KaryotypeRecord(uid, KaryotypeStatus.PROPOSED, 2.0))
        casebook.finish_run("r", RunStatus.COMPLETED, start)
    seconds = {
        "prepare": 0.1, "focus": 9.0, "scan": fields * field_s, "search": 0.0,
        "capture": cells * capture_s + 2.3, "karyotype": 4.0,
    }  # fmt: skip
    seconds["total"] = sum(seconds.values()) + 5.0
    (folder / "run.json").write_text(json.dumps({"seconds": seconds}))
    return seconds


def test_the_dry_run_of_a_run_that_was_gives_what_it_took(tmp_path, rig):
    seconds = pretend_run(tmp_path / "run", field_s=0.2, capture_s=4.0)
    result = estimate(demo(), rig, experience_of(tmp_path / "run"), expected_cells=8)
    for name in ("focus", "scan", "capture", "karyotype"):
        assert phase(result, name).seconds == pytest.approx(seconds[name], rel=0.1)
    assert result.seconds == pytest.approx(seconds["total"], rel=0.05)
    stored = sum(p.stat().st_size for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert result.stored_bytes == pytest.approx(stored, rel=0.05)
    assert result.source == "run run"


def test_what_is_learnt_carries_over_to_another_protocol(tmp_path, rig):
    pretend_run(tmp_path / "run", field_s=0.2, capture_s=4.0)
    learnt = experience_of(tmp_path / "run")
    other = demo(lambda d: (d["scan"]["area"].update(x_max_um=32_000), d["scan"].update(exposure_ms=55)))
    result = estimate(other, rig, learnt, expected_cells=16)
    # 16 columns of 9 fields; 50 ms more of exposure on each.
    assert phase(result, "scan").seconds == pytest.approx(16 * 9 * 0.25, rel=0.03)
    assert part(result, "captures").size_bytes == pytest.approx(16_000_000, rel=0.001)


def test_a_finder_that_lags_behind_is_learnt_from_the_wait(tmp_path, rig):
    pretend_run(tmp_path / "run", field_s=0.2, capture_s=4.0, find_ms=700)
    figures = tmp_path / "run" / "run.json"
    data = json.loads(figures.read_text())
    data["seconds"]["search"] = 36.0
    figures.write_text(json.dumps(data))
    learnt = experience_of(tmp_path / "run")
    assert learnt.find_s == pytest.approx((72 * 0.2 + 36.0) / 72)


def test_a_run_that_was_killed_still_teaches_its_pace(tmp_path):
    pretend_run(tmp_path / "run", field_s=0.2, capture_s=4.0)
    (tmp_path / "run" / "run.json").unlink()
    learnt = experience_of(tmp_path / "run")
    assert learnt.field_s == pytest.approx(0.1, abs=0.02)
    assert learnt.overhead_s == Experience().overhead_s


def test_a_slide_with_known_cells_tells_what_to_expect_of_one_like_it(tmp_path, rig):
    pretend_run(tmp_path / "run", field_s=0.2, capture_s=4.0)
    known = experience_of(tmp_path / "run")
    # The pretended fields lie upon each other: their area isn't known.
    assert known.density is None
    assert estimate(demo(), rig, known).forecast is None
    dense = replace(known, density=CellDensity(144.0, 72, 0.5))
    protocol = demo(lambda d: d.update(stop={"cells": 10}))
    result = estimate(protocol, rig, dense)
    bounds = protocol.scan.area.bounds
    area_mm2 = bounds.width_um * bounds.height_um / 1e6
    assert result.forecast.expected.mean == pytest.approx(4.0 * area_mm2, rel=0.01)
    assert result.forecast.per_mm2.low < 4.0 < result.forecast.per_mm2.high
    # Ten with 95 %: the area on which about sixteen are expected.
    assert result.forecast.enough_fraction == pytest.approx(16 / (4.0 * area_mm2), rel=0.1)
    assert result.to_json()["analysable_cells"]["expected"]["mean"] == pytest.approx(4.0 * area_mm2, rel=0.01)
    sparse = replace(known, density=CellDensity(1.0, 720, 0.5))
    assert estimate(protocol, rig, sparse).forecast.enough_fraction is None


def test_the_density_is_learnt_from_the_record_and_not_from_fields_chosen_for_their_cells(tmp_path):
    for order in ("serpentine", "densest_first"):
        folder = tmp_path / order
        folder.mkdir()
        protocol = demo(lambda d: (d["scan"].update(order=order), d.update(stop={"cells": 5})))  # noqa: B023
        text = yaml.safe_dump(protocol.model_dump(mode="json"))
        planned = plan_fields(protocol, load_rig(RIG_FILE)[0])
        thin = {field.index for field in sample(planned)}
        start = datetime(2026, 1, 1, tzinfo=UTC)
        with open_casebook(folder / "casebook.sqlite") as casebook:
            casebook.begin_run(RunRecord("r", "s", "simulated", RIG_FILE.read_text(), "demo", text, "0", start))
            for n, f in enumerate(planned):
                at = start + timedelta(seconds=0.2 * n)
                place = (f.index, f.row, f.column, f.centre.x_um, f.centre.y_um, 0.0, 0.0, 0.0)
                casebook.record_field("r", FieldRecord(*place, FieldStatus.DONE, at, 1, 1, 1, 1, 0))
            cells = [
                CandidateRecord(f"c{n}", f.index, 0, 0, 25, 1.0, n + 1, CandidateStatus.SELECTED, analysable=0.5)
                for n, f in enumerate(f for f in planned if f.index not in thin)
            ]
            casebook.record_candidates("r", cells)
        density = experience_of(folder).density
        if order == "serpentine":
            assert (density.cells, density.fields) == (pytest.approx(len(cells) / 2), len(planned))
            step = (planned[1].centre.x_um - planned[0].centre.x_um) / 1000
            assert density.field_mm2 == pytest.approx(step * 0.66 * 0.9, rel=0.15)
        else:
            assert (density.cells, density.fields) == (0.0, len(thin))


def test_a_run_without_fields_teaches_nothing(tmp_path):
    pretend_run(tmp_path / "run", field_s=0.2, capture_s=4.0, fields=0, cells=0)
    with pytest.raises(PlanError, match="no field"):
        experience_of(tmp_path / "run")


def test_motion_of_the_rig_is_what_the_estimate_uses(rig):
    quick = Motion(speed_um_s=200_000, acceleration_um_s2=8_000_000, settle_ms=0, tolerance_um=2)
    fast = rig.model_copy(update={"stage": rig.stage.model_copy(update={"motion": quick})})
    fast = fast.model_copy(update={"camera": fast.camera.model_copy(update={"read_out_ms": 1.0})})
    assert phase(estimate(demo(), fast, NOTHING), "scan").seconds < 72 * 0.05
