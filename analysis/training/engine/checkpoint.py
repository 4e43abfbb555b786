"""Files that are written whole or not at all, checkpoints among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from scanner.portable.atomic_files import open_atomic


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name when all of it is on the disk; its folder is made.

    Where the block ends in an error, what stood there before stays, and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as file:
        yield file


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write what a training goes on from.

    Parameters
    ----------
    path
        The file.
    content
        Tensors, numbers, texts, and lists and dictionaries of them.
    """
    with whole_file(path) as file:
        torch.save(dict(content), file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote; code in the file isn't run."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content
