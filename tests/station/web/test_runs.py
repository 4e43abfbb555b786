"""Runs followed while they go on: nothing is lost by loading anew or by a lost connection."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from acquisition.journal import JournalPosition, read_journal, read_journal_after
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from acquisition.storage.run_folder import CASEBOOK_NAME, JOURNAL_NAME
from station.laboratory.permissions import AccountRole
from station.run.scan import ScanRequest, run_scan
from station.web.live.run_changes import changes_of, merge_changes, plain_changes
from station.web.live.run_feed import FeedSettings, RunFeed, position_of, position_text
from station.web.live.run_library import RunLibrary
from tests.station.web.conftest import PROTOCOL, RIGS, Station, sent


def events(client: httpx.Client, name: str, headers: dict[str, str] | None = None, after: str = ""):
    """Server-sent events of a run: name, id, data."""
    with client.stream("GET", f"/api/runs/{name}/events", params={"after": after}, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if not line:
                if "data" in event:
                    yield event["event"], event.get("id"), json.loads(event["data"])
                event = {}
                continue
            key, _, value = line.partition(": ")
            event[key] = value


def test_the_list_says_how_each_run_stands(station: Station) -> None:
    (run,) = sent(station.client(AccountRole.CYTOGENETICIST), "GET", "/runs")
    assert (run["name"], run["status"], run["running"]) == ("finished", "completed", False)
    assert (run["fields_done"], run["captured"], run["accession"]) == (4, 2, "24-0117")


def test_a_run_is_shown_whole(station: Station) -> None:
    run = sent(station.client(AccountRole.TECHNICIAN), "GET", "/runs/finished")
    changes = run["changes"]
    assert [field["status"] for field in changes["fields"]] == ["searched"] * 4
    assert [candidate["rank"] for candidate in changes["candidates"]] == [1, 2]
    assert {capture["candidate"] for capture in changes["captures"]} == {
        each["uid"] for each in changes["candidates"]
    }
    assert len(changes["surface"]) == 3
    assert (changes["state"], changes["ended"]["status"]) == ("ended", "completed")
    assert run["plan"]["area_um"] == [30000, 11000, 31600, 12200]
    assert run["status"]["events"]
    assert run["status"]["waits_for"] is None


def test_portions_of_a_journal_add_up_to_the_whole(finished_run: Path) -> None:
    path = finished_run / JOURNAL_NAME
    whole = changes_of(read_journal(path), finished_run)
    position, merged = JournalPosition(), {}
    content = path.read_bytes()
    for end in range(0, len(content) + 701, 700):
        part = finished_run.parent / "part.log"
        part.write_bytes(content[:end])
        records, position = read_journal_after(part, position)
        merge_changes(merged, changes_of(records, finished_run))
    assert plain_changes(merged) == plain_changes(whole)
    assert position == JournalPosition(len(content), len(read_journal(path)))


def test_changes_may_come_twice(finished_run: Path) -> None:
    records = read_journal(finished_run / JOURNAL_NAME)
    once = changes_of(records, finished_run)
    assert plain_changes(changes_of([*records, *records], finished_run)) == plain_changes(once)


def test_a_lost_connection_goes_on_where_it_was_lost(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    first = next(event for event in events(client, "finished") if event[0] == "changes")
    assert len(first[2]["fields"]) == 4
    records = read_journal(station.data.runs / "finished" / JOURNAL_NAME)
    lines = (station.data.runs / "finished" / JOURNAL_NAME).read_bytes().splitlines(keepends=True)
    middle = len(records) // 2
    there = JournalPosition(sum(map(len, lines[:middle])), middle)
    rest = next(
        event
        for event in events(client, "finished", {"Last-Event-ID": position_text(there)})
        if event[0] == "changes"
    )
    before = plain_changes(changes_of(records[:middle], station.data.runs))
    merged: dict = {}
    merge_changes(merged, before)
    merge_changes(merged, rest[2])
    whole = plain_changes(changes_of(records, station.data.runs / "finished"))
    assert plain_changes(merged) == whole
    assert rest[1] == first[1] == position_text(JournalPosition(sum(map(len, lines)), len(records)))


def test_a_place_where_no_record_begins_asks_the_page_to_load_anew(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    for position in ("17-1", "999999999-5"):
        assert next(events(client, "finished", after=position))[0] == "reload"
    assert position_of("nonsense") == JournalPosition()


def test_an_answer_ends_so_that_whoever_was_logged_out_gets_no_further(finished_run: Path) -> None:
    now_s = iter(range(1000))
    feed = RunFeed(
        finished_run, FeedSettings(poll_s=0, idle_poll_s=0, status_s=0, longest_s=30), lambda: next(now_s)
    )

    async def all_events() -> list[bytes]:
        return [event async for event in feed.events(JournalPosition())]

    names = [event.split(b"\n")[0] for event in asyncio.run(all_events())]
    assert names[:2] == [b"event: changes", b"event: status"]
    assert len(names) < 20


class Follower(SilentListener):
    """Asks the station for its run at every field and cell."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.snapshots: list[dict] = []
        self.tiles: list[int] = []

    def step(self, name: str, note: str = "") -> None:
        client = self.station.client(AccountRole.TECHNICIAN)
        snapshot = sent(client, "GET", "/runs/growing")
        self.snapshots.append(snapshot)
        if snapshot["overview"] and not self.tiles:
            self.tiles.append(client.get("/api/runs/growing/overview/0/0/0").status_code)


