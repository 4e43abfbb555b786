"""Opens the casebook of a laboratory, as far as the station works with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from station.laboratory.accounts import Accounts
from station.laboratory.casebook import open_laboratory_casebook
from station.web.data_folder import DataFolder


@contextmanager
def opened_accounts(data: DataFolder) -> Iterator[Accounts]:
    """Users and log-in of a laboratory; its casebook is made where there is none.

    Raises
    ------
    CasebookUnavailableError
        The casebook can't be used as it is; nothing was changed.
    """
    with closing(open_laboratory_casebook(data.path, create=True)) as book:
        yield book.accounts
