"""The server: where it listens, over TLS or not, and the link of the first run."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from station.errors import UsageError
from station.laboratory.accounts import Accounts
from station.web.app import make_station_app, station_context
from station.web.data_folder import DataFolder

LOCAL_ADDRESS: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8480
_LOCAL_NAMES: Final = (LOCAL_ADDRESS, "localhost", "[::1]")
_GRACE_S: Final = 2
"""Pages follow runs by answers without end: they are cut off, and ask again."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where the server listens.

    Attributes
    ----------
    host
        Address of this machine; the loopback one reaches no other machine.
    port
        0 takes a free one.
    names
        Further names by which browsers reach it.
    certificate, key
        PEM files for TLS; both or none.
    allow_plain_http
        Whether passwords may travel unencrypted to other machines.
    """

    host: str = LOCAL_ADDRESS
    port: int = DEFAULT_PORT
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    allow_plain_http: bool = False

    @property
    def is_local(self) -> bool:
        """Whether no other machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def has_tls(self) -> bool:
        """Whether what travels is encrypted."""
        return self.certificate is not None

    def require_safe(self) -> None:
        """Refuse to send passwords over a network in clear.

        Raises
        ------
        UsageError
            Another machine would reach it without TLS, or only one of the two files is given.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--tls-certificate and --tls-key belong together")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"{path}: no such file")
        if not self.is_local and not self.has_tls and not self.allow_plain_http:
            raise UsageError(
                f"--host {self.host} is reached by other machines, and passwords would travel in clear: give "
                "--tls-certificate and --tls-key, or --allow-plain-http where a proxy before it has TLS"
            )

    def host_headers(self, port: int) -> frozenset[str]:
        """Values of the Host header that are this server.

        Parameters
        ----------
        port
            The port that it listens at.
        """
        named = {self.host, socket.gethostname(), *self.names, *_LOCAL_NAMES}
        default_port = 443 if self.has_tls else 80
        headers = {f"{name.lower()}:{port}" for name in named}
        return frozenset(headers | ({name.lower() for name in named} if port == default_port else set()))

    def url(self, port: int) -> str:
        """Address of the pages.

        Parameters
        ----------
        port
            The port that it listens at.
        """
        host = self.names[0] if self.names else self.host
        return f"{'https' if self.has_tls else 'http'}://{host}:{port}/"


def serve(
    data: DataFolder,
    accounts: Accounts,
    address: ServerAddress,
    on_ready: Callable[[str, str | None], None],
) -> None:
    """Serve the station until a signal ends it.

    Parameters
    ----------
    data
        Folder of the laboratory; it is there.
    accounts
        Users, log-in and tokens.
    address
        Where to listen.
    on_ready
        Called with the address of the pages, and with the one-time link of the first run where there is no
        administrator yet.

    Raises
    ------
    UsageError
        The address can't be used, or isn't safe.
    """
    address.require_safe()
    with closing(_listening(address)) as listener:
        port = listener.getsockname()[1]
        context = station_context(data, accounts, secure_cookies=address.has_tls)
        app = make_station_app(context, address.host_headers(port))
        config = uvicorn.Config(
            app,
            # Its own logging would print tokens of links: what is logged goes where all else goes.
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=address.certificate,
            ssl_keyfile=address.key,
        )
        url = address.url(port)
        # The token stands behind the hash, which browsers send to nobody.
        link = None if accounts.has_administrator() else f"{url}setup#{accounts.issue_setup_token().token}"
        on_ready(url, link)
        # The server ends by Ctrl-C, and raises it once more when it has ended.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(address: ServerAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.bind((address.host, address.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UsageError(
            f"--port: {address.host}:{address.port} can't be used ({error.strerror or error}); give another port, "
            "or 0 for a free one"
        ) from error
    return listener
