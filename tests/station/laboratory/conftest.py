"""A casebook on each kind of database, empty for every test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from station.laboratory.accounts import AccountSettings, UserDraft
from station.laboratory.casebook import LaboratoryCasebook, open_laboratory_casebook
from station.laboratory.passwords import Passwords, PasswordSettings
from station.laboratory.permissions import AccountRole, Actor
from station.laboratory.records import CellOrigin, ProposalDraft, ReviewRole, SignatureMeaning, UserAccount
from station.laboratory.tables import ReviewedCellRow, new_uid

CHEAP = Passwords(PasswordSettings(time_cost=1, memory_kib=64, parallelism=1))
PASSWORD = "a long enough password"  # noqa: S105 - of test users
NOBODY = 65534
_NAMES = count()

Opener = Callable[..., LaboratoryCasebook]


def _server_programs() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path is not None and shutil.which("pg_ctl") is not None:
        # Debian's link leads to the folder that has the server beside it.
        return Path(on_path).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server of our own, with the name of the database to be filled in."""
    programs = _server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server: neither initdb nor /usr/lib/postgresql is there")
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL: pip install 'karyoscan[postgresql]'")
    is_root = sys.platform != "win32" and os.geteuid() == 0
    if is_root and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL refuses to run as root, and setpriv isn't there")
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if is_root else []
    # Not below pytest's folder: only root may enter that, and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="karyoscan-"))
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")

    def run(*command: str) -> None:
        subprocess.run([*become, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run(str(programs / "initdb"), "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_server_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """URLs of databases on the server that are empty and nobody else's."""

    def make() -> str:
        import psycopg

        server = request.getfixturevalue("postgresql_server")
        name = f"laboratory_{os.getpid()}_{next(_NAMES)}"
        with psycopg.connect(f"{server}postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{server}{name}"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def server_url(request: pytest.FixtureRequest, new_server_url: Callable[[], str]) -> str | None:
    return None if request.param == "sqlite" else new_server_url()


@pytest.fixture
def opener(tmp_path: Path, server_url: str | None) -> Opener:
    """Opens the casebook of the test once more, as another program would."""

    def opened(settings: AccountSettings | None = None) -> LaboratoryCasebook:
        return open_laboratory_casebook(
            tmp_path / "laboratory", server_url, create=True, account_settings=settings, passwords=CHEAP
        )

    return opened


@pytest.fixture
def casebook(opener: Opener) -> Iterator[LaboratoryCasebook]:
    with opener() as opened:
        yield opened


@pytest.fixture
def sqlite_casebook(tmp_path: Path) -> Iterator[LaboratoryCasebook]:
    with open_laboratory_casebook(tmp_path / "laboratory", create=True, passwords=CHEAP) as opened:
        yield opened


PROGRAM = Actor.program("test")


def add_user(casebook: LaboratoryCasebook, name: str, *roles: AccountRole) -> UserAccount:
    return casebook.accounts.create_user(PROGRAM, UserDraft(name, name.title(), frozenset(roles)), PASSWORD)


@pytest.fixture
def full_tables() -> Callable[[LaboratoryCasebook], None]:
    """Puts a row into every table that is only added to."""

    def fill(casebook: LaboratoryCasebook) -> None:
        signer = add_user(casebook, "signer", AccountRole.SUPERVISOR)
        case_uid, cell_uid = case_with_cell(casebook)
        with casebook.write(signer.actor()) as work:
            work.cells.edit(cell_uid, 1, ProposalDraft(b"{}", "46,XX", 46, None), operation="join")
            work.signatures.sign(case_uid, work.cases.get(case_uid).version, signer, SignatureMeaning.APPROVED)

    return fill


def case_with_cell(casebook: LaboratoryCasebook, accession: str = "24-0117") -> tuple[str, str]:
    """A case with one cell; uids of both."""
    with casebook.write(PROGRAM) as work:
        case = work.cases.create(accession)
        row = ReviewedCellRow(
            uid=new_uid(),
            case_uid=case.uid,
            name="cell-1",
            origin=CellOrigin.PICTURE,
            picture="pictures/cell-1.png",
            picture_sha256="0" * 64,
            role=ReviewRole.NOT_REVIEWED,
            exclusion_reason="",
            note="",
            proposal_number=0,
            version=1,
        )
        work.session.add(row)
        return case.uid, row.uid
