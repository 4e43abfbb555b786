"""Simulated instruments as pytest fixtures, for laboratories that test their own scripts.

pytest loads this module in every run of an environment that has KaryoScan, so it imports nothing heavy before a
fixture is asked for. ``docs/how-to/testing-your-scripts.md`` shows how to use it, ``docs/example`` a project that
does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scanner.core import ScanCore
    from scanner.microscope import Microscope
    from simulators.faults import TwinFaultPlan
    from simulators.instrument import SimulatedInstrument
    from simulators.serial.simulator import SerialSimulator
    from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld
    from simulators.twin import Twin

SLIDE_MARKER = "karyoscan_slide"
INSTRUMENT_MARKER = "karyoscan_instrument"
# 1.6 x 1.2 mm: four fields at 10x, with room for half a dozen cells.
SMALL_AREA_UM = (30_000.0, 11_000.0, 31_600.0, 12_200.0)

_MARKERS = {
    SLIDE_MARKER: "(**settings): the simulated slide, by the fields of simulators.specimen.slide.SlideSettings, "
    "such as cells=3, seed=7, area_um=(xmin, ymin, xmax, ymax)",
    INSTRUMENT_MARKER: "(rig, clock, faults): name or folder of a simulated rig; instant, scaled:N or real; "
    "faults as text, such as 'move_fails@XY:3; black_frame@Camera'",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings of a whole run; markers decide for single tests."""
    parser.addini("karyoscan_rig", "simulated rig: the name of a shipped one, or a folder", default="simulated")
    parser.addini("karyoscan_seed", "seed of simulated slides and faults", default="0")
    parser.addini("karyoscan_cells", "metaphases on a simulated slide", default="3")
    parser.addini("karyoscan_clock", "time of simulated instruments: instant, scaled:N or real", default="instant")
    group = parser.getgroup("karyoscan", "simulated instruments")
    group.addoption(
        "--karyoscan-seed",
        type=int,
        metavar="N",
        help="seed of simulated slides and faults, before karyoscan_seed; a marker's seed stands above both",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for name, rest in _MARKERS.items():
        config.addinivalue_line("markers", name + rest)


def _marked(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """What the markers of a test say; the nearest has the last word."""
    settings: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers(name))):
        if marker.args:
            raise pytest.UsageError(f"{name} takes keywords only, got {marker.args!r}")
        settings.update(marker.kwargs)
    return settings


def _default_seed(config: pytest.Config) -> int:
    ordered = config.getoption("--karyoscan-seed")
    return int(config.getini("karyoscan_seed")) if ordered is None else int(ordered)


def _slide_settings(request: pytest.FixtureRequest) -> SlideSettings:
    from simulators.specimen.slide import SlideSettings

    config = request.config
    wanted: dict[str, Any] = {
        "seed": _default_seed(config),
        "cells": int(config.getini("karyoscan_cells")),
        "area_um": SMALL_AREA_UM,
        **_marked(request, SLIDE_MARKER),
    }
    try:
        return SlideSettings(**wanted)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{SLIDE_MARKER}: {error}") from error


@pytest.fixture
def simulated_instrument(request: pytest.FixtureRequest) -> Iterator[SimulatedInstrument]:
    """A simulated instrument with a slide on it: ``rig``, ``core``, ``twin`` and ``microscope``."""
    from scanner.errors import RigError
    from simulators.clock import parse_clock
    from simulators.faults import parse_faults
    from simulators.instrument import open_instrument, shipped_rig

    slide = _slide_settings(request)
    config = request.config
    told = _marked(request, INSTRUMENT_MARKER)
    rig = told.pop("rig", config.getini("karyoscan_rig"))
    clock_text = told.pop("clock", config.getini("karyoscan_clock"))
    faults_text = told.pop("faults", "")
    if told:
        raise pytest.UsageError(f"{INSTRUMENT_MARKER}: takes rig, clock and faults, got {', '.join(told)}")
    try:
        clock, faults = parse_clock(clock_text), parse_faults(faults_text)
        folder = Path(rig) if Path(rig).is_dir() else shipped_rig(str(rig))
    except (ValueError, RigError) as error:
        raise pytest.UsageError(f"{INSTRUMENT_MARKER}: {error}") from error
    # Shown beside a failure, so that it can be had again.
    request.node.add_report_section(
        "setup", "simulated instrument", f"rig {rig}, clock {clock_text}, faults {faults_text or 'none'}\n{slide}"
    )
    with open_instrument(folder, slide=slide, clock=clock, faults=faults, seed=slide.seed) as instrument:
        yield instrument


