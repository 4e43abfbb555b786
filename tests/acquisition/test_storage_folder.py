"""A run folder belongs to one run; files in it are whole or absent."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from acquisition.errors import DiskFullError, FolderInUseError, StorageError
from acquisition.storage import RunFolder, write_bytes_atomic, write_json_atomic, write_png_atomic

HOLDER = """
import sys
from pathlib import Path
from acquisition.storage import RunFolder
folder = RunFolder.create(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_folder_is_made_with_its_parts(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "new" / "run") as folder:
        assert all(part.is_dir() for part in (folder.captures, folder.karyograms, folder.finds))
        assert (folder.path / "run.lock").exists()
        assert folder.run_json.parent == folder.casebook.parent == folder.report.parent == folder.path
    assert not (folder.path / "run.lock").exists()
    folder.close()


def test_a_folder_with_other_things_is_fine(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("slide 17")
    with RunFolder.create(tmp_path) as folder:
        assert folder.path == tmp_path


def test_an_abandoned_empty_folder_can_be_used_again(tmp_path: Path) -> None:
    RunFolder.create(tmp_path).close()
    RunFolder.create(tmp_path).close()


@pytest.mark.parametrize("name", ["run.json", "casebook.sqlite", "report.html", "captures/p.ome.tiff"])
def test_the_record_of_another_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FolderInUseError, match="record of another run"):
        RunFolder.create(tmp_path)
    assert not (tmp_path / "run.lock").exists()


def test_two_runs_in_one_process_are_refused(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path), pytest.raises(FolderInUseError, match=f"process {os.getpid()} on"):
        RunFolder.create(tmp_path)


def test_a_living_process_keeps_its_folder_and_a_dead_one_does_not(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(FolderInUseError, match=f"process {holder.pid} on {socket.gethostname()}"):
            RunFolder.create(tmp_path)
        holder.kill()
    assert (tmp_path / "run.lock").exists()
    with RunFolder.create(tmp_path) as folder:
        assert json.loads((folder.path / "run.lock").read_text())["pid"] == os.getpid()


def test_a_lock_of_another_machine_is_refused_with_a_way_out(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    lock.write_text(json.dumps({"pid": 4711, "host": "elsewhere"}))
    with pytest.raises(
        FolderInUseError, match=r"process 4711 on elsewhere; if that run is over, remove run\.lock"
    ):
        RunFolder.create(tmp_path)
    assert lock.exists()


def test_a_damaged_lock_of_nobody_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_bytes(b"\x00\xff")
    RunFolder.create(tmp_path).close()


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(StorageError, match="File exists"):
        RunFolder.create(tmp_path / "run")


def test_free_room(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as folder:
        assert folder.free_bytes() > 0
        folder.require_free(1)
        with pytest.raises(DiskFullError, match=r"needs [\d,.]+ MiB, but only [\d,.]+ MiB are free"):
            folder.require_free(1 << 60)


def test_json_is_readable_and_final(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json_atomic(path, {"slide": "µ", "found": None})
    write_json_atomic(path, {"slide": "µ", "found": 3})
    assert json.loads(path.read_text("utf-8")) == {"slide": "µ", "found": 3}
    assert "µ" in path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_of_other_bytes_comes_back_from_json(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    write_json_atomic(path, {"out": "run_\udcfc µ"})
    assert json.loads(path.read_text("utf-8")) == {"out": "run_\udcfc µ"}


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_cannot_hold_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(StorageError, match="as JSON"):
        write_json_atomic(tmp_path / "run.json", {"value": value})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_bytes_atomic(path, b"former")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError):
        write_bytes_atomic(path, b"later")
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("dtype", "shape"), [(np.uint8, (5, 7)), (np.uint16, (5, 7)), (np.uint8, (5, 7, 3))])
def test_pictures_come_back(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    write_png_atomic(tmp_path / "a.png", pixels)
    back = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(back[..., ::-1] if back.ndim == 3 else back, pixels)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no picture"):
        write_png_atomic(tmp_path / "a.png", np.zeros((3, 3), np.float32))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
