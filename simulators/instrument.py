"""A whole simulated instrument in one step: a shipped rig, its slide and its core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scanner.camera_setup import set_up_camera
from scanner.core import ScanCore
from scanner.errors import RigError
from scanner.microscope import Microscope
from scanner.rig import RIG_FILE, Rig, load_rig
from simulators.clock import Clock
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultPlan
from simulators.specimen.slide import SlideSettings
from simulators.twin import Twin

# The rigs lie beside the packages, in a checkout as in an installed wheel.
RIGS = Path(__file__).parent.parent / "hardware_configs"


@dataclass(frozen=True, slots=True)
class SimulatedInstrument:
    """An instrument whose devices are the digital twin's.

    Attributes
    ----------
    rig
        Description of the instrument.
    core
        Core with the rig's configuration loaded; a `pymmcore_plus.CMMCorePlus`.
    twin
        Truth, events, faults and clock.
    microscope
        The scanner's own way of driving it.
    """

    rig: Rig
    core: ScanCore
    twin: Twin
    microscope: Microscope


def shipped_rig(name: str) -> Path:
    """Folder of a rig that comes with KaryoScan.

    Parameters
    ----------
    name
        Such as ``simulated``, ``tango-serial`` or ``prior-serial``.

    Raises
    ------
    RigError
        There is none of that name; with those there are.
    """
    known = sorted(path.parent.name for path in RIGS.glob(f"*/{RIG_FILE}"))
    if name not in known:
        raise RigError(f"no rig {name!r} is shipped; there are {', '.join(known) or 'none'}", path=RIGS)
    return RIGS / name


@contextmanager
def open_instrument(
    folder: Path,
    *,
    slide: SlideSettings | None = None,
    clock: Clock | None = None,
    faults: tuple[TwinFault, ...] = (),
    seed: int = 0,
) -> Iterator[SimulatedInstrument]:
    """Load a rig with the digital twin behind it, and unload it at the end.

    Parameters
    ----------
    folder
        Folder of the rig; see `shipped_rig`.
    slide
        What lies on the stage; the configuration's slide where None.
    clock
        Time; the configuration's where None.
    faults
        What will go wrong, counted from the moment the instrument is handed over.
    seed
        Seed of faults with a probability.

    Raises
    ------
    RigError
        The rig can't be read.
    DeviceNotReadyError
        The rig drives real devices.
    """
    rig, cfg = load_rig(folder)
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        set_up_camera(core, rig)
        twin = twin_of(core)
        if slide is not None:
            twin.settings = slide
        if clock is not None:
            twin.clock = clock
        microscope = Microscope(core, rig)
        twin.faults = TwinFaultPlan(faults, seed)
        yield SimulatedInstrument(rig, core, twin, microscope)
    finally:
        core.unloadAllDevices()
