"""A rig file drafted from a configuration: what is recognised, what is asked for, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mm_test_adapters
import pytest

from scanner.configuration_check import compare_with_file
from scanner.configuration_file import ConfigurationFile, read_configuration_file
from scanner.core import ScanCore
from scanner.errors import RigError
from scanner.objective_label import LabelledImmersion, read_objective_label
from scanner.rig import FocusSense, Rig, load_rig
from scanner.rig_draft import (
    AxisMotion,
    Limits,
    RigAnswers,
    SensorSize,
    draft_objectives,
    draft_remarks,
    draft_rig,
    find_device,
    find_turret,
)
from scanner.strict_yaml import load_strict
from scanner.unfinished_rig import HOW_TO_FIND, how_to_find, unfinished_values

RIGS = Path(__file__).parents[2] / "hardware_configs"
SHIPPED = sorted(path.parent.name for path in RIGS.glob("*/rig.yaml"))
TEMPLATES = sorted(path.parent.name for path in RIGS.glob("*/rig.yaml.example"))
MICRO_MANAGER_DEMO = Path(mm_test_adapters.__file__).parent / "libs" / "MMConfig_demo.cfg"
ANSWERS = RigAnswers(
    x=Limits(0, 76_000),
    y=Limits(0, 26_000),
    z=Limits(-300, 300),
    down_um=-300,
    direction=FocusSense.POSITIVE,
    slide_origin_um=(0, 0),
    camera=SensorSize(1360, 1024, 12),
    stage_motion=AxisMotion(10_000, 1_000_000),
    focus_motion=AxisMotion(5_000, 50_000),
    focus={"10x": Limits(-100, 100), "63x": Limits(-100, 100)},
)


def written(folder: Path, cfg: Path, answers: RigAnswers) -> Path:
    (folder / "micro-manager.cfg").write_bytes(cfg.read_bytes())
    text = draft_rig("room-3", "micro-manager.cfg", read_configuration_file(cfg), answers)
    (folder / "rig.yaml").write_text(text, encoding="utf-8")
    return folder


def configuration(tmp_path: Path, text: str, encoding: str = "utf-8") -> ConfigurationFile:
    path = tmp_path / "some.cfg"
    path.write_bytes(text.encode(encoding))
    return read_configuration_file(path)


@pytest.mark.parametrize(
    ("label", "magnification", "aperture", "immersion"),
    [
        ("10x/0.45", 10, 0.45, LabelledImmersion.AIR),
        ("63x/1.4 Oil", 63, 1.4, LabelledImmersion.OIL),
        ("Plan-Apochromat 63x/1,40 Öl DIC", 63, 1.4, LabelledImmersion.OIL),
        ("3-Plan-NEOFLUAR 2.5x/0.075", 2.5, 0.075, LabelledImmersion.AIR),
        ("100X NA 1.30 oil 0.17", 100, 1.3, LabelledImmersion.OIL),
        ("Nikon 20X Plan Fluor ELWD", 20, None, None),
        ("HC PL APO 40x 1.10 W CORR", 40, 1.1, None),
        ("25x/0.8 Imm Corr", 25, 0.8, None),
        ("UPLSAPO 60x/1.3 Sil", 60, 1.3, None),
        ("20x/0.5 dry", 20, 0.5, LabelledImmersion.AIR),
        ("60x/1.2", 60, 1.2, None),
    ],
)
def test_labels_of_objectives(label, magnification, aperture, immersion):
    described = read_objective_label(label)
    assert described is not None
    assert (described.magnification, described.numerical_aperture) == (magnification, aperture)
    assert described.immersion == immersion


@pytest.mark.parametrize("label", ["Objective-2", "State-4", "Empty", "Q505LP", "0x", "Chroma-HQ620", "x10y"])
def test_labels_of_other_positions(label):
    assert read_objective_label(label) is None


def test_the_demonstration_of_micro_manager_is_recognised():
    demo = read_configuration_file(MICRO_MANAGER_DEMO)
    devices = {role: find_device(demo, role) for role in ("stage", "focus", "lamp", "camera")}
    assert devices == {"stage": "XY", "focus": "Z", "lamp": "White Light Shutter", "camera": "Camera"}
    assert find_turret(demo) == "Objective"
    objectives = draft_objectives(demo)
    assert [(each.name, each.um_per_px) for each in objectives] == [("10x", 1.0), ("20x", 0.5), ("40x", 0.25)]
    assert objectives[0].label.label == "Nikon 10X S Fluor"


@pytest.mark.parametrize("name", SHIPPED)
def test_devices_and_objectives_of_the_shipped_rigs_are_recognised(name):
    rig, cfg = load_rig(RIGS / name)
    read = read_configuration_file(cfg)
    assert find_device(read, "stage") == rig.devices.stage
    assert find_device(read, "focus") == rig.devices.focus
    assert find_device(read, "lamp") == rig.devices.lamp
    assert find_device(read, "camera") == rig.devices.camera
    assert find_turret(read) == rig.devices.turret
    drafted = [(each.name, each.label.label, each.um_per_px) for each in draft_objectives(read)]
    assert drafted == [(each.name, each.label, each.um_per_px) for each in rig.objectives]


def test_a_draft_with_all_answers_is_accepted_and_agrees_with_its_configuration(tmp_path):
    rig, cfg = load_rig(written(tmp_path, RIGS / "demo-camera" / "micro-manager.cfg", ANSWERS))
    assert compare_with_file(rig, read_configuration_file(cfg)) == ()
    assert (rig.name, rig.devices.turret) == ("room-3", "Objective")
    assert rig.focus.direction is FocusSense.POSITIVE
    oil = rig.objective("63x")
    assert (oil.numerical_aperture, oil.immersion, oil.um_per_px) == (1.4, "oil", 0.10238)
    # Down from the envelope's lower end there are 200 um, less than an oil film is cleared by elsewhere.
    assert (oil.travel_free_um, oil.travel_drop_um) == (1000, 200)


def test_every_open_value_is_named_with_its_line_and_how_it_is_found(tmp_path):
    folder = written(tmp_path, MICRO_MANAGER_DEMO, RigAnswers(objectives=("10x",)))
    text = (folder / "rig.yaml").read_text(encoding="utf-8")
    unfinished = unfinished_values(text)
    keys = [value.key for value in unfinished]
    assert "stage.x.min_um" in keys
    assert "objectives.10x.focus.max_um" in keys
    assert "focus.direction" in keys
    assert not any(key.startswith("objectives.20x") for key in keys)
    for value in unfinished:
        line = text.splitlines()[value.line - 1]
        assert "TODO" in line
        assert value.how in line
        assert value.how in HOW_TO_FIND.values()
    first = r"stage\.x\.min_um: still TODO; lower the objective.* more: stage\.x\.max_um, .*, \.\.\.\)"
    with pytest.raises(RigError, match=first) as caught:
        load_rig(folder)
    assert caught.value.line == unfinished[0].line


@pytest.mark.parametrize(
    ("left_out", "key"),
    [
        ({"x": None}, "stage.x.min_um"),
        ({"z": None}, "focus.z.min_um"),
        ({"down_um": None}, "focus.down_um"),
        ({"slide_origin_um": None}, "slide.x_um"),
        ({"camera": None}, "camera.width_px"),
        ({"stage_motion": None}, "stage.motion.speed_um_s"),
        ({"focus": {"10x": Limits(-100, 100)}}, "objectives.63x.focus.min_um"),
    ],
)
def test_one_open_value_is_enough_to_be_refused(tmp_path, left_out, key):
    answers = RigAnswers(**{name: getattr(ANSWERS, name) for name in ANSWERS.__slots__} | left_out)
    folder = written(tmp_path, RIGS / "demo-camera" / "micro-manager.cfg", answers)
    with pytest.raises(RigError, match=rf"{key}: still TODO; "):
        load_rig(folder)


def test_a_label_that_is_open_is_refused_too(tmp_path):
    """A label is any text: without the check the rig would be accepted, and fail when the turret turns."""
    folder = written(tmp_path, RIGS / "demo-camera" / "micro-manager.cfg", ANSWERS)
    path = folder / "rig.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('turret: "Objective"', "turret: TODO"), "utf-8")
    with pytest.raises(RigError, match=r"devices\.turret: still TODO"):
        load_rig(folder)


def test_a_comment_that_says_todo_is_a_comment(tmp_path):
    folder = written(tmp_path, RIGS / "demo-camera" / "micro-manager.cfg", ANSWERS)
    path = folder / "rig.yaml"
    path.write_text("# TODO: measure anew\n" + path.read_text(encoding="utf-8"), "utf-8")
    assert load_rig(folder)[0].name == "room-3"


def test_hints_are_those_of_the_longest_key():
    assert how_to_find(("objectives", 1, "focus", "min_um")) == HOW_TO_FIND["objectives.focus"]
    assert how_to_find(("oiler", "drop_s")) == "see docs/how-to/new-rig.md"


def test_a_byte_order_mark_and_letters_of_windows_are_read(tmp_path):
    text = "Device,XY,Marzhauser,XYStage\nProperty,Core,XYStage,XY\nLabel,Turret,0,63x/1.4 Öl\nDevice,Turret,A,B\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1252"):
        read = configuration(tmp_path, text, encoding)
        assert read.devices["XY"] == ("Marzhauser", "XYStage")
        assert read.core_roles["XYStage"] == "XY"
        (objective,) = draft_objectives(read)
        assert (objective.label.label, objective.label.immersion) == ("63x/1.4 Öl", LabelledImmersion.OIL)


def test_the_core_reads_a_label_beyond_ascii_as_the_rig_writes_it(tmp_path):
    text = (RIGS / "demo-camera" / "micro-manager.cfg").read_text(encoding="utf-8")
    path = tmp_path / "some.cfg"
    for encoding in ("utf-8-sig", "cp1252"):
        path.write_bytes(text.replace("63x/1.4 oil", "63x/1.4 Öl").encode(encoding))
        core = ScanCore()
        core.loadSystemConfiguration(path)
        assert "63x/1.4 Öl" in core.getStateLabels("Objective")
        core.unloadAllDevices()


def test_roles_of_the_startup_preset_count(tmp_path):
    text = "Device,S1,A,Shutter\nDevice,S2,A,Shutter\n"
    assert find_device(configuration(tmp_path, text), "lamp") is None
    preset = text + "ConfigGroup,System,Startup,Core,Shutter,S2\n"
    assert find_device(configuration(tmp_path, preset), "lamp") == "S2"


def test_two_objectives_of_one_magnification_get_names_of_their_own(tmp_path):
    text = "Label,Turret,0,10x/0.3 Ph1\nLabel,Turret,1,10x/0.45\nLabel,Turret,2,63x/1.4 oil\n"
    objectives = draft_objectives(configuration(tmp_path, text))
    assert [each.name for each in objectives] == ["10x-0", "10x-1", "63x"]


def test_a_pixel_size_is_found_by_label_or_position(tmp_path):
    text = (
        "Label,Turret,0,10x/0.45\nLabel,Turret,3,63x/1.4 oil\n"
        "ConfigPixelSize,low,Turret,Label,10x/0.45\nPixelSize_um,low,0.645\n"
        "ConfigPixelSize,high,Turret,State,3\nPixelSize_um,high,0.1\n"
    )
    assert [each.um_per_px for each in draft_objectives(configuration(tmp_path, text))] == [0.645, 0.1]


@pytest.mark.parametrize(
    ("properties", "speed", "acceleration"),
    [
        ("Property,XY,SpeedX [mm/s],20\nProperty,XY,Acceleration X [m/s^2],0.2\n", 20_000, 200_000),
        ("Property,XY,MotorSpeedX-S(mm/s),5\nProperty,XY,AccelerationX-AC(ms),50\n", 5_000, 100_000),
    ],
)
def test_speeds_that_name_their_unit_are_taken(tmp_path, properties, speed, acceleration):
    read = configuration(tmp_path, f"Device,XY,A,XYStage\nProperty,Core,XYStage,XY\n{properties}")
    text = draft_rig("a", "a.cfg", read, RigAnswers())
    assert f"speed_um_s: {speed}\n    acceleration_um_s2: {acceleration}\n" in text


@pytest.mark.parametrize(
    ("line", "direction"),
    [
        ("FocusDirection,Z,1", "toward_specimen_positive"),
        ("FocusDirection,Z,-1", "toward_specimen_negative"),
        ("FocusDirection,Z,0", "TODO"),
        ("", "TODO"),
    ],
)
def test_the_focus_direction_is_taken_or_asked_for(tmp_path, line, direction):
    read = configuration(tmp_path, f"Property,Core,Focus,Z\n{line}\n")
    assert f"  direction: {direction}  #" in draft_rig("a", "a.cfg", read, RigAnswers())


def test_nothing_known_is_a_draft_of_questions(tmp_path):
    text = draft_rig("empty", "a.cfg", configuration(tmp_path, "# nothing\n"), RigAnswers())
    keys = {value.key for value in unfinished_values(text)}
    assert {"devices.stage", "devices.turret", "objectives.0.label", "objectives.0.focus.min_um"} <= keys


def test_an_answer_about_an_objective_that_is_not_there_is_refused():
    demo = read_configuration_file(MICRO_MANAGER_DEMO)
    with pytest.raises(RigError, match="no objective '63x'; it has 10x, 20x, 40x"):
        draft_rig("a", "a.cfg", demo, RigAnswers(focus={"63x": Limits(0, 1)}))


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_rigs_that_agree_with_their_configurations(name):
    rig = load_strict(
        Rig,
        RIGS / name / "rig.yaml.example",
        lambda message, path, line: AssertionError(f"{path}:{line}: {message}"),
    )
    read = read_configuration_file(RIGS / name / "micro-manager.cfg.example")
    assert rig.name == name
    assert not rig.simulated
    assert rig.devices.missing_from(read.devices) == ()
    assert compare_with_file(rig, read) == ()
    assert find_device(read, "stage") == rig.devices.stage
    assert find_device(read, "focus") == rig.devices.focus
    assert find_turret(read) == rig.devices.turret
    assert read.focus_directions[rig.devices.focus] == 1


def test_templates_for_the_controllers_there_are():
    adapters = {
        adapter
        for name in TEMPLATES
        for adapter, _ in read_configuration_file(RIGS / name / "micro-manager.cfg.example").devices.values()
    }
    assert {"Marzhauser", "ASITiger", "ASIStage", "Ludl", "Prior"} <= adapters
    assert {"HamamatsuHam", "BaslerPylon", "AndorSDK3"} <= adapters


CONFIGURATIONS = Path(__file__).parent / "configurations"


@pytest.mark.parametrize(
    ("name", "devices", "objectives", "direction", "speed_um_s"),
    [
        (
            "zeiss-axio-tango-hamamatsu",
            {
                "stage": "XYStage",
                "focus": "ZeissFocusAxis",
                "lamp": "ZeissTransmittedLightShutter",
                "camera": "HamamatsuHam_DCAM",
                "turret": "ZeissObjectiveTurret",
            },
            [("10x", 0.3, 0.65), ("20x", 0.8, None), ("63x", 1.4, 0.10317)],
            "toward_specimen_positive",
            "20000",
        ),
        (
            "prior-basler",
            {
                "stage": "XYStage",
                "focus": "ZStage",
                "lamp": "Shutter-1",
                "camera": "BaslerCamera",
                "turret": None,
            },
            [],
            "TODO",
            "TODO",
        ),
        (
            "asi-tiger-andor",
            {
                "stage": "XYStage:XY:31",
                "focus": "ZStage:Z:32",
                "lamp": "TLShutter",
                "camera": "Andor sCMOS Camera",
                "turret": "ObjectiveTurret",
            },
            [("10x", 0.4, 0.65), ("100x", 1.3, None)],
            "toward_specimen_negative",
            "5000",
        ),
    ],
)
def test_configurations_of_the_hardware_wizard_are_drafted(name, devices, objectives, direction, speed_um_s):
    """Written like those that laboratories have: CRLF, Windows-1252, speeds in the startup preset."""
    read = read_configuration_file(CONFIGURATIONS / f"{name}.cfg")
    roles = {role: find_device(read, role) for role in devices if role != "turret"} | {"turret": find_turret(read)}
    assert roles == devices
    drafted = [(one.name, one.label.numerical_aperture, one.um_per_px) for one in draft_objectives(read)]
    assert drafted == objectives
    text = draft_rig("room-3", "micro-manager.cfg", read, RigAnswers())
    assert f"direction: {direction}" in text
    assert f"speed_um_s: {speed_um_s}" in text
    assert unfinished_values(text)


def test_a_draft_of_a_zeiss_with_all_answers_is_accepted(tmp_path):
    answers = replace(ANSWERS, camera=SensorSize(2048, 2048, 16), objectives=("10x", "63x"))
    rig, _ = load_rig(written(tmp_path, CONFIGURATIONS / "zeiss-axio-tango-hamamatsu.cfg", answers))
    assert rig.objective("63x").label == "Plan-Apochromat 63x/1.40 Öl"
    assert rig.devices.camera == "HamamatsuHam_DCAM"


def test_a_turret_that_only_says_it_turned_serves_one_objective(tmp_path):
    """The lens that is believed in place would be driven to the slide in the stead of the one that is."""
    cfg = CONFIGURATIONS / "asi-tiger-andor.cfg"
    answers = replace(
        ANSWERS,
        objectives=("10x",),
        focus={"10x": Limits(-100, 100)},
        um_per_px={"10x": 0.65},
    )
    assert load_rig(written(tmp_path, cfg, answers))[0].objectives[0].name == "10x"
    both = replace(
        answers,
        objectives=(),
        focus={"10x": Limits(-100, 100), "100x": Limits(-100, 100)},
        um_per_px={"100x": 0.065},
    )
    with pytest.raises(RigError, match=r"ObjectiveTurret: is a device of DemoCamera, .* turns nothing"):
        load_rig(written(tmp_path, cfg, both))
    (remark,) = draft_remarks(read_configuration_file(cfg))
    assert "--objective NAME" in remark


def test_what_is_said_of_a_turret_fits_the_configuration():
    assert draft_remarks(read_configuration_file(CONFIGURATIONS / "zeiss-axio-tango-hamamatsu.cfg")) == ()
    assert draft_remarks(read_configuration_file(MICRO_MANAGER_DEMO)) == ()
    (remark,) = draft_remarks(read_configuration_file(CONFIGURATIONS / "prior-basler.cfg"))
    assert "turned by hand" in remark
