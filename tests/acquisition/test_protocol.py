from pathlib import Path

import pytest
import yaml

from acquisition.errors import ProtocolError
from acquisition.protocol import (
    Area,
    CoverslipArea,
    CoverslipSize,
    ErrorPolicy,
    ExposureMode,
    FaultKind,
    FieldOrder,
    KeepFields,
    Protocol,
    Stop,
    Then,
    load_protocol,
)

PROTOCOLS = Path(__file__).parents[2] / "protocols"


@pytest.mark.parametrize("path", sorted(PROTOCOLS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_protocols_load(path):
    assert load_protocol(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["scan"].update(overlapp=0.2),
            "scan.overlapp: unknown key; allowed here: area, background, exposure",
        ),
        (lambda d: d["scan"].update(overlap=0.9), "scan.overlap: found 0.9"),
        (lambda d: d["scan"]["area"].update(x_max_um=0), "x_min_um must be below x_max_um"),
        (lambda d: d["capture"].update(oil="maybe"), "capture.oil: found 'maybe'; input should be 'allowed' or"),
        (lambda d: d.update(banding="C"), "banding: found 'C'"),
        (lambda d: d["capture"].pop("number"), "capture.number: required key is missing"),
        (lambda d: d["scan"].update(exposure_ms=float("inf")), "scan.exposure_ms: found inf"),
    ],
)
def test_a_wrong_protocol_is_refused_with_file_line_key_and_allowed(tmp_path, change, message):
    data = yaml.safe_load((PROTOCOLS / "demo.yaml").read_text())
    change(data)
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ProtocolError) as caught:
        load_protocol(path)
    assert message in str(caught.value)
    assert caught.value.path == path
    assert caught.value.line is not None
    assert "\n" not in str(caught.value)


def demo(change=lambda data: None):
    data = yaml.safe_load((PROTOCOLS / "demo.yaml").read_text())
    change(data)
    return Protocol.model_validate(data)


def refused(tmp_path, change):
    data = yaml.safe_load((PROTOCOLS / "demo.yaml").read_text())
    change(data)
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(ProtocolError) as caught:
        load_protocol(path)
    return str(caught.value).removeprefix(f"{path}:"), path.read_text().splitlines()


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (
            lambda d: d["scan"].update(order="densest_first"),
            "order:",
            "scan.order: found densest_first, which needs stop",
        ),
        (
            lambda d: d["karyotype"].update(counted=1),
            "counted:",
            "karyotype.counted: found karyotyped 2, analysed 5",
        ),
        (lambda d: d["karyotype"].update(analysed=1), "analysed:", "karyotype.analysed: found karyotyped 2"),
        (
            lambda d: d["capture"].update(z_stack={"planes": 4}),
            "planes:",
            "capture.z_stack.planes: found 4; must be odd",
        ),
        (
            lambda d: d["errors"].update(light={"then": "skip_and_mark"}),
            "then:",
            "errors.light.then: found skip_and_mark",
        ),
        (lambda d: d["errors"].update(karyotype={"then": "abort"}), "then:", "errors.karyotype.then: found abort"),
        (
            lambda d: d["errors"].update(oil={"retries": 1, "then": "abort"}),
            "retries:",
            "errors.oil.retries: found 1",
        ),
        (lambda d: d["errors"].update(move={"then": "give_up"}), "then:", "errors.move.then: found 'give_up'"),
        (
            lambda d: d["scan"].update(area={"type": "round"}),
            "area:",
            "scan.area: found {'type': 'round'}; type must be",
        ),
        (
            lambda d: d["scan"].update(area={"type": "coverslip", "size_mm": "24x51"}),
            "size_mm:",
            "scan.area.size_mm: found '24x51'; input should be '18x18'",
        ),
        (
            lambda d: d["scan"].update(area={"type": "coverslip"}),
            "area:",
            "scan.area.size_mm: required key is missing",
        ),
        (
            lambda d: d["scan"].update(area={"type": "polygon", "points_um": [[0, 0], [9, 9], [9, 0]], "fo": 1}),
            "fo:",
            "scan.area.fo: unknown key; allowed here: points_um, type",
        ),
        (
            lambda d: d["scan"].update(area={"type": "polygon", "points_um": [[0, 0], [9, 9], [9, 0], [0, 9]]}),
            "points_um:",
            "the outline crosses itself",
        ),
        (
            lambda d: d["scan"].update(area={"type": "coverslip", "size_mm": "18x18", "margin_um": 9000}),
            "margin_um:",
            "scan.area.margin_um: found 9000",
        ),
        (
            lambda d: d.update(notify=[{"type": "command", "command": []}]),
            "command:",
            "notify.0.command: found []",
        ),
        (lambda d: d.update(version=2), "version:", "version: found 2; input should be 1"),
    ],
)
def test_rules_between_keys_are_told_at_the_key_that_breaks_them(tmp_path, change, line, message):
    told, lines = refused(tmp_path, change)
    number, _, rest = told.partition(": ")
    assert message in rest
    assert lines[int(number) - 1].strip().startswith((line, f"- {line}"))


