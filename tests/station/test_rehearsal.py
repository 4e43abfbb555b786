"""Faults from the command line: on simulated rigs, and never on others."""

from pathlib import Path

import pytest

from acquisition.errors import DiskFullError
from acquisition.storage import write_json_atomic
from scanner.errors import PositionError
from simulators.faults import TwinFaultKind
from station.cli import main
from station.compose import open_instrument
from station.errors import UsageError
from station.run.rehearsal import read_scenario, rehearsed

ROOT = Path(__file__).parents[2]
SIMULATED = ROOT / "hardware_configs" / "simulated"
PROTOCOL = ROOT / "protocols" / "demo.yaml"


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def test_a_real_instrument_is_never_spoiled(tmp_path, capsys):
    rig = ROOT / "hardware_configs" / "demo-camera"
    out = tmp_path / "run"
    arguments = ["scan", "--rig", rig, "--protocol", PROTOCOL, "--out", out, "--faults", "move_fails@XY"]
    assert run(*arguments) == 1
    assert "real instrument" in capsys.readouterr().err
    assert not out.exists()
    read_scenario("", rig)


def test_a_fault_that_can_not_be_read_is_one_line(tmp_path, capsys):
    out = tmp_path / "run"
    for faults, words in (("explode@XY", "explode"), ("move_fails@Stage", "no device 'Stage'")):
        arguments = ["scan", "--rig", SIMULATED, "--protocol", PROTOCOL, "--out", out, "--faults", faults]
        assert run(*arguments) == 1
        complaint = capsys.readouterr().err
        assert words in complaint
        assert len(complaint.strip().splitlines()) == 1
    assert not out.exists()


def test_the_faults_there_are_are_listed_with_what_the_instrument_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    assert run("faults") == 0
    listed = capsys.readouterr().out
    for kind in ("lies_about_arrival@XY or Z", "hangs_up@command", "process_killed@file pattern"):
        assert kind in listed
    assert "kind@target:nth xtimes ~probability" in listed


def test_devices_and_disk_go_wrong_within_and_the_disk_is_sound_after(tmp_path):
    scenario = read_scenario("move_short@XY:2; disk_full@*.json", SIMULATED)
    with open_instrument(SIMULATED) as instrument:
        microscope = instrument.microscope
        here = microscope.stage_position()
        watchers = list(instrument.twin.watchers)
        with rehearsed(instrument, scenario, tmp_path, 1):
            microscope.move_to(here.shifted(500.0, 0.0))
            with pytest.raises(PositionError):
                microscope.move_to(here.shifted(3_000.0, 0.0))
            with pytest.raises(DiskFullError):
                write_json_atomic(tmp_path / "run.json", {})
        write_json_atomic(tmp_path / "run.json", {})
        assert [fault.kind for fault in instrument.twin.faults.faults] == [TwinFaultKind.MOVE_SHORT]
        assert instrument.twin.watchers == watchers


def test_an_unknown_device_is_the_users_to_mend(tmp_path):
    with open_instrument(SIMULATED) as instrument:
        scenario = read_scenario("mute@?pos", SIMULATED)
        with pytest.raises(UsageError, match="no serial controller"), rehearsed(instrument, scenario, tmp_path, 1):
            pass