@pytest.fixture
def simulated_microscope(simulated_instrument: SimulatedInstrument) -> Microscope:
    """The simulated instrument, driven the scanner's way: every move checked, every picture proven."""
    return simulated_instrument.microscope


@pytest.fixture
def simulated_core(simulated_instrument: SimulatedInstrument) -> ScanCore:
    """The simulated instrument, driven as a `CMMCorePlus` with the devices XY, Z, Objective, Lamp, Camera."""
    return simulated_instrument.core


@pytest.fixture
def simulated_twin(simulated_instrument: SimulatedInstrument) -> Twin:
    """What is true of the simulated instrument, whatever its devices say: positions, light, events, collisions."""
    return simulated_instrument.twin


@pytest.fixture
def simulated_faults(simulated_twin: Twin) -> TwinFaultPlan:
    """What will go wrong with the simulated instrument; `add` a `simulators.faults.Fault` at any time."""
    return simulated_twin.faults


@pytest.fixture
def simulated_slide(simulated_twin: Twin) -> SlideWorld:
    """The slide on the stage: what lies on it, and how high its surface is."""
    return simulated_twin.world


@pytest.fixture
def slide_truth(simulated_twin: Twin) -> tuple[CellTruth, ...]:
    """The planted metaphases, in slide um: places, karyotypes, chromosomes."""
    return simulated_twin.truth()


@pytest.fixture
def simulated_tango(simulated_twin: Twin) -> Iterator[SerialSimulator]:
    """A TANGO on a pty that moves the simulated stage: `address` is the port, `controller.faults` its faults."""
    from simulators.serial.mechanics import TwinMechanics
    from simulators.serial.simulator import SerialSimulator
    from simulators.serial.tango import TangoController

    with SerialSimulator(TangoController(TwinMechanics(simulated_twin))) as simulator:
        yield simulator


@pytest.fixture
def simulated_proscan(simulated_twin: Twin) -> Iterator[SerialSimulator]:
    """A ProScan III on a pty that moves the simulated stage; else as `simulated_tango`."""
    from simulators.serial.mechanics import TwinMechanics
    from simulators.serial.prior import ProScanController
    from simulators.serial.simulator import SerialSimulator

    with SerialSimulator(ProScanController(TwinMechanics(simulated_twin))) as simulator:
        yield simulator


@pytest.fixture
def simulated_loader(simulated_twin: Twin) -> Iterator[SerialSimulator]:
    """A slide loader on a pty that feeds the simulated stage, which is empty until it has loaded a slide.

    The magazine is the rig's where it has a loader (rig ``simulated-feeder``), else one of slides like the test's.
    """
    from simulators.feeder import Feeder
    from simulators.serial.loader import LoaderController
    from simulators.serial.simulator import SerialSimulator

    magazine = simulated_twin.magazine
    feeder = magazine if isinstance(magazine, Feeder) else Feeder(simulated_twin)
    with SerialSimulator(LoaderController(feeder)) as simulator:
        yield simulator


@pytest.fixture
def simulated_oiler(simulated_twin: Twin) -> Iterator[SerialSimulator]:
    """An oil dispenser on a pty, over the simulated stage."""
    from simulators.oil import Dispenser
    from simulators.serial.oiler import OilerController
    from simulators.serial.simulator import SerialSimulator

    with SerialSimulator(OilerController(Dispenser(simulated_twin))) as simulator:
        yield simulator
