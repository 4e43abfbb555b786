"""Log-in, log-out, the first administrator, and one's own password."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Request, Response
from pydantic import BaseModel, Field, StringConstraints

from station.laboratory.records import UserAccount
from station.web.access import (
    SESSION_COOKIE,
    Caller,
    LoggedInCaller,
    caller_or_none,
    forgery_token,
)
from station.web.context import Context, StationContext

_MAX_NAME: Final = 200
_MAX_PASSWORD: Final = 1000
"""Hashing takes as long as the text: a longer one is no password."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=_MAX_NAME)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=_MAX_PASSWORD)]


class UserView(BaseModel):
    """A user, as pages show one."""

    uid: str
    name: str
    full_name: str
    roles: list[str]
    permissions: list[str]
    disabled: bool
    must_change_password: bool
    version: int


class SessionView(BaseModel):
    """Who is logged in, and what a page has to send along."""

    user: UserView | None = Field(description="null where nobody is logged in")
    csrf_token: str | None = Field(description="for the header X-CSRF-Token of every change")
    needs_setup: bool = Field(description="whether there is no administrator yet")


class Credentials(BaseModel):
    """Name and password."""

    name: Name
    password: Password


class FirstAdministrator(BaseModel):
    """The first administrator, with the token of the link that the server printed."""

    token: Name
    name: Name
    full_name: Name
    password: Password


class PasswordChange(BaseModel):
    """One's own password."""

    old: Password
    new: Password


class PasswordByToken(BaseModel):
    """A new password, with the token of the link that an administrator gave."""

    token: Name
    password: Password


def user_view(user: UserAccount) -> UserView:
    """A user as pages show one."""
    return UserView(
        uid=user.uid,
        name=user.name,
        full_name=user.full_name,
        roles=sorted(role.value for role in user.roles),
        permissions=sorted(permission.value for permission in user.actor().permissions),
        disabled=user.disabled,
        must_change_password=user.must_change_password,
        version=user.version,
    )


def read_session(request: Request, context: Context) -> SessionView:
    """Who is logged in.

    Parameters
    ----------
    request
        With the session, and the name of the browser.
    context
        What handlers work with.
    """
    return _session_view(context, caller_or_none(request, context))


def log_in(credentials: Credentials, request: Request, response: Response, context: Context) -> SessionView:
    """Log in with name and password.

    Parameters
    ----------
    credentials
        Name and password.
    request
        With the session, and the name of the browser.
    response
        Gets the cookie.
    context
        What handlers work with.
    """
    return _begin(credentials.name, credentials.password, request, response, context)


def log_out(caller: LoggedInCaller, response: Response, context: Context) -> SessionView:
    """End the session of this browser.

    Parameters
    ----------
    caller
        Who asks.
    response
        Gets the cookie.
    context
        What handlers work with.
    """
    context.accounts.log_out(caller.token)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict", secure=context.secure_cookies)
    return _session_view(context, None)


def create_first_administrator(
    first: FirstAdministrator, request: Request, response: Response, context: Context
) -> SessionView:
    """Make the first administrator, by the one-time link that the server printed, and log them in.

    Parameters
    ----------
    first
        The administrator, and the token of the link.
    request
        With the session, and the name of the browser.
    response
        Gets the cookie.
    context
        What handlers work with.
    """
    context.accounts.create_first_administrator(first.token, first.name, first.full_name, first.password)
    return _begin(first.name, first.password, request, response, context)


def change_password(
    change: PasswordChange, caller: LoggedInCaller, request: Request, response: Response, context: Context
) -> SessionView:
    """Change one's own password; all other sessions of the user end.

    Parameters
    ----------
    change
        The passwords, or the token of the link.
    caller
        Who asks.
    request
        With the session, and the name of the browser.
    response
        Gets the cookie.
    context
        What handlers work with.
    """
    user = caller.login.user
    context.accounts.change_password(user.uid, change.old, change.new)
    return _begin(user.name, change.new, request, response, context)


def set_password_by_token(
    change: PasswordByToken, request: Request, response: Response, context: Context
) -> SessionView:
    """Set a new password by the one-time link of an administrator, and log in.

    Parameters
    ----------
    change
        The passwords, or the token of the link.
    request
        With the session, and the name of the browser.
    response
        Gets the cookie.
    context
        What handlers work with.
    """
    user = context.accounts.set_password_by_token(change.token, change.password)
    return _begin(user.name, change.password, request, response, context)


def _begin(name: str, password: str, request: Request, response: Response, context: StationContext) -> SessionView:
    """Check name and password, and give the browser its cookie."""
    label = request.headers.get("user-agent", "")[:_MAX_NAME]
    login, token = context.accounts.log_in(name, password, label)
    response.set_cookie(
        SESSION_COOKIE,
        token,
        httponly=True,
        samesite="strict",
        secure=context.secure_cookies,
        path="/",
    )
    return _session_view(context, Caller(login, token))


def _session_view(context: StationContext, caller: Caller | None) -> SessionView:
    if caller is None:
        return SessionView(user=None, csrf_token=None, needs_setup=not context.accounts.has_administrator())
    return SessionView(
        user=user_view(caller.login.user), csrf_token=forgery_token(caller.token), needs_setup=False
    )
