"""One process at a time on an instrument, told by whom it is used."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from scanner.errors import DeviceNotReadyError
from scanner.rig import load_rig
from station.instrument.exclusive_use import LOCK_NAME, exclusive_use

RIGS = Path(__file__).parents[2] / "hardware_configs"


def hold(state: Path, held: Event, let_go: Event) -> None:
    with exclusive_use(load_rig(RIGS / "demo-camera")[0], state):
        held.set()
        let_go.wait(60)


def test_a_second_process_is_refused_by_name_and_then_served(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, let_go = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, let_go))
    process.start()
    rig, _ = load_rig(RIGS / "demo-camera")
    try:
        assert held.wait(60)
        words = rf"in use by process {process.pid} on .* since"
        with pytest.raises(DeviceNotReadyError, match=words), exclusive_use(rig, tmp_path):
            pass
    finally:
        let_go.set()
        process.join(60)
    with exclusive_use(rig, tmp_path):
        assert (tmp_path / "demo-camera" / LOCK_NAME).exists()


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, never = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, never))
    process.start()
    assert held.wait(60)
    process.kill()
    process.join(60)
    with exclusive_use(load_rig(RIGS / "demo-camera")[0], tmp_path):
        pass


def test_simulated_instruments_are_shared_by_nobody(tmp_path: Path) -> None:
    rig, _ = load_rig(RIGS / "simulated")
    with exclusive_use(rig, tmp_path), exclusive_use(rig, tmp_path):
        assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders are kept otherwise there")
def test_where_no_lock_can_be_kept_it_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    rig, _ = load_rig(RIGS / "demo-camera")
    with pytest.raises(DeviceNotReadyError, match="set XDG_STATE_HOME"), exclusive_use(rig, blocked):
        pass
