"""Backups of a casebook: one file for either kind of database, verified before anything relies on it.

A backup is a ZIP file: a line of JSON for each row of each table, the pictures and the audit trail's anchor, and
``manifest.json`` with the SHA-256 of every part. Folders of runs aren't in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final
from uuid import uuid4

from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, DateTime, Engine, LargeBinary, MetaData, Table, func, insert, select
from sqlalchemy.orm import Session

from scanner.portable.atomic_files import rename, sync_folder
from scanner.portable.disk import sync_file
from station.laboratory.audit import AuditAction, verify_trail
from station.laboratory.casebook import (
    ANCHOR_NAME,
    PICTURES_NAME,
    CasebookPlace,
    checked_engine,
    open_laboratory_casebook,
)
from station.laboratory.database import database_errors, for_writing
from station.laboratory.errors import BackupError, SchemaNewerError
from station.laboratory.permissions import Actor
from station.laboratory.schema import (
    SchemaState,
    migration_settings,
    read_schema,
    upgrade_schema,
)

FORMAT: Final = "karyoscan-casebook-backup"
VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
BACKUPS_NAME: Final = "backups"
_REVISIONS: Final = "alembic_version"
_ROWS_AT_ONCE: Final = 1000
_CHUNK_BYTES: Final = 1 << 20
_MAX_MANIFEST_BYTES: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds.

    Attributes
    ----------
    path
        The file.
    schema
        Revision of its tables.
    made_at
        When, ISO 8601.
    rows
        Of each table.
    files
        How many of the casebook's folder.
    audit_entries
        Of the audit trail.
    """

    path: Path
    schema: str
    made_at: str
    rows: Mapping[str, int]
    files: int
    audit_entries: int


def back_up(place: CasebookPlace, path: Path) -> BackupSummary:
    """Write a backup of a casebook of any schema, while others work with it.

    Parameters
    ----------
    place
        Where the casebook is.
    path
        The new file; its folder exists.

    Raises
    ------
    BackupError
        The file is there already, can't be written, or there is no room for it.
    CasebookUnavailableError
        The casebook can't be read.
    """
    if path.exists():
        raise BackupError("is there already; a backup replaces none", path=path)
    engine = checked_engine(place)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        _require_room(place, path)
        with part.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                _write_archive(archive, place, engine)
            file.flush()
            sync_file(file.fileno())
        summary = verify_backup(part)
        rename(part, path)
        sync_folder(path.parent)
    except OSError as error:
        raise BackupError(f"can't be written: {error.strerror or error}; nothing was left", path=path) from error
    finally:
        engine.dispose()
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return BackupSummary(path, summary.schema, summary.made_at, summary.rows, summary.files, summary.audit_entries)


