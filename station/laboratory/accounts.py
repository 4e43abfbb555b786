"""Users, their passwords and tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from station.laboratory.audit import AuditAction, AuditTrail
from station.laboratory.errors import (
    CredentialsError,
    DuplicateRecordError,
    InvalidRecordError,
    LockedOutError,
    MissingRecordError,
)
from station.laboratory.passwords import Passwords, new_token, token_digest
from station.laboratory.permissions import AccountRole, Actor, Permission
from station.laboratory.records import LoginSession, TokenKind, UserAccount
from station.laboratory.tables import NAME_LENGTH, TokenRow, UserRoleRow, UserRow, new_uid
from station.laboratory.versioned import change_row, row_of

WRONG_CREDENTIALS = "name or password is wrong"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """How long things last, and how many wrong tries are heard.

    Attributes
    ----------
    tries
        Wrong passwords in a row that are heard before the account is locked: typing errors are fewer.
    first_lock_s, longest_lock_s
        The first lock; each further wrong try doubles it. Some 50 tries a day are left to a guesser, while nobody
        can lock a colleague out for the whole night.
    session_hours, idle_minutes
        After these a browser has to log in again: a working day with its end, and a break without the computer.
    token_days
        How long a token of a program lasts.
    setup_hours, reset_hours
        How long a link lasts.
    use_recorded_every_s
        How often the use of a token is written down: not with each request.
    """

    tries: int = 5
    first_lock_s: float = 30.0
    longest_lock_s: float = 1800.0
    session_hours: float = 12.0
    idle_minutes: float = 60.0
    token_days: float = 365.0
    setup_hours: float = 24.0
    reset_hours: float = 24.0
    use_recorded_every_s: float = 60.0


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token as it is handed out, once.

    Attributes
    ----------
    token
        In clear; the casebook keeps its digest only.
    token_uid
        Its name in lists.
    expires_at
        Until when it is good.
    """

    token: str
    token_uid: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UserDraft:
    """A user that is to be made.

    Attributes
    ----------
    name, full_name
        The name is what is typed at log-in.
    roles
        At least one.
    """

    name: str
    full_name: str
    roles: frozenset[AccountRole]


