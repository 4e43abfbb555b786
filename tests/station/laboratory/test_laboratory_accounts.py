"""Users, passwords, lock-out and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from station.laboratory.accounts import Accounts, AccountSettings, UserDraft
from station.laboratory.casebook import LaboratoryCasebook
from station.laboratory.errors import (
    ConflictError,
    CredentialsError,
    DuplicateRecordError,
    InvalidRecordError,
    LockedOutError,
    PasswordRefusedError,
    PermissionDeniedError,
)
from station.laboratory.permissions import ROLE_PERMISSIONS, AccountRole, Permission
from tests.station.laboratory.conftest import PASSWORD, PROGRAM, add_user

WRONG = "not the password"


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(casebook: LaboratoryCasebook, clock: Callable[[], datetime]) -> Accounts:
    return replace(casebook.accounts, now=clock)


def test_the_first_administrator_is_made_once_by_a_token(accounts: Accounts) -> None:
    first, issued = accounts.issue_setup_token(), accounts.issue_setup_token()
    with pytest.raises(CredentialsError):
        accounts.create_first_administrator(first.token, "ada", "Ada", PASSWORD)
    made = accounts.create_first_administrator(issued.token, "ada", "Ada", PASSWORD)
    assert made.roles == {AccountRole.ADMINISTRATOR}
    with pytest.raises(CredentialsError):
        accounts.create_first_administrator(issued.token, "eve", "Eve", PASSWORD)
    with pytest.raises(InvalidRecordError, match="administrator already"):
        accounts.issue_setup_token()


def test_the_setup_token_gets_too_old(accounts: Accounts, clock: Clock) -> None:
    issued = accounts.issue_setup_token()
    clock.pass_s(AccountSettings().setup_hours * 3600)
    with pytest.raises(CredentialsError, match="too old"):
        accounts.create_first_administrator(issued.token, "ada", "Ada", PASSWORD)


def test_who_logs_in_has_a_session_until_it_ends(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    add_user(casebook, "weber", AccountRole.TECHNICIAN)
    session, token = accounts.log_in(" Weber ", PASSWORD, "Firefox")
    again = accounts.session_of(token)
    assert again is not None
    assert (again.user.name, again.label, again.token_uid) == ("weber", "Firefox", session.token_uid)
    assert accounts.session_of(token + "x") is None
    accounts.log_out(token)
    assert accounts.session_of(token) is None


def test_a_session_ends_idle_and_at_last(accounts: Accounts, casebook: LaboratoryCasebook, clock: Clock) -> None:
    add_user(casebook, "weber", AccountRole.TECHNICIAN)
    _, token = accounts.log_in("weber", PASSWORD)
    settings = AccountSettings()
    for _ in range(int(settings.session_hours * 2) - 1):
        clock.pass_s(1800)
        assert accounts.session_of(token) is not None, "used every half hour"
    clock.pass_s(1800)
    assert accounts.session_of(token) is None, "a day is over"
    _, token = accounts.log_in("weber", PASSWORD)
    clock.pass_s(settings.idle_minutes * 60 + 1)
    assert accounts.session_of(token) is None, "nobody used it"


def test_only_digests_of_tokens_and_hashes_of_passwords_are_kept(
    accounts: Accounts, casebook: LaboratoryCasebook
) -> None:
    add_user(casebook, "weber", AccountRole.TECHNICIAN)
    _, token = accounts.log_in("weber", PASSWORD)
    from sqlalchemy import text

    with casebook.engine.connect() as connection:
        kept = str(connection.execute(text("SELECT * FROM access_token")).all())
        kept += str(connection.execute(text("SELECT * FROM user_account")).all())
        kept += str(connection.execute(text("SELECT * FROM audit_entry")).all())
    assert token not in kept
    assert PASSWORD not in kept
    assert "$argon2id$" in kept


def test_wrong_tries_lock_the_account_longer_and_longer(
    accounts: Accounts, casebook: LaboratoryCasebook, clock: Clock
) -> None:
    add_user(casebook, "weber", AccountRole.TECHNICIAN)
    settings = AccountSettings()
    for _ in range(settings.tries):
        with pytest.raises(CredentialsError, match="name or password is wrong"):
            accounts.log_in("weber", WRONG)
    with pytest.raises(LockedOutError) as locked:
        accounts.log_in("weber", PASSWORD)
    assert locked.value.until == clock() + timedelta(seconds=settings.first_lock_s)
    clock.pass_s(settings.first_lock_s + 1)
    with pytest.raises(CredentialsError):
        accounts.log_in("weber", WRONG)
    with pytest.raises(LockedOutError) as locked:
        accounts.log_in("weber", PASSWORD)
    assert locked.value.until == clock() + timedelta(seconds=2 * settings.first_lock_s)
    clock.pass_s(2 * settings.first_lock_s + 1)
    session, _ = accounts.log_in("weber", PASSWORD)
    assert session.user.locked_until is None
    for _ in range(settings.tries - 1):
        with pytest.raises(CredentialsError):
            accounts.log_in("weber", WRONG)
    accounts.log_in("weber", PASSWORD)


def test_the_longest_lock_is_bounded(accounts: Accounts, casebook: LaboratoryCasebook, clock: Clock) -> None:
    user = add_user(casebook, "weber", AccountRole.TECHNICIAN)
    longest = AccountSettings().longest_lock_s
    for _ in range(40):
        clock.pass_s(longest + 1)
        with pytest.raises(CredentialsError):
            accounts.log_in("weber", WRONG)
    locked_until = accounts.user(user.uid).locked_until
    assert locked_until is not None
    assert locked_until <= clock() + timedelta(seconds=longest)


def test_who_is_unknown_or_disabled_learns_nothing(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    user = add_user(casebook, "weber", AccountRole.TECHNICIAN)
    add_user(casebook, "ada", AccountRole.ADMINISTRATOR)
    _, token = accounts.log_in("weber", PASSWORD)
    accounts.change_user(PROGRAM, user.uid, user.version, disabled=True)
    assert accounts.session_of(token) is None
    for name in ("weber", "nobody"):
        with pytest.raises(CredentialsError, match=r"^name or password is wrong$"):
            accounts.log_in(name, PASSWORD)


def test_a_changed_password_ends_all_sessions(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    user = add_user(casebook, "weber", AccountRole.TECHNICIAN)
    _, token = accounts.log_in("weber", PASSWORD)
    with pytest.raises(CredentialsError):
        accounts.change_password(user.uid, WRONG, "another long password")
    accounts.change_password(user.uid, PASSWORD, "another long password")
    assert accounts.session_of(token) is None
    with pytest.raises(CredentialsError):
        accounts.log_in("weber", PASSWORD)
    assert not accounts.log_in("weber", "another long password")[0].user.must_change_password


def test_an_administrator_resets_a_password_by_a_token(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    user = add_user(casebook, "weber", AccountRole.TECHNICIAN)
    issued = accounts.issue_reset_token(PROGRAM, user.uid)
    with pytest.raises(PasswordRefusedError):
        accounts.set_password_by_token(issued.token, "short")
    accounts.set_password_by_token(issued.token, "another long password")
    with pytest.raises(CredentialsError):
        accounts.set_password_by_token(issued.token, "a third long password")
    accounts.log_in("weber", "another long password")


def test_programs_have_tokens_that_can_be_revoked(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    robot = add_user(casebook, "robot", AccountRole.SERVICE)
    issued = accounts.issue_api_token(PROGRAM, robot.uid, "watchdog")
    session = accounts.session_of(issued.token)
    assert session is not None
    assert [each.label for each in accounts.sessions(robot.uid)] == ["watchdog"]
    accounts.revoke_token(PROGRAM, issued.token_uid)
    assert accounts.session_of(issued.token) is None


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "x" * 257, "weberweber123"])
def test_weak_passwords_are_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(PasswordRefusedError):
        accounts.create_user(PROGRAM, UserDraft("weber", "", frozenset({AccountRole.TECHNICIAN})), password)


def test_names_are_unique_whatever_the_letters(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    add_user(casebook, "weber", AccountRole.TECHNICIAN)
    with pytest.raises(DuplicateRecordError):
        add_user(casebook, "WEBER", AccountRole.TECHNICIAN)


def test_the_last_administrator_stays(accounts: Accounts, casebook: LaboratoryCasebook) -> None:
    ada = add_user(casebook, "ada", AccountRole.ADMINISTRATOR)
    with pytest.raises(InvalidRecordError, match="administer"):
        accounts.change_user(ada.actor(), ada.uid, ada.version, disabled=True)
    with pytest.raises(InvalidRecordError, match="administer"):
        accounts.change_user(ada.actor(), ada.uid, ada.version, roles=frozenset({AccountRole.TECHNICIAN}))
    add_user(casebook, "bob", AccountRole.ADMINISTRATOR)
    changed = accounts.change_user(ada.actor(), ada.uid, ada.version, roles=frozenset({AccountRole.TECHNICIAN}))
    assert changed.roles == {AccountRole.TECHNICIAN}
    with pytest.raises(ConflictError):
        accounts.change_user(PROGRAM, ada.uid, ada.version, full_name="Ada L.")


@pytest.mark.parametrize("role", list(AccountRole))
def test_only_administrators_manage_users(
    accounts: Accounts, casebook: LaboratoryCasebook, role: AccountRole
) -> None:
    user = add_user(casebook, "somebody", role)
    draft = UserDraft("new", "New", frozenset({AccountRole.TECHNICIAN}))
    if role is AccountRole.ADMINISTRATOR:
        assert accounts.create_user(user.actor(), draft).name == "new"
        return
    for attempt in (
        lambda: accounts.create_user(user.actor(), draft),
        lambda: accounts.issue_reset_token(user.actor(), user.uid),
        lambda: accounts.issue_api_token(user.actor(), user.uid, ""),
        lambda: accounts.change_user(user.actor(), user.uid, 1, disabled=False),
    ):
        with pytest.raises(PermissionDeniedError):
            attempt()


def test_every_role_has_permissions_and_every_permission_a_role() -> None:
    assert set(ROLE_PERMISSIONS) == set(AccountRole)
    assert frozenset().union(*ROLE_PERMISSIONS.values()) == set(Permission)
    assert Permission.SIGN_CASES not in ROLE_PERMISSIONS[AccountRole.ADMINISTRATOR]
    assert Permission.EDIT_CASES not in ROLE_PERMISSIONS[AccountRole.ADMINISTRATOR]
