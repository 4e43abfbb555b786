"""Every route for every role, and who gets in at all."""

from __future__ import annotations

import re
from contextlib import closing

import httpx
import pytest

from station.laboratory.accounts import UserDraft
from station.laboratory.permissions import ROLE_PERMISSIONS, AccountRole, Actor, Permission
from station.web.access import FORGERY_HEADER, SESSION_COOKIE, Access
from station.web.app import make_station_app
from station.web.routes import ROUTES
from tests.station.web.conftest import PASSWORD, Station, sent

REFUSED = {401, 403}


def asked(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """A request to a route whose names lead nowhere, so that whoever may call it changes nothing."""
    filled = re.sub(r"{(level|column|row)}", "0", path)
    filled = re.sub(r"{\w+}", "nowhere", filled)
    with client.stream(method, f"/api{filled}") as answer:
        answer.read()
        return answer


@pytest.mark.parametrize("role", list(AccountRole))
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_answers_those_who_may_and_no_others(station: Station, role: AccountRole, route) -> None:
    client = station.client(role)
    if route.method == "DELETE":
        # Logging out ends the session that the other cases use.
        with closing(station.logged_in(role)) as other:
            answer = asked(other, route.method, route.path)
    else:
        answer = asked(client, route.method, route.path)
    allowed = not isinstance(route.needs, Permission) or route.needs in ROLE_PERMISSIONS[role]
    assert (answer.status_code == 403) != allowed, answer.text
    assert answer.status_code < 500


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_nobody_gets_in_without_logging_in(station: Station, route) -> None:
    with httpx.Client(base_url=station.url) as nobody:
        answer = asked(nobody, route.method, route.path)
    assert (answer.status_code == 401) == (route.needs is not Access.PUBLIC)


@pytest.mark.parametrize(
    "route",
    [each for each in ROUTES if each.method != "GET" and each.needs is not Access.PUBLIC],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_no_change_without_the_token_against_forgery(station: Station, route) -> None:
    cookie = station.client(AccountRole.TECHNICIAN).cookies[SESSION_COOKIE]
    with httpx.Client(base_url=station.url, cookies={SESSION_COOKIE: cookie}) as forger:
        answer = asked(forger, route.method, route.path)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:karyoscan:problem:forgery-token"


def test_every_route_of_the_application_stands_in_the_table(station: Station) -> None:
    app = make_station_app(station.context, {"testserver"})
    served = {
        (method, route.path.removeprefix("/api"))
        for route in app.routes
        if getattr(route, "include_in_schema", False)
        for method in getattr(route, "methods", ())
    }
    assert served == {(route.method, route.path) for route in ROUTES}


def test_requests_by_another_name_or_of_another_site_are_refused(station: Station) -> None:
    with httpx.Client(base_url=station.url) as client:
        rebound = client.get("/api/health", headers={"Host": "evil.example"})
        crossed = client.post(
            "/api/session", json={"name": "a", "password": "b"}, headers={"Origin": "http://evil.example"}
        )
        hinted = client.post("/api/session", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (rebound.status_code, crossed.status_code, hinted.status_code) == (421, 403, 403)
    assert crossed.headers["content-type"] == "application/problem+json"


def test_every_answer_carries_what_keeps_a_browser_safe(station: Station) -> None:
    with httpx.Client(base_url=station.url) as client:
        for path in ("/", "/api/health", "/api/nowhere", "/static/app.js", "/static/nowhere.js"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"


def test_a_session_cookie_is_for_this_server_alone_and_no_script_reads_it(station: Station) -> None:
    station.client(AccountRole.TECHNICIAN)
    credentials = {"name": "a-technician", "password": f"{PASSWORD} technician"}
    with httpx.Client(base_url=station.url) as client:
        cookie = client.post("/api/session", json=credentials).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_logging_out_makes_the_session_void(station: Station) -> None:
    station.client(AccountRole.TECHNICIAN)
    credentials = {"name": "a-technician", "password": f"{PASSWORD} technician"}
    with httpx.Client(base_url=station.url) as client:
        answer = client.post("/api/session", json=credentials).json()
        cookie = client.cookies[SESSION_COOKIE]
        client.delete("/api/session", headers={FORGERY_HEADER: answer["csrf_token"]})
        assert client.get("/api/runs").status_code == 401
    with httpx.Client(base_url=station.url, cookies={SESSION_COOKIE: cookie}) as thief:
        assert thief.get("/api/runs").status_code == 401


def test_a_first_password_has_to_be_changed_before_anything_else(station: Station) -> None:
    draft = UserDraft("new-one", "New One", frozenset({AccountRole.TECHNICIAN}))
    station.accounts.create_user(Actor.program("tests"), draft, PASSWORD)
    with httpx.Client(base_url=station.url) as client:
        answer = client.post("/api/session", json={"name": "new-one", "password": PASSWORD}).json()
        client.headers[FORGERY_HEADER] = answer["csrf_token"]
        refused = client.get("/api/runs")
        assert (refused.status_code, refused.json()["title"]) == (403, "password change needed")
        changed = sent(client, "POST", "/session/password", {"old": PASSWORD, "new": "another horse battery"})
        assert changed["user"]["must_change_password"] is False
        assert client.get("/api/runs").status_code == 200


def test_a_wrong_password_tells_not_what_was_wrong_and_many_lock_the_account(station: Station) -> None:
    draft = UserDraft("victim", "Victim", frozenset({AccountRole.TECHNICIAN}))
    station.accounts.create_user(Actor.program("tests"), draft, PASSWORD)
    with httpx.Client(base_url=station.url) as client:
        wrong = [client.post("/api/session", json={"name": "victim", "password": "x" * 20}) for _ in range(6)]
        unknown = client.post("/api/session", json={"name": "nobody-such", "password": "x" * 20})
        right = client.post("/api/session", json={"name": "victim", "password": PASSWORD})
    assert wrong[0].json()["detail"] == unknown.json()["detail"]
    assert (wrong[0].status_code, wrong[-1].status_code, right.status_code) == (403, 429, 429)
    assert "x" * 20 not in wrong[0].text


def test_a_program_with_a_token_needs_no_cookie(station: Station) -> None:
    draft = UserDraft("robot", "Robot", frozenset({AccountRole.SERVICE}))
    user = station.accounts.create_user(Actor.program("tests"), draft)
    token = station.accounts.issue_api_token(Actor.program("tests"), user.uid, "robot").token
    with httpx.Client(base_url=station.url, headers={"Authorization": f"Bearer {token}"}) as client:
        assert [run["name"] for run in sent(client, "GET", "/runs")] == ["finished"]


def test_too_long_a_request_is_refused_before_it_is_read(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    answer = client.post(
        "/api/nights/check", content=b" " * 8_000_001, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_what_cannot_be_read_is_named_without_repeating_it(station: Station) -> None:
    with httpx.Client(base_url=station.url) as client:
        answer = client.post("/api/session", json={"name": "", "password": "secret-of-mine"})
    assert answer.status_code == 422
    assert "name" in answer.json()["detail"]
    assert "secret-of-mine" not in answer.text