def verify_backup(path: Path) -> BackupSummary:
    """Read a backup whole and compare every part with the manifest.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    BackupError
        It is no backup, damaged, cut short, or of a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _read_manifest(archive, path)
            parts: dict[str, dict[str, Any]] = manifest["parts"]
            names = archive.namelist()
            if sorted(names) != sorted([MANIFEST_NAME, *parts]):
                raise BackupError("holds other parts than its manifest names", path=path)
            for name, part in parts.items():
                digest, lines = hashlib.sha256(), 0
                with archive.open(name) as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        lines += chunk.count(b"\n")
                if digest.hexdigest() != part["sha256"] or lines != part.get("rows", lines):
                    raise BackupError(f"its part {name} is damaged", path=path)
            rows = {_table_of(name): part["rows"] for name, part in parts.items() if "rows" in part}
            return BackupSummary(
                path, manifest["schema"], manifest["made_at"], rows, len(parts) - len(rows), rows["audit_entry"]
            )
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise BackupError(f"can't be read: {error}", path=path) from error
    except (KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise BackupError("isn't a backup of a casebook, or is damaged", path=path) from error


def restore(path: Path, place: CasebookPlace) -> BackupSummary:
    """Make a casebook from a backup, where there is none; all of it, or nothing.

    Parameters
    ----------
    path
        The backup.
    place
        Where the casebook is to be; the folder is made.

    Raises
    ------
    BackupError
        The backup is damaged, or there is a casebook already.
    SchemaNewerError
        A newer version of the software wrote it.
    CasebookUnavailableError
        The database can't be written.
    """
    summary = verify_backup(path)
    if place.server_url is None and place.database.exists():
        raise BackupError("there is a casebook already; restore into another folder", path=place.folder)
    place.folder.mkdir(parents=True, exist_ok=True)
    engine = checked_engine(place, create=True)
    try:
        if read_schema(engine).state is not SchemaState.EMPTY:
            raise BackupError("there is a casebook already; restore into an empty database", path=place.folder)
        with zipfile.ZipFile(path) as archive:
            _extract_files(archive, place.folder, path)
            with database_errors("the backup can't be restored"), for_writing(engine).begin() as connection:
                _create_schema(connection, summary.schema, path)
                _insert_rows(connection, archive, summary)
                _verify_restored(connection, summary, place)
    except BaseException:
        engine.dispose()
        if place.server_url is None:
            for suffix in ("", "-wal", "-shm"):
                place.database.with_name(place.database.name + suffix).unlink(missing_ok=True)
        raise
    engine.dispose()
    _record_restored(place, summary)
    return summary


def migrate(place: CasebookPlace, actor: Actor) -> tuple[str, str, Path | None]:
    """Bring a casebook to the schema of this software, after a backup.

    Parameters
    ----------
    place
        Where it is.
    actor
        Whom the audit trail names.

    Returns
    -------
    tuple of str, str, and Path or None
        Schema before and after, and the backup; None where nothing had to be done.

    Raises
    ------
    SchemaNewerError
        A newer version of the software wrote it.
    CasebookUnavailableError
        The migration failed; the casebook is as before.
    BackupError
        There could be no backup; nothing was migrated.
    """
    engine = checked_engine(place)
    try:
        schema = read_schema(engine)
        if schema.state is not SchemaState.OLDER:
            open_laboratory_casebook(place.folder, place.server_url).close()
            return schema.present, schema.present, None
        path = new_backup_path(place)
        back_up(place, path)
        upgrade_schema(engine)
    finally:
        engine.dispose()
    with open_laboratory_casebook(place.folder, place.server_url) as casebook, casebook.write(actor) as work:
        work.audit.append(
            actor,
            AuditAction.CASEBOOK_MIGRATED,
            work.profile.read().uid,
            before={"schema": schema.present},
            after={"schema": schema.wanted, "backup": path.name},
        )
    return schema.present, schema.wanted, path


def new_backup_path(place: CasebookPlace) -> Path:
    """A name for a backup in the casebook's folder that is nobody else's; the folder of backups is made.

    Raises
    ------
    BackupError
        It can't be made.
    """
    folder = place.folder / BACKUPS_NAME
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BackupError(f"can't be made: {error.strerror}", path=folder) from error
    return folder / f"casebook-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.zip"


def _require_room(place: CasebookPlace, path: Path) -> None:
    """Refuse to begin what the disk has no room for: a backup is never larger than what it is made of."""
    files = [place.database, *_files(place.folder)]
    needed = sum(file.stat().st_size for file in files if file.is_file())
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise BackupError(f"may take {needed} bytes, but only {free} are free on the disk", path=path)


def _write_archive(archive: zipfile.ZipFile, place: CasebookPlace, engine: Engine) -> None:
    parts: dict[str, dict[str, Any]] = {}
    # The anchor first: entries that come meanwhile are in the tables then, never the other way round.
    for file in _files(place.folder):
        name = f"files/{file.relative_to(place.folder).as_posix()}"
        digest = hashlib.sha256()
        with file.open("rb") as source, archive.open(name, "w", force_zip64=True) as target:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
        parts[name] = {"sha256": digest.hexdigest()}
    with database_errors("the casebook can't be read"), engine.connect() as connection, connection.begin():
        tables, schema = _reflected(connection)
        for table in tables:
            parts[_part_of(table.name)] = _write_table(archive, connection, table)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "schema": schema,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "parts": parts,
    }
    archive.writestr(MANIFEST_NAME, json.dumps(manifest, indent=1))


def _write_table(archive: zipfile.ZipFile, connection: Connection, table: Table) -> dict[str, Any]:
    digest, rows = hashlib.sha256(), 0
    statement = select(table).order_by(*table.primary_key.columns)
    result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(statement)
    with archive.open(_part_of(table.name), "w", force_zip64=True) as target:
        for row in result.mappings():
            line = json.dumps({name: _to_json(value) for name, value in row.items()}).encode() + b"\n"
            digest.update(line)
            target.write(line)
            rows += 1
    return {"sha256": digest.hexdigest(), "rows": rows}


def _reflected(connection: Connection) -> tuple[list[Table], str]:
    """The tables as the database has them, those that others refer to first, and their revision."""
    metadata = MetaData()
    metadata.reflect(connection)
    revisions = metadata.tables[_REVISIONS]
    schema = str(connection.scalar(select(revisions)))
    return [table for table in metadata.sorted_tables if table.name != _REVISIONS], schema


def _files(folder: Path) -> list[Path]:
    files = [folder / ANCHOR_NAME, *sorted((folder / PICTURES_NAME).rglob("*"))]
    return [file for file in files if file.is_file() and not file.is_symlink()]


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    if archive.getinfo(MANIFEST_NAME).file_size > _MAX_MANIFEST_BYTES:
        raise BackupError("isn't a backup of a casebook: its manifest is too large", path=path)
    manifest = json.loads(archive.read(MANIFEST_NAME))
    if manifest["format"] != FORMAT:
        raise BackupError("isn't a backup of a casebook", path=path)
    if manifest["version"] > VERSION:
        raise BackupError("was written by a newer version of the software: install that version", path=path)
    return dict(manifest)


def _extract_files(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    for name in archive.namelist():
        if not name.startswith("files/"):
            continue
        relative = PurePosixPath(name.removeprefix("files/"))
        target = folder.joinpath(*relative.parts)
        if (
            relative.is_absolute()
            or ".." in relative.parts
            or not target.resolve().is_relative_to(folder.resolve())
        ):
            raise BackupError(f"its part {name} would be written outside of the folder", path=path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK_BYTES)
                file.flush()
                sync_file(file.fileno())
        except OSError as error:
            raise BackupError(f"can't be written: {error.strerror}", path=target) from error


def _create_schema(connection: Connection, revision: str, path: Path) -> None:
    try:
        command.upgrade(migration_settings(connection), revision)
    except CommandError as error:
        raise SchemaNewerError(
            f"was written by a newer version of the software (schema {revision}): install that version", path=path
        ) from error


def _insert_rows(connection: Connection, archive: zipfile.ZipFile, summary: BackupSummary) -> None:
    tables, _ = _reflected(connection)
    for table in tables:
        batch: list[dict[str, Any]] = []
        with archive.open(_part_of(table.name)) as lines:
            for line in lines:
                batch.append(_from_json(table, json.loads(line)))
                if len(batch) == _ROWS_AT_ONCE:
                    connection.execute(insert(table), batch)
                    batch = []
        if batch:
            connection.execute(insert(table), batch)
        if connection.scalar(select(func.count()).select_from(table)) != summary.rows[table.name]:
            raise BackupError(f"not all rows of {table.name} could be restored", path=summary.path)


def _verify_restored(connection: Connection, summary: BackupSummary, place: CasebookPlace) -> None:
    with Session(connection) as session:
        defects = verify_trail(session, place.anchor).defects
    if defects:
        raise BackupError(f"its audit trail is damaged: {defects[0].message}", path=summary.path)


def _record_restored(place: CasebookPlace, summary: BackupSummary) -> None:
    engine = checked_engine(place)
    try:
        is_current = read_schema(engine).state is SchemaState.CURRENT
    finally:
        engine.dispose()
    if not is_current:
        return
    actor = Actor.program("restore")
    with open_laboratory_casebook(place.folder, place.server_url) as casebook, casebook.write(actor) as work:
        after = {"backup": summary.path.name, "made_at": summary.made_at}
        work.audit.append(actor, AuditAction.CASEBOOK_RESTORED, work.profile.read().uid, after=after)


def _part_of(table: str) -> str:
    return f"tables/{table}.jsonl"


def _table_of(part: str) -> str:
    return part.removeprefix("tables/").removesuffix(".jsonl")


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    return value


def _from_json(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _column_value(table, name, value) for name, value in values.items()}


def _column_value(table: Table, name: str, value: Any) -> Any:  # noqa: ANN401 - what a column holds
    kind = table.c[name].type
    if value is None:
        return None
    if isinstance(kind, DateTime):
        moment = datetime.fromisoformat(value)
        return moment if kind.timezone else moment.astimezone(UTC).replace(tzinfo=None)
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value)
    return value
