"""A run on a rig with a label camera goes on only on the slide whose label it began with."""

from __future__ import annotations

import json
from pathlib import Path

from acquisition.batch.tray import FeederTray
from acquisition.protocol import read_protocol
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from simulators.faults import TwinFault, TwinFaultKind
from simulators.peripherals import feeder_of
from simulators.specimen.slide import SlideSettings
from simulators.tray import Tray, TraySlide
from station.compose import Instrument, open_instrument
from station.run.resume import resume_slide
from station.run.scan import ScanRequest, ScanResult, scan_slide

RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated-feeder"
PROTOCOL = """\
version: 1
name: quick
banding: G
tissue: lymphocyte
scan:
  objective: 10x
  area: {x_min_um: 30000, y_min_um: 11000, x_max_um: 31600, y_max_um: 12200}
  exposure_ms: 5
  focus: {points: 1, range_um: 40}
capture: {objective: 63x, oil: allowed, number: 0, exposure_ms: 40}
karyotype: {enabled: false}
"""


class StopAtOnce(SilentListener):
    """Asks for a stop after the first field."""

    def __init__(self, control: RunControl) -> None:
        self._control = control

    def step(self, name: str, note: str = "") -> None:
        if name == "scan":
            self._control.request_stop()


def bring(instrument: Instrument, slot: str) -> None:
    tray = FeederTray(instrument.microscope)
    tray.make_ready()
    tray.bring(slot)


def fields_seen(instrument: Instrument) -> int:
    assert instrument.twin is not None
    return len(instrument.twin.handed_over)


def test_only_the_slide_with_the_label_of_the_run_is_gone_on_with(tmp_path):
    path = tmp_path / "quick.yaml"
    path.write_text(PROTOCOL)
    protocol, out = read_protocol(path), tmp_path / "run"

    def resumed(instrument: Instrument) -> ScanResult:
        return resume_slide(instrument, out, RunControl(), SilentListener())

    with open_instrument(RIG) as instrument:
        # Two slides like each other to the last nucleus: only their labels differ.
        glass = SlideSettings(seed=5, cells=1, area_um=(30_000.0, 11_000.0, 31_600.0, 12_200.0))
        feeder = feeder_of(instrument.core)
        feeder.tray = Tray(feeder.slots, {1: TraySlide("KS-1", glass), 2: TraySlide("KS-2", glass)})
        bring(instrument, "1")
        control = RunControl()
        asked = ScanRequest(RIG, path, out, slide="KS-1")
        begun = scan_slide(instrument, asked, protocol, control, StopAtOnce(control))
        assert begun.summary["status"] == "stopped"
        photographed = fields_seen(instrument)

        bring(instrument, "2")
        refused = resumed(instrument).summary
        assert refused["status"] == "failed"
        assert refused["error"] == "another slide: the label reads KS-2, the run began with KS-1"
        assert fields_seen(instrument) == photographed, "the wrong slide was photographed"

        bring(instrument, "1")
        feeder.twin.faults.add(TwinFault(TwinFaultKind.LABEL_UNREADABLE, "LabelCamera"))
        unread = resumed(instrument).summary
        assert "another slide: no label can be read, the run began with KS-1" in unread["error"]
        assert fields_seen(instrument) == photographed

        instrument.microscope.resume()
        assert resumed(instrument).summary["status"] == "completed"
        assert not feeder.twin.lamp_open
        assert feeder.twin.collisions == ()
    assert json.loads((out / "run.json").read_text())["fields"] == 4
