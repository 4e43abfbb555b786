"""Commands about protocols and schemas: what a person reads, and what a program does."""

import datetime as dt
import json
from pathlib import Path

import jsonschema
import pytest
import useq
import yaml

from acquisition.protocol import DetectedArea, Protocol, load_protocol
from scanner.coordinates import SlidePoint
from scanner.rig import load_rig
from station.cli import main
from station.compose import open_instrument
from station.installation.packaged import protocol_names
from station.protocol.schema import SchemaOf, schema_of, schema_text
from station.protocol.template import new_protocol
from station.quantities import clock, size
from station.run.scan import ScanRequest, lying_slide

ROOT = Path(__file__).parents[2]
RIG = ROOT / "hardware_configs" / "simulated"
PROTOCOLS = sorted((ROOT / "protocols").glob("*.yaml"))
RIGS = sorted((ROOT / "hardware_configs").glob("*/rig.yaml*"))


@pytest.fixture
def call(capsys):
    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def changed(tmp_path, change, name="p.yaml"):
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text())
    change(data)
    path = tmp_path / name
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def line_with(path, text):
    return next(n for n, line in enumerate(path.read_text().splitlines(), start=1) if text in line)


# -- check -------------------------------------------------------------------------------------------------


def test_every_shipped_protocol_is_in_order_on_the_simulated_rig(call):
    assert {path.stem for path in PROTOCOLS} == {
        "amniotic_fluid",
        "bone_marrow",
        "constitutional_blood",
        "demo",
        "quick",
    }
    code, out, _ = call("protocol", "check", *PROTOCOLS, "--rig", RIG)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ok"] * len(PROTOCOLS)


@pytest.mark.parametrize("rig", ["simulated-feeder", "simulated-frame", "tango-serial", "prior-serial"])
def test_a_protocol_that_looks_for_its_coverslip_is_in_order_on_every_simulated_rig(call, rig):
    path = ROOT / "protocols" / "bone_marrow.yaml"
    assert isinstance(load_protocol(path).scan.area, DetectedArea)
    code, out, _ = call("protocol", "check", path, "--rig", ROOT / "hardware_configs" / rig)
    assert (code, out.split()[0]) == (0, "ok"), out


def test_a_refusal_names_file_line_found_and_allowed_and_fails(tmp_path, call):
    path = changed(tmp_path, lambda d: d["capture"].update(objective="100x"))
    code, out, _ = call("protocol", "check", path, "--rig", RIG)
    assert code == 1
    line = line_with(path, "objective: 100x")
    assert out.startswith(f"refused  {path}:{line}: capture.objective: found 100x; allowed: 10x, 63x")


def test_a_warning_is_told_and_passes(tmp_path, call):
    path = changed(tmp_path, lambda d: d["capture"].update(number=3))
    code, out, _ = call("protocol", "check", path, "--rig", RIG)
    assert code == 0
    assert out.startswith(f"warning  {path}:{line_with(path, 'number: 3')}: capture.number: found 3")


def test_a_file_that_is_no_text_is_named(tmp_path, call):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"name: \xff\xfe")
    code, out, _ = call("protocol", "check", path)
    assert code == 1
    assert out.startswith(f"refused  {path}: not UTF-8 text")


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path, call):
    bad = changed(tmp_path, lambda d: d["scan"].update(overlap=2), "bad.yaml")
    code, out, _ = call("protocol", "check", bad, ROOT / "protocols" / "demo.yaml", tmp_path / "none.yaml")
    assert code == 1
    first, second, third = out.splitlines()
    assert first.startswith(f"refused  {bad}:{line_with(bad, 'overlap')}: scan.overlap: found 2")
    assert second.startswith("ok")
    assert "none.yaml: no such file" in third


# -- explain -----------------------------------------------------------------------------------------------


def test_explain_shows_time_disk_oil_and_ways_and_writes_json(tmp_path, call):
    figures = tmp_path / "e.json"
    code, out, _ = call(
        "protocol", "explain", ROOT / "protocols" / "demo.yaml", "--rig", RIG, "--json", figures, "--out", tmp_path
    )
    assert code == 0
    for word in ("72 fields", "at most", "captures", "oil", "1 drop", "x um", "allowed 0 .. 76000"):
        assert word in out
    data = json.loads(figures.read_text())
    assert data["fields"] == 72
    assert data["seconds"] == pytest.approx(sum(phase["seconds"] for phase in data["phases"]), abs=0.1)
    assert data["needed_bytes"] > data["stored_bytes"] > 20 * 2 * 1360 * 1024
    assert data["refused"] is False


