"""Where the pages of a rig check and of a calibration go."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path

from acquisition.errors import StorageError
from scanner.errors import RigError
from scanner.rig import Rig, load_rig
from station.compose import rig_state_folder


class ResultKind(StrEnum):
    """What the page is about; also the name of its folder in the state folder of the rig."""

    CHECK = "check"
    CALIBRATION = "calibration"


def readable_rig(folder: Path) -> Rig | None:
    """The rig of a folder, or None where its file is wrong: the check itself says how."""
    try:
        return load_rig(folder)[0]
    except RigError:
        return None


def result_folder(rig: Rig | None, out: Path | None, kind: ResultKind) -> Path | None:
    """Make the folder of a page and prove that it can be written, before anything moves.

    Parameters
    ----------
    rig
        The instrument; None where its file can't be read.
    out
        Folder that was asked for; None for the state folder of a real rig.
    kind
        What the page is about.

    Returns
    -------
    Path or None
        None where nothing is kept: a simulated or unreadable rig, and no folder was asked for.

    Raises
    ------
    StorageError
        It can't be made or written.
    """
    if out is not None:
        folder, remedy = out, "give another folder with --out"
    elif rig is None or rig.simulated:
        return None
    else:
        folder, remedy = rig_state_folder(rig) / kind, "give a folder with --out, or set XDG_STATE_HOME"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"the page can't be written there ({error.strerror or error}), so nothing was started; {remedy}",
            path=folder,
        ) from error
    return folder
