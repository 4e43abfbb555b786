"""Telling the people whom a protocol names. A target that fails is recorded; it never stops a run."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from acquisition.protocol import NotifyCommand, NotifyFile, NotifyTarget, Occasion
from acquisition.records import RunStatus

_log = logging.getLogger(__name__)

# Whoever stopped a run knows of it.
_OCCASIONS: dict[RunStatus, tuple[Occasion, ...]] = {
    RunStatus.COMPLETED: (Occasion.FINISHED,),
    RunStatus.COMPLETED_WITH_ERRORS: (Occasion.FINISHED, Occasion.ATTENTION),
    RunStatus.PARKED: (Occasion.PARKED,),
    RunStatus.ABORTED: (Occasion.FAILED,),
    RunStatus.FAILED: (Occasion.FAILED,),
}


def occasions_of(status: RunStatus, *, unsafe: bool) -> tuple[Occasion, ...]:
    """Of what the end of a run gives notice; an instrument that is not in its safe state always needs a person."""
    occasions = _OCCASIONS.get(status, ())
    return (*occasions, Occasion.ATTENTION) if unsafe and Occasion.ATTENTION not in occasions else occasions


def tell(
    targets: Sequence[NotifyTarget],
    occasions: Sequence[Occasion],
    message: Mapping[str, object],
    folder: Path,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[str, ...]:
    """Give notice to each target that wants to hear of one of the occasions, once.

    Parameters
    ----------
    targets
        Whom the protocol names.
    occasions
        What happened; the first one that a target wants is named to it.
    message
        Further values that JSON can hold.
    folder
        Folder of the run: files are relative to it, and programs are started in it.
    now
        Time source.

    Returns
    -------
    tuple of str
        What could not be told, one line a target.
    """
    faults: list[str] = []
    for target in targets:
        occasion = next((occasion for occasion in occasions if occasion in target.on), None)
        if occasion is None:
            continue
        line = json.dumps({"occasion": occasion.value, "at": now().isoformat(), **message}, ensure_ascii=False)
        try:
            if isinstance(target, NotifyFile):
                _append(folder / target.path, line)
            else:
                _start(target, line, folder)
        except (OSError, subprocess.SubprocessError) as error:
            fault = f"{_name(target)} could not be told: {error}"
            _log.warning("%s", fault)
            faults.append(fault)
    return tuple(faults)


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _start(target: NotifyCommand, line: str, folder: Path) -> None:
    # A list of arguments, no shell: nothing of the message can become a command.
    subprocess.run(  # noqa: S603
        list(target.command),
        input=line.encode(),
        cwd=folder,
        timeout=target.timeout_s,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _name(target: NotifyTarget) -> str:
    return str(target.path) if isinstance(target, NotifyFile) else target.command[0]