Writing = Callable[[], AbstractContextManager[tuple[Session, AuditTrail]]]
Reading = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Log-in, users and tokens. Each call is a transaction of its own, since hashing takes long.

    Attributes
    ----------
    writing, reading
        Transactions of the casebook.
    passwords
        Makes and checks hashes.
    settings
        How long things last.
    now
        The clock, UTC.
    """

    writing: Writing
    reading: Reading
    passwords: Passwords = field(default_factory=Passwords)
    settings: AccountSettings = field(default_factory=AccountSettings)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def has_administrator(self) -> bool:
        """Whether anybody can administer the casebook."""
        with self.reading() as session:
            return _administrators(session) > 0

    def issue_setup_token(self) -> IssuedToken:
        """A token with which the first administrator is made; those before it are void.

        Raises
        ------
        InvalidRecordError
            There is an administrator already.
        """
        actor = Actor.program("first run")
        with self.writing() as (session, audit):
            _refuse_second_setup(session)
            for row in session.scalars(
                select(TokenRow).where(TokenRow.kind == TokenKind.SETUP, TokenRow.revoked_at.is_(None))
            ):
                row.revoked_at = self.now()
            return self._issue(session, audit, actor, None, TokenKind.SETUP, "first administrator")

    def create_first_administrator(self, token: str, name: str, full_name: str, password: str) -> UserAccount:
        """Use the one-time token of the first run.

        Parameters
        ----------
        token
            As it was printed.
        name, full_name
            Of the administrator.
        password
            In clear.

        Raises
        ------
        CredentialsError
            The token is wrong, used or too old.
        PasswordRefusedError
            The password is too weak.
        InvalidRecordError
            There is an administrator already, or the name isn't allowed.
        """
        draft = UserDraft(name, full_name, frozenset({AccountRole.ADMINISTRATOR}))
        password_hash = self.passwords.hashed(password, user_name=name)
        with self.writing() as (session, audit):
            row = self._one_time_token(session, token, TokenKind.SETUP)
            _refuse_second_setup(session)
            row.revoked_at = self.now()
            return self._create(
                session, audit, Actor.program("first run"), draft, password_hash, must_change=False
            )

    def create_user(self, actor: Actor, draft: UserDraft, password: str | None = None) -> UserAccount:
        """Make a user.

        Parameters
        ----------
        actor
            Who makes it.
        draft
            The user.
        password
            A first password, which has to be changed; None where the user sets one by `issue_reset_token`, or
            where it is a program with a token.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        DuplicateRecordError
            There is a user of that name.
        InvalidRecordError, PasswordRefusedError
            Name, roles or password aren't allowed.
        """
        actor.require(Permission.MANAGE_USERS)
        password_hash = None if password is None else self.passwords.hashed(password, user_name=draft.name)
        with self.writing() as (session, audit):
            return self._create(session, audit, actor, draft, password_hash, must_change=password is not None)

    def change_user(
        self,
        actor: Actor,
        user_uid: str,
        expected_version: int,
        *,
        full_name: str | None = None,
        roles: frozenset[AccountRole] | None = None,
        disabled: bool | None = None,
    ) -> UserAccount:
        """Change a user; what is None stays. A user who is disabled is logged out everywhere.

        Parameters
        ----------
        actor
            Who changes it.
        user_uid, expected_version
            The user, and the version of it that was read.
        full_name, roles, disabled
            New values.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        ConflictError
            Somebody else changed the user meanwhile.
        InvalidRecordError
            Nobody could administer the casebook any more.
        """
        actor.require(Permission.MANAGE_USERS)
        with self.writing() as (session, audit):
            row = row_of(session, UserRow, user_uid, "user")
            wanted: dict[str, object] = {}
            if full_name is not None:
                wanted["full_name"] = full_name
            if disabled is not None:
                wanted["disabled"] = disabled
            before_roles = _roles(session, user_uid)
            changes = change_row(session, row, wanted, expected_version, f"user {row.name}") or ({}, {})
            before, after = dict(changes[0]), dict(changes[1])
            if roles is not None and roles != before_roles:
                _set_roles(session, user_uid, roles)
                before["roles"], after["roles"] = before_roles, roles
                if "version" not in after:
                    before["version"] = row.version
                    row.version += 1
                    after["version"] = row.version
            if disabled:
                self._revoke_all(session, user_uid)
            session.flush()
            if _administrators(session) == 0:
                raise InvalidRecordError("nobody could administer the casebook any more")
            if after:
                audit.append(actor, AuditAction.USER_CHANGED, row.uid, before=before, after=after)
            return _account(session, row)

    def change_password(self, user_uid: str, old: str, new: str) -> None:
        """Change one's own password; all other log-ins of the user end.

        Parameters
        ----------
        user_uid
            Who.
        old, new
            In clear.

        Raises
        ------
        CredentialsError
            The old one is wrong, or was wrong too often.
        PasswordRefusedError
            The new one is too weak.
        """
        user = self.check_password(user_uid, old)
        password_hash = self.passwords.hashed(new, user_name=user.name)
        with self.writing() as (session, audit):
            self._set_password(session, audit, user.actor(), user_uid, password_hash)

    def check_password(self, user_uid: str, password: str) -> UserAccount:
        """Ask a user who is logged in for the password again, as a signature does.

        Parameters
        ----------
        user_uid
            Who.
        password
            As typed.

        Raises
        ------
        CredentialsError
            It is wrong, or was wrong too often.
        """
        with self.reading() as session:
            name = row_of(session, UserRow, user_uid, "user").name
        return self._authenticate(name, password)

    def log_in(self, name: str, password: str, label: str = "") -> tuple[LoginSession, str]:
        """Check name and password, and give a token for the browser.

        Parameters
        ----------
        name
            Of the user; capital letters don't matter.
        password
            As typed.
        label
            What the session is called in lists, such as the browser's name.

        Returns
        -------
        tuple of LoginSession and str
            The session, and its token in clear.

        Raises
        ------
        LockedOutError
            There were too many wrong tries; this one wasn't looked at.
        CredentialsError
            Name or password is wrong, or the account is disabled.
        """
        user = self._authenticate(name, password)
        with self.writing() as (session, audit):
            issued = self._issue(session, audit, user.actor(), user.uid, TokenKind.BROWSER, label, quiet=True)
            row = row_of(session, UserRow, user.uid, "user")
            row.last_login_at = self.now()
            audit.append(user.actor(), AuditAction.LOGGED_IN, user.uid, after={"label": label})
            token = row_of(session, TokenRow, issued.token_uid, "token")
            return _login_session(token, _account(session, row)), issued.token

    def session_of(self, token: str) -> LoginSession | None:
        """Whose a token of a browser or a program is; None where it isn't good any more.

        Its use is written down now and then, so that a request costs a read.
        """
        now = self.now()
        with self.reading() as session:
            row = session.scalar(select(TokenRow).where(TokenRow.digest == token_digest(token)))
            if row is None or row.user_uid is None or not self._is_good(row, now):
                return None
            user = _account(session, row_of(session, UserRow, row.user_uid, "user"))
            answer = _login_session(row, user)
        if user.disabled:
            return None
        if (now - answer.last_used_at).total_seconds() >= self.settings.use_recorded_every_s:
            with self.writing() as (session, _):
                row_of(session, TokenRow, answer.token_uid, "token").last_used_at = now
        return answer

    def issue_api_token(self, actor: Actor, user_uid: str, label: str) -> IssuedToken:
        """A token for a program.

        Parameters
        ----------
        actor
            Who makes it.
        user_uid
            The user as whom the program acts.
        label
            What it is for.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        """
        actor.require(Permission.MANAGE_USERS)
        with self.writing() as (session, audit):
            row_of(session, UserRow, user_uid, "user")
            return self._issue(session, audit, actor, user_uid, TokenKind.API, label)

    def issue_reset_token(self, actor: Actor, user_uid: str) -> IssuedToken:
        """A one-time token with which a user sets a new password; those before it are void.

        Parameters
        ----------
        actor
            Who makes it.
        user_uid
            For whom.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        """
        actor.require(Permission.MANAGE_USERS)
        with self.writing() as (session, audit):
            row = row_of(session, UserRow, user_uid, "user")
            for token in session.scalars(
                select(TokenRow).where(TokenRow.user_uid == user_uid, TokenRow.kind == TokenKind.RESET)
            ):
                token.revoked_at = token.revoked_at or self.now()
            return self._issue(session, audit, actor, row.uid, TokenKind.RESET, "new password")

    def set_password_by_token(self, token: str, password: str) -> UserAccount:
        """Use a token of `issue_reset_token`.

        Parameters
        ----------
        token
            As it was given.
        password
            In clear.

        Raises
        ------
        CredentialsError
            The token is wrong, used or too old.
        PasswordRefusedError
            The password is too weak.
        """
        with self.reading() as session:
            user_uid = self._one_time_token(session, token, TokenKind.RESET).user_uid or ""
            name = row_of(session, UserRow, user_uid, "user").name
        password_hash = self.passwords.hashed(password, user_name=name)
        with self.writing() as (session, audit):
            row = self._one_time_token(session, token, TokenKind.RESET)
            row.revoked_at = self.now()
            user = row_of(session, UserRow, user_uid, "user")
            return self._set_password(session, audit, _account(session, user).actor(), user_uid, password_hash)

    def log_out(self, token: str) -> None:
        """Make a token void; one that isn't good any more is passed over."""
        with self.writing() as (session, audit):
            row = session.scalar(select(TokenRow).where(TokenRow.digest == token_digest(token)))
            if row is None or row.revoked_at is not None or row.user_uid is None:
                return
            row.revoked_at = self.now()
            user = _account(session, row_of(session, UserRow, row.user_uid, "user"))
            audit.append(user.actor(), AuditAction.LOGGED_OUT, user.uid, after={"token": row.uid})

    def revoke_token(self, actor: Actor, token_uid: str) -> None:
        """Make any token void; one's own needs no permission.

        Parameters
        ----------
        actor
            Who.
        token_uid
            Its name in lists.

        Raises
        ------
        PermissionDeniedError
            It is somebody else's, and the actor may not.
        """
        with self.writing() as (session, audit):
            row = row_of(session, TokenRow, token_uid, "token")
            if row.user_uid is None or row.user_uid != actor.user_uid:
                actor.require(Permission.MANAGE_USERS)
            if row.revoked_at is None:
                row.revoked_at = self.now()
                audit.append(actor, AuditAction.TOKEN_REVOKED, row.uid, after={"label": row.label})

    def sessions(self, user_uid: str) -> tuple[LoginSession, ...]:
        """The good tokens of a user, the last one used first."""
        now = self.now()
        with self.reading() as session:
            user = _account(session, row_of(session, UserRow, user_uid, "user"))
            rows = session.scalars(
                select(TokenRow)
                .where(TokenRow.user_uid == user_uid, TokenRow.kind.in_([TokenKind.BROWSER, TokenKind.API]))
                .order_by(TokenRow.last_used_at.desc())
            )
            return tuple(_login_session(row, user) for row in rows if self._is_good(row, now))

    def users(self) -> tuple[UserAccount, ...]:
        """All users by name."""
        with self.reading() as session:
            return tuple(_account(session, row) for row in session.scalars(select(UserRow).order_by(UserRow.name)))

    def user(self, user_uid: str) -> UserAccount:
        """A user; `MissingRecordError` where there is none."""
        with self.reading() as session:
            return _account(session, row_of(session, UserRow, user_uid, "user"))

    def user_named(self, name: str) -> UserAccount:
        """The user of a name; `MissingRecordError` where there is none."""
        with self.reading() as session:
            row = session.scalar(select(UserRow).where(UserRow.login_name == _login_name(name)))
            if row is None:
                raise MissingRecordError(f"there is no user {name}")
            return _account(session, row)

    def _authenticate(self, name: str, password: str) -> UserAccount:
        now = self.now()
        with self.writing() as (session, audit):
            row = session.scalar(select(UserRow).where(UserRow.login_name == _login_name(name)))
            user_uid, password_hash = (None, None) if row is None else (row.uid, row.password_hash)
            if row is not None:
                if row.locked_until is not None and row.locked_until > now:
                    raise LockedOutError(row.locked_until)
                # Counted before it is checked: many tries at the same time count as many.
                self._count_try(row, audit, now)
        is_right = self.passwords.is_right(password, password_hash)
        with self.writing() as (session, audit):
            if user_uid is None or not is_right:
                audit.append(Actor.program(name[:NAME_LENGTH]), AuditAction.LOGIN_FAILED, user_uid or "")
                failed = True
            else:
                row = row_of(session, UserRow, user_uid, "user")
                failed = row.disabled
                if not failed:
                    row.failed_attempts, row.locked_until = 0, None
                    if password_hash is not None and self.passwords.is_outdated(password_hash):
                        row.password_hash = self.passwords.rehashed(password)
                    return _account(session, row)
        raise CredentialsError(WRONG_CREDENTIALS)

    def _count_try(self, row: UserRow, audit: AuditTrail, now: datetime) -> None:
        settings = self.settings
        row.failed_attempts += 1
        beyond = row.failed_attempts - settings.tries
        if beyond >= 0:
            # The exponent is bounded: a float holds it, and the longest lock is reached long before.
            lock_s = min(settings.first_lock_s * 2.0 ** min(beyond, 30), settings.longest_lock_s)
            row.locked_until = now + timedelta(seconds=lock_s)
            audit.append(
                Actor.program(row.name), AuditAction.LOCKED_OUT, row.uid, after={"until": row.locked_until}
            )

    def _create(
        self,
        session: Session,
        audit: AuditTrail,
        actor: Actor,
        draft: UserDraft,
        password_hash: str | None,
        *,
        must_change: bool,
    ) -> UserAccount:
        name = draft.name.strip()
        if not name or not name.isprintable() or len(name) > NAME_LENGTH:
            raise InvalidRecordError("a user's name has 1 to 200 printable characters")
        if session.scalar(select(UserRow.uid).where(UserRow.login_name == _login_name(name))) is not None:
            raise DuplicateRecordError(f"there is a user {name} already")
        row = UserRow(
            uid=new_uid(),
            name=name,
            login_name=_login_name(name),
            full_name=draft.full_name,
            password_hash=password_hash,
            must_change_password=must_change,
            disabled=False,
            failed_attempts=0,
            created_at=self.now(),
            version=1,
        )
        session.add(row)
        session.flush()
        _set_roles(session, row.uid, draft.roles)
        after = {"name": name, "full_name": draft.full_name, "roles": draft.roles, "version": 1}
        audit.append(actor, AuditAction.USER_CREATED, row.uid, after=after)
        return _account(session, row)

    def _set_password(
        self, session: Session, audit: AuditTrail, actor: Actor, user_uid: str, password_hash: str
    ) -> UserAccount:
        row = row_of(session, UserRow, user_uid, "user")
        row.password_hash, row.must_change_password = password_hash, False
        row.failed_attempts, row.locked_until = 0, None
        row.version += 1
        self._revoke_all(session, user_uid)
        audit.append(actor, AuditAction.PASSWORD_CHANGED, user_uid, after={"version": row.version})
        return _account(session, row)

    def _revoke_all(self, session: Session, user_uid: str) -> None:
        """End all log-ins of a user; programs keep their tokens unless the user is disabled, which they notice."""
        for row in session.scalars(
            select(TokenRow).where(
                TokenRow.user_uid == user_uid, TokenRow.kind == TokenKind.BROWSER, TokenRow.revoked_at.is_(None)
            )
        ):
            row.revoked_at = self.now()

    def _issue(
        self,
        session: Session,
        audit: AuditTrail,
        actor: Actor,
        user_uid: str | None,
        kind: TokenKind,
        label: str,
        *,
        quiet: bool = False,
    ) -> IssuedToken:
        token, now = new_token(), self.now()
        row = TokenRow(
            uid=new_uid(),
            digest=token_digest(token),
            user_uid=user_uid,
            kind=kind,
            label=label,
            created_at=now,
            last_used_at=now,
            expires_at=now + self._lifetime(kind),
        )
        session.add(row)
        if not quiet:
            audit.append(
                actor, AuditAction.TOKEN_CREATED, row.uid, after={"kind": kind, "label": label, "user": user_uid}
            )
        return IssuedToken(token, row.uid, row.expires_at)

    def _lifetime(self, kind: TokenKind) -> timedelta:
        settings = self.settings
        return {
            TokenKind.BROWSER: timedelta(hours=settings.session_hours),
            TokenKind.API: timedelta(days=settings.token_days),
            TokenKind.SETUP: timedelta(hours=settings.setup_hours),
            TokenKind.RESET: timedelta(hours=settings.reset_hours),
        }[kind]

    def _is_good(self, row: TokenRow, now: datetime) -> bool:
        if (
            row.kind not in {TokenKind.BROWSER, TokenKind.API}
            or row.revoked_at is not None
            or row.expires_at <= now
        ):
            return False
        idle = timedelta(minutes=self.settings.idle_minutes)
        return row.kind is TokenKind.API or now - row.last_used_at <= idle

    def _one_time_token(self, session: Session, token: str, kind: TokenKind) -> TokenRow:
        row = session.scalar(select(TokenRow).where(TokenRow.digest == token_digest(token), TokenRow.kind == kind))
        if row is None or row.revoked_at is not None or row.expires_at <= self.now():
            raise CredentialsError("this link is wrong, was used before, or is too old; ask for a new one")
        return row


