"""The whole way of an image, from a slide on the stage to karyogram, casebook and report."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from acquisition.casebook import open_casebook
from acquisition.protocol import load_protocol
from acquisition.records import KaryotypeStatus, RunStatus
from acquisition.storage import read_capture
from station.cli import main
from station.compose import open_instrument
from station.run.scan import ScanRequest, lying_slide

ROOT = Path(__file__).parents[2]
RIG = ROOT / "hardware_configs" / "simulated"
SMALL = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}
CASE = ("--accession", "17-0042")


def write_protocol(folder: Path, *, area=SMALL, **capture) -> Path:
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text())
    data["scan"]["area"] = area
    data["scan"]["focus"]["points"] = 3
    data["capture"].update(capture)
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def scan(out: Path, protocol: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["scan", "--rig", str(RIG), "--protocol", str(protocol), "--out", str(out), *more])
    return int(caught.value.code or 0)


@pytest.mark.slow
def test_a_slide_goes_all_the_way_to_karyograms_and_a_report(tmp_path):
    out = tmp_path / "run"
    assert scan(out, write_protocol(tmp_path), "--cells", "2", "--seed", "3", "--slide", "S-17", *CASE) == 0
    run = json.loads((out / "run.json").read_text())
    assert (run["planted"], run["found"], run["captured"], run["karyotyped"]) == (2, 2, 2, 2)
    assert run["false_finds"] == 0
    assert (run["status"], run["accession"]) == ("completed", "17-0042")
    assert run["chromosomes_true"] in range(90, 95)
    # Rendered cells are made to be seen working; below this the shipped weights or the cutting are broken.
    assert run["chromosomes_right"] >= 0.9 * run["chromosomes_true"]
    assert {"focus", "scan", "capture", "karyotype", "total"} <= set(run["seconds"])
    with open_casebook(out / "casebook.sqlite", create=False) as casebook:
        (summary,) = casebook.runs()
        assert summary.status is RunStatus.COMPLETED
        assert summary.record.slide == "S-17"
        uid = summary.record.uid
        captures = {capture.uid: capture for capture in casebook.captures(uid)}
        proposals = casebook.karyotypes(uid)
        assert {proposal.capture_uid for proposal in proposals} == set(captures)
        for proposal in proposals:
            assert proposal.status is KaryotypeStatus.PROPOSED
            assert (out / proposal.picture_path).stat().st_size > 10_000
            answer = json.loads((out / proposal.json_path).read_text())
            assert len(answer["chromosomes"]) == proposal.chromosomes
        for capture in captures.values():
            stored = read_capture(out / capture.path, sha256=capture.sha256)
            assert stored.pixels.shape == (1024, 1360)
            assert stored.metadata.accession == "17-0042"
    truth = json.loads((out / "truth.json").read_text())
    assert sorted(cell["uid"] for cell in truth["cells"]) == sorted(
        match["cell_uid"] for match in truth["matches"]
    )
    page = (out / "report.html").read_text()
    assert "S-17" in page
    assert "17-0042" in page
    assert not (out / "run.lock").exists()


@pytest.mark.parametrize(
    ("option", "name"), [("--slide", "a\udcfc"), ("--accession", "a\nb"), ("--slide", "x" * 201)]
)
def test_a_name_that_no_record_can_hold_is_refused_before_anything_is_made(tmp_path, capsys, option, name):
    assert scan(tmp_path / "run", write_protocol(tmp_path), option, name) == 1
    assert capsys.readouterr().err.startswith("karyoscan: found ")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("drawn_anew")
def test_the_same_seed_gives_the_same_slide(tmp_path):
    path = write_protocol(tmp_path)
    truths = []
    for seed in (8, 8, 9):
        asked = ScanRequest(RIG, path, tmp_path / "run", seed=seed, cells=2)
        with open_instrument(RIG, lying_slide(asked, load_protocol(path))) as instrument:
            truths.append(instrument.truth())
    assert len(truths[0]) == 2
    assert truths[0] == truths[1] != truths[2]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_within_one_field_with_a_truthful_record(tmp_path, number):
    area = {"x_min_um": 25_000, "y_min_um": 8_000, "x_max_um": 40_000, "y_max_um": 18_000}
    protocol = write_protocol(tmp_path, area=area)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "station.cli", "scan", "--rig", str(RIG), "--protocol", str(protocol)]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--cells", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if line.startswith("Scan:"):
            process.send_signal(number)
            break
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130, "".join(output) + rest
    run = json.loads((out / "run.json").read_text())
    assert (run["status"], run["safe_state_faults"]) == ("stopped", [])
    assert run["captured"] == 0
    with open_casebook(out / "casebook.sqlite", create=False) as casebook:
        (summary,) = casebook.runs()
        assert summary.status is RunStatus.STOPPED
        assert len(casebook.fields(summary.record.uid)) < run["fields"] / 4
    assert (out / "report.html").is_file()


@pytest.mark.data
@pytest.mark.slow
def test_a_real_metaphase_is_found_photographed_and_karyotyped(tmp_path, data_root):
    images = sorted((data_root / "tseng" / "images").glob("*.jpg"))[:1]
    if not images:
        pytest.skip(f"no Tseng images in {data_root}")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / images[0].name).symlink_to(images[0].resolve())
    (pictures / "boxes.csv.gz").symlink_to((data_root / "tseng" / "boxes.csv.gz").resolve())
    out = tmp_path / "run"
    assert scan(out, write_protocol(tmp_path), "--cells", "1", "--specimen", str(pictures)) == 0
    run = json.loads((out / "run.json").read_text())
    assert (run["planted"], run["found"], run["captured"], run["karyotyped"]) == (1, 1, 1, 1)
    assert run["chromosomes_true"] > 40
