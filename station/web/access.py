"""Who asks, and whether they may: the session of a browser, the token of a program, and the forgery check."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request

from station.laboratory.permissions import Actor, Permission
from station.laboratory.records import LoginSession
from station.web.context import StationContext
from station.web.problems import ProblemError
from station.web.protection import SAFE_METHODS

SESSION_COOKIE: Final = "karyoscan_session"
FORGERY_HEADER: Final = "X-CSRF-Token"
_BEARER: Final = "bearer "


class Access(StrEnum):
    """What a route asks of its caller, where that is no permission."""

    PUBLIC = "public"
    """Nothing: log-in itself, and what a load balancer asks."""
    OWN_ACCOUNT = "own_account"
    """To be logged in, also with a password that has to be changed first."""
    LOGGED_IN = "logged_in"
    """To be logged in."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes
    ----------
    login
        The session that was accepted.
    token
        Its token in clear.
    """

    login: LoginSession
    token: str

    @property
    def actor(self) -> Actor:
        """The caller as the audit trail names them."""
        return self.login.user.actor()


def forgery_token(session_token: str) -> str:
    """What a page has to send with every change: derived from the cookie, which only our own page can ask for."""
    return hmac.new(session_token.encode(), b"karyoscan csrf", hashlib.sha256).hexdigest()


def caller_or_none(request: Request, context: StationContext) -> Caller | None:
    """Who asks, without looking at what they may.

    Parameters
    ----------
    request
        With a cookie, or an ``Authorization: Bearer`` header, or neither.
    context
        Collaborators.
    """
    token, _ = _token_of(request)
    login = None if token is None else context.accounts.session_of(token)
    return None if login is None or token is None else Caller(login, token)


def checked_access(needs: Access | Permission) -> Callable[[Request], None]:
    """A dependency that lets those through who may call a route, and keeps who they are for the handler."""

    def check(request: Request) -> None:
        if needs is Access.PUBLIC:
            return
        caller = caller_or_none(request, request.app.state.context)
        if caller is None:
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "not-logged-in", "log in first, or again")
        _require_no_forgery(request, caller)
        request.state.caller = caller
        if needs is Access.OWN_ACCOUNT:
            return
        if caller.login.user.must_change_password:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "password-change-needed",
                "somebody else set your password: choose one of your own first",
            )
        if isinstance(needs, Permission):
            caller.actor.require(needs)

    return check


def _token_of(request: Request) -> tuple[str | None, bool]:
    """The token, and whether it is a cookie, which browsers send by themselves."""
    header = request.headers.get("authorization", "")
    if header[: len(_BEARER)].lower() == _BEARER:
        return header[len(_BEARER) :].strip(), False
    return request.cookies.get(SESSION_COOKIE), True


def _require_no_forgery(request: Request, caller: Caller) -> None:
    _, by_cookie = _token_of(request)
    if not by_cookie or request.method in SAFE_METHODS:
        return
    sent = request.headers.get(FORGERY_HEADER, "")
    if not hmac.compare_digest(sent.encode(), forgery_token(caller.token).encode()):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "forgery-token",
            f"the header {FORGERY_HEADER} is missing or old: load the page again",
        )


def _caller_of(request: Request) -> Caller:
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise TypeError("the route lets callers in who aren't logged in")
    return caller


LoggedInCaller = Annotated[Caller, Depends(_caller_of)]
