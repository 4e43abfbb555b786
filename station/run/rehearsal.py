"""Runs in which things go wrong on purpose: faults of a simulated rig, of its disk and of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanner.rig import load_rig
from simulators.fault_scenario import FaultScenario, parse_scenario
from simulators.storage_faults import EXPOSURE, faulty_disk
from station.compose import Instrument
from station.errors import UsageError


def read_scenario(text: str, rig_folder: Path) -> FaultScenario:
    """What ``--faults`` asks for; called before any device is loaded.

    Parameters
    ----------
    text
        ``kind@target:nth xtimes ~probability``, parted by ``;``; nothing goes wrong where it is empty.
    rig_folder
        Folder of the rig.

    Raises
    ------
    UsageError
        The text can't be read, or the rig is a real one.
    RigError
        The rig can't be read.
    """
    try:
        scenario = parse_scenario(text)
    except ValueError as error:
        raise UsageError(f"--faults: {error}") from error
    rig, _ = load_rig(rig_folder)
    if scenario != FaultScenario() and not rig.simulated:
        raise UsageError(
            f"--faults: {rig.name} is a real instrument; faults are rehearsed on simulated rigs alone"
        )
    return scenario


@contextmanager
def rehearsed(instrument: Instrument, scenario: FaultScenario, folder: Path, seed: int) -> Iterator[None]:
    """Let things go wrong within; operations are counted from now on.

    Parameters
    ----------
    instrument
        A simulated one, unless nothing goes wrong.
    scenario
        What will go wrong.
    folder
        Folder of the run, whose disk is spoiled.
    seed
        Seed of faults with a probability.

    Raises
    ------
    UsageError
        The rig lacks what a fault is about.
    """
    if scenario == FaultScenario():
        yield
        return
    try:
        scenario.apply(instrument.core, seed)
    except ValueError as error:
        raise UsageError(f"--faults: {error}") from error
    with faulty_disk(folder, scenario.storage, seed) as disk:

        def watch(what: str) -> None:
            if what == "camera":
                disk.passed(EXPOSURE)

        watchers = instrument.twin.watchers if instrument.twin is not None else []
        watchers.append(watch)
        try:
            yield
        finally:
            watchers.remove(watch)
