"""Brings photographed fields to the disk while the instrument goes on."""

from __future__ import annotations

import logging
import threading
from collections import deque
from types import TracebackType
from typing import Final, Self

from acquisition.errors import StorageError
from acquisition.run.run_log import RunLog
from acquisition.storage import FrameSpool

_log = logging.getLogger(__name__)

MAX_UNSYNCED: Final = 1
"""Fields that a power cut may cost besides the one under way."""
CLOSE_PATIENCE_S: Final = 30.0
"""A disk that takes longer than this to flush has failed, or is a share whose server is gone."""


class BackgroundSync:
    """A thread that flushes the spool and then records which fields are safe from a power cut.

    Flushing takes milliseconds that the stage need not wait for. Use it as a context manager.

    Parameters
    ----------
    spool
        Where the frames are.
    log
        Where it is recorded.
    """

    def __init__(self, spool: FrameSpool, log: RunLog) -> None:
        self._spool = spool
        self._log = log
        self._changed = threading.Condition()
        self._waiting: deque[int] = deque()
        self._unsynced = 0
        self._error: StorageError | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="background-sync", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_PATIENCE_S)
        if self._thread.is_alive():
            # Nobody can end a call into the system; the thread ends with the process.
            _log.error(
                "the disk has not flushed the spool for %g s; the run no longer waits for it", CLOSE_PATIENCE_S
            )

    def add(self, field_index: int) -> None:
        """Flush this field, whose frame is in the spool; returns at once."""
        with self._changed:
            self._waiting.append(field_index)
            self._unsynced += 1
            self._changed.notify_all()

    def wait(self, most: int = MAX_UNSYNCED, *, timeout_s: float | None = None) -> bool:
        """Wait until no more than so many fields are not on the disk.

        Parameters
        ----------
        most
            How many may be left.
        timeout_s
            How long to wait; None waits as long as it takes.

        Returns
        -------
        bool
            False where the time was up before.

        Raises
        ------
        StorageError
            The disk refused.
        """
        with self._changed:
            is_over = self._changed.wait_for(
                lambda: self._unsynced <= most or self._error is not None, timeout=timeout_s
            )
            if self._error is not None:
                raise self._error
            return is_over

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                fields = list(self._waiting)
                self._waiting.clear()
            error = self._flush(fields)
            with self._changed:
                self._error = error
                self._unsynced -= 0 if error else len(fields)
                self._changed.notify_all()
            if error is not None:
                return

    def _flush(self, fields: list[int]) -> StorageError | None:
        try:
            self._spool.sync()
            self._log.synced(fields)
        except StorageError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whoever waits is told; a thread that dies in silence tells nobody
            _log.exception("flushing the spool")
            return StorageError(f"the spool can't be flushed: {error!r}", path=self._spool.path)
        return None
