"""The command line: each bad input is one line and a non-zero exit, and nothing half-made is left behind."""

import json
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image

from station.cli import main

ROOT = Path(__file__).parents[2]
RIG = ROOT / "hardware_configs" / "simulated"
DEMO = ROOT / "protocols" / "demo.yaml"


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command; gives exit code, output and complaint."""

    def run(*arguments):
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def assert_one_line(complaint, *words):
    lines = [line for line in complaint.splitlines() if line.strip()]
    assert len(lines) == 1, complaint
    assert lines[0].startswith("karyoscan: ")
    for word in words:
        assert word in lines[0]


def scan_arguments(tmp_path, *, rig=RIG, protocol=DEMO, out=None):
    return ["scan", "--rig", rig, "--protocol", protocol, "--out", out or tmp_path / "run"]


def test_an_unknown_key_in_a_protocol_is_refused_before_anything_is_written(tmp_path, call):
    data = yaml.safe_load(DEMO.read_text())
    data["scan"]["exposure_time"] = 3
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(data))
    code, _, complaint = call(*scan_arguments(tmp_path, protocol=path))
    assert code == 1
    assert_one_line(complaint, str(path), "scan.exposure_time", "unknown key", "exposure_ms")
    assert not (tmp_path / "run").exists()


def test_a_bad_value_in_a_rig_is_refused(tmp_path, call):
    folder = tmp_path / "rig"
    folder.mkdir()
    data = yaml.safe_load((RIG / "rig.yaml").read_text())
    data["objectives"][0]["immersion"] = "water"
    (folder / "rig.yaml").write_text(yaml.safe_dump(data))
    (folder / "micro-manager.cfg").write_text((RIG / "micro-manager.cfg").read_text())
    code, _, complaint = call(*scan_arguments(tmp_path, rig=folder))
    assert code == 1
    assert_one_line(complaint, "objectives.0.immersion", "'water'", "'air' or 'oil'")


@pytest.mark.parametrize(
    "line",
    ["#py pyDevice,Extra,simulators.devices,NoSuchDevice", "#py pyDevice,Extra,no_such_module,Thing"],
)
def test_an_unknown_device_in_the_configuration_is_refused(tmp_path, call, line):
    folder = tmp_path / "rig"
    folder.mkdir()
    (folder / "rig.yaml").write_text((RIG / "rig.yaml").read_text())
    (folder / "micro-manager.cfg").write_text(f"{line}\n" + (RIG / "micro-manager.cfg").read_text())
    code, _, complaint = call(*scan_arguments(tmp_path, rig=folder))
    assert code == 1
    assert_one_line(complaint, "micro-manager.cfg")
    assert not (tmp_path / "run").exists()


def test_a_device_that_the_rig_names_but_nobody_loads_is_refused(tmp_path, call):
    folder = tmp_path / "rig"
    folder.mkdir()
    (folder / "rig.yaml").write_text((RIG / "rig.yaml").read_text().replace("lamp: Lamp", "lamp: Halogen"))
    (folder / "micro-manager.cfg").write_text((RIG / "micro-manager.cfg").read_text())
    code, _, complaint = call(*scan_arguments(tmp_path, rig=folder))
    assert code == 1
    assert_one_line(complaint, "Halogen", "devices.lamp")


def test_a_missing_specimen_folder_is_refused(tmp_path, call):
    code, _, complaint = call(*scan_arguments(tmp_path), "--specimen", tmp_path / "nowhere")
    assert code == 1
    assert_one_line(complaint, "--specimen", "nowhere")


def test_a_folder_that_holds_another_run_is_refused_and_left_as_it_is(tmp_path, call):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("{}")
    code, _, complaint = call(*scan_arguments(tmp_path))
    assert code == 1
    assert_one_line(complaint, "holds the record of another run")
    assert [path.name for path in out.iterdir()] == ["run.json"]


def metaphase_like(rng):
    picture = np.full((400, 500), 235, np.uint8)
    for _ in range(46):
        centre = (int(rng.integers(60, 440)), int(rng.integers(60, 340)))
        cv2.ellipse(picture, centre, (int(rng.integers(8, 26)), 5), float(rng.uniform(0, 180)), 0, 360, 90, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.png", None),
        ("empty.png", b""),
        ("text.png", b"this is no picture"),
        ("truncated.jpg", "truncate"),
    ],
)
def test_a_picture_that_can_not_be_read_is_refused_and_leaves_nothing(tmp_path, call, name, content):
    path = tmp_path / name
    if content == "truncate":
        whole = cv2.imencode(".jpg", metaphase_like(np.random.default_rng(0)))[1].tobytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    code, _, complaint = call("karyotype", path, "--out", out)
    assert code == 1
    assert_one_line(complaint, name)
    assert list(out.iterdir()) == []


def test_one_refused_picture_does_not_keep_the_others_from_their_karyogram(tmp_path, call):
    good, blank = tmp_path / "good.png", tmp_path / "blank.png"
    # Turned in the file, and said to be: the line and the proposal name what was done.
    turned = Image.fromarray(np.rot90(metaphase_like(np.random.default_rng(1))))
    orientation = Image.Exif()
    orientation[ExifTags.Base.Orientation] = 6
    turned.save(good, exif=orientation)
    cv2.imwrite(str(blank), np.full((300, 300), 230, np.uint8))
    out = tmp_path / "out"
    code, output, complaint = call("karyotype", blank, good, "--out", out)
    assert code == 1
    assert_one_line(complaint, "blank.png")
    assert "good.png" in output
    assert "; turned as the orientation in the file says -> " in output
    assert sorted(path.name for path in out.iterdir()) == [
        "good.json",
        "good.karyogram.png",
        "good.metaphase.png",
        "good.pdf",
    ]
    result = json.loads((out / "good.json").read_text())
    assert (result["width_px"], result["height_px"]) == (500, 400)
    assert {"image", "iscn", "seconds", "chromosomes"} <= set(result)
    assert result["picture_remarks"] == ["turned as the orientation in the file says"]
    assert result["picture_plane"] is None
    first = result["chromosomes"][0]
    known = {"id", "class", "probability", "box_px", "mask", "flipped", "proposed", "confirmed", "overlaps"}
    known |= {"not_compared", "route", "edits", "extent_px", "score"}
    assert set(first) == known
    assert first["mask"]["size"] == [400, 500]


def test_two_pictures_of_one_name_are_refused_rather_than_overwritten(tmp_path, call):
    code, _, complaint = call("karyotype", tmp_path / "a" / "x.png", tmp_path / "b" / "x.jpg", "--out", tmp_path)
    assert code == 1
    assert_one_line(complaint, "x.json")


def test_damaged_weights_are_refused(tmp_path, call, monkeypatch):
    import analysis.classification.classifier as classifier
    from analysis.errors import WeightsError

    def damaged(*_args, **_kwargs):
        raise WeightsError("sha256 differs from the manifest", path=Path("classifier.safetensors"))

    monkeypatch.setattr(classifier.Classifier, "load", damaged)
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), metaphase_like(np.random.default_rng(1)))
    code, _, complaint = call("karyotype", picture, "--out", tmp_path / "out")
    assert code == 1
    assert_one_line(complaint, "classifier.safetensors", "sha256")


def test_find_writes_a_list_of_candidates(tmp_path, call):
    picture, answer = tmp_path / "field.png", tmp_path / "found.json"
    cv2.imwrite(str(picture), metaphase_like(np.random.default_rng(2)))
    code, _, complaint = call("find", picture, "--um-per-px", 0.1, "--json", answer)
    assert (code, complaint) == (0, "")
    rows = json.loads(answer.read_text())
    assert rows
    assert {"x_px", "y_px", "radius_px", "score", "analysable", "rank"} <= set(rows[0])


def test_find_refuses_an_impossible_pixel_size(tmp_path, call):
    picture = tmp_path / "field.png"
    cv2.imwrite(str(picture), metaphase_like(np.random.default_rng(2)))
    code, _, complaint = call("find", picture, "--um-per-px", 40, "--json", tmp_path / "f.json")
    assert code == 1
    assert_one_line(complaint, "pixel size")
    assert not (tmp_path / "f.json").exists()


@pytest.mark.parametrize("dataset", ["tseng", "gband612", "bioimlab", "mfish", "clusters"])
def test_a_data_set_that_is_not_there_is_named(tmp_path, call, dataset):
    code, _, complaint = call("evaluate", dataset, "--data", tmp_path)
    assert code == 1
    assert_one_line(complaint, str(tmp_path))


def test_a_split_that_does_not_exist_is_refused(tmp_path, call):
    code, _, complaint = call("evaluate", "tseng", "--data", tmp_path, "--split", "tset")
    assert code == 1
    assert_one_line(complaint, "'tset'", "train, val, test")


def test_doctor_finds_everything_in_order(call):
    code, output, _ = call("doctor", "--rigs", ROOT / "hardware_configs")
    assert code == 0
    assert "rig simulated" in output
    assert f"Device API version {device_interface()}" in " ".join(output.split())
    assert "parameters classifier" in output


def device_interface():
    """The fourth number of pymmcore's version: the interface that adapters have to be built for."""
    return metadata.version("pymmcore").split(".")[3]


