"""The composition root: the one place that chooses devices and opens the casebook."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import platformdirs

from acquisition.handoff import Handoff, process_pool
from acquisition.protocol import Area, Protocol
from acquisition.run.search_task import prepare_search
from acquisition.workers import spawned
from scanner.camera_setup import set_up_camera
from scanner.configuration_check import MismatchKind, compare_with_core
from scanner.coordinates import SlidePoint
from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError
from scanner.microscope import Microscope
from scanner.oil import OilLedger
from scanner.rig import Rig, load_rig
from simulators.devices import twin_of
from simulators.twin import Twin
from station.errors import UsageError
from station.instrument.exclusive_use import exclusive_use
from station.run.scoring import ScoredTrueCell, TrueChromosome

RENDERED = "rendered"
SEARCH_WORKERS = max(1, min(2, (os.cpu_count() or 2) - 1))
OIL_FILE = "oil.json"


@dataclass(frozen=True, slots=True)
class SimulatedSlide:
    """What lies on the stage of a simulated rig.

    Attributes
    ----------
    specimen
        ``rendered``, or the path of a folder with metaphase pictures.
    seed
        Seed of the slide.
    cells
        Metaphases on the area.
    area
        Where they are planted, slide um.
    coverslip
        Whether there is a coverslip, with edges that can be seen.
    """

    specimen: str
    seed: int
    cells: int
    area: Area
    coverslip: bool = False


@dataclass(frozen=True, slots=True)
class Instrument:
    """A microscope ready to run, and its twin where it is one."""

    rig: Rig
    core: ScanCore
    microscope: Microscope
    twin: Twin | None

    def truth(self) -> tuple[ScoredTrueCell, ...] | None:
        """Metaphases that lie on the slide, analysable or not; None on glass."""
        if self.twin is None:
            return None
        return tuple(
            ScoredTrueCell(
                cell.uid,
                SlidePoint(cell.slide_x_um, cell.slide_y_um),
                cell.radius_um,
                cell.iscn,
                tuple(TrueChromosome(c.class_name, c.box_um) for c in cell.chromosomes),
            )
            for cell in self.twin.truth()
            if cell.is_metaphase
        )


@contextmanager
def open_instrument(
    rig_folder: Path, slide: SimulatedSlide | None = None, *, tolerated: Collection[MismatchKind] = ()
) -> Iterator[Instrument]:
    """Load a rig's devices for exclusive use, and let them go at the end.

    Parameters
    ----------
    rig_folder
        Folder of the rig.
    slide
        What to lay on the stage of a simulated rig.
    tolerated
        On what rig and configuration may disagree, see `load_rig`.

    Raises
    ------
    RigError, DeviceNotReadyError
        The rig is wrong or disagrees with its configuration, a device does not answer, or another process uses the
        instrument.
    """
    rig, cfg = load_rig(rig_folder, tolerated=tolerated)
    with exclusive_use(rig, state_folder()):
        yield from _loaded(rig, cfg, slide)


def _loaded(rig: Rig, cfg: Path, slide: SimulatedSlide | None) -> Iterator[Instrument]:
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        require_devices(core, rig)
        set_up_camera(core, rig)
        require_agreement(core, rig)
        twin = twin_of(core) if rig.simulated else None
        if twin is not None and slide is not None:
            lay_slide(slide, twin)
        yield Instrument(rig, core, Microscope(core, rig, oil=open_oil_ledger(rig)), twin)
    finally:
        core.unloadAllDevices()


def open_oil_ledger(rig: Rig) -> OilLedger:
    """What carries oil on an instrument; a simulated one starts clean.

    Raises
    ------
    OilRecordError
        The record can't be read.
    """
    return OilLedger(None if rig.simulated else rig_state_folder(rig) / OIL_FILE)


def state_folder() -> Path:
    """Where instruments keep what has to outlive a process: ``$XDG_STATE_HOME/karyoscan`` on Linux."""
    return platformdirs.user_state_path("karyoscan", appauthor=False)


def rig_state_folder(rig: Rig) -> Path:
    """What an instrument keeps of its own in the state folder."""
    return state_folder() / quote(rig.name, safe="")


def lay_slide(slide: SimulatedSlide, twin: Twin) -> None:
    """Put a slide on the twin's stage.

    Parameters
    ----------
    slide
        What lies on it.
    twin
        The simulated instrument.

    Raises
    ------
    UsageError
        There can't be such a slide.
    """
    area = slide.area
    specimen = slide.specimen
    if specimen != RENDERED:
        specimen = str(Path(specimen).resolve())
        if not Path(specimen).is_dir():
            raise UsageError(f"--specimen: {slide.specimen} is neither 'rendered' nor a folder of pictures")
    try:
        twin.settings = replace(
            twin.settings,
            specimen=specimen,
            seed=slide.seed,
            cells=slide.cells,
            coverslip=slide.coverslip,
            area_um=(area.x_min_um, area.y_min_um, area.x_max_um, area.y_max_um),
        )
        twin.truth()
    except (ValueError, OSError) as error:
        raise UsageError(f"no such slide: {error}") from error


def require_devices(core: ScanCore, rig: Rig) -> None:
    """Refuse a configuration in which a device of the rig is missing.

    Parameters
    ----------
    core
        With the rig's configuration loaded.
    rig
        Whose devices are asked for.

    Raises
    ------
    DeviceNotReadyError
        With the role in the rig, its label, and what is loaded.
    """
    loaded = core.getLoadedDevices()
    for role, label in rig.devices.missing_from(loaded):
        raise DeviceNotReadyError(
            f"devices.{role} of rig {rig.name} is not in its Micro-Manager configuration",
            device=label,
            allowed=", ".join(sorted(loaded)),
        )


def require_agreement(core: ScanCore, rig: Rig) -> None:
    """Refuse loaded devices that are other than the rig says.

    Parameters
    ----------
    core
        With the rig's configuration loaded.
    rig
        What the laboratory says.

    Raises
    ------
    DeviceNotReadyError
        With the first thing on which they disagree, what it means, and what to do.
    """
    for mismatch in compare_with_core(rig, core):
        raise DeviceNotReadyError(f"{mismatch.key}: {mismatch.text}", device=rig.name)


def agreed_rig(rig_folder: Path) -> Rig:
    """Read a rig that a protocol is held against, without touching an instrument.

    The devices of a simulated rig cost nothing to load and are asked themselves; those of a real one are left in
    peace, and what their configuration file says has to do.

    Raises
    ------
    RigError, DeviceNotReadyError
        The rig is wrong, or disagrees with its configuration.
    """
    rig, cfg = load_rig(rig_folder)
    if rig.simulated:
        for _ in _loaded(rig, cfg, None):
            pass
    return rig


def make_searchers() -> Executor:
    """Processes that search the fields of a scan: one core stays with the instrument, and two suffice."""
    return spawned(SEARCH_WORKERS, prepare_search)


def make_handoff(protocol: Protocol) -> Handoff | None:
    """Workers for the protocol's karyotyping, or None where it asks for none."""
    if not protocol.karyotype.enabled:
        return None
    workers = protocol.karyotype.workers
    return Handoff(lambda: process_pool(workers), workers=workers)
