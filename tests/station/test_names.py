"""Names that people write: packaged rigs and protocols, and what is said to a misspelt one."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from station.cli import app, main
from station.errors import UsageError
from station.installation.packaged import protocol_names, resolve_protocol, resolve_rig, rig_names
from station.suggestions import nearest_name, not_allowed


def test_packaged_rigs_and_protocols_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (resolve_rig(Path("simulated")) / "rig.yaml").is_file()
    assert resolve_protocol(Path("demo")).read_text(encoding="utf-8").find("name: demo") >= 0
    assert CliRunner().invoke(app, ["protocol", "check", "demo", "--rig", "simulated"]).exit_code == 0


def test_a_path_that_exists_wins_over_a_packaged_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "simulated").mkdir()
    assert resolve_rig(Path("simulated")) == Path("simulated")


@pytest.mark.parametrize(
    ("resolve", "given", "names", "meant"),
    [(resolve_rig, "simulatd", rig_names(), "simulated"), (resolve_protocol, "dmeo", protocol_names(), "demo")],
)
def test_a_misspelt_name_is_refused_with_the_names_there_are(resolve, given, names, meant):
    with pytest.raises(UsageError) as refusal:
        resolve(Path(given))
    assert f"did you mean {meant!r}?" in str(refusal.value)
    assert all(name in str(refusal.value) for name in names)


def test_a_path_to_nowhere_is_left_to_the_loader():
    assert resolve_rig(Path("rigs/none")) == Path("rigs/none")
    assert resolve_protocol(Path("none.yaml")) == Path("none.yaml")


def test_nearest_names():
    assert nearest_name("Exposure_mss", ("exposure_ms", "overlap")) == "exposure_ms"
    assert nearest_name("zzz", ("exposure_ms", "overlap")) is None
    assert not_allowed("--split", "tset", ("train", "test")).endswith("did you mean 'test'?")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["scna"], "'scan'"),
        (["evaluate", "tsneg"], "'tseng'"),
        (["train", "rescorin"], "'rescoring'"),
        (["scan", "--protocl", "demo"], "--protocol"),
    ],
)
def test_misspelt_commands_and_options_are_answered_with_the_nearest(arguments, meant):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert meant in result.output


def test_a_misspelt_key_of_a_protocol_is_answered_with_the_nearest(tmp_path, capsys):
    text = resolve_protocol(Path("demo")).read_text(encoding="utf-8")
    (tmp_path / "p.yaml").write_text(text.replace("exposure_ms: 5", "exposre_ms: 5"))
    with pytest.raises(SystemExit):
        main(["protocol", "check", str(tmp_path / "p.yaml")])
    assert "did you mean 'exposure_ms'?" in capsys.readouterr().out


def test_the_version_is_that_of_the_package():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, f"karyoscan {metadata.version('karyoscan')}")


def test_the_shell_can_complete():
    assert "--install-completion" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output


@pytest.mark.parametrize("set_name", ["tseng", "gband612", "bioimlab", "mfish", "clusters", "cells", "finder"])
def test_without_a_data_root_the_refusal_says_what_to_set(set_name, monkeypatch):
    monkeypatch.delenv("KARYOSCAN_DATA", raising=False)
    result = CliRunner().invoke(app, ["evaluate", set_name])
    assert isinstance(result.exception, UsageError)
    assert "set KARYOSCAN_DATA" in str(result.exception)


def test_the_data_root_is_taken_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("KARYOSCAN_DATA", str(tmp_path / "data"))
    result = CliRunner().invoke(app, ["evaluate", "tseng"])
    assert str(tmp_path / "data") in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--split", "val", "tseng", "--data", "none"],
        ["evaluate", "clusters", "--split=val", "--jobs", "2", "--data", "none"],
        ["evaluate", "cells", "--split", "val", "--jobs", "2", "--report", "none", "--data", "none"],
        ["evaluate-segmentation", "clusters", "--stream", "none", "--data", "none"],
        ["train", "stream", "--data", "none", "--out", "none", "--help"],
        ["train", "second-look", "--data", "none", "--out", "none", "--help"],
    ],
)
def test_calls_of_earlier_versions_are_still_read(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert not isinstance(result.exception, UsageError)
    assert result.exit_code != 2, result.output
    assert os.listdir(tmp_path) == []