def test_a_protocol_of_the_first_days_means_what_it_meant():
    protocol = demo()
    assert protocol.scan.area == Area(x_min_um=20_000, y_min_um=8_000, x_max_um=26_000, y_max_um=13_000)
    assert protocol.scan.exposure is ExposureMode.FIXED
    assert protocol.scan.order is FieldOrder.SERPENTINE
    assert protocol.scan.keep_fields is KeepFields.NONE
    assert protocol.stop == Stop()
    assert protocol.stop.cells is None
    assert protocol.capture.max_rank_delay == 0
    assert protocol.capture.z_stack.planes == 1
    assert protocol.notify == ()


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_of_fault_has_a_rule_that_keeps_to_its_own_limits(kind):
    policy = ErrorPolicy()
    rule = policy.rule(kind)
    assert ErrorPolicy.model_validate({kind.value: rule.model_dump()}) == policy
    assert rule.retries <= 3
    assert set(ErrorPolicy.model_fields) == {"max_failed_fields", *FaultKind}


@pytest.mark.parametrize("kind", [FaultKind.LIGHT, FaultKind.OBJECTIVE, FaultKind.OIL, FaultKind.STORAGE])
def test_what_nothing_can_follow_is_never_skipped(kind):
    assert ErrorPolicy().rule(kind).then is not Then.SKIP_AND_MARK


@pytest.mark.parametrize("size", CoverslipSize)
def test_a_coverslip_lies_lengthwise_within_its_margin(size):
    area = CoverslipArea(type="coverslip", size_mm=size, centre_x_um=40_000, centre_y_um=12_000, margin_um=500)
    assert area.width_um == size.width_um - 1000
    assert area.height_um == size.height_um - 1000
    assert area.width_um >= area.height_um
    assert (area.x_min_um + area.x_max_um, area.y_min_um + area.y_max_um) == (80_000, 24_000)


def test_areas_of_all_kinds_are_read_and_have_bounds():
    areas = [
        {"type": "rectangle", "x_min_um": 1, "y_min_um": 2, "x_max_um": 3, "y_max_um": 4},
        {"type": "polygon", "points_um": [[1, 2], [3, 2], [3, 4]]},
        {"type": "coverslip", "size_mm": "24x50"},
        {"type": "detected"},
    ]
    for area in areas:
        read = demo(lambda d, area=area: d["scan"].update(area=area)).scan.area
        assert read.type == area["type"]
        assert read.bounds.width_um == read.width_um == read.x_max_um - read.x_min_um > 0
        assert len(read.outline_um) >= 3
        assert all(read.x_min_um <= x <= read.x_max_um for x, _ in read.outline_um)


def test_a_protocol_survives_json():
    protocol = load_protocol(PROTOCOLS / "constitutional_blood.yaml")
    assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol
