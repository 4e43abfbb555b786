"""A station that listens on the loopback interface, with a laboratory of its own."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from station.laboratory.accounts import Accounts, UserDraft
from station.laboratory.passwords import Passwords, PasswordSettings
from station.laboratory.permissions import AccountRole, Actor
from station.run.scan import ScanRequest, run_scan
from station.web.access import FORGERY_HEADER
from station.web.app import make_station_app, station_context
from station.web.context import StationContext
from station.web.data_folder import DataFolder
from station.web.live.run_feed import FeedSettings, RunFeeds
from station.web.opening import opened_accounts
from station.web.server import LOCAL_ADDRESS

ROOT = Path(__file__).parents[3]
RIGS = ROOT / "hardware_configs"
PASSWORD = "correct horse battery staple"  # noqa: S105
CHEAP = Passwords(PasswordSettings(time_cost=1, memory_kib=64, parallelism=1))
QUICK_FEED = FeedSettings(poll_s=0.02, idle_poll_s=0.02, status_s=0.0)
PROTOCOL = """\
# What the laboratory scans while it learns.
version: 1
name: small
banding: G
tissue: lymphocyte
scan:
  objective: 10x
  area: {x_min_um: 30000, y_min_um: 11000, x_max_um: 31600, y_max_um: 12200}
  exposure_ms: 5  # bright lamp
  focus: {points: 3, range_um: 40}
  keep_fields: overview
capture: {objective: 63x, oil: allowed, number: 2, exposure_ms: 40, focus_range_um: 6}
karyotype: {enabled: false}
"""


@dataclass
class Station:
    """A station that listens, and who may log in there."""

    url: str
    data: DataFolder
    accounts: Accounts
    context: StationContext
    _clients: dict[AccountRole, httpx.Client] = field(default_factory=dict)

    def client(self, role: AccountRole) -> httpx.Client:
        """Somebody of a role, logged in."""
        if role not in self._clients:
            name = f"a-{role.value}"
            draft = UserDraft(name, role.value.title(), frozenset({role}))
            user = self.accounts.create_user(Actor.program("tests"), draft, PASSWORD)
            # Changed once: a first password lets nobody do anything else.
            self.accounts.change_password(user.uid, PASSWORD, f"{PASSWORD} {role.value}")
            self._clients[role] = self.logged_in(role)
        return self._clients[role]

    def logged_in(self, role: AccountRole) -> httpx.Client:
        """A further browser of somebody who was logged in before."""
        client = httpx.Client(base_url=self.url, timeout=60)
        credentials = {"name": f"a-{role.value}", "password": f"{PASSWORD} {role.value}"}
        client.headers[FORGERY_HEADER] = sent(client, "POST", "/session", credentials)["csrf_token"]
        return client

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def station_in(folder: Path) -> Iterator[Station]:
    """A station with a fresh laboratory in a folder."""
    data = DataFolder(folder)
    data.make()
    with opened_accounts(data) as opened, closing(socket.socket()) as listener:
        accounts = replace(opened, passwords=CHEAP)
        listener.bind((LOCAL_ADDRESS, 0))
        listener.listen()
        port = listener.getsockname()[1]
        context = replace(station_context(data, accounts), feeds=RunFeeds(QUICK_FEED))
        app = make_station_app(context, {f"{LOCAL_ADDRESS}:{port}"})
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        station = Station(f"http://{LOCAL_ADDRESS}:{port}", data, accounts, context)
        try:
            yield station
        finally:
            station.close()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> Iterator[Station]:
    """One for all tests of a module, with a finished run."""
    folder = tmp_path_factory.mktemp("laboratory")
    shutil.copytree(finished_run, folder / "runs" / "finished")
    with station_in(folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that came to its end; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    protocol = folder / "small.yaml"
    protocol.write_text(PROTOCOL, encoding="utf-8")
    request = ScanRequest(RIGS / "simulated", protocol, folder / "run", seed=3, cells=2, accession="24-0117")
    run_scan(request, RunControl(), SilentListener())
    return folder / "run"


def sent(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """Answer to a request that is expected to succeed."""
    answer = client.request(method, f"/api{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()
