"""A rig folder from the command line: refused while unfinished, checked when it is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.cli import main

DEMO = Path(__file__).parents[2] / "hardware_configs" / "demo-camera" / "micro-manager.cfg"
ANSWERS = (
    *("--x-limits", "0:76000", "--y-limits", "0:26000", "--z-limits", "-300:300", "--down", "-300"),
    *("--slide-origin", "0:0", "--camera", "1360x1024x12"),
    *("--stage-motion", "10000:1000000", "--focus-motion", "5000:50000"),
    *("--focus", "10x=-100:100", "--focus", "63x=-100:100"),
)


@pytest.fixture
def call(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def test_a_finished_rig_passes_the_check(call, tmp_path):
    out = tmp_path / "room-3"
    code, printed, _ = call("rig", "new", "room-3", "--from", DEMO, "--out", out, *ANSWERS)
    assert code == 0
    assert "TODO" not in printed
    assert (out / "micro-manager.cfg").read_bytes() == DEMO.read_bytes()
    code, printed, complaint = call("rig", "check", out)
    assert code == 0, printed + complaint
    assert "fault" not in printed


def test_an_unfinished_rig_is_written_named_and_never_moved(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, _ = call("rig", "new", "room-3", "--from", DEMO, "--x-limits", "0:76000")
    assert code == 0
    assert "stage.y.min_um: lower the objective" in printed
    assert "stage.x" not in printed
    code, printed, _ = call("rig", "check", Path("rigs") / "room-3")
    assert code == 1
    assert "still TODO" in " ".join(printed.split())
    assert "focus down" not in printed


def test_a_rig_is_never_overwritten(call, tmp_path):
    out = tmp_path / "room-3"
    assert call("rig", "new", "room-3", "--from", DEMO, "--out", out, *ANSWERS)[0] == 0
    before = (out / "rig.yaml").read_bytes()
    code, _, complaint = call("rig", "new", "room-3", "--from", DEMO, "--out", out)
    assert code == 1
    assert "never overwritten" in complaint
    assert (out / "rig.yaml").read_bytes() == before


def test_a_foreign_configuration_in_the_folder_is_kept(call, tmp_path):
    (tmp_path / "micro-manager.cfg").write_bytes(b"# of somebody else\n")
    code, _, complaint = call("rig", "new", "room-3", "--from", DEMO, "--out", tmp_path)
    assert code == 1
    assert "is there already" in complaint
    assert (tmp_path / "micro-manager.cfg").read_bytes() == b"# of somebody else\n"
    assert not (tmp_path / "rig.yaml").exists()


def test_a_configuration_in_its_place_is_used_where_it_lies(call, tmp_path):
    cfg = tmp_path / "micro-manager.cfg"
    cfg.write_bytes(DEMO.read_bytes())
    assert call("rig", "new", "room-3", "--from", cfg, "--out", tmp_path, *ANSWERS)[0] == 0
    assert call("protocol", "check", "demo", "--rig", tmp_path)[2] == ""


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--x-limits", "0", "MIN:MAX"),
        ("--x-limits", "9:1", "lower one first"),
        ("--y-limits", "0:inf", "MIN:MAX"),
        ("--slide-origin", "a:b", "X:Y"),
        ("--camera", "1360x1024", "WIDTHxHEIGHTxBITS"),
        ("--stage-motion", "0:5", "above 0"),
        ("--direction", "up", "positive"),
        ("--focus", "10x", "OBJECTIVE=VALUE"),
        ("--immersion", "10x=water", "air"),
        ("--aperture", "10x=much", "a number"),
    ],
)
def test_answers_that_are_none_are_refused(call, tmp_path, option, value, message):
    code, _, complaint = call("rig", "new", "room-3", "--from", DEMO, "--out", tmp_path / "rig", option, value)
    assert code == 1
    assert option in complaint
    assert message in complaint
    assert not (tmp_path / "rig").exists()


def test_objectives_and_configurations_that_are_not_there_are_refused(call, tmp_path):
    code, _, complaint = call("rig", "new", "a", "--from", DEMO, "--out", tmp_path / "rig", "--focus", "20x=0:1")
    assert code == 1
    assert "no objective '20x'" in complaint
    assert call("rig", "new", "a", "--from", tmp_path / "none.cfg", "--out", tmp_path / "rig")[0] == 1
    assert not (tmp_path / "rig").exists()


CONFIGURATIONS = Path(__file__).parents[1] / "scanner" / "configurations"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "zeiss-axio-tango-hamamatsu",
            "adapter HamamatsuHam, for HamamatsuHam_DCAM; it also needs Hamamatsu's DCAM",
        ),
        ("prior-basler", "adapter BaslerPylon, for BaslerCamera; it also needs Basler's pylon runtime"),
        ("asi-tiger-andor", "adapter AndorSDK3, for Andor sCMOS Camera; it also needs Andor's SDK3 driver pack"),
    ],
)
def test_adapters_that_are_not_installed_are_named_with_how_to_get_them(call, tmp_path, name, said):
    code, printed, _ = call("rig", "new", "a", "--from", CONFIGURATIONS / f"{name}.cfg", "--out", tmp_path / "rig")
    assert code == 0
    assert said in printed
    assert "To get them: " in printed
    assert (tmp_path / "rig" / "rig.yaml").exists()
