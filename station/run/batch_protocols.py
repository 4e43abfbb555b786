"""The protocols of a batch: read once, kept with the batch, and the same in all of its sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from acquisition.batch.worklist import Worklist
from acquisition.errors import ProtocolError, ResumeError, StorageError
from acquisition.notifier import is_protocol_of_this_machine
from acquisition.protocol import Protocol, ProtocolFile, read_protocol
from acquisition.storage.run_folder import REQUEST_NAME
from station.run.resume import protocol_change

PROTOCOLS_KEY: Final = "protocols"
"""Key of the batch's ``request.json``: text of each protocol by its absolute path."""


@dataclass(frozen=True, slots=True)
class BatchProtocols:
    """The protocols of a worklist.

    Attributes
    ----------
    files
        By the path that the worklist gives.
    recorded
        Text of every protocol of this batch, also of earlier sessions, by absolute path.
    trusted
        Whether each stands in a file of this machine as it is: else its notices start no program.
    trust_notices
        Whether a person trusts their notices all the same.
    as_recorded
        Whether the batch goes on with what it began with where a file has other values by now.
    """

    files: Mapping[Path, ProtocolFile]
    recorded: Mapping[str, str]
    trusted: bool
    trust_notices: bool
    as_recorded: bool

    @property
    def protocols(self) -> dict[Path, Protocol]:
        """What the files mean, by path."""
        return {path: file.protocol for path, file in self.files.items()}

    def to_json(self) -> dict[str, Any]:
        """What ``request.json`` keeps beside the request."""
        return {PROTOCOLS_KEY: dict(self.recorded)}


def read_batch_protocols(
    worklist: Worklist, folder: Path, *, as_recorded: bool = False, trust_notices: bool = False
) -> BatchProtocols:
    """Read the protocols of a worklist, and hold them against those with which the batch began.

    Parameters
    ----------
    worklist
        Whose protocols.
    folder
        Folder of the batch; of earlier versions it doesn't say.
    as_recorded
        Whether the batch goes on with what it began with where a file has other values by now.
    trust_notices
        Whether a person trusts their notices wherever they come from.

    Raises
    ------
    ProtocolError
        One can't be read.
    ResumeError
        One was changed since the batch began; with the keys.
    StorageError
        The record of the batch is damaged.
    """
    recorded = _recorded(folder)
    files: dict[Path, ProtocolFile] = {}
    for path in dict.fromkeys(entry.protocol for entry in worklist.entries):
        text = recorded.get(str(path.resolve()))
        before = None if text is None else _read_recorded(path, text, folder)
        if before is None:
            files[path] = read_protocol(path)
            continue
        change = protocol_change(path, before.protocol)
        if change and not as_recorded:
            raise ResumeError(
                f"{change} since the batch began. Put the file back, go on with the protocol as it was "
                "(--recorded-protocol), or name another folder with --out",
                path=path,
            )
        files[path] = before
    return BatchProtocols(
        files,
        {**recorded, **{str(path.resolve()): file.text for path, file in files.items()}},
        all(_is_trusted(file, folder) for file in files.values()),
        trust_notices,
        as_recorded,
    )


def _read_recorded(path: Path, text: str, folder: Path) -> ProtocolFile:
    try:
        return read_protocol(path, text=text)
    except ProtocolError as error:
        raise StorageError(f"the recorded protocol can't be read: {error}", path=folder / REQUEST_NAME) from error


def _is_trusted(file: ProtocolFile, folder: Path) -> bool:
    return not file.protocol.notify or is_protocol_of_this_machine(file.path, file.text, folder)


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / REQUEST_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        protocols = values.get(PROTOCOLS_KEY, {})
        if not isinstance(protocols, dict) or not all(isinstance(text, str) for text in protocols.values()):
            raise TypeError("its protocols are no texts")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise StorageError(f"the request of the batch can't be read: {error}", path=path) from error
    return dict(protocols)
