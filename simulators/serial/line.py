"""The cable: a pty that looks like a serial port, or a TCP socket like a device server's."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

CHUNK = 4096


HAS_PTY: Final = sys.platform != "win32"
"""Whether the system has pseudo-terminals; where it has none, simulators listen on TCP."""


class SerialLine(Protocol):
    """One end of a cable. It's used by one thread, the simulator's."""

    @property
    def address(self) -> str:
        """What to hand to pyserial."""

    def open(self) -> None:
        """Plug it in."""

    def close(self) -> None:
        """Pull it out: whoever is connected finds the line dead."""

    def readable(self) -> list[int]:
        """File descriptors to watch."""

    def read(self) -> bytes:
        """Bytes that have come; none where nothing has."""

    def write(self, data: bytes) -> None:
        """Send bytes; they are lost where nobody is connected."""


class PtyLine:
    """A pseudo-terminal.

    Parameters
    ----------
    link
        Symbolic link that names it, so that the address survives being pulled out and plugged in again.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._link = link
        self._master: int | None = None
        self._slave: int | None = None
        self._name = ""

    @property
    def address(self) -> str:
        """Path of the terminal."""
        return self._name if self._link is None else str(self._link)

    def open(self) -> None:
        """Make the pair.

        Raises
        ------
        OSError
            The system has no pseudo-terminals.
        """
        if sys.platform == "win32":
            raise OSError("Windows has no pseudo-terminals; use a TcpLine")
        import pty
        import tty

        master, slave = pty.openpty()
        # Raw on both ends: nothing is echoed, edited or translated.
        tty.setraw(master)
        tty.setraw(slave)
        # The slave stays open here: with nobody on it, reading the master would fail.
        self._master, self._slave = master, slave
        self._name = os.ttyname(slave)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self._name)

    def close(self) -> None:
        """Close both ends."""
        for end in (self._master, self._slave):
            if end is not None:
                os.close(end)
        self._master = self._slave = None
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def readable(self) -> list[int]:
        """The master."""
        return [] if self._master is None else [self._master]

    def read(self) -> bytes:
        """Bytes that have come."""
        return b"" if self._master is None else os.read(self._master, CHUNK)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._master is not None:
            os.write(self._master, data)


class TcpLine:
    """A socket on 127.0.0.1 that serves one client at a time."""

    def __init__(self) -> None:
        self._port = 0
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None

    @property
    def address(self) -> str:
        """URL for pyserial."""
        return f"socket://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen; on the same port as before, where there was one."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=1)
        self._port = int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Drop the client and stop listening."""
        for end in (self._client, self._listener):
            if end is not None:
                end.close()
        self._client = self._listener = None

    def readable(self) -> list[int]:
        """Listener and client."""
        return [end.fileno() for end in (self._client or self._listener,) if end is not None]

    def read(self) -> bytes:
        """Bytes that have come; a new client is let in first."""
        if self._client is None:
            if self._listener is None:
                return b""
            self._client, _ = self._listener.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return b""
        try:
            data = self._client.recv(CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            self._client.close()
            self._client = None
        return data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._client is not None:
            with suppress(ConnectionError):
                self._client.sendall(data)


def default_line() -> SerialLine:
    """Make a pseudo-terminal, or a TCP socket where the system has none."""
    return PtyLine() if HAS_PTY else TcpLine()