def test_explain_says_what_would_be_refused_and_fails(tmp_path, call):
    path = changed(tmp_path, lambda d: d["scan"]["area"].update(x_max_um=90_000))
    code, out, _ = call("protocol", "explain", path, "--rig", RIG)
    assert code == 1
    assert f"refused {path}:{line_with(path, 'area')}: scan.area: found stage x" in out
    assert "the stage's limits" in out


def test_explain_refuses_an_earlier_run_that_is_none(tmp_path, call):
    code, _, complaint = call(
        "protocol", "explain", ROOT / "protocols" / "demo.yaml", "--rig", RIG, "--measured", tmp_path
    )
    assert code == 1
    assert "holds no run to learn from" in complaint


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.6, "10 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7201, "2 h 00 min"),
        (3599.9, "1 h 00 min"),
    ],
)
def test_durations_are_for_people(seconds, shown):
    assert clock(seconds) == shown


def test_sizes_are_for_people():
    assert [size(2_787_216), size(1_234_000_000)] == ["2.8 MB", "1.23 GB"]


# -- new ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", protocol_names())
def test_a_new_protocol_is_a_shipped_one_under_another_name_with_its_comments(tmp_path, call, template):
    code, out, _ = call("protocol", "new", "ward_7", "--like", template, "--folder", tmp_path)
    assert code == 0
    path = tmp_path / "ward_7.yaml"
    assert str(path) in out
    made, shipped = load_protocol(path), load_protocol(ROOT / "protocols" / f"{template}.yaml")
    assert made == shipped.model_copy(update={"name": "ward_7"})
    assert path.read_text().splitlines()[0].startswith("#")


@pytest.mark.parametrize("name", ["12345", "null", "1e5", "on"])
def test_a_name_that_yaml_would_take_for_something_else_stays_a_name(tmp_path, call, name):
    assert call("protocol", "new", name, "--folder", tmp_path)[0] == 0
    assert load_protocol(tmp_path / f"{name}.yaml").name == name


@pytest.mark.parametrize(
    ("name", "like", "word"), [("../x", "demo", "name"), ("x", "nothing", "allowed: amniotic")]
)
def test_new_refuses_what_it_cannot_name_or_copy(tmp_path, call, name, like, word):
    code, _, complaint = call("protocol", "new", name, "--like", like, "--folder", tmp_path)
    assert code == 1
    assert word in complaint
    assert not list(tmp_path.iterdir())


def test_new_never_overwrites(tmp_path, call):
    (tmp_path / "mine.yaml").write_text("precious")
    code, _, complaint = call("protocol", "new", "mine", "--folder", tmp_path)
    assert code == 1
    assert "exists" in complaint
    assert (tmp_path / "mine.yaml").read_text() == "precious"


# -- schemas -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", SchemaOf)
def test_the_published_schema_is_current(what):
    published = ROOT / "docs" / "reference" / "schemas" / f"{what}.json"
    assert published.read_text(encoding="utf-8") == schema_text(what), (
        f"the models have changed: karyoscan schema {what} > {published.relative_to(ROOT)}"
    )


@pytest.mark.parametrize("what", SchemaOf)
def test_the_command_prints_the_published_schema(call, what):
    code, out, _ = call("schema", what)
    assert code == 0
    assert json.loads(out) == schema_of(what)


def test_an_unknown_schema_is_refused(call):
    code, _, complaint = call("schema", "slide")
    assert code == 1
    assert "allowed: protocol, rig, proposal" in complaint


def as_json(path):
    def plain(value):
        assert isinstance(value, dt.datetime | dt.date)
        return value.isoformat()

    return json.loads(json.dumps(yaml.safe_load(path.read_text()), default=plain))


