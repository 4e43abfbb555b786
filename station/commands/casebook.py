"""The group ``karyoscan casebook``: the laboratory's cases, people and reviews."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from station.commands.messages import say
from station.commands.options import examples
from station.errors import UsageError
from station.exit_codes import ExitCode
from station.laboratory.permissions import AccountRole, Actor

if TYPE_CHECKING:
    from station.laboratory.casebook import LaboratoryCasebook

DATABASE_VARIABLE = "KARYOSCAN_CASEBOOK_URL"

FolderArgument = Annotated[
    Path, typer.Argument(help="folder of the laboratory, as 'karyoscan serve --data' has it")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar=DATABASE_VARIABLE,
        help="postgresql://USER@HOST/NAME of a casebook on a server; default: a file in the folder",
        show_default=False,
    ),
]

casebook_app = typer.Typer(help="Cases, people and reviews of a laboratory.", no_args_is_help=True)
user_app = typer.Typer(help="People who may log in.", no_args_is_help=True)
casebook_app.add_typer(user_app, name="user")


@contextmanager
def opened_casebook(folder: Path, database: str | None, *, create: bool = False) -> Iterator[LaboratoryCasebook]:
    """The casebook of a folder, for as long as a command needs it.

    Parameters
    ----------
    folder
        Of the laboratory.
    database
        URL of a PostgreSQL database; None for a file in the folder.
    create
        Whether it is made where it isn't there.
    """
    from station.laboratory.casebook import open_laboratory_casebook

    with open_laboratory_casebook(folder, database, create=create) as casebook:
        yield casebook


def command_line_actor() -> Actor:
    """Who acts by a command: the account of the computer, as the audit trail names it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "?"
    return Actor.program(f"command line ({name})")


@casebook_app.command("create", epilog=examples("karyoscan casebook create laboratory --name 'Genetics, ward 7'"))
def create(
    folder: FolderArgument,
    database: DatabaseOption = None,
    name: Annotated[str, typer.Option(help="name of the laboratory, as its reports print it")] = "",
    address: Annotated[str, typer.Option(help="its address")] = "",
) -> None:
    """Make a casebook, and a link token for its first administrator."""
    with opened_casebook(folder, database, create=True) as casebook:
        if name or address:
            with casebook.write(command_line_actor()) as work:
                profile = work.profile.read()
                work.profile.change(profile.version, name=name or None, address=address or None)
        say(f"{folder}: casebook ready")
        if not casebook.accounts.has_administrator():
            issued = casebook.accounts.issue_setup_token()
            say(f"token for the first administrator, once, until {issued.expires_at:%Y-%m-%d %H:%M} UTC:")
            say(issued.token)


@casebook_app.command("list", epilog=examples("karyoscan casebook list laboratory --text 24-01"))
def list_cases(
    folder: FolderArgument,
    database: DatabaseOption = None,
    text: Annotated[str, typer.Option(help="part of an accession, a barcode or an ISCN string")] = "",
    user: Annotated[str, typer.Option(help="only cases of which this user changed something")] = "",
    limit: Annotated[int, typer.Option(help="at most so many", min=1)] = 50,
) -> None:
    """List cases, the last changed first."""
    from station.laboratory.records import CaseQuery

    with opened_casebook(folder, database) as casebook, casebook.read(command_line_actor()) as work:
        matches = work.cases.search(CaseQuery(text=text, user=user, limit=limit))
    shown = Table("accession", "status", "slides", "runs", "cells", "ISCN", box=SIMPLE_HEAD, pad_edge=False)
    for each in matches.cases:
        shown.add_row(
            escape(each.case.accession),
            each.case.status.value.replace("_", " "),
            escape(", ".join(each.barcodes)),
            str(each.runs),
            str(each.cells),
            escape(each.case.iscn),
        )
    Console().print(shown)
    say(f"{len(matches.cases)} of {matches.total}")


