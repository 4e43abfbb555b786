"""Protocols in form and text: comments stay, words are the command line's, versions are never lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from acquisition.protocol import load_protocol
from station.cli import app
from station.laboratory.permissions import AccountRole
from station.web.problems import ProblemError
from station.web.protocols.editing import changed_text
from station.web.protocols.store import ProtocolStore
from tests.station.web.conftest import PROTOCOL, Station, sent


def test_a_form_changes_one_value_and_keeps_comments_and_order(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    body = {"name": "small", "text": PROTOCOL, "rig": "simulated", "key": ["scan", "exposure_ms"], "value": 7}
    answer = sent(client, "POST", "/protocols/edit", body)
    assert answer["text"] == PROTOCOL.replace("exposure_ms: 5  #", "exposure_ms: 7  #")
    assert answer["values"]["scan"]["exposure_ms"] == 7
    assert answer["estimate"]["fields"] == 4


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (["stop", "cells"], 20, "stop:\n  cells: 20\n"),
        (["scan", "area", "x_max_um"], 32000, "x_max_um: 32000"),
        (["capture", "oil"], "forbidden", "oil: forbidden"),
        (["karyotype", "enabled"], True, "karyotype: {enabled: true}"),
    ],
)
def test_a_value_may_be_new_or_within_a_line(key: list[str], value: object, line: str) -> None:
    text = changed_text(PROTOCOL, key, value)
    assert line in text
    assert "# What the laboratory scans while it learns." in text


def test_a_value_taken_out_leaves_the_default() -> None:
    text = changed_text(PROTOCOL, ["scan", "keep_fields"], None)
    assert "keep_fields" not in text
    assert load_protocol(Path("small.yaml"), text=text).scan.keep_fields == "none"


@pytest.mark.parametrize(("text", "key"), [("a: [", ["a"]), ("a: 1", ["a", "b", "c"]), ("- 1", ["a"])])
def test_a_text_that_cannot_be_changed_in_place_is_left(text: str, key: list[str]) -> None:
    with pytest.raises(ProblemError, match="can't be changed in place"):
        changed_text(text, key, 1)


@pytest.mark.parametrize(
    "wrong",
    ["exposure_ms: 0", "exposure_ms: fast", "exposure: ever", "shutter_ms: 5", "exposure_ms: [", "overlap: 2"],
)
def test_a_wrong_text_is_refused_with_the_words_of_the_command_line(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    text = PROTOCOL.replace(
        "exposure_ms: 5  # bright lamp", f"exposure_ms: 5\n  {wrong}" if "exposure_ms" not in wrong else wrong
    )
    answer = sent(
        station.client(AccountRole.TECHNICIAN), "POST", "/protocols/check", {"name": "mine", "text": text}
    )
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["protocol", "check", "mine.yaml"]).output
    assert answer["error"] is not None
    assert " ".join(answer["error"].split()) in " ".join(said.split())
    assert answer["line"] is not None


def test_a_rig_refuses_with_the_line_of_the_key(station: Station) -> None:
    text = PROTOCOL.replace("objective: 10x", "objective: 20x")
    body = {"name": "mine", "text": text, "rig": "simulated"}
    answer = sent(station.client(AccountRole.TECHNICIAN), "POST", "/protocols/check", body)
    finding = answer["findings"][0]
    assert (finding["level"], finding["line"]) == ("refused", 1 + text[: text.index("20x")].count("\n"))


def test_versions_name_their_author_and_differ(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    first = sent(client, "PUT", "/protocols/ward", {"text": PROTOCOL, "version": 0, "remark": "to begin with"})
    changed = PROTOCOL.replace("number: 2", "number: 30")
    second = sent(client, "PUT", "/protocols/ward", {"text": changed, "version": first["version"]})
    assert [(each["number"], each["author"], each["remark"]) for each in second["versions"]] == [
        (1, "a-technician", "to begin with"),
        (2, "a-technician", ""),
    ]
    difference = sent(client, "GET", "/protocols/ward/difference?before=1&after=2")["difference"]
    assert "-capture: {objective: 63x, oil: allowed, number: 2," in difference
    assert "+capture: {objective: 63x, oil: allowed, number: 30," in difference
    listed = {each["name"]: each for each in sent(client, "GET", "/protocols")}
    assert (listed["ward"]["version"], listed["ward"]["author"], listed["ward"]["packaged"]) == (
        2,
        "a-technician",
        False,
    )
    assert listed["demo"]["packaged"] is True


def test_the_second_of_two_browsers_gets_the_difference_and_overwrites_nothing(station: Station) -> None:
    technician, supervisor = station.client(AccountRole.TECHNICIAN), station.client(AccountRole.SUPERVISOR)
    sent(technician, "PUT", "/protocols/both", {"text": PROTOCOL, "version": 0})
    theirs = PROTOCOL.replace("number: 2", "number: 5")
    sent(technician, "PUT", "/protocols/both", {"text": theirs, "version": 1})
    mine = PROTOCOL.replace("number: 2", "number: 9")
    answer = supervisor.put("/api/protocols/both", json={"text": mine, "version": 1})
    problem = answer.json()
    assert (answer.status_code, problem["title"], problem["present_version"]) == (409, "changed meanwhile", 2)
    assert "a-technician" in problem["detail"]
    assert "number: 5," in problem["difference"]
    assert "number: 9," in problem["difference"]
    assert sent(supervisor, "GET", "/protocols/both")["text"] == theirs


def test_a_protocol_that_cannot_be_read_is_not_kept(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    answer = client.put("/api/protocols/broken", json={"text": PROTOCOL.replace("G\n", "Z\n"), "version": 0})
    assert (answer.status_code, answer.json()["line"]) == (422, 4)
    assert client.get("/api/protocols/broken").status_code == 404


def test_what_somebody_wrote_by_hand_becomes_a_version(tmp_path: Path) -> None:
    store = ProtocolStore(tmp_path)
    (tmp_path / "ward.yaml").write_text(PROTOCOL, encoding="utf-8")
    assert [(each.number, each.remark) for each in store.versions("ward")] == [(1, "written by hand")]
    changed = PROTOCOL.replace("number: 2", "number: 4")
    (tmp_path / "ward.yaml").write_text(changed, encoding="utf-8")
    assert store.read("ward").version.number == 2
    assert store.version_text("ward", 1) == PROTOCOL
    assert store.version_text("ward", 2) == changed


def test_the_schema_of_the_form_is_the_published_one(station: Station) -> None:
    schema = sent(station.client(AccountRole.TECHNICIAN), "GET", "/protocols/schema")
    assert set(schema["properties"]) >= {"scan", "capture", "stop", "errors"}
