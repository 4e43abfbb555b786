"""From a file to a protocol, or to a message with file, line, key, found and allowed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import ProtocolError
from acquisition.protocol.model import Protocol
from scanner.strict_yaml import load_strict, read_text_file


@dataclass(frozen=True, slots=True)
class ProtocolFile:
    """A protocol as it was read: the record of a run keeps the text, which the file may lose meanwhile.

    Attributes
    ----------
    path
        The file.
    text
        Its contents, with Unix line ends and without a byte-order mark.
    protocol
        What they mean.
    """

    path: Path
    text: str
    protocol: Protocol


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


def read_protocol(path: Path, *, text: str | None = None) -> ProtocolFile:
    """Read a protocol together with its text.

    Parameters
    ----------
    path
        The file; named in every message.
    text
        Contents, where they were kept elsewhere.

    Raises
    ------
    ProtocolError
        As `load_protocol`.
    """
    plain = plain_text(read_text_file(path, protocol_fault) if text is None else text)
    return ProtocolFile(path, plain, load_protocol(path, text=plain))


def plain_text(text: str) -> str:
    """A text with Unix line ends and without a byte-order mark: what two readings of a file are compared by."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
