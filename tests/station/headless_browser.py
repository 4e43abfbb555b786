"""A headless Chromium that a test steers through its debugging pipe; no driver package is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


LAUNCHER = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The protocol fixes the descriptors: the browser reads 3 and writes 4."""


class BrowserPage:
    """One page of the browser."""

    def __init__(self, messages: IO[bytes], commands: IO[bytes]) -> None:
        self._messages = messages
        self._commands = commands
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Send a command of the DevTools protocol and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self.complaints.append(json.dumps(answer["params"]))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, condition: str, timeout_s: float = 30.0) -> None:
        """Wait in the page until a JavaScript condition holds."""
        held = self.evaluate(
            f"""new Promise((done) => {{
                const deadline = Date.now() + {1000 * timeout_s};
                const late = () => Date.now() > deadline;
                const ask = () => ({condition}) ? done(true) : late() ? done(false) : setTimeout(ask, 50);
                ask();
            }})"""
        )
        assert held, (
            f"{condition}: not within {timeout_s} s; the page says: {self.evaluate('document.body.innerText')}"
        )

    def screenshot(self, path: Path) -> None:
        """Write what the page shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _next_message(self) -> Any:
        while b"\0" not in self._buffer:
            content = os.read(self._messages.fileno(), 1 << 20)
            assert content, "the browser has ended"
            self._buffer += content
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser_page(profile: Path, *, width_px: int = 1300, height_px: int = 1000) -> Iterator[BrowserPage]:
    """A page of a browser with a fresh profile."""
    assert CHROMIUM is not None
    from_test, to_test = os.pipe(), os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", LAUNCHER, str(from_test[0]), str(to_test[1]), CHROMIUM, "--headless=new"),
            *("--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars", "--no-first-run"),
            *(f"--user-data-dir={profile}", f"--window-size={width_px},{height_px}"),
            "--disable-background-networking",
        ],
        pass_fds=(from_test[0], to_test[1]),
        stderr=subprocess.DEVNULL,
    )
    os.close(from_test[0])
    os.close(to_test[1])
    with os.fdopen(to_test[0], "rb") as messages, os.fdopen(from_test[1], "wb", buffering=0) as commands:
        try:
            yield BrowserPage(messages, commands)
        finally:
            process.terminate()
            process.wait(20)
