"""Fitted parameters are checked before the instrument is opened, not after a slide was scanned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from analysis.errors import WeightsError
from station.run import batch, resume, scan
from station.run.batch import BatchRequest
from station.run.scan import ScanRequest

ROOT = Path(__file__).parents[2]


def broken() -> None:
    raise WeightsError("parameters are missing or damaged, install them anew: detector: its content is another")


def no_instrument(*_: object, **__: object) -> None:
    raise AssertionError("the instrument was opened")


@pytest.mark.parametrize("kind", ["scan", "batch", "resume"])
def test_damaged_parameters_are_told_before_the_instrument_is_opened(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (scan, batch, resume):
        monkeypatch.setattr(module, "verify_all", broken)
        monkeypatch.setattr(module, "open_instrument", no_instrument)
    rig, protocol = ROOT / "hardware_configs" / "simulated", ROOT / "protocols" / "demo.yaml"
    worklist = tmp_path / "night.csv"
    worklist.write_text(f"barcode,accession,protocol\nA,1,{protocol}\n")
    out, control, listener = tmp_path / "run", RunControl(), SilentListener()
    begin: dict[str, Callable[[], object]] = {
        "scan": lambda: scan.run_scan(ScanRequest(rig, protocol, out), control, listener),
        "batch": lambda: batch.run_batch(BatchRequest(rig, worklist, out), control, listener),
        "resume": lambda: resume.run_resume(out, control, listener),
    }
    with pytest.raises(WeightsError, match="detector"):
        begin[kind]()
    assert not out.exists()
