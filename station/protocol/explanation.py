"""The dry run of a protocol: what a run would take, and what would be refused."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from acquisition.dry_run import Estimate, Experience, estimate, experience_of, with_free_room
from acquisition.errors import StorageError
from acquisition.protocol import load_protocol
from scanner.rig import load_rig
from scanner.strict_yaml import key_lines
from station.protocol.checking import ProtocolCheck, read_text


@dataclass(frozen=True, slots=True)
class Explanation:
    """A dry run, and where in the file each finding stands."""

    estimate: Estimate
    check: ProtocolCheck


def explain_protocol(
    path: Path,
    rig_folder: Path,
    *,
    measured: Path | None = None,
    cell_count: int | None = None,
    out: Path | None = None,
) -> Explanation:
    """Estimate what a run would take.

    Parameters
    ----------
    path, rig_folder
        Protocol and rig.
    measured
        Folder of an earlier run on the same computer, whose own figures are used.
    cell_count
        Usable cells that are expected on the slide.
    out
        Where the run would write: its disk has to have room.

    Raises
    ------
    ProtocolError, RigError, PlanError, CasebookError
        Protocol, rig or earlier run can't be read.
    """
    text = read_text(path)
    protocol = load_protocol(path, text=text)
    rig, _ = load_rig(rig_folder)
    experience = Experience() if measured is None else experience_of(measured)
    result = estimate(protocol, rig, experience, expected_cells=cell_count)
    if out is not None:
        result = with_free_room(result, free_bytes(out))
    return Explanation(result, ProtocolCheck(path, None, result.findings, key_lines(text or "")))


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder, which need not be there yet.

    Raises
    ------
    StorageError
        It can't be told.
    """
    existing = next((part for part in (folder, *folder.resolve().parents) if part.exists()), Path("/"))
    try:
        return shutil.disk_usage(existing).free
    except OSError as error:
        raise StorageError(f"the free space of the disk can't be read: {error.strerror}", path=folder) from error
