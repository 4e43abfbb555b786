from __future__ import annotations

import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pymmcore_plus.experimental.unicore import GenericDevice, HubDevice, StateDevice

from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError, MoveTimeoutError, RigError

DEMO_CFG = Path(__file__).parents[2] / "hardware_configs" / "demo-camera" / "micro-manager.cfg"


class Turret(StateDevice):
    def __init__(self) -> None:
        super().__init__({0: "low", 1: "high"})
        self._state = 0

    def get_state(self) -> int:
        return self._state

    def set_state(self, position: int) -> None:
        self._state = position


class Counter(GenericDevice):
    def __init__(self) -> None:
        super().__init__()
        self.register_property("Gain", default_value=1.0, limits=(0.0, 10.0))
        self.register_property("Steps", default_value=3)
        self.busy_answers = 0

    def busy(self) -> bool:
        self.busy_answers -= 1
        return self.busy_answers >= 0


class Broken(GenericDevice):
    def initialize(self) -> None:
        raise OSError("cannot open /dev/ttyUSB0")


class Hub(HubDevice):
    pass


class Child(GenericDevice):
    hub: object = None

    def connect_hub(self, hub: object) -> None:
        self.hub = hub


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("core_test_devices")
    for kind in (Turret, Counter, Broken, Hub, Child):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


@pytest.fixture
def core() -> Iterator[ScanCore]:
    core = ScanCore()
    yield core
    core.unloadAllDevices()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rig.cfg"
    path.write_text(text)
    return path


INITIALISE = "Property,Core,Initialize,1\n"


def test_pixel_size_presets_match_python_devices(core: ScanCore, devices: str, tmp_path: Path) -> None:
    core.loadSystemConfiguration(
        write(
            tmp_path,
            f"#py pyDevice,Turret,{devices},Turret\n{INITIALISE}"
            "#py ConfigPixelSize,Low,Turret,Label,low\n#py PixelSize_um,Low,0.645\n"
            "#py ConfigPixelSize,High,Turret,Label,high\n#py PixelSize_um,High,0.1024\n",
        )
    )
    assert (core.getCurrentPixelSizeConfig(), core.getPixelSizeUm()) == ("Low", 0.645)
    assert core.getPixelSizeAffine() == pytest.approx((0.645, 0, 0, 0, 0.645, 0))
    core.setStateLabel("Turret", "high")
    assert (core.getCurrentPixelSizeConfig(True), core.getPixelSizeUm(True)) == ("High", 0.1024)


def test_no_preset_no_pixel_size(core: ScanCore) -> None:
    assert core.getCurrentPixelSizeConfig() == ""
    assert core.getPixelSizeUm() == 0.0
    assert core.getPixelSizeAffine() == (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_failed_initialisation_names_every_device(core: ScanCore, devices: str, tmp_path: Path) -> None:
    text = (
        f"#py pyDevice,One,{devices},Broken\n#py pyDevice,Fine,{devices},Counter\n"
        f"#py pyDevice,Two,{devices},Broken\n{INITIALISE}"
    )
    with pytest.raises(DeviceNotReadyError, match="ttyUSB0") as caught:
        core.loadSystemConfiguration(write(tmp_path, text))
    assert caught.value.device == "One, Two"
    assert core.getLoadedDevices() == ("Core",)


def test_devices_that_were_never_initialised_are_refused(core: ScanCore, devices: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceNotReadyError, match="Uninitialized"):
        core.loadSystemConfiguration(write(tmp_path, f"#py pyDevice,Fine,{devices},Counter\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Device,Cam,DemoCamera,DNothing", "DNothing"),
        ("Device,Cam,NoSuchAdapter,DCam", "NoSuchAdapter"),
        ("#py pyDevice,Cam,no.such.module,Camera", "no.such.module"),
        ("#py pyDevice,Cam,core_test_devices,NoSuchClass", "NoSuchClass"),
        ("#py Property,Fine,Gain,11", "allowed range"),
        ("#py Property,Fine,Colour,red", "Colour"),
        ("Nonsense,1,2", "Nonsense"),
    ],
)
def test_what_is_not_there_is_one_line_with_file_and_line(
    core: ScanCore, devices: str, tmp_path: Path, line: str, message: str
) -> None:
    path = write(tmp_path, f"# a comment\n#py pyDevice,Fine,{devices},Counter\n{line}\n{INITIALISE}")
    with pytest.raises(RigError, match=message) as caught:
        core.loadSystemConfiguration(path)
    assert caught.value.line == 3
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "\n" not in str(caught.value)
    assert core.getLoadedDevices() == ("Core",)


def test_missing_configuration(core: ScanCore, tmp_path: Path) -> None:
    with pytest.raises(RigError, match="no such Micro-Manager configuration"):
        core.loadSystemConfiguration(tmp_path / "nowhere.cfg")


def test_autoshutter_is_off(core: ScanCore, tmp_path: Path) -> None:
    assert not core.getAutoShutter()
    core.loadSystemConfiguration(write(tmp_path, f"Property,Core,AutoShutter,1\n{INITIALISE}"))
    assert not core.getAutoShutter()


