"""What the handlers of the API work with, put together once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from station.laboratory.accounts import Accounts
from station.web.data_folder import DataFolder
from station.web.live.run_feed import RunFeeds
from station.web.live.run_library import RunLibrary
from station.web.nights.launcher import Launcher
from station.web.protocols.store import ProtocolStore
from station.web.rig_list import RigList


@dataclass(frozen=True, slots=True)
class StationContext:
    """Collaborators of the handlers.

    Attributes
    ----------
    data
        Where files lie.
    accounts
        Users, log-in and tokens.
    runs
        Runs and nights of the data folder.
    feeds
        Read the runs that somebody follows.
    launcher
        Starts and steers the processes of runs.
    protocols
        Protocols and their versions.
    rigs
        Instruments, packaged and of the laboratory.
    secure_cookies
        Whether browsers send the session only over TLS.
    """

    data: DataFolder
    accounts: Accounts
    runs: RunLibrary
    feeds: RunFeeds
    launcher: Launcher
    protocols: ProtocolStore
    rigs: RigList
    secure_cookies: bool = False


def _context_of(request: Request) -> StationContext:
    context = request.app.state.context
    if not isinstance(context, StationContext):
        raise TypeError("the application has no context")
    return context


Context = Annotated[StationContext, Depends(_context_of)]