def test_doctor_names_a_rig_that_does_not_load(tmp_path, call):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "rig.yaml").write_text("version: 1\n")
    code, output, _ = call("doctor", "--rigs", tmp_path)
    assert code == 1
    assert "rig broken" in output
    assert "To do: correct" in " ".join(output.replace("│", " ").split())


def test_doctor_names_the_adapters_that_a_rig_lacks_and_what_to_do(tmp_path, call):
    folder = tmp_path / "prior"
    folder.mkdir()
    for name in ("rig.yaml", "micro-manager.cfg"):
        (folder / name).write_bytes((ROOT / "hardware_configs" / "prior-proscan" / f"{name}.example").read_bytes())
    code, output, _ = call("doctor", "--rigs", tmp_path)
    output = " ".join(output.replace("│", " ").split())
    assert code == 1
    assert "not installed: adapter SerialManager, for COM3" in output
    assert "BaslerPylon, for Camera; it also needs Basler's pylon runtime" in output
    assert "To do: use a Windows computer" in output or "To do: run 'mmcore install'" in output


def test_doctor_tells_which_adapters_are_there_and_which_templates_need(call):
    _, output, _ = call("doctor", "--rigs", ROOT / "hardware_configs")
    output = " ".join(output.replace("│", " ").split())
    assert "DemoCamera, NotificationTester, SequenceTester, Utilities" in output
    assert "asi-tiger needs ASITiger, AndorSDK3, SerialManager" in output
    assert "HamamatsuHam also needs Hamamatsu's DCAM-API driver" in output


def test_doctor_refuses_a_variable_that_leads_nowhere(tmp_path, call, monkeypatch):
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path / "absent"))
    code, output, _ = call("doctor", "--rigs", ROOT / "hardware_configs")
    assert code == 1
    assert "which is no folder" in " ".join(output.replace("│", " ").split())


def test_usage_faults_are_told_apart_from_failures(call):
    code, _, complaint = call("scan", "--nonsense")
    assert code == 2
    assert "nonsense" in complaint