def test_text_becomes_the_propertys_type(core: ScanCore, devices: str, tmp_path: Path) -> None:
    core.loadSystemConfiguration(
        write(
            tmp_path,
            f"#py pyDevice,Turret,{devices},Turret\n#py pyDevice,Fine,{devices},Counter\n{INITIALISE}"
            "#py Property,Turret,State,1\n#py Property,Fine,Gain,2.5\n#py Property,Fine,Steps,7\n",
        )
    )
    assert core.getStateLabel("Turret") == "high"
    assert core.getProperty("Fine", "Gain") == 2.5
    assert core.getProperty("Fine", "Steps") == 7


def test_peripherals_are_handed_their_hub(core: ScanCore, devices: str, tmp_path: Path) -> None:
    text = f"#py pyDevice,Child,{devices},Child\n#py pyDevice,Hub,{devices},Hub\n"
    with pytest.raises(DeviceNotReadyError, match="Child: needs a hub"):
        core.loadSystemConfiguration(write(tmp_path, text + INITIALISE))
    core.loadSystemConfiguration(write(tmp_path, text + "#py Parent,Child,Hub\n" + INITIALISE))
    child = core.python_device("Child")
    assert isinstance(child, Child)
    assert child.hub is core.python_device("Hub")


def test_unknown_python_device(core: ScanCore) -> None:
    with pytest.raises(DeviceNotReadyError, match="Nope"):
        core.python_device("Nope")


class FakeTime:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds


def load_counters(core: ScanCore, devices: str, tmp_path: Path) -> tuple[Counter, Counter]:
    core.loadSystemConfiguration(
        write(tmp_path, f"#py pyDevice,A,{devices},Counter\n#py pyDevice,B,{devices},Counter\n{INITIALISE}")
    )
    first, second = core.python_device("A"), core.python_device("B")
    assert isinstance(first, Counter)
    assert isinstance(second, Counter)
    return first, second


def test_waiting_polls_every_ms_and_asks_only_whom_it_should(core: ScanCore, devices: str, tmp_path: Path) -> None:
    first, second = load_counters(core, devices, tmp_path)
    first.busy_answers, second.busy_answers = 5, 1_000_000
    clock = FakeTime()
    assert core.wait_until_idle(["A"], 1.0, now=clock.now, pause=clock.pause) == pytest.approx(0.005)
    assert clock.pauses == [0.001] * 5
    assert second.busy_answers == 1_000_000


def test_waiting_ends_at_the_deadline_and_names_the_busy(core: ScanCore, devices: str, tmp_path: Path) -> None:
    first, second = load_counters(core, devices, tmp_path)
    first.busy_answers, second.busy_answers = 3, 1_000_000
    clock = FakeTime()
    with pytest.raises(MoveTimeoutError, match="still busy after") as caught:
        core.wait_until_idle(["A", "B"], 0.05, now=clock.now, pause=clock.pause)
    assert caught.value.device == "B"
    assert clock.seconds == pytest.approx(0.05, abs=0.002)


def test_compiled_demo_configuration_loads_and_snaps(core: ScanCore) -> None:
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    assert core.getCurrentPixelSizeConfig() == "Res10x"
    assert core.getPixelSizeUm() == 1.0
    core.setXYPosition(100.0, 50.0)
    core.wait_until_idle([core.getXYStageDevice()], 5.0)
    assert core.getXYPosition() == pytest.approx((100.0, 50.0), abs=0.1)
    core.snapImage()
    assert core.getImage().shape == (512, 512)


def test_a_core_that_lives_to_the_end_does_not_abort_the_process() -> None:
    # Events still under way while the interpreter ended killed about every second process.
    code = """
from scanner.core import ScanCore
cores = [ScanCore() for _ in range(8)]
for core in cores:
    core.loadSystemConfiguration("MMConfig_demo.cfg")
for core in cores:
    core.setXYPosition(1.0, 1.0)
    core.unloadAllDevices()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_core_without_devices_has_no_thread_left_that_could_drop_its_last_reference():
    process = psutil.Process()
    cores = [ScanCore() for _ in range(4)]
    for core in cores:
        core.loadSystemConfiguration(DEMO_CFG)
    loaded = process.num_threads()
    for core in cores:
        core.unloadAllDevices()
    # One thread of a device, and the one that delivers events.
    assert process.num_threads() <= loaded - 2 * len(cores)


def test_events_are_delivered_again_once_a_configuration_is_loaded_again():
    core = ScanCore()
    try:
        heard = threading.Event()
        core.loadSystemConfiguration(DEMO_CFG)
        core.unloadAllDevices()
        core.events.propertyChanged.connect(lambda *_: heard.set())
        core.loadSystemConfiguration(DEMO_CFG)
        core.setProperty("Objective", "State", 1)
        assert heard.wait(30)
    finally:
        core.unloadAllDevices()
