"""Serial ports, opened by one program at a time."""

from __future__ import annotations

import sys
from typing import Final

import serial


def _port_errors() -> tuple[type[Exception], ...]:
    if sys.platform == "win32":
        return (serial.SerialException, OSError)
    import termios

    # A pulled-out adapter raises termios.error on a flush, which is no OSError.
    return (serial.SerialException, OSError, termios.error)


PORT_ERRORS: Final = _port_errors()
"""What a port raises that is gone."""


def open_serial_port(address: str, *, baud_rate: int, stop_bits: float, timeout_s: float) -> serial.Serial:
    """Open a port that nobody else may open meanwhile: two programs on one line would read each other's answers.

    Parameters
    ----------
    address
        Device such as ``/dev/ttyUSB0`` or ``COM3``, or a URL that pyserial reads, such as
        ``socket://127.0.0.1:4001``.
    baud_rate
        Bits a second.
    stop_bits
        1 or 2; eight data bits, no parity.
    timeout_s
        Longest wait of a read and of a write.

    Raises
    ------
    serial.SerialException, OSError, ValueError
        It can't be opened, or another program has it open.
    """
    return serial.serial_for_url(
        address,
        baudrate=baud_rate,
        stopbits=stop_bits,
        timeout=timeout_s,
        write_timeout=timeout_s,
        # A lock on the device file; Windows opens every port for one program only.
        exclusive=True,
    )
