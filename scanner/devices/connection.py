"""One serial line: a command and its answer belong together, and silence is an error."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import serial

from scanner.errors import DeviceError, DeviceNotReadyError
from scanner.portable.serial_port import PORT_ERRORS, open_serial_port

_log = logging.getLogger(__name__)

TERMINATOR = b"\r"
# No controller we know answers with more; a line that goes on and on is noise from a wrong baud rate.
LONGEST_ANSWER = 256


@dataclass(frozen=True, slots=True)
class PortSettings:
    """How to reach a controller.

    Attributes
    ----------
    address
        Device file such as ``/dev/ttyUSB0``, or a URL that pyserial knows, such as ``socket://127.0.0.1:4001``.
    baud_rate
        Bits a second.
    stop_bits
        1 or 2; eight data bits, no parity.
    answer_timeout_s
        An answer that takes longer is none.
    """

    address: str
    baud_rate: int
    stop_bits: int = 1
    answer_timeout_s: float = 0.5


class SerialConnection:
    """A line to one controller, shared by everything that hangs on it.

    Parameters
    ----------
    settings
        How to reach the controller.
    device
        Label used in errors.
    greet
        Called whenever the line has been opened (`True`) or flushed after a surprise (`False`), before anything
        else is sent; has to prove who answers, and raise if it is the wrong one. It may use this object.
    now
        Time source in s; replaced in tests.

    Notes
    -----
    All methods may be called from any thread. `transaction` holds the line over a command and its answer; only
    `interrupt` goes past it. After silence or a hang-up the line is closed, after an answer that makes no sense it
    is flushed; the error is raised in both cases, and the next transaction first opens and greets again.
    """

    def __init__(
        self,
        settings: PortSettings,
        device: str,
        greet: Callable[[bool], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = device
        self._settings = settings
        self._greet = greet
        self._now = now
        self._lock = threading.RLock()
        self._port: serial.Serial | None = None
        self._buffer = bytearray()
        self._trusted = False
        self._greeting = False

    @property
    def answer_timeout_s(self) -> float:
        """An answer that takes longer is none; s."""
        return self._settings.answer_timeout_s

    @answer_timeout_s.setter
    def answer_timeout_s(self, seconds: float) -> None:
        with self._lock:
            old = self._settings
            self._settings = PortSettings(old.address, old.baud_rate, old.stop_bits, seconds)
            if self._port is not None:
                self._port.timeout = seconds

    # -- exchange ------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the line; it's open and its far end is known within.

        Raises
        ------
        DeviceNotReadyError
            The line can't be opened, or nobody or somebody else answers.
        """
        with self._lock:
            self._make_ready()
            yield

    def send(self, command: str) -> None:
        """Send a command that has no answer.

        Raises
        ------
        DeviceNotReadyError
            The line is gone.
        """
        with self.transaction():
            self._write(command)

    def ask(self, command: str) -> str:
        """Send a command and read its one line of answer, without the terminator.

        Raises
        ------
        DeviceNotReadyError
            No answer in time, or the line is gone.
        DeviceError
            What came is no text.
        """
        with self.transaction():
            self.flush_unexpected()
            self._write(command)
            return self.read_line(command)

    def read_line(self, command: str) -> str:
        """Read one more line; `command` names what it answers.

        Raises
        ------
        DeviceNotReadyError
            No line in time, or the line is gone.
        DeviceError
            What came is no text.
        """
        with self.transaction():
            deadline_s = self._now() + self._settings.answer_timeout_s
            while TERMINATOR not in self._buffer:
                if len(self._buffer) > LONGEST_ANSWER:
                    raise self.nonsense(command, bytes(self._buffer[:16]), "a line of text")
                if self._now() > deadline_s:
                    raise self._silence(command)
                self._buffer += self._read_some()
            line, _, rest = bytes(self._buffer).partition(TERMINATOR)
            self._buffer = bytearray(rest)
            if len(line) > LONGEST_ANSWER:
                raise self.nonsense(command, line[:16], "a line of text")
            try:
                text = line.decode("ascii").strip()
            except UnicodeDecodeError:
                raise self.nonsense(command, line, "a line of text") from None
            if not text.isprintable():
                raise self.nonsense(command, line, "a line of text")
            return text

    def flush_unexpected(self) -> None:
        """Throw away what came without being asked for."""
        with self.transaction():
            if self._buffer or self._waiting():
                _log.warning("%s: unasked input thrown away", self.device)
                self._flush()

    def interrupt(self, data: bytes) -> None:
        """Send bytes at once, past whoever holds the line; for commands that have no answer.

        A line that is gone is no error here: whoever interrupts goes on to ask and is told then.
        """
        port = self._port
        if port is not None:
            with suppress(serial.SerialException, OSError, TypeError):
                port.write(data)

    def nonsense(self, command: str, answer: bytes | str, wanted: str) -> DeviceError:
        """Make the error for an answer that can't be one; the line is flushed before it's used again.

        Parameters
        ----------
        command
            What was sent.
        answer
            What came.
        wanted
            What an answer looks like.
        """
        self._trusted = False
        shown = answer if isinstance(answer, str) else repr(answer)
        return DeviceError(
            f"answer to {command!r} makes no sense", device=self.device, wanted=wanted, actual=shown or "nothing"
        )

    def close(self) -> None:
        """Let the line go; the next transaction would open it again."""
        with self._lock:
            self._trusted = False
            self._buffer.clear()
            port, self._port = self._port, None
            if port is None:
                return
            # pyserial forgets to close a socket whose far end has gone.
            endpoint = getattr(port, "_socket", None)
            # A line that was pulled out can fail to close; it's gone all the same.
            with suppress(serial.SerialException, OSError):
                port.close()
            if endpoint is not None:
                endpoint.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _make_ready(self) -> None:
        if self._greeting or (self._port is not None and self._trusted):
            return
        fresh = self._port is None
        if fresh:
            self._open()
        self._greeting = True
        try:
            self._flush()
            self._greet(fresh)
            self._trusted = True
        except BaseException:
            self.close()
            raise
        finally:
            self._greeting = False

    def _open(self) -> None:
        settings = self._settings
        if not settings.address:
            raise DeviceNotReadyError("no port was given", device=self.device, wanted="property Port")
        try:
            self._port = open_serial_port(
                settings.address,
                baud_rate=settings.baud_rate,
                stop_bits=settings.stop_bits,
                timeout_s=settings.answer_timeout_s,
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise DeviceNotReadyError(
                f"port {settings.address} can't be opened, or another program has it open: {error}",
                device=self.device,
            ) from error
        _log.info("%s: %s opened", self.device, settings.address)

    def _write(self, command: str) -> None:
        with self._line_at(command) as port:
            port.write(command.encode("ascii") + TERMINATOR)

    def _read_some(self) -> bytes:
        with self._line_at("an answer") as port:
            return bytes(port.read(max(1, port.in_waiting)))

    def _waiting(self) -> int:
        with self._line_at("pending input") as port:
            return int(port.in_waiting)

    def _flush(self) -> None:
        self._buffer.clear()
        with self._line_at("flush") as port:
            port.reset_input_buffer()

    @contextmanager
    def _line_at(self, doing: str) -> Iterator[serial.Serial]:
        """The open port; what it raises becomes a typed error, and the line is closed."""
        if self._port is None:
            raise DeviceNotReadyError("connection is closed", device=self.device)
        try:
            yield self._port
        except serial.SerialTimeoutException as error:
            raise self._silence(doing) from error
        except PORT_ERRORS as error:
            self.close()
            raise DeviceNotReadyError(f"connection lost at {doing!r}: {error}", device=self.device) from error

    def _silence(self, command: str) -> DeviceNotReadyError:
        self.close()
        return DeviceNotReadyError(
            f"no answer to {command!r} within {self._settings.answer_timeout_s:.3f} s", device=self.device
        )
