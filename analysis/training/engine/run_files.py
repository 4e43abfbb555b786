"""Files of a training run: checkpoints and tables, whole or not at all, and a log of one line an entry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

LOG_NAME = "log.jsonl"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name when all of it is on the disk; its folder is made.

    Where the block ends in an error, what stood there before stays, and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write what a training goes on from: tensors, numbers and dictionaries of them."""
    with whole_file(path) as file:
        torch.save(dict(content), file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote; code in the file isn't run."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def log_line(folder: Path, entry: Mapping[str, Any]) -> str:
    """Add an entry to a run's ``log.jsonl``; returns the line, for whoever looks on."""
    line = json.dumps(entry)
    with (folder / LOG_NAME).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return line