@casebook_app.command(
    "index",
    epilog=examples("karyoscan casebook index laboratory", "karyoscan casebook index laboratory archive/2025"),
)
def index(
    folder: FolderArgument,
    roots: Annotated[
        list[Path] | None,
        typer.Argument(help="folders below which runs lie; default: runs/ of the laboratory", show_default=False),
    ] = None,
    database: DatabaseOption = None,
) -> None:
    """Take run folders and batches into the casebook; those that are as they were are passed over."""
    from station.laboratory.indexer import Indexer

    absent = [root for root in roots or () if not root.is_dir()]
    if absent:
        raise UsageError(f"{absent[0]}: no such folder")
    with opened_casebook(folder, database) as casebook:
        report = Indexer(casebook, roots or ()).index()
    for each in report.folders:
        if each.message:
            say(f"{each.folder}: {each.state}: {each.message}")
    for failed, reason in report.failed:
        say(f"{failed}: not taken in: {reason}")
    counts = ", ".join(f"{count} {state}" for state, count in sorted(report.counts().items())) or "no run"
    say(f"{counts}; {report.changed} read, {report.batches} batches read")
    if report.failed:
        raise typer.Exit(ExitCode.FAILED)


@casebook_app.command(
    "runs", epilog=examples("karyoscan casebook runs laboratory", "karyoscan casebook runs lab --problems")
)
def list_runs(
    folder: FolderArgument,
    database: DatabaseOption = None,
    problems: Annotated[
        bool,
        typer.Option("--problems", help="only folders that are missing, incomplete, damaged, newer, or copies"),
    ] = False,
    limit: Annotated[int, typer.Option(help="at most so many", min=1)] = 50,
) -> None:
    """List runs, the newest first; or folders that something is wrong with, and slides that were left."""
    with opened_casebook(folder, database) as casebook, casebook.read(command_line_actor()) as work:
        if problems:
            for record in work.runs.folders(with_problems=True):
                say(f"{record.folder}: {record.state} ({record.checked_at:%Y-%m-%d %H:%M}): {record.message}")
            for batch in work.runs.batches(limit=limit):
                for slide in batch.slides:
                    if slide.reason:
                        say(f"{batch.folder}: slide {slide.barcode or '?'}: {slide.status}: {slide.reason}")
            return
        runs = work.runs.recent(limit=limit)
        total = work.runs.count()
    shown = Table("began", "slide", "accession", "status", "cells", "folder", box=SIMPLE_HEAD, pad_edge=False)
    for run in runs:
        shown.add_row(
            f"{run.started_at:%Y-%m-%d %H:%M}",
            escape(run.slide),
            escape(run.accession),
            run.status.value.replace("_", " "),
            str(run.captured),
            escape(run.folder or run.folder_message),
        )
    Console().print(shown)
    say(f"{len(runs)} of {total}")


@casebook_app.command("audit", epilog=examples("karyoscan casebook audit laboratory"))
def audit(folder: FolderArgument, database: DatabaseOption = None) -> None:
    """Verify the audit trail: entries changed, deleted, reordered or cut off are named."""
    with opened_casebook(folder, database) as casebook:
        verification = casebook.verify_audit()
    for defect in verification.defects:
        say(f"{defect.kind}: {defect.message}")
    if verification.defects:
        say(f"{verification.entries} entries, and something is wrong with the audit trail")
        raise typer.Exit(ExitCode.FAILED)
    say(f"{verification.entries} entries, each follows the one before it; {verification.anchors} anchors agree")


@casebook_app.command(
    "backup",
    epilog=examples(
        "karyoscan casebook backup laboratory", "karyoscan casebook backup laboratory --out /mnt/safe/casebook.zip"
    ),
)
def backup(
    folder: FolderArgument,
    database: DatabaseOption = None,
    out: Annotated[
        Path | None, typer.Option(help="new file; default: backups/ of the laboratory", show_default=False)
    ] = None,
) -> None:
    """Write a verified backup of database, pictures and audit anchor, while others work; runs aren't in it."""
    from station.laboratory.audit import AuditAction
    from station.laboratory.backup import back_up, new_backup_path

    with opened_casebook(folder, database) as casebook:
        summary = back_up(casebook.place, out or new_backup_path(casebook.place))
        actor = command_line_actor()
        with casebook.write(actor) as work:
            after = {"backup": summary.path.name, "audit_entries": summary.audit_entries}
            work.audit.append(actor, AuditAction.CASEBOOK_BACKED_UP, work.profile.read().uid, after=after)
    say(f"{summary.path}: {sum(summary.rows.values())} rows, {summary.files} files, verified")


@casebook_app.command("verify", epilog=examples("karyoscan casebook verify laboratory/backups/casebook.zip"))
def verify(path: Annotated[Path, typer.Argument(help="backup")]) -> None:
    """Read a backup whole and compare every part with its checksum."""
    from station.laboratory.backup import verify_backup

    summary = verify_backup(path)
    say(f"{path}: of {summary.made_at}, schema {summary.schema}: {sum(summary.rows.values())} rows, whole")


