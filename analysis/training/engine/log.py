"""The log of a training: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.training.engine.progress import Progress

LOG_NAME = "log.jsonl"


class TrainingLog:
    """Writes entries to a folder's ``log.jsonl`` and shows each line.

    Parameters
    ----------
    folder
        Where the log lies; None writes nothing.
    progress
        Gets every line.
    """

    def __init__(self, folder: Path | None, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add an entry."""
        line = json.dumps(dict(entry))
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / LOG_NAME).open("a", encoding="utf-8", newline="\n") as file:
                file.write(line + "\n")
        self._progress(line)


def means(records: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the figures of several steps, to four places; one that a step lacks counts as 0 there.

    Parameters
    ----------
    records
        At least one; the first has all the figures.
    """
    return {key: round(float(np.mean([each.get(key, 0.0) for each in records])), 4) for key in records[0]}
