"""The command ``karyoscan resume``: go on with a run that was cut off or ended early."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import ResumeError, StorageError
from acquisition.protocol import load_protocol
from acquisition.records import RunSummary
from acquisition.run.control import RunControl
from acquisition.run.listener import RunListener
from acquisition.run.slide_run import SlideRun
from acquisition.storage import RunFolder
from acquisition.storage.run_folder import REQUEST_NAME
from scanner.rig import RIG_FILE
from station.compose import make_handoff, open_instrument
from station.scan import LOG_NAME, ScanRequest, ScanResult, Sitting, log_to, lying_slide


def run_resume(folder: Path, control: RunControl, listener: RunListener, *, seed: int | None = None) -> ScanResult:
    """Go on with the run in a folder.

    Parameters
    ----------
    folder
        Folder of the run.
    control, listener
        As for a scan.
    seed
        Simulated rigs: lay this slide on the stage instead of the one the run began with.

    Raises
    ------
    ScannerError, AcquisitionError, UsageError
        The run could not be taken up; nothing has moved. A run that is taken up and refused, or fails, returns
        with its status.
    """
    request = read_request(folder)
    start_s = time.perf_counter()
    with (
        RunFolder.reopen(folder) as locked,
        log_to(folder / LOG_NAME),
        open_casebook(locked.casebook, create=False) as casebook,
    ):
        summary = _the_run(casebook)
        # The protocol as it was used; the file may have been edited since.
        protocol = load_protocol(request.protocol, text=summary.record.protocol_yaml)
        _require_same_rig(request, summary)
        lying = lying_slide(request if seed is None else replace(request, seed=seed), protocol)
        with open_instrument(request.rig, lying) as instrument:
            sitting = Sitting(request, summary.record.uid, instrument, protocol, locked, casebook)
            run = SlideRun(sitting.context(control, listener), make_handoff(protocol))
            return sitting.finish(run.resume(), start_s)


def read_request(folder: Path) -> ScanRequest:
    """What the run in a folder was asked.

    Raises
    ------
    StorageError
        There is no request, or it is damaged.
    """
    path = folder / REQUEST_NAME
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        paths = {name: Path(values[name]) for name in ("rig", "protocol")}
        return ScanRequest(**{**values, **paths, "out": folder})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"no request that could be taken up again: {error}", path=path) from error


def _the_run(casebook: Casebook) -> RunSummary:
    runs = casebook.runs()
    if len(runs) != 1:
        raise ResumeError(f"{len(runs)} runs where one is expected", path=casebook.path)
    return runs[0]


def _require_same_rig(request: ScanRequest, summary: RunSummary) -> None:
    path = request.rig if request.rig.is_file() else request.rig / RIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ResumeError(f"the rig of the run can't be read: {error.strerror}", path=path) from error
    if text != summary.record.rig_yaml:
        raise ResumeError("the rig was changed since the run began; its places may mean others now", path=path)
