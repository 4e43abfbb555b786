"""Every route of the API, and what each asks of its caller: the one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from station.laboratory.permissions import Permission
from station.web.access import Access
from station.web.api import nights, protocols, rigs, runs, session, system, users


@dataclass(frozen=True, slots=True)
class StationRoute:
    """A route of the API.

    Attributes
    ----------
    method, path
        Of requests that it answers; the path is below ``/api``.
    handler
        Answers them.
    needs
        What it asks of its caller.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    needs: Access | Permission


_PUBLIC: Final = Access.PUBLIC
_OWN: Final = Access.OWN_ACCOUNT
_IN: Final = Access.LOGGED_IN
_VIEW: Final = Permission.VIEW_RUNS
_CONTROL: Final = Permission.CONTROL_RUNS
_USERS: Final = Permission.MANAGE_USERS
_PROTOCOLS: Final = Permission.EDIT_PROTOCOLS
_RIGS: Final = Permission.OPERATE_RIGS

ROUTES: Final = (
    StationRoute("GET", "/health", system.read_health, _PUBLIC),
    StationRoute("GET", "/openapi.json", system.read_openapi, _IN),
    StationRoute("GET", "/disk", system.read_disk, _VIEW),
    StationRoute("GET", "/session", session.read_session, _PUBLIC),
    StationRoute("POST", "/session", session.log_in, _PUBLIC),
    StationRoute("DELETE", "/session", session.log_out, _OWN),
    StationRoute("POST", "/session/password", session.change_password, _OWN),
    StationRoute("POST", "/session/reset", session.set_password_by_token, _PUBLIC),
    StationRoute("POST", "/setup", session.create_first_administrator, _PUBLIC),
    StationRoute("GET", "/users", users.list_users, _USERS),
    StationRoute("POST", "/users", users.create_user, _USERS),
    StationRoute("PATCH", "/users/{user_uid}", users.change_user, _USERS),
    StationRoute("POST", "/users/{user_uid}/reset", users.reset_password, _USERS),
    StationRoute("GET", "/runs", runs.list_runs, _VIEW),
    StationRoute("POST", "/runs", nights.start_slide, _CONTROL),
    StationRoute("GET", "/runs/{name}", runs.read_run, _VIEW),
    StationRoute("GET", "/runs/{name}/events", runs.follow_run, _VIEW),
    StationRoute("POST", "/runs/{name}/command", runs.command_run, _CONTROL),
    StationRoute("POST", "/runs/{name}/resume", runs.resume_run, _CONTROL),
    StationRoute("GET", "/runs/{name}/report", runs.read_report_page, _VIEW),
    StationRoute("GET", "/runs/{name}/overview/place", runs.read_overview_place, _VIEW),
    StationRoute("GET", "/runs/{name}/overview/{level}/{column}/{row}", runs.read_overview_tile, _VIEW),
    StationRoute("GET", "/runs/{name}/finds/{file}", runs.read_find_picture, _VIEW),
    StationRoute("GET", "/runs/{name}/captures/{file}", runs.read_capture_picture, _VIEW),
    StationRoute("GET", "/runs/{name}/karyograms/{file}", runs.read_karyogram_picture, _VIEW),
    StationRoute("GET", "/nights", nights.list_nights, _VIEW),
    StationRoute("POST", "/nights", nights.start_night, _CONTROL),
    StationRoute("POST", "/nights/check", nights.check_night, _CONTROL),
    StationRoute("GET", "/nights/{name}", nights.read_night, _VIEW),
    StationRoute("POST", "/nights/{name}/command", nights.command_night, _CONTROL),
    StationRoute("POST", "/nights/{name}/resume", nights.resume_night, _CONTROL),
    StationRoute("GET", "/protocols", protocols.list_protocols, _VIEW),
    StationRoute("GET", "/protocols/schema", protocols.protocol_schema, _VIEW),
    StationRoute("POST", "/protocols/check", protocols.check_protocol_text, _VIEW),
    StationRoute("POST", "/protocols/edit", protocols.edit_protocol_text, _VIEW),
    StationRoute("GET", "/protocols/{name}", protocols.read_protocol, _VIEW),
    StationRoute("PUT", "/protocols/{name}", protocols.save_protocol, _PROTOCOLS),
    StationRoute("GET", "/protocols/{name}/difference", protocols.protocol_difference, _VIEW),
    StationRoute("GET", "/rigs", rigs.list_rigs, _VIEW),
    StationRoute("GET", "/rigs/{name}", rigs.read_rig, _VIEW),
    StationRoute("POST", "/rigs/{name}/check", rigs.check_rig, _RIGS),
    StationRoute("GET", "/rigs/{name}/results/{result}/{file}", rigs.read_result_page, _VIEW),
)
"""Checking and changing a text keeps nothing, so that reading protocols is enough for it."""
