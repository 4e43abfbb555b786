"""Passwords: what is accepted, and how they are kept (Argon2id)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from station.laboratory.errors import PasswordRefusedError

_TOKEN_BYTES: Final = 32
"""256 random bits: nobody guesses one, so that a fast digest is enough to keep it."""


@dataclass(frozen=True, slots=True)
class PasswordSettings:
    """What passwords are accepted and how dear a guess is.

    Attributes
    ----------
    min_length
        Characters; NIST SP 800-63B asks for length and for nothing else.
    max_length
        A longer one is refused before it is hashed: hashing costs time for each byte.
    time_cost, memory_kib, parallelism
        Of Argon2id, the second choice of RFC 9106: some 50 ms a guess, on any office computer.
    """

    min_length: int = 12
    max_length: int = 256
    time_cost: int = 3
    memory_kib: int = 65_536
    parallelism: int = 4


@dataclass(frozen=True, slots=True)
class Passwords:
    """Makes and checks hashes of passwords.

    Attributes
    ----------
    settings
        What is accepted, and how dear a guess is.
    """

    settings: PasswordSettings = field(default_factory=PasswordSettings)

    def hashed(self, password: str, *, user_name: str) -> str:
        """Hash a new password.

        Parameters
        ----------
        password
            In clear.
        user_name
            Whose it is; it mustn't be the name.

        Raises
        ------
        PasswordRefusedError
            It is too short, too long, of one letter, or the user's name.
        """
        settings = self.settings
        if len(password) < settings.min_length:
            raise PasswordRefusedError(f"the password is too short: at least {settings.min_length} characters")
        if len(password) > settings.max_length:
            raise PasswordRefusedError(f"the password is too long: at most {settings.max_length} characters")
        letters = password.casefold()
        name = user_name.casefold()
        if len(set(letters)) < 4 or (name and letters.replace(name, "") in {"", "1", "123"}):
            raise PasswordRefusedError("the password is too easy to guess")
        return self._hasher().hash(password)

    def is_right(self, password: str, password_hash: str | None) -> bool:
        """Whether a password belongs to a hash; takes as long where there is no hash.

        Parameters
        ----------
        password
            As it was typed.
        password_hash
            As it was kept; None where the user has no password, or there is no such user.
        """
        if len(password) > self.settings.max_length:
            return False
        if password_hash is None:
            # Who waits for the answer mustn't learn from the time whether there is such a user.
            self._hasher().hash(password)
            return False
        try:
            return self._hasher().verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash was made with other settings, and is better made anew."""
        return self._hasher().check_needs_rehash(password_hash)

    def rehashed(self, password: str) -> str:
        """Hash a password that was accepted before, with the present settings."""
        return self._hasher().hash(password)

    def _hasher(self) -> PasswordHasher:
        settings = self.settings
        return PasswordHasher(
            time_cost=settings.time_cost, memory_cost=settings.memory_kib, parallelism=settings.parallelism
        )


def new_token() -> str:
    """A token that nobody guesses, fit for links and headers."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
