"""Faults of all kinds in one line of text, and the places where each kind is put."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.core import ScanCore
from simulators.devices import twin_of
from simulators.fault_plan import GRAMMAR
from simulators.faults import TwinFault, TwinFaultKind, TwinFaultPlan, parse_faults
from simulators.serial.devices import SerialHubOnTwin
from simulators.serial.faults import SerialFault, SerialFaultKind, parse_serial_faults
from simulators.storage_faults import StorageFault, StorageFaultKind, parse_storage_faults

SERIAL_PREFIX = "serial."
"""Before a kind that devices have as well: ``serial.lost_steps``."""


@dataclass(frozen=True, slots=True)
class FaultScenario:
    """What will go wrong in a run.

    Attributes
    ----------
    devices
        Faults of the twin's devices.
    lines
        Faults of serial controllers.
    storage
        Faults of the disk and of the process.
    """

    devices: tuple[TwinFault, ...] = ()
    lines: tuple[SerialFault, ...] = ()
    storage: tuple[StorageFault, ...] = ()

    def apply(self, core: ScanCore, seed: int = 0) -> None:
        """Put the faults of devices and lines where they belong; operations are counted from now on.

        Parameters
        ----------
        core
            Core with a simulated rig loaded.
        seed
            Seed of faults with a probability.

        Raises
        ------
        DeviceNotReadyError
            The rig is a real one.
        ValueError
            A fault names a device that the rig lacks, or there is no line to spoil.
        """
        twin = twin_of(core)
        loaded = set(core.getLoadedDevices())
        for fault in self.devices:
            if fault.device not in loaded:
                known = ", ".join(sorted(loaded))
                raise ValueError(f"fault {fault.kind}: the rig has no device {fault.device!r}; it has {known}")
        hubs = [d for d in map(core.python_device, core.python_labels()) if isinstance(d, SerialHubOnTwin)]
        if self.lines and not hubs:
            raise ValueError(f"fault {self.lines[0].kind}: the rig has no serial controller")
        twin.faults = TwinFaultPlan(self.devices, seed)
        for hub in hubs:
            hub.simulator.controller.faults.add(*self.lines)


def parse_scenario(text: str) -> FaultScenario:
    """Read faults of any kind, parted by ``;``, each ``kind@target:nth xtimes ~probability``.

    The kind says whose fault it is; `SERIAL_PREFIX` before it says that a serial line is meant.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    devices: list[TwinFault] = []
    lines: list[SerialFault] = []
    storage: list[StorageFault] = []
    for part in (part.strip() for part in text.split(";")):
        kind = part.removeprefix(SERIAL_PREFIX).partition("@")[0].partition(":")[0].strip()
        # Counts may follow the kind at once: "late x2".
        word = kind.split()[0] if kind else ""
        if not part:
            continue
        if part.startswith(SERIAL_PREFIX) or (word in set(SerialFaultKind) and word not in set(TwinFaultKind)):
            lines += parse_serial_faults(part.removeprefix(SERIAL_PREFIX))
        elif word in set(StorageFaultKind):
            storage += parse_storage_faults(part)
        elif word in set(TwinFaultKind):
            devices += parse_faults(part)
        else:
            known = ", ".join([*TwinFaultKind, *SerialFaultKind, *StorageFaultKind])
            raise ValueError(f"fault {part!r}: wanted {GRAMMAR}; kinds: {known}")
    return FaultScenario(tuple(devices), tuple(lines), tuple(storage))
