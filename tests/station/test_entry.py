"""The command as a shell starts it: home folders that can't be written, outputs that are full or closed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = "import sys; sys.argv[0] = 'karyoscan'; from station.entry import main; main()"

pytestmark = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no device here that is always full"
)


def command(*arguments: str, stdout: int | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment,
        timeout=240,
    )


def test_a_home_folder_that_can_not_be_written_is_no_matter(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    variables = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "XDG_STATE_HOME": str(home / "state")}
    done = command("rig", "check", str(ROOT / "hardware_configs" / "simulated"), **variables)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["faults"], ["schema", "rig"], ["--help"]])
def test_what_only_prints_says_that_it_can_not(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = command(*arguments, stdout=full.fileno())
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("karyoscan: standard output can't be written")
    assert done.returncode == 1


def test_a_run_stays_completed_where_its_summary_can_not_be_shown(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = command(
            *("scan", "--rig", "simulated", "--protocol", "quick", "--out", str(tmp_path / "run"), "--cells", "1"),
            stdout=full.fileno(),
        )
    assert "Traceback" not in done.stderr
    assert "the summary can't be shown" in done.stderr
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_an_output_can_not_write_are_printed_with_question_marks(tmp_path: Path, encoding: str) -> None:
    folder = tmp_path / os.fsdecode(b"uml_\xfc-\xe7\xb4\xb0")
    folder.mkdir()
    protocol = folder / "p.yaml"
    protocol.write_text((ROOT / "protocols" / "quick.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    checked = command("protocol", "check", str(protocol), PYTHONIOENCODING=encoding)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "uml_?-" in checked.stdout
    shutil.copytree(ROOT / "hardware_configs" / "simulated", folder / "rig")
    rig = command("rig", "check", str(folder / "rig"), PYTHONIOENCODING=encoding)
    assert (rig.returncode, rig.stderr) == (0, "")
    found = command("find", str(folder / "none.png"), "--um-per-px", "0.6", PYTHONIOENCODING=encoding)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert "none.png: no such file" in found.stderr


def test_a_run_and_a_batch_never_share_a_folder(tmp_path: Path) -> None:
    night, run = tmp_path / "night", tmp_path / "run"
    for folder, name in ((night, "batch.json"), (run, "journal.log")):
        folder.mkdir()
        (folder / name).write_text("{}")
    worklist = tmp_path / "worklist.csv"
    worklist.write_text(f"barcode,accession,protocol\nA,1,{ROOT / 'protocols' / 'quick.yaml'}\n")
    scan = command("scan", "--rig", "simulated", "--protocol", "quick", "--out", str(night))
    assert scan.returncode == 1
    assert "holds the record of a batch" in scan.stderr
    batch = command("batch", "--rig", "simulated-feeder", "--worklist", str(worklist), "--out", str(run))
    assert batch.returncode == 1
    assert "holds a run" in batch.stderr
    assert sorted(path.name for path in [*night.iterdir(), *run.iterdir()]) == ["batch.json", "journal.log"]
