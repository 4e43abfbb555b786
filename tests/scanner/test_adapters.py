"""Adapters: those that are installed, those that fit, and those that a configuration needs."""

from __future__ import annotations

from pathlib import Path

import mm_test_adapters
import pytest

from scanner.adapters import (
    adapter_folders,
    how_to_install,
    misleading_variable,
    missing_adapters,
    needed_adapters,
    read_adapter_folder,
    required_interface,
)
from scanner.configuration_file import read_configuration_file
from scanner.core import ScanCore
from scanner.errors import RigError

INSTALLED = Path(mm_test_adapters.__file__).parent / "libs"
CONFIGURATIONS = Path(__file__).parent / "configurations"
RIGS = Path(__file__).parents[2] / "hardware_configs"


def test_what_a_folder_offers_is_what_the_core_can_load():
    folder = read_adapter_folder(INSTALLED)
    assert folder.fits
    assert folder.interface == required_interface()
    assert set(folder.adapters) == set(ScanCore().getDeviceAdapterNames())
    assert f"Device API version {required_interface()}" in ScanCore().getAPIVersionInfo()
    assert INSTALLED.resolve() in {found.path.resolve() for found in adapter_folders()}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mmgr_dal_HamamatsuHam.dll", "HamamatsuHam"),
        ("libmmgr_dal_ASITiger.so.0", "ASITiger"),
        ("libmmgr_dal_Prior", "Prior"),
        ("libmmgr_dal_Ludl.dylib", "Ludl"),
    ],
)
def test_adapters_are_known_by_their_files_on_every_system(tmp_path, file, name):
    (tmp_path / file).write_bytes(b"no library")
    (tmp_path / "MMCoreJ_wrap.dll").write_bytes(b"none of them")
    folder = read_adapter_folder(tmp_path)
    assert folder.adapters == (name,)
    assert folder.interface is None
    assert not folder.fits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zeiss-axio-tango-hamamatsu", {"SerialManager", "ZeissCAN29", "Marzhauser", "HamamatsuHam"}),
        ("prior-basler", {"SerialManager", "Prior", "BaslerPylon"}),
        ("asi-tiger-andor", {"SerialManager", "ASITiger", "Arduino", "AndorSDK3"}),
    ],
)
def test_adapters_that_are_absent_are_named_with_their_devices(name, expected):
    configuration = read_configuration_file(CONFIGURATIONS / f"{name}.cfg")
    missing = missing_adapters(configuration, read_adapter_folder(INSTALLED).adapters)
    assert {adapter.name for adapter in missing} == expected
    assert all(adapter.labels for adapter in missing)
    assert missing_adapters(configuration, needed_adapters(configuration)) == ()


@pytest.mark.parametrize("name", ["zeiss-axio-tango-hamamatsu", "prior-basler", "asi-tiger-andor"])
def test_a_configuration_that_can_not_be_loaded_names_all_adapters_it_lacks(name):
    path = CONFIGURATIONS / f"{name}.cfg"
    core = ScanCore()
    with pytest.raises(RigError, match="not installed: adapter SerialManager, for COM") as caught:
        core.loadSystemConfiguration(path)
    for adapter in missing_adapters(read_configuration_file(path), core.getDeviceAdapterNames()):
        assert str(adapter) in str(caught.value)
    assert "To get them: " in str(caught.value)
    assert caught.value.path == path


def test_a_camera_needs_its_vendor_too():
    configuration = read_configuration_file(CONFIGURATIONS / "zeiss-axio-tango-hamamatsu.cfg")
    camera = next(one for one in missing_adapters(configuration, ()) if one.name == "HamamatsuHam")
    assert str(camera) == "adapter HamamatsuHam, for HamamatsuHam_DCAM; it also needs Hamamatsu's DCAM-API driver"


def test_python_devices_need_no_adapter():
    assert needed_adapters(read_configuration_file(RIGS / "simulated" / "micro-manager.cfg")) == {}


@pytest.mark.parametrize(
    ("system", "first"), [("win32", "run 'mmcore install'"), ("linux", "use a Windows computer")]
)
def test_how_adapters_are_got_depends_on_the_system(system, first):
    assert how_to_install(system=system).startswith(first)
    assert f"interface {required_interface()}" in how_to_install(system=system)


def test_a_variable_that_leads_nowhere_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("MICROMANAGER_PATH", raising=False)
    assert misleading_variable() is None
    monkeypatch.setenv("MICROMANAGER_PATH", str(INSTALLED))
    assert misleading_variable() is None
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path / "absent"))
    assert "which is no folder" in misleading_variable()
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))
    assert "there are no adapters" in misleading_variable()
    (tmp_path / "mmgr_dal_Prior.dll").write_bytes(b"built for another")
    assert f"not {required_interface()}" in misleading_variable()
