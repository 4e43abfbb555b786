"""From a file to a protocol, or to a message with file, line, key, found and allowed."""

from __future__ import annotations

from pathlib import Path

from acquisition.errors import ProtocolError
from acquisition.protocol.model import Protocol
from scanner.strict_yaml import load_strict


def protocol_fault(message: str, path: Path, line: int | None) -> ProtocolError:
    """Error that names file and line.

    Parameters
    ----------
    message
        What is wrong.
    path
        The protocol.
    line
        Line of the fault, from 1; None where no line is to blame.
    """
    return ProtocolError(message, path=path, line=line)


def load_protocol(path: Path, *, text: str | None = None) -> Protocol:
    """Read a protocol.

    Parameters
    ----------
    path
        The file; named in every message.
    text
        Contents, where they were read already.

    Raises
    ------
    ProtocolError
        Anything is missing or wrong; with file, line, key, found and allowed.
    """
    return load_strict(Protocol, path, protocol_fault, text=text)
