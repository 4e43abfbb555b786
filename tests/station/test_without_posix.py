"""The product as on Windows: no POSIX module, call or signal, cp1252 terminals, open files that can't be removed.

Nothing here runs on Windows. `windows_rehearsal/sitecustomize.py` takes from the product's modules what Windows
lacks, in the process and in its workers; the branches for Windows are those that run.
"""

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from simulators.specimen.karyotype import parse_karyotype
from simulators.specimen.metaphase import render_metaphase
from tests.station.posix_comparison import STEPS, compare

ROOT = Path(__file__).parents[2]
REHEARSAL = Path(__file__).parent / "windows_rehearsal"
ROOMS = ("scanner", "acquisition", "analysis", "simulators", "station")


@pytest.fixture
def run(tmp_path):
    """Run a python as on Windows; its standard output."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(REHEARSAL), str(ROOT))),
        "PYTHONWARNDEFAULTENCODING": "1",
        "PYTHONIOENCODING": "cp1252",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "1",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def call(*arguments, status=0):
        process = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        complaint = process.stderr.decode("cp1252")
        assert process.returncode == status, complaint
        return process.stdout.decode("cp1252")

    return call


def module_names():
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        # Run by alembic only, which brings the context they ask for.
        if "migrations" not in path.parts
    )


def test_the_rehearsal_takes_away_what_windows_lacks(run, tmp_path):
    held = tmp_path / "held.txt"
    held.write_bytes(b"")
    program = tmp_path / "scanner.py"
    program.write_text(
        f"""
import os, signal, sys
assert sys.platform == "win32" and os.name == "nt"
assert not hasattr(os, "fdatasync") and not hasattr(signal, "SIGHUP")
def refused(call, kind):
    try:
        call()
    except kind:
        return
    raise SystemExit(f"{{kind.__name__}} expected")
def import_fcntl():
    import fcntl
refused(import_fcntl, ImportError)
refused(lambda: os.open({str(held)!r}, os.O_RDONLY), AssertionError)
refused(lambda: open({str(held)!r}), EncodingWarning)
with open({str(held)!r}, "rb"):
    refused(lambda: os.unlink({str(held)!r}), PermissionError)
os.unlink({str(held)!r})
""",
        encoding="utf-8",
    )
    run("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import scanner")
    assert not held.exists()


def test_every_module_of_the_product_is_imported(run):
    peer = importlib.util.find_spec("torchvision") is not None
    names = [name for name in module_names() if peer or not name.endswith(".peer")]
    assert len(names) > 300
    program = "import importlib, json, sys\nfor name in json.loads(sys.argv[1]): importlib.import_module(name)"
    run("-c", program, json.dumps(names))


def text_files_written():
    """Calls of the product that write text: file, line and the keywords given."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Call) and (keywords := written_with(node)) is not None:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", keywords


def written_with(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    texts = [
        each.value
        for each in (*node.args, *(word.value for word in node.keywords))
        if isinstance(each, ast.Constant)
    ]
    modes = [each for each in texts if isinstance(each, str) and re.fullmatch(r"[rwaxt+]*[wax+][rwaxt+]*", each)]
    if name == "write_text" or (name in {"open", "fdopen"} and modes):
        keywords = {word.arg for word in node.keywords}
        # Members of a zip file are bytes.
        return None if "force_zip64" in keywords else keywords
    return None


def test_text_is_written_with_its_encoding_and_its_line_ends():
    calls = dict(text_files_written())
    assert calls
    assert [place for place, keywords in calls.items() if not {"encoding", "newline"} <= keywords] == []


@pytest.mark.slow
def test_a_rig_on_a_serial_line_is_checked(run):
    """The simulated controller listens on TCP where there are no pseudo-terminals."""
    assert "fault" not in run("-m", "station.cli", "rig", "check", ROOT / "hardware_configs" / "tango-serial")


@pytest.mark.slow
def test_the_live_picture_is_kept(run, tmp_path):
    run("-m", "station.cli", "rig", "look", ROOT / "hardware_configs" / "simulated", "--once", tmp_path / "look")
    state = json.loads((tmp_path / "look" / "state.json").read_bytes())
    assert state["faults"] == []
    assert (tmp_path / "look" / "picture.png").stat().st_size > 10_000


def write_protocol(folder):
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text(encoding="utf-8"))
    data["scan"]["area"] = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}
    data["scan"]["focus"]["points"] = 2
    data["capture"]["number"] = 1
    data["karyotype"]["enabled"] = False
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_scan_is_killed_and_resumed(run, tmp_path):
    out = tmp_path / "run"
    rig = ROOT / "hardware_configs" / "simulated"
    options = ("--rig", rig, "--protocol", write_protocol(tmp_path), "--out", out, "--cells", 1, "--seed", 3)
    fault = ("--faults", "process_killed@journal/found:2")
    run("-m", "station.cli", "scan", *options, *fault, status=-signal.SIGKILL)
    assert not (out / "run.json").exists()
    run("-m", "station.cli", "resume", out)
    summary = json.loads((out / "run.json").read_bytes())
    assert summary["status"] == "completed"
    assert summary["captured"] == 1
    assert not (out / "spool.raw").exists()


@pytest.mark.slow
def test_a_drawn_cell_is_karyotyped(run, tmp_path):
    cell = render_metaphase(parse_karyotype("46,XY"), np.random.default_rng(4))
    picture = tmp_path / "cell.png"
    cv2.imwrite(str(picture), np.clip(np.rint(230.0 * 10.0**-cell.od), 0, 255).astype(np.uint8))
    run("-m", "station.cli", "karyotype", "--out", tmp_path / "out", picture)
    proposal = json.loads((tmp_path / "out" / "cell.json").read_bytes())
    # Merged and cut chromosomes are the net's affair; that most are there shows that the whole pipeline ran.
    assert len(proposal["chromosomes"]) > 35
    assert (tmp_path / "out" / "cell.karyogram.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="compares with POSIX")
@pytest.mark.parametrize("step", STEPS)
def test_results_are_the_same_with_and_without_posix(tmp_path, step):
    """`python -m tests.station.posix_comparison table.md` writes them side by side."""
    rows = compare(step, tmp_path)
    assert len(rows) >= 4
    assert [row for row in rows if row[1] != row[2]] == []
