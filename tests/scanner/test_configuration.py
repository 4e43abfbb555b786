"""What a Micro-Manager configuration says is held against the rig before anything moves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scanner.configuration_check import MismatchKind, compare_with_core, compare_with_file
from scanner.configuration_file import read_configuration_file
from scanner.core import ScanCore
from scanner.errors import RigError
from scanner.rig import load_rig

RIGS = Path(__file__).parents[2] / "hardware_configs"
SHIPPED = sorted(folder.name for folder in RIGS.iterdir() if (folder / "rig.yaml").exists())


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    folder = tmp_path / "demo-camera"
    shutil.copytree(RIGS / "demo-camera", folder)
    return folder


def change(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rigs_agree_with_their_configurations(name: str) -> None:
    rig, cfg = load_rig(RIGS / name)
    assert compare_with_file(rig, read_configuration_file(cfg)) == ()


def test_a_turret_label_that_the_configuration_lacks_is_named(demo: Path) -> None:
    change(demo, "rig.yaml", "label: 63x/1.4 oil", "label: 63x/1.40 Oil")
    with pytest.raises(RigError, match=r"objectives\.63x\.label: '63x/1\.40 Oil' is no label of the turret"):
        load_rig(demo)


def test_a_label_of_two_positions_is_named(demo: Path) -> None:
    change(
        demo,
        "micro-manager.cfg",
        "Label,Objective,1,63x/1.4 oil",
        "Label,Objective,1,10x/0.45\nLabel,Objective,2,63x/1.4 oil",
    )
    with pytest.raises(RigError, match=r"two positions have the label '10x/0\.45'"):
        load_rig(demo)


@pytest.mark.parametrize("preset", ["0.325", "1.29", "0.70"])
def test_a_pixel_size_preset_of_another_size_is_named(demo: Path, preset: str) -> None:
    change(demo, "micro-manager.cfg", "PixelSize_um,10x,0.645", f"PixelSize_um,10x,{preset}")
    with pytest.raises(
        RigError, match=rf"objectives\.10x\.um_per_px: the rig says 0\.645 um, the preset '10x'.*{float(preset):g}"
    ):
        load_rig(demo)
    rig, _ = load_rig(demo, tolerated=(MismatchKind.PIXEL_SIZE,))
    assert rig.name == "demo-camera"


def test_a_measured_pixel_size_may_differ_a_little_from_the_preset(demo: Path) -> None:
    change(demo, "rig.yaml", "um_per_px: 0.645", "um_per_px: 0.6513")
    assert load_rig(demo)[0].objectives[0].um_per_px == 0.6513


def test_presets_may_name_the_turrets_position_instead_of_its_label(demo: Path) -> None:
    change(
        demo,
        "micro-manager.cfg",
        "ConfigPixelSize,10x,Objective,Label,10x/0.45",
        "ConfigPixelSize,10x,Objective,State,0",
    )
    change(demo, "micro-manager.cfg", "PixelSize_um,10x,0.645", "PixelSize_um,10x,0.3")
    with pytest.raises(RigError, match="um_per_px"):
        load_rig(demo)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("width_px: 1360", "width_px: 1388", MismatchKind.CAMERA_SIZE),
        ("bit_depth: 12", "bit_depth: 14", MismatchKind.BIT_DEPTH),
    ],
)
def test_a_camera_that_is_other_than_the_rig_says_is_named(
    demo: Path, old: str, new: str, kind: MismatchKind
) -> None:
    change(demo, "rig.yaml", old, new)
    rig, cfg = load_rig(demo)
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        (mismatch,) = compare_with_core(rig, core)
    finally:
        core.unloadAllDevices()
    assert mismatch.kind is kind


def test_directions_and_labels_are_read_whatever_the_first_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "micro-manager.cfg"
    path.write_bytes("﻿# comment, with a comma\nFocusDirection,Z,-1\nLabel,T,0,10x, air\n".encode())
    configuration = read_configuration_file(path)
    assert configuration.focus_directions == {"Z": -1}
    assert configuration.state_labels == {"T": {0: "10x, air"}} or configuration.state_labels == {
        "T": {0: "10x,air"}
    }


def test_a_line_that_is_incomplete_is_named(tmp_path: Path) -> None:
    path = tmp_path / "micro-manager.cfg"
    path.write_text("FocusDirection,Z,up\n")
    with pytest.raises(RigError, match=r"micro-manager\.cfg:1: FocusDirection: found Z, up"):
        read_configuration_file(path)
