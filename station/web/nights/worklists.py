"""Worklists as people give them: checked by the batch's own reader, kept beside the protocols that they name."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from acquisition.batch.spreadsheet import read_table
from acquisition.errors import WorklistError
from acquisition.storage import write_bytes_atomic
from acquisition.storage.atomic import storage_errors
from station.run.batch_check import check_batch
from station.run.batch_request import BatchRequest
from station.web.data_folder import DataFolder
from station.web.problems import ProblemError
from station.web.protocols.store import ProtocolStore

WORKLIST_NAME: Final = "worklist.csv"
TRAY_NAME: Final = "tray.csv"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class WorklistText:
    """A worklist that nobody has kept yet.

    Attributes
    ----------
    worklist
        The table, CSV.
    tray
        Simulated rigs: what is in the magazine, CSV; empty for the rig's own.
    """

    worklist: str
    tray: str = ""


def checked_name(name: str) -> str:
    """A name that is fit for a folder.

    Raises
    ------
    ProblemError
        It isn't.
    """
    if not _NAME.fullmatch(name):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "name-not-allowed",
            f"name: found {name!r}; allowed: letters, digits, '_', '-' and '.', at most 80",
        )
    return name


def check_worklist(texts: WorklistText, rig: Path, data: DataFolder, protocols: ProtocolStore) -> dict[str, Any]:
    """Say what would become of every row, as ``karyoscan batch --check``.

    Parameters
    ----------
    texts
        The tables.
    rig
        Folder of the rig.
    data
        Where the night would be written.
    protocols
        Protocols of the laboratory.

    Raises
    ------
    ProblemError
        The worklist can't be read; with its line.
    """
    with (
        tempfile.TemporaryDirectory(dir=data.worklists, prefix=".check-") as text_folder,
        _plain_errors(Path(text_folder)),
    ):
        folder = Path(text_folder)
        request = _written(texts, rig, folder, data.runs / "not-there-yet", protocols)
        values = check_batch(request).to_json()
    for row in values["rows"]:
        row["protocol"] = Path(row["protocol"]).name
    for finding in values["findings"]:
        finding["where"] = finding["where"].replace(f"{folder}{os.sep}", "")
        finding["text"] = finding["text"].replace(f"{folder}{os.sep}", "")
    return values | {"worklist": WORKLIST_NAME}


def keep_worklist(
    name: str, texts: WorklistText, rig: Path, data: DataFolder, protocols: ProtocolStore
) -> BatchRequest:
    """Keep the tables of a night, and the protocols of the laboratory as they are now.

    Parameters
    ----------
    name
        Of the night.
    texts
        The tables.
    rig
        Folder of the rig.
    data
        Where they are kept.
    protocols
        Protocols of the laboratory.

    Raises
    ------
    ProblemError
        There is a night of that name, or the worklist can't be read.
    """
    folder, out = data.worklists / checked_name(name), data.runs / name
    if folder.exists() or out.exists():
        raise ProblemError(
            HTTPStatus.CONFLICT, "duplicate", f"there is a run or night {name} already; choose another"
        )
    check_worklist(texts, rig, data, protocols)
    with storage_errors(folder):
        folder.mkdir(parents=True)
    return _written(texts, rig, folder, out, protocols)


def _written(texts: WorklistText, rig: Path, folder: Path, out: Path, protocols: ProtocolStore) -> BatchRequest:
    worklist, tray = folder / WORKLIST_NAME, folder / TRAY_NAME
    write_bytes_atomic(worklist, texts.worklist.encode())
    if texts.tray.strip():
        write_bytes_atomic(tray, texts.tray.encode())
    cells = {cell for row in read_table(worklist) for cell in row.cells}
    for name, path in protocols.own_paths().items():
        for written_as in (name, path.name):
            if written_as in cells:
                with storage_errors(folder / written_as):
                    shutil.copyfile(path, folder / written_as)
    return BatchRequest(rig, worklist, out, tray if texts.tray.strip() else None)


@contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    """A person knows the worklist, and not the folder in which it is tried out."""
    try:
        yield
    except WorklistError as error:
        text = str(error).replace(f"{folder}{os.sep}", "")
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "worklist-refused", text, {"line": getattr(error, "line", None)}
        ) from error
