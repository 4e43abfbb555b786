"""The pytest plugin as laboratories use it: in projects of their own, outside of this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from scanner.errors import RigError
from simulators.instrument import open_instrument, shipped_rig
from simulators.specimen.slide import SlideSettings

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example"

LABORATORY = """
import pytest
from simulators.clock import InstantClock, ScaledClock
from simulators.faults import Fault, FaultKind

def test_settings_of_the_run(simulated_twin):
    assert simulated_twin.settings.seed == 99
    assert simulated_twin.settings.cells == 1
    assert isinstance(simulated_twin.clock, ScaledClock)

@pytest.mark.karyoscan_slide(cells=2, seed=7)
@pytest.mark.karyoscan_instrument(clock="instant")
class TestMarkers:
    def test_of_the_class(self, simulated_twin, slide_truth, simulated_slide):
        assert simulated_twin.settings.seed == 7
        assert isinstance(simulated_twin.clock, InstantClock)
        assert len(slide_truth) == 2
        assert simulated_slide.truth() == slide_truth

    @pytest.mark.karyoscan_slide(cells=0, nuclei_per_mm2=0.0)
    def test_the_nearest_has_the_last_word(self, simulated_twin):
        assert simulated_twin.settings.cells == 0
        assert simulated_twin.settings.nuclei_per_mm2 == 0.0
        assert simulated_twin.settings.seed == 7

@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.karyoscan_instrument(clock="instant", faults="move_fails@XY:2")
def test_faults(simulated_microscope, simulated_core, simulated_faults, simulated_twin):
    from scanner.coordinates import StagePoint
    from scanner.errors import DeviceError, FrameError
    simulated_microscope.move_to(StagePoint(100.0, 200.0))
    with pytest.raises(DeviceError, match="move not executed"):
        simulated_microscope.move_to(StagePoint(300.0, 200.0))
    assert simulated_core.getXYPosition() == pytest.approx((100.0, 200.0))
    simulated_faults.add(Fault(FaultKind.BLACK_FRAME, "Camera"))
    simulated_microscope.move_to(StagePoint(300.0, 200.0))
    with simulated_microscope.lit(), pytest.raises(FrameError, match="black"):
        simulated_microscope.snap(8.0)
    assert not simulated_twin.lamp_open

@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.karyoscan_instrument(rig="tango-serial", clock="instant")
def test_another_rig(simulated_instrument):
    assert simulated_instrument.rig.name == "tango-serial"
    assert simulated_instrument.core.python_device("Controller").simulator.address

@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.karyoscan_instrument(clock="instant")
def test_serial_controllers(simulated_tango, simulated_proscan, simulated_twin):
    import serial
    with serial.Serial(simulated_proscan.address, 9600, timeout=5) as line:
        line.write(b"G,1000,2000\\r")
        assert line.read_until(b"\\r") == b"R\\r"
    assert simulated_twin.stage_um() == (1000.0, 2000.0)
    with serial.Serial(simulated_tango.address, 57600, timeout=5) as line:
        line.write(b"!dim 1 1\\r?pos\\r")
        assert [float(word) for word in line.read_until(b"\\r").split()[:2]] == [1000.0, 2000.0]

def ask(simulator, command):
    import serial
    from scanner.devices.framing import frame, unframe
    with serial.Serial(simulator.address, 115200, timeout=5) as line:
        line.write(frame(command, 1).encode() + b"\\r")
        return unframe(line.read_until(b"\\r").decode().strip())[0]

@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.karyoscan_instrument(clock="instant")
def test_loader_and_oiler(simulated_loader, simulated_oiler, simulated_twin):
    simulated_twin.move_stage(0.0, 0.0, "XY")
    assert ask(simulated_loader, "LOAD 3") == "OK LOAD"
    assert ask(simulated_loader, "STATE").startswith("OK STATE IDLE 0 1 0 3 ")
    assert simulated_twin.settings.seed == 99_003
    assert "KS-OILER" in ask(simulated_oiler, "ID")

@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.karyoscan_instrument(rig="simulated-feeder", clock="instant")
def test_the_loader_of_the_rig(simulated_loader, simulated_twin):
    assert simulated_loader.controller.feeder is simulated_twin.magazine
    assert ask(simulated_loader, "SLOTS") == "OK SLOTS 80"
"""

MISTAKES = """
import pytest

@pytest.mark.karyoscan_slide(cels=2)
def test_unknown_setting(simulated_twin): ...

@pytest.mark.karyoscan_slide(2)
def test_no_keyword(simulated_twin): ...

