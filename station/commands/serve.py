"""The command ``karyoscan serve``: the station in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.messages import say


def serve(
    data: Annotated[
        Path,
        typer.Option(help="folder of the laboratory: runs, protocols, casebook; it is made where it isn't there"),
    ],
    host: Annotated[str, typer.Option(help="address to listen at; the default one reaches no other machine")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="port to listen at; 0 takes a free one", min=0, max=65535)] = 8480,
    name: Annotated[
        list[str] | None,
        typer.Option(help="name by which browsers reach this machine; repeat for several", show_default=False),
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="certificate (PEM)", show_default=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="its key (PEM)", show_default=False)] = None,
    allow_plain_http: Annotated[
        bool, typer.Option("--allow-plain-http", help="let passwords travel in clear to other machines")
    ] = False,
) -> None:
    """Show runs, nights, protocols and rigs of a laboratory in a browser, and steer them.

    Runs go on in processes of their own: one that was begun here doesn't end with the server.
    """
    from station.web.data_folder import DataFolder
    from station.web.opening import opened_accounts
    from station.web.server import ServerAddress
    from station.web.server import serve as serve_station

    address = ServerAddress(
        host=host,
        port=port,
        names=tuple(name or ()),
        certificate=tls_certificate,
        key=tls_key,
        allow_plain_http=allow_plain_http,
    )
    address.require_safe()
    folder = DataFolder(data.resolve())
    folder.make()
    with opened_accounts(folder) as accounts:
        serve_station(folder, accounts, address, _report_ready)


def _report_ready(url: str, setup_link: str | None) -> None:
    if setup_link is not None:
        say(f"First run: open {setup_link} once to make the administrator")
    say(f"Open {url} in a browser; Ctrl-C ends the server, and no run")
