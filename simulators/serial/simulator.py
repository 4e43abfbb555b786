"""What listens at the end of the cable."""

from __future__ import annotations

import select
import socket
import threading
from types import TracebackType
from typing import Self

from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultKind
from simulators.serial.line import CHUNK, SerialLine, default_line

TERMINATOR = b"\r"
ABORT = 0x03
# Start bit, eight data bits, stop bit.
BITS_PER_BYTE = 10
# How often a controller that owes an answer is asked whether it is due.
POLL_S = 0.002
# How often somebody who waits for the simulator looks whether it still lives.
LIFE_CHECK_S = 0.5


class SerialSimulator:
    """A controller on a line, served by a thread of its own from `__enter__` to `__exit__`.

    Parameters
    ----------
    controller
        Who answers.
    line
        The cable; a pty where none is given and the system has them, else TCP.
    baud_rate
        Bits a second to emulate, on the controller's clock; None for no delay.
    """

    def __init__(
        self, controller: SimulatedController, line: SerialLine | None = None, *, baud_rate: int | None = None
    ) -> None:
        self.controller = controller
        self._line = line or default_line()
        self._baud_rate = baud_rate
        self._held_back: list[bytes] = []
        self._buffer = bytearray()
        self._thread: threading.Thread | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._orders: list[tuple[str, threading.Event]] = []
        self._orders_lock = threading.Lock()

    @property
    def address(self) -> str:
        """What to hand to pyserial."""
        return self._line.address

    def start(self) -> None:
        """Plug in and listen."""
        self._line.open()
        # A pair of sockets and no pipe: Windows can wait for sockets only.
        self._wake = socket.socketpair()
        self._thread = threading.Thread(
            target=self._run, args=(self._wake[0],), name=f"serial {self._line.address}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and pull out; no thread and no file stays behind."""
        if self._thread is None or self._wake is None:
            return
        self._order("close")
        self._thread.join()
        for end in self._wake:
            end.close()
        self._thread = self._wake = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def hang_up(self) -> None:
        """Pull the cable out; returns when it is out."""
        self._order("hang_up")

    def plug_in(self) -> None:
        """Plug the cable in again; the address is the same on a socket or a named pty."""
        self._order("plug_in")

    # -- inside --------------------------------------------------------------------------------------------

    def _order(self, what: str) -> None:
        # Files are opened and closed by the thread that watches them.
        if self._wake is None:
            raise RuntimeError("the simulator isn't running")
        done = threading.Event()
        with self._orders_lock:
            self._orders.append((what, done))
        self._wake[1].send(b"!")
        while not done.wait(LIFE_CHECK_S):
            if self._thread is None or not self._thread.is_alive():
                raise RuntimeError("the simulator has died")

    def _run(self, wake: socket.socket) -> None:
        while True:
            timeout_s = POLL_S if self.controller.owes else None
            ready, _, _ = select.select([wake.fileno(), *self._line.readable()], [], [], timeout_s)
            if wake.fileno() in ready:
                wake.recv(CHUNK)
                if self._obey_orders():
                    return
                continue
            if ready:
                self._take(self._line.read())
            self._send_due()

    def _obey_orders(self) -> bool:
        with self._orders_lock:
            orders, self._orders = self._orders, []
        for what, done in orders:
            if what == "plug_in":
                self._line.open()
            else:
                self._pull_out()
            done.set()
        return any(what == "close" for what, _ in orders)

    def _pull_out(self) -> None:
        self._line.close()
        self._buffer.clear()
        self._held_back.clear()

    def _take(self, data: bytes) -> None:
        self._pass_time(len(data))
        for byte in data:
            if byte == ABORT:
                # Works at once, in the middle of a command too, which is then forgotten.
                self._buffer.clear()
                self.controller.abort()
            elif byte == TERMINATOR[0]:
                command = self._buffer.decode("latin-1").strip()
                self._buffer.clear()
                self._send_due()
                self._serve(command)
            else:
                self._buffer.append(byte)

    def _serve(self, command: str) -> None:
        faults = self.controller.faults
        if not command:
            return
        if faults.strikes(SerialFaultKind.HANGS_UP, command):
            self._pull_out()
            return
        if faults.strikes(SerialFaultKind.MUTE, command):
            return
        answer = self.controller.receive(command)
        self._send_held_back()
        if answer is None:
            return
        if faults.strikes(SerialFaultKind.WRONG_ECHO, command):
            answer = command
        data = answer.encode("latin-1")
        if faults.strikes(SerialFaultKind.GARBLED, command):
            data = faults.garble(data)
        if faults.strikes(SerialFaultKind.LATE, command):
            self._held_back.append(data)
            return
        self._send(data)

    def _send_due(self) -> None:
        for text in self.controller.due():
            self._send(text.encode("latin-1"))

    def _send_held_back(self) -> None:
        late, self._held_back = self._held_back, []
        for data in late:
            self._send(data)

    def _send(self, data: bytes) -> None:
        self._pass_time(len(data) + 1)
        self._line.write(data + TERMINATOR)

    def _pass_time(self, byte_count: int) -> None:
        if self._baud_rate:
            self.controller.mechanics.clock.sleep_s(byte_count * BITS_PER_BYTE / self._baud_rate)
