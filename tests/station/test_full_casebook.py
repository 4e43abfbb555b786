"""A disk without room for the casebook: the run ends safely, says so, and goes on once there is some."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from acquisition.casebook import open_casebook
from acquisition.protocol import read_protocol
from acquisition.records import FieldStatus, RunStatus
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from simulators.storage_faults import faulty_disk, parse_storage_faults
from station.compose import open_instrument
from station.run.resume import resume_slide
from station.run.scan import ScanRequest, lying_slide, scan_slide

RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated"
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
capture: {objective: 63x, oil: allowed, number: 1, exposure_ms: 40, focus_range_um: 6}
karyotype: {enabled: false}
"""


@pytest.mark.parametrize("nth", [5, 9])
def test_a_run_whose_casebook_is_full_stops_safely_and_goes_on_with_room(tmp_path, nth):
    path, out = tmp_path / "quick.yaml", tmp_path / "run"
    path.write_text(PROTOCOL)
    protocol = read_protocol(path)
    asked = ScanRequest(RIG, path, out, seed=5, cells=1)
    with open_instrument(RIG, lying_slide(asked, protocol.protocol)) as instrument:
        twin = instrument.twin
        with faulty_disk(out, parse_storage_faults(f"disk_full@casebook.sqlite:{nth} x*")):
            parked = scan_slide(instrument, asked, protocol, RunControl(), SilentListener())
        assert parked.summary["status"] == "parked"
        assert re.search(
            r"casebook\.sqlite: .* can't be recorded: database or disk is full", parked.summary["error"]
        )
        assert not twin.lamp_open
        assert twin.focus_um() == pytest.approx(instrument.rig.focus.down_um)
        assert not (out / "run.lock").exists()
        with open_casebook(out / "casebook.sqlite", create=False) as casebook:
            (run,) = casebook.runs()
            assert run.status is RunStatus.RUNNING, "an end that was never written down"

        instrument.microscope.resume()
        done = resume_slide(instrument, out, RunControl(), SilentListener())
        assert done.summary["status"] == "completed", done.summary["error"]
        assert twin.collisions == ()
    with open_casebook(out / "casebook.sqlite", create=False) as casebook:
        (run,) = casebook.runs()
        assert run.status is RunStatus.COMPLETED
        fields = casebook.fields(run.record.uid)
        assert [(field.index, field.status) for field in fields] == [(n, FieldStatus.DONE) for n in range(4)]
        assert len(casebook.captures(run.record.uid)) == 1