def _login_name(name: str) -> str:
    return name.strip().casefold()[:NAME_LENGTH]


def _refuse_second_setup(session: Session) -> None:
    if _administrators(session):
        raise InvalidRecordError("there is an administrator already; ask for an account")


def _administrators(session: Session) -> int:
    statement = (
        select(UserRow.uid)
        .join(UserRoleRow, UserRoleRow.user_uid == UserRow.uid)
        .where(UserRoleRow.role == AccountRole.ADMINISTRATOR, UserRow.disabled.is_(False))
    )
    return len(session.scalars(statement).all())


def _roles(session: Session, user_uid: str) -> frozenset[AccountRole]:
    return frozenset(session.scalars(select(UserRoleRow.role).where(UserRoleRow.user_uid == user_uid)))


def _set_roles(session: Session, user_uid: str, roles: Iterable[AccountRole]) -> None:
    wanted = frozenset(roles)
    if not wanted:
        raise InvalidRecordError(f"a user has at least one role of {', '.join(AccountRole)}")
    for row in session.scalars(select(UserRoleRow).where(UserRoleRow.user_uid == user_uid)):
        if row.role not in wanted:
            session.delete(row)
    session.add_all(
        UserRoleRow(user_uid=user_uid, role=role) for role in sorted(wanted - _roles(session, user_uid))
    )


def _account(session: Session, row: UserRow) -> UserAccount:
    session.flush()
    return UserAccount(
        uid=row.uid,
        name=row.name,
        full_name=row.full_name,
        roles=_roles(session, row.uid),
        disabled=row.disabled,
        created_at=row.created_at,
        last_login_at=row.last_login_at,
        locked_until=row.locked_until,
        must_change_password=row.must_change_password,
        version=row.version,
    )


def _login_session(row: TokenRow, user: UserAccount) -> LoginSession:
    return LoginSession(
        token_uid=row.uid,
        user=user,
        kind=row.kind,
        label=row.label,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
    )
