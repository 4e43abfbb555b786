"""Where the server listens, its first link, and the files of its pages."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from station.cli import app as cli
from station.errors import UsageError
from station.laboratory.permissions import AccountRole
from station.web.app import PAGES
from station.web.live.run_library import RunLibrary
from station.web.nights.launcher import Launcher
from station.web.server import ServerAddress
from tests.station.web.conftest import PASSWORD, Station, sent, station_in

VENDOR = PAGES / "vendor"
OWN = sorted(
    path for path in PAGES.rglob("*") if path.suffix in {".js", ".css", ".html"} and VENDOR not in path.parents
)


def test_no_other_machine_is_let_in_without_encryption(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.0.2.7", "::"):  # noqa: S104 - refused is what is tested
        with pytest.raises(UsageError, match="passwords would travel in clear"):
            ServerAddress(host=host).require_safe()
        ServerAddress(host=host, allow_plain_http=True).require_safe()
    for host in ("127.0.0.1", "localhost", "::1"):
        ServerAddress(host=host).require_safe()
    with pytest.raises(UsageError, match="belong together"):
        ServerAddress(certificate=tmp_path).require_safe()


def test_the_link_of_the_first_run_works_once(tmp_path: Path) -> None:
    with station_in(tmp_path) as station, httpx.Client(base_url=station.url) as client:
        assert client.get("/api/session").json()["needs_setup"] is True
        token = station.accounts.issue_setup_token().token
        first = {"token": token, "name": "anna", "full_name": "Anna Weber", "password": PASSWORD}
        assert client.post("/api/setup", json={**first, "token": "guessed"}).status_code == 403
        assert sent(client, "POST", "/setup", first)["user"]["roles"] == ["administrator"]
        assert client.post("/api/setup", json={**first, "name": "eve"}).status_code >= 400
        assert client.get("/api/session").json()["user"]["name"] == "anna"


def test_the_command_prints_its_addresses_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    command = [*Launcher(RunLibrary(tmp_path)).command, "serve", "--data", str(tmp_path / "lab"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        link = re.search(r"open (http://127\.0\.0\.1:\d+/)setup#(\S{20,})", first)
        assert link is not None, first
        assert link[1] in second
        assert httpx.get(f"{link[1]}api/health", timeout=60).json()["status"] == "well"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0, process.stdout.read()


def test_the_command_refuses_other_machines_before_it_makes_anything(tmp_path: Path) -> None:
    command = ["serve", "--data", str(tmp_path / "lab"), "--host", "0.0.0.0"]  # noqa: S104 - refused is tested
    refused = CliRunner().invoke(cli, command)
    assert isinstance(refused.exception, UsageError)
    assert not (tmp_path / "lab").exists()


def test_administrators_make_users_and_reset_their_passwords(station: Station) -> None:
    admin = station.client(AccountRole.ADMINISTRATOR)
    wanted = {"name": "boris", "full_name": "Boris", "roles": ["technician"], "password": PASSWORD}
    user = sent(admin, "POST", "/users", wanted)
    changed = sent(
        admin, "PATCH", f"/users/{user['uid']}", {"version": user["version"], "roles": ["cytogeneticist"]}
    )
    assert changed["roles"] == ["cytogeneticist"]
    stale = admin.patch(f"/api/users/{user['uid']}", json={"version": user["version"], "full_name": "Bo"})
    assert (stale.status_code, stale.json()["title"]) == (409, "changed meanwhile")
    link = sent(admin, "POST", f"/users/{user['uid']}/reset")["path"]
    with httpx.Client(base_url=station.url) as client:
        body = {"token": link.partition("#")[2], "password": "a wholly new password"}
        assert sent(client, "POST", "/session/reset", body)["user"]["name"] == "boris"
        assert client.post("/api/session/reset", json=body).status_code == 403


def test_rigs_say_what_they_are(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    rigs = {rig["name"]: rig for rig in sent(client, "GET", "/rigs")}
    assert (rigs["simulated-feeder"]["slots"], rigs["simulated-feeder"]["simulated"]) == (80, True)
    facts = {fact["name"]: fact["value"] for fact in sent(client, "GET", "/rigs/simulated")["facts"]}
    assert "oil" in facts["objective 63x"]
    assert client.get("/api/rigs/nowhere").status_code == 404
    assert client.get("/api/rigs/simulated/results/check/..%2Frig.yaml").status_code == 404


def test_results_of_a_rig_are_listed_and_shown(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    folder = station.data.rigs / "results" / "simulated" / "check-1"
    folder.mkdir(parents=True)
    (folder / "check.html").write_text("<h1>checked</h1>", encoding="utf-8")
    (result,) = sent(client, "GET", "/rigs/simulated")["results"]
    page = client.get(f"/api/rigs/simulated/results/{result['result']}/{result['file']}")
    assert page.text == "<h1>checked</h1>"
    assert page.headers["content-security-policy"].startswith("sandbox;")


def test_the_openapi_document_names_every_route_and_its_needs(station: Station) -> None:
    document = sent(station.client(AccountRole.TECHNICIAN), "GET", "/openapi.json")
    assert document["paths"]["/api/runs"]["get"]["x-needs"] == "view_runs"
    assert "Problem" in document["components"]["schemas"]


def test_third_party_files_are_those_that_were_pinned() -> None:
    files = json.loads((VENDOR / "vendor.json").read_text("utf-8"))["files"]
    assert {file["file"] for file in files} == {path.name for path in VENDOR.glob("*.js")}
    for file in files:
        assert hashlib.sha256((VENDOR / file["file"]).read_bytes()).hexdigest() == file["sha256"]
        assert (VENDOR / file["licence_file"]).is_file()
        assert all(source["integrity"].startswith("sha512-") for source in file["from"])


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_page_loads_anything_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"https?://(?!www\.w3\.org/)\S+", text) == []
    assert re.findall(r"\bon[a-z]+=[\"']|javascript:|style=[\"']", text) == []
    for name in re.findall(r"(?:from|import) \"([^\"]+)\"", text):
        assert (path.parent / name).is_file(), name


def test_static_files_are_those_of_the_pages_alone(station: Station) -> None:
    with httpx.Client(base_url=station.url) as client:
        assert client.get("/static/app.js").headers["content-type"].startswith("text/javascript")
        for path in ("..%2Fapp.py", "%2e%2e/app.py", "vendor/vendor.json", "nowhere.js", ""):
            assert client.get(f"/static/{path}").status_code == 404
        page = client.get("/runs/some~run")
        assert "<station-app>" in page.text
