import shutil
from pathlib import Path

import pytest
import yaml

from scanner.errors import RigError
from scanner.rig import Motion, load_rig

SIMULATED = Path(__file__).parents[2] / "hardware_configs" / "simulated"


@pytest.fixture
def rig_data():
    return yaml.safe_load((SIMULATED / "rig.yaml").read_text())


def write(folder: Path, data: dict) -> Path:
    (folder / "micro-manager.cfg").write_text("")
    (folder / "rig.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return folder


def test_the_shipped_rig_loads():
    rig, cfg = load_rig(SIMULATED)
    assert rig.objective("63x").immersion == "oil"
    assert cfg.is_file()


def test_a_typing_error_is_named_with_its_line_and_what_is_allowed(tmp_path, rig_data):
    rig_data["stage"]["motion"]["speed_um_sec"] = 3
    folder = write(tmp_path, rig_data)
    line = next(
        n for n, text in enumerate((folder / "rig.yaml").read_text().splitlines(), 1) if "speed_um_sec" in text
    )
    with pytest.raises(
        RigError, match=r"stage\.motion\.speed_um_sec: unknown key; allowed here: .*speed_um_s"
    ) as caught:
        load_rig(folder)
    assert caught.value.line == line
    assert str(folder / "rig.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "version: found 2"),
        (lambda d: d["camera"].update(bit_depth=40), "camera.bit_depth: found 40"),
        (lambda d: d["stage"].pop("x"), "stage.x: required key is missing"),
        (lambda d: d["stage"]["x"].update(min_um=80000), "must be below max_um"),
        (lambda d: d["focus"].update(down_um=-5), "focus.down_um: -5 must lie"),
        (lambda d: d["focus"].update(down_um=2000), "envelope of 10x"),
        (lambda d: d["focus"].update(down_um=4000), "through the slide"),
        (lambda d: d["stage"]["motion"].update(speed_um_s=1e-30), "stage.motion.speed_um_s: found 1e-30"),
        (lambda d: d["focus"]["motion"].update(acceleration_um_s2=1e30), "acceleration_um_s2: found 1e+30"),
        (lambda d: d["focus"]["motion"].update(settle_ms=1e12), "settle_ms: found"),
        (lambda d: d["stage"]["x"].update(max_um=1e300), "stage.x.max_um: found 1e+300"),
        (lambda d: d["objectives"][0].update(um_per_px=0), "um_per_px: found 0"),
        (lambda d: d["objectives"][0].update(um_per_px=1e-9), "um_per_px: found 1e-09"),
        (lambda d: d["objectives"][0].update(magnification=1e9), "magnification: found 1"),
        (lambda d: d["objectives"][0].update(numerical_aperture=1.4), "can't be that of a dry objective"),
        (lambda d: d["camera"].update(width_px=1), "camera.width_px: found 1"),
        (lambda d: d["objectives"][1].update(name="10x"), "must differ"),
        (lambda d: d["objectives"][1]["focus"].update(max_um=9999), "leaves the drive"),
        (lambda d: d["objectives"][0].update(um_per_px="thin"), "objectives.0.um_per_px: found 'thin'"),
        (lambda d: d["objectives"][0].update(um_per_px=float("nan")), "um_per_px: found nan"),
        (lambda d: d.update(micro_manager_cfg="other.cfg"), "no such file"),
    ],
)
def test_a_wrong_rig_is_refused_with_a_reason(tmp_path, rig_data, change, message):
    change(rig_data)
    with pytest.raises(RigError) as caught:
        load_rig(write(tmp_path, rig_data))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "key", "written"),
    [
        (lambda d: d["focus"].update(down_um=4000), "focus.down_um", "down_um: 4000"),
        (lambda d: d["objectives"][0].update(numerical_aperture=1.4), "objectives.0.numerical_aperture", "1.4"),
        (lambda d: d["objectives"][1].update(name="10x"), "objectives.1", "- name: 10x"),
        (lambda d: d["objectives"][1]["focus"].update(max_um=9999), "objectives.1.focus", "focus:"),
        (lambda d: d["stage"].update(load={"x_um": 1e6, "y_um": 0}), "stage.load", "load:"),
        (lambda d: d["devices"].update(oiler="Oiler"), "devices.oiler", "oiler: Oiler"),
    ],
)
def test_what_contradicts_something_else_is_named_with_its_own_key_and_line(
    tmp_path, rig_data, change, key, written
):
    change(rig_data)
    folder = write(tmp_path, rig_data)
    with pytest.raises(RigError) as caught:
        load_rig(folder)
    assert f"rig.yaml:{caught.value.line}: {key}: " in str(caught.value)
    assert written in (folder / "rig.yaml").read_text().splitlines()[caught.value.line - 1]


def test_what_the_configuration_contradicts_is_named_with_its_line(tmp_path, rig_data):
    shutil.copytree(SIMULATED, tmp_path / "rig")
    path = tmp_path / "rig" / "rig.yaml"
    text = path.read_text()
    path.write_text(text.replace("um_per_px: 0.645", "um_per_px: 0.325"))
    configuration = tmp_path / "rig" / "micro-manager.cfg"
    configuration.write_text(
        configuration.read_text()
        + "\nConfigPixelSize,10x,Turret,Label,10x/0.45\nPixelSize_um,10x,0.645\n".replace(
            "Turret", rig_data["devices"]["turret"]
        )
    )
    with pytest.raises(RigError, match=r"objectives\.10x\.um_per_px: the rig says 0\.325") as caught:
        load_rig(tmp_path / "rig")
    assert "um_per_px: 0.325" in path.read_text().splitlines()[caught.value.line - 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping"),
        ("- a\n- b\n", "expected a mapping"),
        ("name: [1, 2\n", "not YAML"),
        ("name: a\nname: b\n", "name: key given twice"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path, text, message):
    (tmp_path / "rig.yaml").write_text(text)
    with pytest.raises(RigError, match=message):
        load_rig(tmp_path)


def test_a_missing_rig_is_refused(tmp_path):
    with pytest.raises(RigError, match="no such file"):
        load_rig(tmp_path / "nowhere")


def test_an_unknown_objective_is_refused_with_those_there_are():
    rig, _ = load_rig(SIMULATED)
    with pytest.raises(RigError, match="it has 10x, 63x"):
        rig.objective("40x")


def test_move_durations_follow_the_trapezoid():
    motion = Motion(speed_um_s=100_000, acceleration_um_s2=2_000_000, settle_ms=0, tolerance_um=1)
    # 0.62 mm at 2 m/s2 never reaches top speed: 2 sqrt(d/a).
    assert motion.duration_s(620) == pytest.approx(2 * (620 / 2e6) ** 0.5)
    assert motion.duration_s(100_000) == pytest.approx(1.0 + 0.05)
    assert motion.duration_s(-620) == motion.duration_s(620)
