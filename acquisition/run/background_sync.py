"""Brings photographed fields to the disk while the instrument goes on."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Self

from acquisition.errors import StorageError
from acquisition.run.run_log import RunLog
from acquisition.storage import FrameSpool

# Fields that a power cut may cost besides the one under way.
MAX_UNSYNCED = 1


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
        self._thread.join()

    def add(self, field_index: int) -> None:
        """Flush this field, whose frame is in the spool; returns at once."""
        with self._changed:
            self._waiting.append(field_index)
            self._unsynced += 1
            self._changed.notify_all()

    def wait(self, most: int = MAX_UNSYNCED) -> None:
        """Return when no more than so many fields are not on the disk.

        Raises
        ------
        StorageError
            The disk refused.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._unsynced <= most or self._error is not None)
            if self._error is not None:
                raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                fields = list(self._waiting)
                self._waiting.clear()
            try:
                self._spool.sync()
                self._log.synced(fields)
            except StorageError as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._unsynced -= len(fields)
                self._changed.notify_all()
