"""Lines with a number and a checksum: what loader, oiler and label camera speak.

See ``docs/reference/serial/framing.md``.

::

    LOAD 17 #07*CEE6        command, arguments, number of the exchange, CRC-16 of all before the asterisk
    OK LOAD #07*99CE        done or begun, perhaps with values
    ERR LOAD 10 #07*9F31    refused, with a code

The checksum is there because a digit that noise turns into another one would be another slide; the number because
a late answer would pass for the answer to the next command.
"""

from __future__ import annotations

import binascii
import logging
import re

from scanner.devices.connection import PortSettings, SerialConnection
from scanner.errors import DeviceError, DeviceNotReadyError

_log = logging.getLogger(__name__)

NUMBERS = 256
"""Exchanges are numbered modulo this."""

_FRAME = re.compile(r"(?P<body>.*?) ?#(?P<number>[0-9A-F]{2})\*(?P<sum>[0-9A-F]{4})")
# Late answers that are passed over before the line is given up.
_MOST_STALE = 4
ABORT = b"\x03"


class DamagedLineError(ValueError):
    """A line that is no frame, or arrived damaged."""


class CommandRefusedError(Exception):
    """The far end refuses a command.

    Parameters
    ----------
    command
        What it refuses.
    code
        Why, in the words of its command set.
    """

    def __init__(self, command: str, code: int) -> None:
        self.command = command
        self.code = code
        super().__init__(f"{command}: {code}")


def frame(body: str, number: int) -> str:
    """The line for a command or an answer, without its terminator.

    Parameters
    ----------
    body
        Command or answer.
    number
        Its number; taken modulo `NUMBERS`.
    """
    text = f"{body} #{number % NUMBERS:02X}"
    return f"{text}*{binascii.crc_hqx(text.encode('ascii'), 0xFFFF):04X}"


def unframe(line: str) -> tuple[str, int]:
    """Command or answer and its number.

    Raises
    ------
    DamagedLineError
        It is no frame, or its checksum is wrong.
    """
    found = _FRAME.fullmatch(line)
    if found is None:
        raise DamagedLineError(f"no frame: {line!r}")
    body, number = found["body"], int(found["number"], 16)
    if frame(body, number) != line:
        raise DamagedLineError(f"wrong checksum: {line!r}")
    return body, number


class FramedLine:
    """A line to one device.

    Parameters
    ----------
    port
        How to reach it.
    device
        Label used in errors.
    kind
        First word of its identity.

    Notes
    -----
    All methods may be called from any thread. A command that went unanswered is never repeated: it has failed, and
    whoever sent it asks for the state.
    """

    def __init__(self, port: PortSettings, device: str, kind: str) -> None:
        self.device = device
        self.identity = ""
        self._kind = kind
        self._number = 0
        self._connection = SerialConnection(port, device, self._greet)

    def set_answer_timeout_s(self, seconds: float) -> None:
        """Call an answer that takes longer none."""
        self._connection.answer_timeout_s = seconds

    def close(self) -> None:
        """Let the line go."""
        self._connection.close()

    def interrupt(self) -> None:
        """Send the abort byte past whoever holds the line; it has no answer."""
        self._connection.interrupt(ABORT)

    def ask(self, command: str, *arguments: str | int) -> tuple[str, ...]:
        """Send a command and read the values of its answer.

        Raises
        ------
        CommandRefusedError
            The far end understood, and refuses.
        DeviceNotReadyError
            No answer in time, or the line is gone; the command may have been obeyed or not.
        DeviceError
            What came makes no sense; the command may have been obeyed or not.
        """
        with self._connection.transaction():
            return self._exchange(command, *arguments)

    def nonsense(self, command: str, answer: str, wanted: str) -> DeviceError:
        """Make the error for an answer that can't be one; the line is flushed before it is used again.

        Parameters
        ----------
        command
            What was sent.
        answer
            What came.
        wanted
            What an answer looks like.
        """
        return self._connection.nonsense(command, answer, wanted)

    def _greet(self, fresh: bool) -> None:
        words = self._exchange("ID", forgives_noise=True)
        identity = " ".join(words)
        if not words or words[0] != self._kind:
            raise DeviceNotReadyError(
                "another kind of device answers",
                device=self.device,
                wanted=self._kind,
                actual=identity or "nothing",
            )
        if self.identity and identity != self.identity:
            raise DeviceNotReadyError(
                "another device answers", device=self.device, wanted=self.identity, actual=identity
            )
        self.identity = identity

    def _exchange(self, command: str, *arguments: str | int, forgives_noise: bool = False) -> tuple[str, ...]:
        self._number = (self._number + 1) % NUMBERS
        body = " ".join([command, *map(str, arguments)])
        self._connection.flush_unexpected()
        self._connection.send(frame(body, self._number))
        for _ in range(_MOST_STALE):
            try:
                line = self._connection.read_line(body)
                answer, number = unframe(line)
            except DeviceNotReadyError:
                raise
            except (DeviceError, DamagedLineError) as error:
                if forgives_noise:
                    # Whatever came before the first greeting was meant for nobody.
                    continue
                if isinstance(error, DeviceError):
                    raise
                raise self.nonsense(body, line, "a line with the right checksum") from error
            if answer == body:
                raise self.nonsense(body, "its own echo", "an answer")
            if number == self._number:
                return self._read(body, command, answer)
            _log.warning("%s: answer to another command thrown away: %r", self.device, line)
        raise self.nonsense(body, "answers to other commands", f"an answer with the number {self._number:02X}")

    def _read(self, body: str, command: str, answer: str) -> tuple[str, ...]:
        kind, *words = answer.split()
        if kind == "OK" and words[:1] == [command]:
            return tuple(words[1:])
        if kind == "ERR" and len(words) == 2 and words[0] in (command, "?") and words[1].isdigit():
            raise CommandRefusedError(command, int(words[1]))
        raise self.nonsense(body, answer, f"OK {command} or ERR {command}")
