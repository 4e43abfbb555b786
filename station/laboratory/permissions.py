"""Who may do what: roles of users, permissions, and the table between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from station.laboratory.errors import PermissionDeniedError


class AccountRole(StrEnum):
    """What a user is in the laboratory; the values are stored."""

    TECHNICIAN = "technician"
    CYTOGENETICIST = "cytogeneticist"
    SUPERVISOR = "supervisor"
    """Signs cases and decides where readers differ."""
    ADMINISTRATOR = "administrator"
    """Of users and of the casebook; reads cases and changes none."""
    SERVICE = "service"
    """A program with a token."""


class Permission(StrEnum):
    """What can be allowed."""

    VIEW_CASES = "view_cases"
    EDIT_CASES = "edit_cases"
    """Make cases, specimens and slides, and change them; take in pictures."""
    REVIEW_CELLS = "review_cells"
    """Give cells roles, edit their proposals."""
    SIGN_CASES = "sign_cases"
    AMEND_CASES = "amend_cases"
    """Take a signed case up again."""
    EXPORT_CASES = "export_cases"
    IMPORT_CASES = "import_cases"
    VIEW_RUNS = "view_runs"
    CONTROL_RUNS = "control_runs"
    """Start, pause, resume and stop runs; work on worklists."""
    OPERATE_RIGS = "operate_rigs"
    """Check, calibrate, move by hand."""
    EDIT_PROTOCOLS = "edit_protocols"
    INDEX_RUNS = "index_runs"
    """Take run folders into the casebook."""
    MANAGE_USERS = "manage_users"
    MANAGE_CASEBOOK = "manage_casebook"
    """Laboratory's name, backup, restore, migration."""
    VIEW_AUDIT = "view_audit"


_EVERYBODY: Final = frozenset({Permission.VIEW_CASES, Permission.VIEW_RUNS})

ROLE_PERMISSIONS: Final[Mapping[AccountRole, frozenset[Permission]]] = MappingProxyType(
    {
        AccountRole.TECHNICIAN: _EVERYBODY
        | {
            Permission.EDIT_CASES,
            Permission.IMPORT_CASES,
            Permission.CONTROL_RUNS,
            Permission.OPERATE_RIGS,
            Permission.EDIT_PROTOCOLS,
            Permission.INDEX_RUNS,
        },
        AccountRole.CYTOGENETICIST: _EVERYBODY
        | {
            Permission.EDIT_CASES,
            Permission.REVIEW_CELLS,
            Permission.EXPORT_CASES,
            Permission.IMPORT_CASES,
            Permission.CONTROL_RUNS,
        },
        AccountRole.SUPERVISOR: _EVERYBODY
        | {
            Permission.EDIT_CASES,
            Permission.REVIEW_CELLS,
            Permission.SIGN_CASES,
            Permission.AMEND_CASES,
            Permission.EXPORT_CASES,
            Permission.IMPORT_CASES,
            Permission.CONTROL_RUNS,
            Permission.EDIT_PROTOCOLS,
            Permission.VIEW_AUDIT,
        },
        AccountRole.ADMINISTRATOR: _EVERYBODY
        | {
            Permission.EXPORT_CASES,
            Permission.IMPORT_CASES,
            Permission.EDIT_PROTOCOLS,
            Permission.OPERATE_RIGS,
            Permission.INDEX_RUNS,
            Permission.MANAGE_USERS,
            Permission.MANAGE_CASEBOOK,
            Permission.VIEW_AUDIT,
        },
        AccountRole.SERVICE: _EVERYBODY | {Permission.INDEX_RUNS, Permission.CONTROL_RUNS},
    }
)
"""A user may do what any of their roles allows."""


def permissions_of(roles: Iterable[AccountRole]) -> frozenset[Permission]:
    """What somebody with these roles may do."""
    return frozenset().union(*(ROLE_PERMISSIONS[role] for role in roles))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as the audit trail names them.

    Attributes
    ----------
    name
        Name of the user, or of the part of the program.
    user_uid
        The user; None where it is the program itself.
    permissions
        What the actor may do.
    """

    name: str
    user_uid: str | None
    permissions: frozenset[Permission]

    @classmethod
    def program(cls, name: str) -> Actor:
        """A part of the program that acts for nobody in particular; it may do everything.

        Whoever can start it on the machine of the database can change the database anyway.
        """
        return cls(name, None, frozenset(Permission))

    def require(self, permission: Permission) -> None:
        """Refuse an actor who lacks a permission.

        Raises
        ------
        PermissionDeniedError
            The permission is missing.
        """
        if permission not in self.permissions:
            raise PermissionDeniedError(f"{self.name} may not {permission.value.replace('_', ' ')}")
