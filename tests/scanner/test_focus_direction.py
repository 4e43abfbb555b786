"""Which way the focus drive counts: down has to be away from the specimen on every instrument."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scanner.core import ScanCore
from scanner.errors import RigError
from scanner.microscope import Microscope
from scanner.rig import load_rig

RIGS = Path(__file__).parents[2] / "hardware_configs"
DEMO = RIGS / "demo-camera"


@contextmanager
def opened(folder: Path) -> Iterator[tuple[ScanCore, Microscope]]:
    rig, cfg = load_rig(folder)
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        yield core, Microscope(core, rig)
    finally:
        core.unloadAllDevices()


def demo_rig(folder: Path, *, cfg_direction: int | None, direction: str | None) -> Path:
    """Copy the demo rig with other statements about its focus drive."""
    rig = folder / "rig"
    shutil.copytree(DEMO, rig)
    cfg = rig / "micro-manager.cfg"
    line = "" if cfg_direction is None else f"FocusDirection,Z,{cfg_direction}"
    cfg.write_text(cfg.read_text().replace("FocusDirection,Z,1", line))
    if direction is not None:
        text = (rig / "rig.yaml").read_text()
        text = text.replace("  down_um: -300", f"  down_um: -300\n  direction: {direction}")
        (rig / "rig.yaml").write_text(text)
    return rig


@pytest.mark.parametrize(
    ("cfg_direction", "direction", "sign"),
    [
        (1, None, 1),
        (-1, None, -1),
        (None, "toward_specimen_positive", 1),
        (0, "toward_specimen_negative", -1),
        (-1, "toward_specimen_negative", -1),
    ],
)
def test_down_leads_away_from_the_specimen(
    tmp_path: Path, cfg_direction: int | None, direction: str | None, sign: int
) -> None:
    folder = demo_rig(tmp_path, cfg_direction=cfg_direction, direction=direction)
    with opened(folder) as (core, microscope):
        microscope.lower_focus()
        assert core.getPosition("Z") == pytest.approx(sign * -300.0)
        assert microscope.focus_position_um() == pytest.approx(-300.0)
        assert microscope.focus_is_down()
        microscope.focus_to(12.5)
        assert core.getPosition("Z") == pytest.approx(sign * 12.5)
        assert not microscope.focus_is_down()


@pytest.mark.parametrize("cfg_direction", [None, 0])
def test_a_drive_of_unknown_direction_is_refused(tmp_path: Path, cfg_direction: int | None) -> None:
    folder = demo_rig(tmp_path, cfg_direction=cfg_direction, direction=None)
    with (
        pytest.raises(RigError, match=r"focus\.direction: .* 'direction: toward_specimen_positive' or"),
        opened(folder),
    ):
        pass


def test_contradicting_statements_are_refused(tmp_path: Path) -> None:
    folder = demo_rig(tmp_path, cfg_direction=-1, direction="toward_specimen_positive")
    with pytest.raises(RigError, match="contradicts 'FocusDirection,Z,-1'"), opened(folder):
        pass


def test_the_twin_needs_no_statement() -> None:
    with opened(RIGS / "simulated") as (core, microscope):
        microscope.lower_focus()
        assert core.getPosition("Z") == pytest.approx(microscope.rig.focus.down_um)


def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    folder = demo_rig(tmp_path, cfg_direction=1, direction=None)
    cfg = folder / "micro-manager.cfg"
    cfg.write_bytes(b"\xef\xbb\xbf" + cfg.read_bytes())
    with opened(folder) as (core, microscope):
        microscope.lower_focus()
        assert core.getPosition("Z") == pytest.approx(-300.0)


def test_a_line_of_such_a_configuration_is_named_by_its_own_file(tmp_path: Path) -> None:
    folder = demo_rig(tmp_path, cfg_direction=1, direction=None)
    cfg = folder / "micro-manager.cfg"
    cfg.write_bytes(b"\xef\xbb\xbfNonsense,1\n" + cfg.read_bytes())
    with pytest.raises(RigError) as error, opened(folder):
        pass
    assert error.value.path == cfg
    assert error.value.line == 1