@casebook_app.command("restore", epilog=examples("karyoscan casebook restore casebook.zip restored"))
def restore(
    path: Annotated[Path, typer.Argument(help="backup")], folder: FolderArgument, database: DatabaseOption = None
) -> None:
    """Make a casebook from a backup, where there is none: all of it, or nothing."""
    from station.laboratory.backup import restore as restore_backup
    from station.laboratory.casebook import CasebookPlace

    summary = restore_backup(path, CasebookPlace(folder, database))
    say(f"{folder}: {sum(summary.rows.values())} rows of {summary.made_at} restored, audit trail verified")


@casebook_app.command("migrate", epilog=examples("karyoscan casebook migrate laboratory"))
def migrate(folder: FolderArgument, database: DatabaseOption = None) -> None:
    """Bring a casebook of an older version to this one's schema, after a backup."""
    from station.laboratory.backup import migrate as migrate_casebook
    from station.laboratory.casebook import CasebookPlace

    before, after, path = migrate_casebook(CasebookPlace(folder, database), command_line_actor())
    if path is None:
        say(f"{folder}: is of the present schema ({before})")
    else:
        say(f"{folder}: schema {before} became {after}; backup of before: {path}")


@user_app.command(
    "add", epilog=examples("karyoscan casebook user add laboratory weber --full-name 'A. Weber' --role technician")
)
def add_user(
    folder: FolderArgument,
    name: Annotated[str, typer.Argument(help="what is typed at log-in")],
    role: Annotated[list[AccountRole], typer.Option(help="what they are; repeat for several")],
    database: DatabaseOption = None,
    full_name: Annotated[str, typer.Option(help="as it stands under signatures")] = "",
) -> None:
    """Add a user, and give a token with which they set their password."""
    from station.laboratory.accounts import UserDraft

    with opened_casebook(folder, database) as casebook:
        actor = command_line_actor()
        account = casebook.accounts.create_user(actor, UserDraft(name, full_name or name, frozenset(role)))
        issued = casebook.accounts.issue_reset_token(actor, account.uid)
    say(
        f"{account.name}: added; token for the first password, once, until {issued.expires_at:%Y-%m-%d %H:%M} UTC:"
    )
    say(issued.token)


@user_app.command("list", epilog=examples("karyoscan casebook user list laboratory"))
def list_users(folder: FolderArgument, database: DatabaseOption = None) -> None:
    """List users with their roles."""
    with opened_casebook(folder, database) as casebook:
        accounts = casebook.accounts.users()
    shown = Table("name", "full name", "roles", "state", "last log-in", box=SIMPLE_HEAD, pad_edge=False)
    for each in accounts:
        shown.add_row(
            escape(each.name),
            escape(each.full_name),
            ", ".join(sorted(each.roles)),
            "disabled" if each.disabled else "active",
            "never" if each.last_login_at is None else f"{each.last_login_at:%Y-%m-%d %H:%M}",
        )
    Console().print(shown)


@user_app.command("disable", epilog=examples("karyoscan casebook user disable laboratory weber"))
def disable_user(folder: FolderArgument, name: str, database: DatabaseOption = None) -> None:
    """Let a user log in no more; what they did stays under their name."""
    _set_disabled(folder, database, name, disabled=True)


@user_app.command("enable", epilog=examples("karyoscan casebook user enable laboratory weber"))
def enable_user(folder: FolderArgument, name: str, database: DatabaseOption = None) -> None:
    """Let a disabled user log in again."""
    _set_disabled(folder, database, name, disabled=False)


@user_app.command("reset", epilog=examples("karyoscan casebook user reset laboratory weber"))
def reset_password(folder: FolderArgument, name: str, database: DatabaseOption = None) -> None:
    """Give a token with which a user sets a new password."""
    with opened_casebook(folder, database) as casebook:
        account = casebook.accounts.user_named(name)
        issued = casebook.accounts.issue_reset_token(command_line_actor(), account.uid)
    say(f"{account.name}: token for a new password, once, until {issued.expires_at:%Y-%m-%d %H:%M} UTC:")
    say(issued.token)


def _set_disabled(folder: Path, database: str | None, name: str, *, disabled: bool) -> None:
    with opened_casebook(folder, database) as casebook:
        account = casebook.accounts.user_named(name)
        casebook.accounts.change_user(command_line_actor(), account.uid, account.version, disabled=disabled)
    say(f"{account.name}: {'disabled' if disabled else 'enabled'}")
