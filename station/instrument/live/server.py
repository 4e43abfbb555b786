"""Serves the live page to browsers of the same machine; nothing that it is asked moves anything."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

import cv2

from scanner.rig import Rig
from station.errors import UsageError
from station.instrument.live.document import state_document
from station.instrument.live.session import LiveSession
from station.report.page import page_environment
from station.report.pictures import JPEG_QUALITY, at_most, stretch

_log = logging.getLogger(__name__)

LOCAL_ADDRESS: Final = "127.0.0.1"
"""The page is for whoever sits at the instrument: no other machine reaches it."""
LIVE_WIDTH_PX: Final = 1000
"""Wide enough to see whether chromosomes are sharp, and encoded within a few ms."""
PICTURE_WAIT_S: Final = 2.0
"""A request for the next picture is held open so long; the page then asks again."""
REQUEST_TIMEOUT_S: Final = 30.0
"""A browser that stops reading doesn't keep its thread for ever."""
_CROSS_SITE: Final = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site by which a browser says that the page of another site asks."""


class LiveServer(ThreadingHTTPServer):
    """HTTP on the loopback interface, a thread a request.

    Parameters
    ----------
    port
        0 takes a free one.
    rig
        Description of the instrument.
    session
        Gives pictures and state.
    """

    daemon_threads = True
    # A page that is still open would be served by whoever takes the port next.
    allow_reuse_address = False

    def __init__(self, port: int, rig: Rig, session: LiveSession) -> None:
        self.rig = rig
        self.session = session
        self.nonce = secrets.token_urlsafe()
        super().__init__((LOCAL_ADDRESS, port), LiveRequestHandler)

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the Host header that are this page: another name is a site that has been pointed here."""
        return frozenset(f"{name}:{self.server_port}" for name in (LOCAL_ADDRESS, "localhost"))

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{LOCAL_ADDRESS}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away in the middle of an answer is no fault."""
        _log.debug("a request ended early", exc_info=True)


class LiveRequestHandler(BaseHTTPRequestHandler):
    """Answers GET for the page, the next picture and the state; everything else is refused."""

    server: LiveServer
    server_version = "KaryoScan"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        """Answer."""
        if self.headers.get("Host") not in self.server.hosts or self.headers.get("Sec-Fetch-Site") in _CROSS_SITE:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"only the page of this instrument may ask\n")
            return
        address = urlsplit(self.path)
        if address.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self._page())
        elif address.path == "/state.json":
            document = state_document(self.server.rig, self.server.session.state())
            self._answer(HTTPStatus.OK, "application/json", json.dumps(document).encode())
        elif address.path == "/picture.jpg":
            self._send_picture(address.query)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /, /picture.jpg and /state.json\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests go to the log, not to the terminal."""
        _log.debug(format, *arguments)

    def _page(self) -> bytes:
        template = page_environment().get_template("rig_live.html.j2")
        return template.render(rig=self.server.rig, nonce=self.server.nonce).encode()

    def _send_picture(self, query: str) -> None:
        asked = parse_qs(query).get("after", ["0"])[0]
        if not asked.isascii() or not asked.isdigit() or len(asked) > len(str(2**63)):
            self._answer(HTTPStatus.BAD_REQUEST, "text/plain", b"after: the number of the last picture\n")
            return
        numbered = self.server.session.wait_for_picture(int(asked), PICTURE_WAIT_S)
        if numbered is None:
            self._answer(HTTPStatus.NO_CONTENT, None, b"")
            return
        shown = at_most(stretch(numbered.picture.pixels), LIVE_WIDTH_PX)
        done, encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"the picture can't be encoded\n")
            return
        self._answer(HTTPStatus.OK, "image/jpeg", encoded.tobytes(), {"X-Picture-Number": str(numbered.number)})

    def _answer(
        self, status: HTTPStatus, kind: str | None, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        policy = (
            f"default-src 'none'; script-src 'nonce-{self.server.nonce}'; img-src 'self' blob: data:; "
            "connect-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(port: int, rig: Rig, session: LiveSession) -> Iterator[str]:
    """Serve the page within the block.

    Parameters
    ----------
    port
        0 takes a free one.
    rig
        Description of the instrument.
    session
        Gives pictures and state.

    Yields
    ------
    str
        Address of the page.

    Raises
    ------
    UsageError
        The port is taken.
    """
    try:
        server = LiveServer(port, rig, session)
    except OSError as error:
        raise UsageError(
            f"--port: {port} can't be used ({error.strerror or error}); give another, or leave it out"
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
