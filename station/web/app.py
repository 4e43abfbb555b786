"""The application: routes with their access, problems, protection, and the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib import metadata
from pathlib import Path
from typing import Final

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse, Response

from station.laboratory.accounts import Accounts
from station.web.access import checked_access
from station.web.context import StationContext
from station.web.data_folder import DataFolder
from station.web.live.run_feed import RunFeeds
from station.web.live.run_library import RunLibrary
from station.web.nights.launcher import Launcher
from station.web.problems import ProblemError, add_problem_handlers, problem_responses
from station.web.protection import RequestLimits, RequestProtection
from station.web.protocols.store import ProtocolStore
from station.web.rig_list import RigList
from station.web.routes import ROUTES

LIMITS: Final = RequestLimits()
PAGES: Final = Path(__file__).with_name("pages")
_API: Final = "/api"
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
"""Of the files that browsers get; no other is handed out. A system's own table may say something else."""
_PROBLEMS: Final = problem_responses(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def station_context(data: DataFolder, accounts: Accounts, *, secure_cookies: bool = False) -> StationContext:
    """Put together what the handlers work with.

    Parameters
    ----------
    data
        Folder of the laboratory; it is there.
    accounts
        Users, log-in and tokens.
    secure_cookies
        Whether browsers send the session only over TLS.
    """
    library = RunLibrary(data.runs)
    return StationContext(
        data=data,
        accounts=accounts,
        runs=library,
        feeds=RunFeeds(),
        launcher=Launcher(library),
        protocols=ProtocolStore(data.protocols),
        rigs=RigList(data.rigs),
        secure_cookies=secure_cookies,
    )


def make_station_app(context: StationContext, hosts: Iterable[str], *, limits: RequestLimits = LIMITS) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    context
        What the handlers work with.
    hosts
        Values of the Host header that are this server.
    limits
        What a request may bring.
    """
    app = FastAPI(
        title="KaryoScan station",
        version=metadata.version("karyoscan"),
        # Pages of the framework load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.context = context
    add_problem_handlers(app)
    for route in ROUTES:
        app.add_api_route(
            _API + route.path,
            route.handler,
            methods=[route.method],
            dependencies=[Depends(checked_access(route.needs))],
            operation_id=route.handler.__name__,
            summary=_summary(route.handler),
            description=_summary(route.handler),
            responses=_PROBLEMS,
            openapi_extra={"x-needs": route.needs.value},
        )
    app.add_api_route(_API + "/{path:path}", _no_such_route, methods=["GET"], include_in_schema=False)
    app.add_api_route("/static/{path:path}", _static_file, methods=["GET"], include_in_schema=False)
    app.add_api_route("/{path:path}", _page, methods=["GET"], include_in_schema=False)
    app.add_middleware(RequestProtection, hosts=hosts, limits=limits)
    return app


def _summary(handler: Callable[..., object]) -> str:
    return (handler.__doc__ or "").strip().splitlines()[0]


def _no_such_route(path: str) -> Response:
    raise ProblemError(HTTPStatus.NOT_FOUND, "no-such-route", f"the API has no {path}")


def _static_file(path: str) -> Response:
    file = (PAGES / path).resolve()
    media_type = _MEDIA_TYPES.get(file.suffix)
    if media_type is None or not file.is_relative_to(PAGES.resolve()) or not file.is_file():
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-such-file", f"there is no {path}")
    # A browser asks each time whether the file is the same: it may be of another version tomorrow.
    return FileResponse(file, media_type=media_type, headers={"Cache-Control": "no-cache"})


def _page(path: str) -> Response:
    """The one page, whose scripts show what the address says."""
    return FileResponse(PAGES / "index.html", media_type=_MEDIA_TYPES[".html"])