@pytest.mark.parametrize(
    ("what", "path"),
    [(SchemaOf.PROTOCOL, p) for p in PROTOCOLS] + [(SchemaOf.RIG, p) for p in RIGS],
    ids=lambda value: value.parent.name + "/" + value.name if isinstance(value, Path) else str(value),
)
def test_shipped_files_keep_to_the_schema(what, path):
    schema = schema_of(what)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(as_json(path), schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_refuses_what_the_loader_refuses(tmp_path):
    validator = jsonschema.Draft202012Validator(schema_of(SchemaOf.PROTOCOL))
    for change in (
        lambda d: d["scan"].update(overlapp=0.1),
        lambda d: d["scan"].update(overlap=0.9),
        lambda d: d["scan"].update(area={"type": "coverslip", "size_mm": "1x1"}),
        lambda d: d["errors"].update(move={"then": "give_up"}),
        lambda d: d.pop("version"),
    ):
        assert not validator.is_valid(as_json(changed(tmp_path, change)))


def test_every_key_of_a_protocol_is_described_and_every_quantity_has_its_unit():
    schema = schema_of(SchemaOf.PROTOCOL)
    parts = {**schema["$defs"], "Protocol": schema}
    ends = {"_um": "um", "_ms": "ms", "_s": "s", "_minutes": "min"}
    for part, definition in parts.items():
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{part}.{key}"
            unit = next((unit for end, unit in ends.items() if key.endswith(end)), None)
            if unit is not None:
                assert f'"unit": "{unit}"' in json.dumps(value), f"{part}.{key}"
    assert len(parts) > 15
    assert Protocol.model_fields.keys() == schema["properties"].keys()


# -- a coverslip to be found, on a simulated slide ---------------------------------------------------------


def test_a_simulated_slide_has_a_coverslip_where_one_is_looked_for(tmp_path):
    detected = changed(tmp_path, lambda d: d["scan"].update(area={"type": "detected", "size_mm": "22x50"}))
    for path, expected in ((detected, True), (ROOT / "protocols" / "demo.yaml", False)):
        request = ScanRequest(RIG, path, tmp_path / "run", cells=1)
        lying = lying_slide(request, load_protocol(path))
        with open_instrument(RIG, lying) as instrument:
            true = instrument.twin.world.coverslip
        assert (true is not None) is expected
        if true is not None:
            corners = lying.area.outline_um
            assert all(true.depth_um(*corner) > 1000 for corner in corners)


def test_the_fields_of_a_scan_are_exported_for_other_software(call, tmp_path):
    path = tmp_path / "quick.json"
    code, output, _ = call("protocol", "export", "quick", "--rig", "simulated", "--out", path)
    assert code == 0
    assert "4 fields" in output
    sequence = useq.MDASequence.model_validate_json(path.read_text(encoding="utf-8"))
    assert len({(position.x, position.y) for position in sequence.stage_positions}) == 4
    assert sequence.metadata["karyoscan"]["objective"] == "10x"
    rig, _ = load_rig(RIG)
    # The first field is the upper left one: half a field from the corner of the area, slide um.
    first = sequence.stage_positions[0]
    corner = rig.slide.frame.to_stage(SlidePoint(30_000.0, 11_000.0))
    frame = rig.camera_frame(rig.objective("10x"))
    assert abs(abs(first.x - corner.x_um) - frame.width_um / 2) < 0.2 * frame.width_um


def test_an_area_that_is_detected_on_the_slide_can_not_be_exported(call, tmp_path):
    code, _, complaint = call("protocol", "export", "bone_marrow", "--rig", "simulated", "--out", tmp_path / "x")
    assert code == 1
    assert "detected on the slide" in complaint
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "path", [*ROOT.glob("protocols/*.yaml"), *ROOT.glob("hardware_configs/*/rig.yaml*")], ids=str
)
def test_editors_get_the_schema_of_what_is_shipped(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    prefix, _, target = first.partition("$schema=")
    assert prefix == "# yaml-language-server: "
    kind = "rig" if path.name.startswith("rig") else "protocol"
    assert (path.parent / target).resolve() == ROOT / "docs" / "reference" / "schemas" / f"{kind}.json"


@pytest.mark.parametrize("what", [SchemaOf.PROTOCOL, SchemaOf.RIG])
def test_every_key_has_a_description(what):
    schema = json.loads(schema_text(what))
    parts = {"": schema, **schema.get("$defs", {})}
    keys = [
        (name, key, of_key) for name, part in parts.items() for key, of_key in part.get("properties", {}).items()
    ]
    assert [f"{name}.{key}" for name, key, of_key in keys if not of_key.get("description")] == []


def test_a_new_protocol_has_its_schema_beside_it(tmp_path):
    path = new_protocol("mine", "demo", tmp_path)
    target = path.read_text(encoding="utf-8").splitlines()[0].partition("$schema=")[2]
    assert json.loads((tmp_path / target).read_text(encoding="utf-8")) == json.loads(
        schema_text(SchemaOf.PROTOCOL)
    )