def test_a_run_is_followed_while_its_own_process_writes_it(station: Station, tmp_path: Path) -> None:
    protocol = tmp_path / "small.yaml"
    protocol.write_text(PROTOCOL, encoding="utf-8")
    follower = Follower(station)
    out = station.data.runs / "growing"
    run_scan(ScanRequest(RIGS / "simulated", protocol, out, seed=4, cells=2), RunControl(), follower)
    states = [each["changes"].get("state") for each in follower.snapshots]
    assert "scanning" in states
    assert "capturing" in states
    counts = [len(each["changes"].get("fields", ())) for each in follower.snapshots]
    assert counts == sorted(counts)
    assert counts[-1] == 4
    assert all(each["status"]["running"] for each in follower.snapshots)
    assert follower.snapshots[-1]["status"]["remaining_s"] is not None
    assert follower.tiles == [200]
    ended = sent(station.client(AccountRole.TECHNICIAN), "GET", "/runs/growing")
    assert ended["changes"]["ended"]["status"] == "completed"
    shutil.rmtree(out)


def decoded(answer: httpx.Response) -> np.ndarray:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture)


def test_pictures_are_handed_out(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    changes = sent(client, "GET", "/runs/finished")["changes"]
    capture = decoded(client.get(f"/api/runs/finished/captures/{changes['captures'][0]['file']}?width_px=200"))
    assert capture.shape[1] == 200
    decoded(client.get(f"/api/runs/finished/finds/{changes['finds'][0]['thumbnail']}"))


def test_tiles_of_all_levels_show_the_same_slide(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    overview = sent(client, "GET", "/runs/finished")["overview"]
    most = int(np.ceil(np.log2(max(overview["width_px"], overview["height_px"]))))
    full = decoded(client.get(f"/api/runs/finished/overview/{most}/0/0"))
    half = decoded(client.get(f"/api/runs/finished/overview/{most - 1}/0/0"))
    assert full.shape[1] == min(512, overview["width_px"])
    assert half.shape[1] == min(512, int(np.ceil(overview["width_px"] / 2)))
    shared = min(full.shape[0] // 2, half.shape[0]), min(full.shape[1] // 2, half.shape[1])
    small = cv2.resize(full, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)[: shared[0], : shared[1]]
    assert np.abs(small.astype(int) - half[: shared[0], : shared[1]].astype(int)).mean() < 3
    decoded(client.get("/api/runs/finished/overview/0/0/0"))
    assert client.get(f"/api/runs/finished/overview/{most}/99/0").status_code == 404
    assert client.get(f"/api/runs/finished/overview/{most + 1}/0/0").status_code == 404


@pytest.mark.parametrize("file", ["..%2Frun.json", "%2e%2e/journal.log", "nowhere.png", ".hidden", "a%00b"])
def test_no_path_leads_out_of_a_run(station: Station, file: str) -> None:
    answer = station.client(AccountRole.TECHNICIAN).get(f"/api/runs/finished/finds/{file}")
    assert answer.status_code == 404


def test_a_run_that_cannot_be_read_hides_no_other(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    broken, half = station.data.runs / "broken", station.data.runs / "half"
    broken.mkdir()
    (broken / CASEBOOK_NAME).write_bytes(b"not a database at all")
    half.mkdir()
    shutil.copyfile(station.data.runs / "finished" / JOURNAL_NAME, half / JOURNAL_NAME)
    runs = {run["name"]: run for run in sent(client, "GET", "/runs")}
    assert runs["broken"]["status"] == "unreadable"
    assert runs["finished"]["status"] == "completed"
    assert client.get("/api/runs/half").json()["title"] == "half copied"
    assert client.get("/api/runs/broken").status_code == 422
    for folder in (broken, half):
        shutil.rmtree(folder)
    assert client.get("/api/runs/broken").json()["title"] == "no such run"


def test_runs_of_nights_have_names_of_one_part(tmp_path: Path, finished_run: Path) -> None:
    shutil.copytree(finished_run, tmp_path / "night" / "slot-1-A")
    (tmp_path / "link").symlink_to(finished_run, target_is_directory=True)
    assert [run.name for run in RunLibrary(tmp_path).runs()] == ["night~slot-1-A"]


def test_a_command_to_a_run_that_is_over_says_so(station: Station) -> None:
    answer = station.client(AccountRole.TECHNICIAN).post("/api/runs/finished/command", json={"command": "pause"})
    assert answer.status_code == 422
    assert "no run is running" in answer.json()["detail"]


def test_the_report_opens_without_script(station: Station) -> None:
    answer = station.client(AccountRole.TECHNICIAN).get("/api/runs/finished/report")
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script" not in answer.headers["content-security-policy"]
