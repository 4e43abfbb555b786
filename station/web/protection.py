"""What holds for every request: who may ask, how much, and what a browser may do with the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from station.web.problems import ProblemError, problem_response

_VIEWER_STYLE: Final = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""The one style that OpenSeadragon writes into a page: no outline round its canvas on touch screens."""
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_VIEWER_STYLE}; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES: Final = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site by which a browser says that our own page asks, or a person who typed the address."""
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a request may bring.

    Attributes
    ----------
    body_bytes
        Longest body: a worklist of a spreadsheet's size.
    """

    body_bytes: int = 8_000_000


class RequestProtection:
    """Refuses requests of other sites and too long ones, and sends security headers with every answer.

    Parameters
    ----------
    app
        Answers what is let through.
    hosts
        Values of the Host header that are this server, lower case: another name is a site that was pointed here.
    limits
        What a request may bring.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], limits: RequestLimits) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._require_own_page(scope)
            await self._app(scope, self._limited(scope, receive), send_with_headers)
        except ProblemError as error:
            response = problem_response(error.status, error.kind, str(error))
            await response(scope, receive, send_with_headers)

    def _require_own_page(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise ProblemError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "wrong-host",
                f"this server isn't {host or 'without a name'}; open it by the address that it printed",
            )
        if scope["method"] in SAFE_METHODS:
            return
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if (site is not None and site not in _OWN_PAGES) or (
            origin is not None and urlsplit(origin).netloc != host
        ):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "other-site", "the page of another site may change nothing here"
            )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        limit = self._limits.body_bytes
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            raise _too_long(limit)
        count = 0

        async def receive_within_limit() -> Message:
            nonlocal count
            message = await receive()
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                if count > limit:
                    raise _too_long(limit)
            return message

        return receive_within_limit


def _too_long(limit: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-long", f"the request is longer than {limit:,} bytes"
    )
