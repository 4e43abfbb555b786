"""Cells of a split, worked on by several processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

Cell = TypeVar("Cell")


@dataclass(frozen=True, slots=True)
class Portion:
    """The cells that one process works on.

    Attributes
    ----------
    data
        Root of the data sets.
    number, count
        Which of how many portions.
    """

    data: Path
    number: int
    count: int


def in_processes(work: Callable[[Portion], list[Cell]], data: Path, processes: int) -> list[Cell]:
    """Let processes of their own work on a portion each.

    Parameters
    ----------
    work
        What is done with a portion; a function of a module, since processes are spawned.
    data
        Root of the data sets.
    processes
        How many.

    Returns
    -------
    list
        What came of all portions, in their order.
    """
    portions = [Portion(data, number, processes) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [cell for part in pool.map(work, portions) for cell in part]
