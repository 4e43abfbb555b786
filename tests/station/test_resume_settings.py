"""A run is resumed after remarks in rig and protocol, and not after another value of either."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from acquisition.errors import ResumeError
from acquisition.protocol import load_protocol
from station.run.resume import protocol_change, require_same_configuration, require_same_rig
from station.run.scan import CONFIGURATION_KEY, rig_configuration_digest

ROOT = Path(__file__).parents[2]
RIG = (ROOT / "hardware_configs" / "simulated" / "rig.yaml").read_text(encoding="utf-8")
PROTOCOL = ROOT / "protocols" / "demo.yaml"


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    (tmp_path / "rig.yaml").write_text(RIG, encoding="utf-8")
    return tmp_path


def test_a_remark_in_the_rig_is_no_other_rig(rig):
    (rig / "rig.yaml").write_text(f"# cleaned on Monday\n{RIG}\n", encoding="utf-8")
    require_same_rig(rig, RIG)
    require_same_rig(rig / "rig.yaml", RIG)


def test_another_value_is_refused_by_the_name_of_its_key(rig):
    changed = RIG.replace("um_per_px: 0.645", "um_per_px: 0.65")
    assert changed != RIG
    (rig / "rig.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(ResumeError, match=r"rig\.yaml: the rig was changed .*\(objectives\.10x\.um_per_px\)"):
        require_same_rig(rig, RIG)


@pytest.mark.parametrize("text", ["name: [", "", RIG + "typo: 1\n"])
def test_a_rig_that_can_not_be_read_any_more_is_refused(rig, text):
    (rig / "rig.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ResumeError, match="the rig was changed since the run began"):
        require_same_rig(rig, RIG)


def test_a_rig_that_is_gone_is_refused(tmp_path):
    with pytest.raises(ResumeError, match="can't be read"):
        require_same_rig(tmp_path, RIG)


def test_changes_of_a_protocol_are_named(tmp_path):
    recorded = load_protocol(PROTOCOL)
    text = PROTOCOL.read_text(encoding="utf-8")
    path = tmp_path / "demo.yaml"
    path.write_text(f"# remark\n{text}", encoding="utf-8")
    assert protocol_change(path, recorded) == ""
    path.write_text(text.replace("banding: G", "banding: R"), encoding="utf-8")
    assert protocol_change(path, recorded) == "the protocol was changed (banding)"
    path.write_text("version: [", encoding="utf-8")
    assert protocol_change(path, recorded).startswith(f"the protocol was changed ({path}:1: ")
    path.unlink()
    assert protocol_change(path, recorded) == ""


def test_a_configuration_that_commands_something_else_is_refused_and_a_comment_is_not(tmp_path):
    rig = tmp_path / "simulated"
    shutil.copytree(ROOT / "hardware_configs" / "simulated", rig)
    run = tmp_path / "run"
    run.mkdir()
    (run / "request.json").write_text(json.dumps({CONFIGURATION_KEY: rig_configuration_digest(rig)}))
    configuration = rig / "micro-manager.cfg"
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(f"# checked in spring\n\n{text.replace(',', ' , ', 1)}", encoding="utf-8")
    require_same_configuration(rig, run)
    configuration.write_text(f"{text}\nProperty,Core,TimeoutMs,10000\n", encoding="utf-8")
    with pytest.raises(ResumeError, match="the Micro-Manager configuration of the rig was changed"):
        require_same_configuration(rig, run)


def test_runs_of_earlier_versions_do_not_say_with_which_configuration_they_began(tmp_path):
    (tmp_path / "request.json").write_text("{}")
    require_same_configuration(ROOT / "hardware_configs" / "simulated", tmp_path)
