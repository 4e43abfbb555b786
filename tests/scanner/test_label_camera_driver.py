"""The serial label camera driver: a picture arrives whole, or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from scanner.core import ScanCore
from scanner.devices.label_camera import SerialLabelCamera
from scanner.errors import DeviceError, DeviceNotReadyError, LabelError
from simulators.clock import ManualClock
from simulators.label import LabelStyle, draw_label
from simulators.serial.faults import SerialFault, SerialFaultKind
from simulators.serial.framed import SimulatedRefusalError
from simulators.serial.label_camera import LabelCameraController
from simulators.serial.line import PtyLine
from simulators.serial.simulator import SerialSimulator
from simulators.specimen.slide import SlideSettings
from simulators.twin import Twin

LINE_FAULTS = ("mute", "late", "garbled", "wrong_echo")


@dataclass
class Bench:
    core: ScanCore
    controller: LabelCameraController
    simulator: SerialSimulator

    @property
    def camera(self) -> SerialLabelCamera:
        return self.core.python_device("LabelCamera")


@pytest.fixture
def bench() -> Iterator[Bench]:
    twin = Twin(SlideSettings(cells=0, nuclei_per_mm2=0.0), ManualClock())
    # Without noise the picture is small, and soon here.
    picture = draw_label("KS-1", style=LabelStyle(noise=0.0, blur_px=1.0))
    controller = LabelCameraController(twin, take=lambda: picture)
    core = ScanCore()
    with SerialSimulator(controller, PtyLine()) as simulator:
        try:
            core.loadDevice("LabelCamera", "scanner.devices.label_camera", "SerialLabelCamera")
            core.setProperty("LabelCamera", "Port", simulator.address)
            core.setProperty("LabelCamera", "AnswerTimeout_ms", 5_000.0)
            core.initializeAllDevices()
            yield Bench(core, controller, simulator)
        finally:
            core.unloadAllDevices()


def test_a_picture_is_the_one_that_was_taken(bench):
    picture = bench.camera.picture()
    assert picture.shape == (480, 640)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, bench.camera.picture())
    assert picture.std() > 20.0


@pytest.mark.parametrize("kind", LINE_FAULTS)
@pytest.mark.parametrize(("command", "nth"), [("SNAP", 1), ("READ", 20)])
def test_a_bad_line_gives_no_picture_and_the_next_one_is_whole(bench, kind, command, nth):
    if kind in ("mute", "late"):
        # Silence has to be waited for; the camera itself takes a while to answer on a busy machine.
        bench.core.setProperty("LabelCamera", "AnswerTimeout_ms", 1_500.0)
    bench.controller.faults.add(SerialFault(SerialFaultKind(kind), command, nth=nth))
    with pytest.raises(DeviceError, match=command) as caught:
        bench.camera.picture()
    assert caught.value.device == "LabelCamera"
    bench.core.setProperty("LabelCamera", "AnswerTimeout_ms", 5_000.0)
    assert bench.camera.picture().shape == (480, 640)


def test_a_camera_that_goes_is_an_error(bench):
    bench.controller.faults.add(SerialFault(SerialFaultKind.HANGS_UP, "READ", nth=5))
    with pytest.raises(DeviceNotReadyError):
        bench.camera.picture()
    with pytest.raises(DeviceNotReadyError):
        bench.camera.picture()


def test_a_picture_with_a_wrong_checksum_is_no_picture(bench):
    announce = bench.controller._snap
    bench.controller._snap = lambda: announce()[:-8] + "00000000"
    with pytest.raises(LabelError, match="damaged"):
        bench.camera.picture()


def test_a_picture_of_another_size_is_no_picture(bench):
    announce = bench.controller._snap
    bench.controller._snap = lambda: announce().replace("640 480", "480 640")
    with pytest.raises(LabelError, match="announced"):
        bench.camera.picture()


def test_what_is_no_picture_is_refused(bench):
    data = b"no picture at all"
    bench.controller._data = data
    bench.controller._snap = lambda: f"640 480 {len(data)} {zlib.crc32(data):08X}"
    with pytest.raises(LabelError, match="announced"):
        bench.camera.picture()


@pytest.mark.parametrize(
    "answer",
    ["", "640 480 100", "640 480 0 00000000", "640 480 9999999999 00000000", "640 0 10 00000000", "a b c d"],
)
def test_an_announcement_of_another_shape_is_refused(bench, answer):
    bench.controller._snap = lambda: answer
    with pytest.raises(DeviceError, match="makes no sense"):
        bench.camera.picture()


def test_a_camera_without_a_picture_says_so(bench):
    def refuse() -> str:
        raise SimulatedRefusalError(10)

    bench.controller._snap = refuse
    with pytest.raises(LabelError, match="gave no picture"):
        bench.camera.picture()


def test_a_part_that_is_not_there_is_refused(bench):
    bench.camera.picture()
    for arguments in (["0", "0"], ["0", "999"], ["99999999", "10"], ["0"], ["x", "1"]):
        with pytest.raises(Exception, match="3"):
            bench.controller.obey("READ", arguments)


def test_a_picture_that_takes_too_long_is_given_up(bench, monkeypatch):
    times = iter(range(0, 10_000, 10))
    monkeypatch.setattr("scanner.devices.label_camera.time.monotonic", lambda: float(next(times)))
    with pytest.raises(LabelError, match="in time"):
        bench.camera.picture()
