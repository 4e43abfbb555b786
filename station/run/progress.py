"""The run's progress in a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_TITLES = {
    "focus": "Focus map",
    "scan": "Scan",
    "search": "Search",
    "capture": "Capture",
    "karyotype": "Karyotype",
}


class RichListener:
    """Draws one bar a phase; a `RunListener`.

    Parameters
    ----------
    console
        Where to draw; on a console that is no terminal only phases and messages are printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def phase(self, name: str, total: int) -> None:
        """Start a bar.

        Parameters
        ----------
        name
            Of the phase, as the run calls it.
        total
            Steps it will take.
        """
        title = _TITLES.get(name, name)
        self._tasks[name] = self._progress.add_task(title, total=total, note="")
        if not self._console.is_terminal:
            self._console.print(f"{title}: {total}")

    def step(self, name: str, note: str = "") -> None:
        """Advance a bar.

        Parameters
        ----------
        name
            Of the phase.
        note
            What was done, in a few words.
        """
        if name in self._tasks:
            self._progress.update(self._tasks[name], advance=1, note=note)

    def message(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(f"[yellow]![/yellow] {text}", highlight=False)