@pytest.mark.karyoscan_instrument(rig="no-such")
def test_unknown_rig(simulated_twin): ...

@pytest.mark.karyoscan_instrument(clock="soon")
def test_unknown_clock(simulated_twin): ...

@pytest.mark.karyoscan_instrument(faults="nonsense")
def test_unknown_fault(simulated_twin): ...

@pytest.mark.karyoscan_instrument(speed=3)
def test_unknown_word(simulated_twin): ...

@pytest.mark.karyoscan_slide(cells=0)
def test_failure_tells_its_slide(simulated_twin):
    assert simulated_twin.lamp_open
"""

INI = """
[pytest]
addopts = --strict-markers --strict-config -p no:cacheprovider
filterwarnings = error
karyoscan_seed = 3
karyoscan_cells = 1
karyoscan_clock = scaled:50
"""


@pytest.fixture(autouse=True)
def plugin_is_installed() -> None:
    names = {entry.name for entry in entry_points(group="pytest11")}
    assert "karyoscan" in names, "the installed package is older than its plugin: install it anew"


def run_python(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def test_a_laboratory_gets_what_its_markers_and_settings_ask_for(pytester):
    pytester.makeini(INI)
    pytester.makepyfile(test_laboratory=LABORATORY)
    # The command line stands above the ini file, markers above both.
    pytester.runpytest_subprocess("--karyoscan-seed", "99").assert_outcomes(passed=8)


def test_mistakes_in_markers_are_named(pytester):
    pytester.makeini(INI)
    pytester.makepyfile(test_mistakes=MISTAKES)
    outcome = pytester.runpytest_subprocess()
    outcome.assert_outcomes(errors=6, failed=1)
    for line in (
        "*karyoscan_slide: *unexpected keyword argument 'cels'",
        "*karyoscan_slide takes keywords only*",
        "*no rig 'no-such' is shipped; there are *simulated*",
        "*clock 'soon': allowed are instant, real and scaled:N",
        "*fault 'nonsense'*",
        "*takes rig, clock and faults, got speed",
        "rig simulated, clock scaled:50, faults none",
        "SlideSettings(*seed=3, cells=0*",
    ):
        outcome.stdout.fnmatch_lines(f"*{line}*")


def test_the_example_project_passes_against_the_installed_package(tmp_path):
    project = tmp_path / "example"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__"))
    done = run_python("-m", "pytest", "-p", "no:cacheprovider", "-q", folder=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "17 passed" in done.stdout


def test_simulators_come_alone():
    code = """
import importlib, pkgutil, sys
import simulators.pytest_plugin
heavy = {"numpy", "cv2", "scipy", "pydantic", "pymmcore_plus", "scanner", "simulators.twin"} & set(sys.modules)
assert not heavy, f"the plugin loads {heavy} in every run of pytest"
import simulators
names = [module.name for module in pkgutil.walk_packages(simulators.__path__, "simulators.")]
assert "simulators.serial.tango" in names and "simulators.specimen.slide" in names, names
for name in names:
    importlib.import_module(name)
strangers = {"torch", "sqlalchemy", "alembic", "analysis", "acquisition", "station"} & set(sys.modules)
assert not strangers, f"simulators bring {strangers}"
"""
    done = run_python("-c", code, folder=ROOT)
    assert done.returncode == 0, done.stderr


def test_an_installed_wheel_has_its_rigs(tmp_path):
    built = run_python("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", folder=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").iterdir()
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    code = f"""
import sys
sys.path[:] = [{str(installed)!r}] + [place for place in sys.path if place not in ("", {str(ROOT)!r})]
from pathlib import Path
from scanner.coordinates import StagePoint
from simulators.instrument import RIGS, open_instrument, shipped_rig
from simulators.specimen.slide import SlideSettings
assert RIGS.is_relative_to({str(installed)!r}), RIGS
for name in ("simulated", "tango-serial", "prior-serial"):
    with open_instrument(shipped_rig(name), slide=SlideSettings(cells=0)) as instrument:
        instrument.microscope.move_to(StagePoint(1000.0, 2000.0))
        assert instrument.twin.stage_um() == (1000.0, 2000.0)
"""
    done = run_python("-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_configuration_decides_where_nothing_is_said():
    with open_instrument(shipped_rig("simulated")) as instrument:
        assert instrument.twin.settings == SlideSettings()
        assert instrument.core.getProperty("Hub", "Clock") == "instant"


def test_an_unknown_rig_is_refused_with_those_there_are():
    with pytest.raises(RigError, match=r"no rig 'nowhere' is shipped; there are .*prior-serial, simulated"):
        shipped_rig("nowhere")
