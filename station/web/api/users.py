"""Users of the laboratory, for administrators."""

from __future__ import annotations

from pydantic import BaseModel, Field

from station.laboratory.accounts import UserDraft
from station.laboratory.permissions import AccountRole
from station.web.access import LoggedInCaller
from station.web.api.session import Name, Password, UserView, user_view
from station.web.context import Context


class UserRequest(BaseModel):
    """A user that shall be made."""

    name: Name
    full_name: Name
    roles: list[AccountRole] = Field(min_length=1)
    password: Password = Field(description="a first password, which its owner has to change")


class UserChange(BaseModel):
    """What shall be changed of a user; what is absent stays."""

    version: int = Field(description="version of the user that was read")
    full_name: Name | None = None
    roles: list[AccountRole] | None = Field(default=None, min_length=1)
    disabled: bool | None = None


class ResetLink(BaseModel):
    """Where a user sets a new password, once."""

    path: str
    expires_at: str


def list_users(context: Context) -> list[UserView]:
    """All users by name."""
    return [user_view(user) for user in context.accounts.users()]


def create_user(wanted: UserRequest, caller: LoggedInCaller, context: Context) -> UserView:
    """Make a user with a first password.

    Parameters
    ----------
    wanted
        The user, and a first password.
    caller
        Who asks.
    context
        What handlers work with.
    """
    draft = UserDraft(wanted.name, wanted.full_name, frozenset(wanted.roles))
    return user_view(context.accounts.create_user(caller.actor, draft, wanted.password))


def change_user(user_uid: str, change: UserChange, caller: LoggedInCaller, context: Context) -> UserView:
    """Change name, roles or whether a user may log in.

    Parameters
    ----------
    user_uid
        The user.
    change
        New values, and the version that was read.
    caller
        Who asks.
    context
        What handlers work with.
    """
    user = context.accounts.change_user(
        caller.actor,
        user_uid,
        change.version,
        full_name=change.full_name,
        roles=None if change.roles is None else frozenset(change.roles),
        disabled=change.disabled,
    )
    return user_view(user)


def reset_password(user_uid: str, caller: LoggedInCaller, context: Context) -> ResetLink:
    """Make a one-time link by which a user sets a new password.

    Parameters
    ----------
    user_uid
        The user.
    caller
        Who asks.
    context
        What handlers work with.
    """
    issued = context.accounts.issue_reset_token(caller.actor, user_uid)
    return ResetLink(path=f"/reset#{issued.token}", expires_at=issued.expires_at.isoformat())
