"""What differs between systems: whole files, locks between processes, descriptors, serial ports."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import serial

from scanner.portable import atomic_files
from scanner.portable.atomic_files import open_atomic, sync_folder, write_atomic
from scanner.portable.disk import open_descriptor, read_at, reserve_space, sync_data, sync_file, write_at
from scanner.portable.file_lock import FileLock, LockHeldError, read_lock_owner
from scanner.portable.process import boot_id, is_running, process_start_s
from scanner.portable.serial_port import open_serial_port
from simulators.serial.line import HAS_PTY, PtyLine

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")


# -- files -------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["rig.yaml"]


def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    write_atomic(path, b"old")

    def tear() -> None:
        with open_atomic(path) as file:
            file.write(b"half")
            raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        tear()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["weights"]


@posix_only
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_permissions_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "report.html", b"page")
        write_atomic(tmp_path / "secret", b"page", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@posix_only
def test_a_symbolic_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"theirs")
    link.symlink_to(target)
    write_atomic(link, b"ours")
    assert not link.is_symlink()
    assert (link.read_bytes(), target.read_bytes()) == (b"ours", b"theirs")


@posix_only
def test_a_share_that_cannot_sync_folders_is_used_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_files._warn_unsynced.cache_clear()
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            write_atomic(tmp_path / f"{number}.json", b"{}")
    assert len(list(tmp_path.iterdir())) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "power cut" in caplog.text


@posix_only
def test_a_broken_disk_is_no_share_without_folder_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


# -- descriptors -------------------------------------------------------------------------------------------------


def test_slots_are_written_and_read_at_their_offsets(tmp_path: Path) -> None:
    descriptor = open_descriptor(tmp_path / "spool", os.O_RDWR | os.O_CREAT)
    try:
        reserve_space(descriptor, 3_000_000)
        assert os.fstat(descriptor).st_size == 3_000_000
        assert write_at(descriptor, b"second\r\n", 8) == 8
        assert write_at(descriptor, memoryview(b"first\n\x1a."), 0) == 8
        sync_data(descriptor)
        sync_file(descriptor)
        assert read_at(descriptor, 16, 0) == b"first\n\x1a.second\r\n"
        assert read_at(descriptor, 100, 2_999_990) == bytes(10)
    finally:
        os.close(descriptor)


@posix_only
def test_space_is_reserved_where_the_file_system_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    path = tmp_path / "spool"
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
    try:
        reserve_space(descriptor, 2_500_000)
    finally:
        os.close(descriptor)
    assert path.stat().st_size == 2_500_000
    assert path.stat().st_blocks * 512 >= 2_500_000, "the space is taken, not only promised"


@posix_only
def test_what_the_system_takes_in_parts_is_written_wholly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:3], offset))
    descriptor = open_descriptor(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert write_at(descriptor, b"abcdefgh", 2) == 8
        assert read_at(descriptor, 10, 0) == b"\0\0abcdefgh"
    finally:
        os.close(descriptor)


# -- locks -------------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from scanner.portable.file_lock import FileLock
lock = FileLock.acquire(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read(1)
"""


def hold(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that holds a lock until it is killed or told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"locked"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_a_lock_names_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    process = hold(path)
    try:
        owner = read_lock_owner(path)
        assert owner is not None
        assert (owner.pid, owner.host, owner.boot) == (process.pid, socket.gethostname(), boot_id())
        assert is_running(owner.pid, owner.started_s)
        with pytest.raises(LockHeldError, match=f"process {process.pid} on .* since 20") as error:
            FileLock.acquire(path)
        assert error.value.owner == owner
        assert not error.value.on_other_host
    finally:
        end(process)


def test_the_lock_of_a_killed_process_is_taken_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.lock"
    process = hold(path)
    end(process)
    assert path.exists()
    with caplog.at_level(logging.WARNING), FileLock.acquire(path) as lock:
        assert lock.stale_owner is not None
        assert lock.stale_owner.pid == process.pid
        assert f"process {process.pid}" in caplog.text
    assert not path.exists()


def test_a_lock_is_free_again_once_released(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = FileLock.acquire(path)
    with pytest.raises(LockHeldError):
        FileLock.acquire(path)
    lock.release()
    lock.release()
    with FileLock.acquire(path) as again:
        assert again.stale_owner is None


def test_a_lock_file_of_another_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    with pytest.raises(
        LockHeldError, match=r"another machine; if that process has ended, remove run\.lock"
    ) as error:
        FileLock.acquire(path)
    assert error.value.on_other_host
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"pid": "x"', b"\xff"])
def test_a_lock_file_that_names_nobody_blocks_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.lock"
    path.write_bytes(content)
    assert read_lock_owner(path) is None
    with FileLock.acquire(path) as lock:
        assert lock.stale_owner is None
        owner = read_lock_owner(path)
        assert owner is not None
        assert owner.pid == os.getpid()


# -- processes ---------------------------------------------------------------------------------------------------


def test_an_ended_process_and_another_one_with_its_id_are_told_apart() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_running(process.pid)
    assert process_start_s(process.pid) is None
    started_s = process_start_s(os.getpid())
    assert started_s is not None
    assert is_running(os.getpid(), started_s)
    assert not is_running(os.getpid(), started_s - 3600.0)


def test_a_boot_has_one_name() -> None:
    assert boot_id() == boot_id() != ""


# -- serial ports ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not HAS_PTY, reason="no pseudo-terminals")
def test_a_port_is_opened_by_one_program_at_a_time() -> None:
    line = PtyLine()
    line.open()
    try:
        port = open_serial_port(line.address, baud_rate=9600, stop_bits=1, timeout_s=0.1)
        with pytest.raises(serial.SerialException, match="exclusively lock"):
            open_serial_port(line.address, baud_rate=9600, stop_bits=1, timeout_s=0.1)
        port.close()
        open_serial_port(line.address, baud_rate=9600, stop_bits=1, timeout_s=0.1).close()
    finally:
        line.close()
