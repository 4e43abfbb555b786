"""The command ``karyoscan resume``: go on with a run that was cut off or ended early."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import ProtocolError, ResumeError, StorageError
from acquisition.notifier import is_protocol_of_this_machine
from acquisition.protocol import Protocol, load_protocol
from acquisition.records import EventLevel, RunEvent, RunSummary
from acquisition.run.control import RunControl
from acquisition.run.listener import GuardedListener, RunListener
from acquisition.run.slide_run import SlideRun
from acquisition.storage import RunFolder
from acquisition.storage.run_folder import REQUEST_NAME
from analysis.parameters.store import verify_all
from scanner.coordinates import SlideFrame
from scanner.errors import RigError
from scanner.model_comparison import changed_keys
from scanner.rig import RIG_FILE, Rig
from scanner.strict_yaml import load_strict
from station.compose import Instrument, open_instrument
from station.run.scan import (
    CONFIGURATION_KEY,
    LOG_NAME,
    RunSession,
    ScanRequest,
    ScanResult,
    log_to,
    lying_slide,
    rig_configuration_digest,
)

NOTICES_NOT_TRUSTED: Final = (
    "the protocol of this run is no file of this machine as it stands, so its notices won't be sent; if you know "
    "where the run comes from, stop it and go on with --trust-notices"
)


def run_resume(
    folder: Path,
    control: RunControl,
    listener: RunListener,
    *,
    seed: int | None = None,
    trust_notices: bool = False,
    recorded_protocol: bool = False,
) -> ScanResult:
    """Go on with the run in a folder.

    Parameters
    ----------
    folder
        Folder of the run.
    control, listener
        As for a scan.
    seed
        Simulated rigs: lay this slide on the stage instead of the one the run began with.
    trust_notices
        Whether files are written and programs started that the run's protocol names for notices, though that
        protocol is not a file of this machine.
    recorded_protocol
        Whether the run goes on with the protocol that it began with, though its file has other values by now.

    Raises
    ------
    ScannerError, AcquisitionError, UsageError
        The run could not be taken up; nothing has moved. A run that is taken up and refused, or fails, returns
        with its status.
    """
    start_s = time.perf_counter()
    verify_all()
    with _taken_up(folder, recorded_protocol=recorded_protocol) as run:
        request = run.request if seed is None else replace(run.request, seed=seed)
        with open_instrument(run.request.rig, lying_slide(request, run.protocol)) as instrument:
            return run.go_on(instrument, control, listener, start_s, trust_notices=trust_notices)


def resume_slide(
    instrument: Instrument,
    folder: Path,
    control: RunControl,
    listener: RunListener,
    *,
    frame: SlideFrame | None = None,
    trust_notices: bool = False,
    recorded_protocol: bool = False,
) -> ScanResult:
    """Go on with the run in a folder, its slide lying on the stage of an instrument that is open already.

    Parameters
    ----------
    instrument, control, listener, frame
        As for `station.run.scan.scan_slide`.
    folder
        Folder of the run.
    trust_notices, recorded_protocol
        As for `run_resume`.

    Raises
    ------
    ScannerError, AcquisitionError
        As `run_resume`.
    """
    start_s = time.perf_counter()
    with _taken_up(folder, recorded_protocol=recorded_protocol) as run:
        return run.go_on(instrument, control, listener, start_s, frame=frame, trust_notices=trust_notices)


@dataclass(frozen=True, slots=True)
class _TakenUp:
    """A run that was cut off, its folder locked."""

    request: ScanRequest
    run_uid: str
    protocol: Protocol
    folder: RunFolder
    casebook: Casebook
    protocol_yaml: str
    protocol_change: str

    def go_on(
        self,
        instrument: Instrument,
        control: RunControl,
        listener: RunListener,
        start_s: float,
        *,
        frame: SlideFrame | None = None,
        trust_notices: bool,
    ) -> ScanResult:
        is_trusted = trust_notices or is_protocol_of_this_machine(
            self.request.protocol, self.protocol_yaml, self.folder.path
        )
        if self.protocol.notify and not is_trusted:
            GuardedListener(listener).message(NOTICES_NOT_TRUSTED)
        if self.protocol_change:
            text = f"{self.request.protocol.name}: {self.protocol_change}; the run goes on with what it began with"
            event = RunEvent(datetime.now(UTC), EventLevel.WARNING, "protocol_changed", text)
            self.casebook.record_event(self.run_uid, event)
            GuardedListener(listener).message(text)
        session = RunSession(
            self.request,
            self.run_uid,
            instrument,
            self.protocol,
            self.folder,
            self.casebook,
            frame,
            is_trusted,
        )
        return session.carry_out(SlideRun.resume, control, listener, start_s)


@contextmanager
def _taken_up(folder: Path, *, recorded_protocol: bool) -> Iterator[_TakenUp]:
    request = read_request(folder)
    with (
        RunFolder.reopen(folder) as locked,
        log_to(folder / LOG_NAME),
        open_casebook(locked.casebook, create=False) as casebook,
    ):
        summary = _the_run(casebook)
        # The protocol as it was used.
        protocol = load_protocol(request.protocol, text=summary.record.protocol_yaml)
        change = protocol_change(request.protocol, protocol)
        if change and not recorded_protocol:
            raise ResumeError(
                f"{change} since the run began. Put the file back to resume, go on with the protocol as it was "
                "(--recorded-protocol), or scan the slide anew",
                path=request.protocol,
            )
        require_same_rig(request.rig, summary.record.rig_yaml)
        require_same_configuration(request.rig, folder)
        yield _TakenUp(
            request, summary.record.uid, protocol, locked, casebook, summary.record.protocol_yaml, change
        )


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
        values.pop(CONFIGURATION_KEY, None)
        paths = {name: Path(values[name]) for name in ("rig", "protocol")}
        return ScanRequest(**{**values, **paths, "out": folder})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"the request can't be read, so that the run can't be resumed: {error}", path=path
        ) from error


def _the_run(casebook: Casebook) -> RunSummary:
    runs = casebook.runs()
    if len(runs) != 1:
        raise ResumeError(f"{len(runs)} runs where one is expected", path=casebook.path)
    return runs[0]


def require_same_rig(folder: Path, recorded: str) -> None:
    """Refuse a rig that has other values than when the run began; comments and white space don't count.

    Parameters
    ----------
    folder
        Of the rig, or its file.
    recorded
        Text of the rig's file when the run began.

    Raises
    ------
    ResumeError
        With the keys that changed.
    """
    path = folder if folder.is_file() else folder / RIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ResumeError(f"the rig of the run can't be read: {reason}", path=path) from error
    if text == recorded:
        return
    try:
        changed = changed_keys(_parsed_rig(path, recorded), _parsed_rig(path, text))
    except RigError as error:
        raise ResumeError(f"the rig was changed since the run began: {error}", path=path) from error
    if changed:
        raise ResumeError(
            f"the rig was changed since the run began ({', '.join(changed)}); its places may mean others now. "
            "Put these keys back to resume, or scan the slide anew",
            path=path,
        )


def require_same_configuration(rig: Path, folder: Path) -> None:
    """Refuse a Micro-Manager configuration that commands something else than when the run began.

    Parameters
    ----------
    rig
        Folder of the rig, or its file.
    folder
        Folder of the run; of earlier versions it doesn't say.

    Raises
    ------
    ResumeError
        The configuration was changed.
    RigError
        It can't be read.
    """
    recorded = json.loads((folder / REQUEST_NAME).read_text(encoding="utf-8")).get(CONFIGURATION_KEY)
    if recorded is not None and recorded != rig_configuration_digest(rig):
        raise ResumeError(
            "the Micro-Manager configuration of the rig was changed since the run began; its devices may do "
            "something else now. Put it back to resume, or scan the slide anew",
            path=rig,
        )


def protocol_change(path: Path, recorded: Protocol) -> str:
    """Say what was changed in a protocol's file since it was recorded; comments and white space don't count.

    Parameters
    ----------
    path
        The file.
    recorded
        The protocol as the record has it.

    Returns
    -------
    str
        With the keys whose values differ; empty where none does, or where the file is gone, which changes nothing.
    """
    try:
        changed = changed_keys(recorded, load_protocol(path))
    except ProtocolError as error:
        return "" if isinstance(error.__cause__, FileNotFoundError) else f"the protocol was changed ({error})"
    return f"the protocol was changed ({', '.join(changed)})" if changed else ""


def _parsed_rig(path: Path, text: str) -> Rig:
    return load_strict(Rig, path, lambda message, file, line: RigError(message, path=file, line=line), text=text)
