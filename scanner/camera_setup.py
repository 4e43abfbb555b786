"""Brings a camera into the state that the rig describes, before the first picture."""

from __future__ import annotations

from typing import Final

from scanner.core import ScanCore
from scanner.errors import DeviceError, DeviceNotReadyError
from scanner.rig import Rig

_BINNING: Final = "Binning"


def set_up_camera(core: ScanCore, rig: Rig) -> None:
    """Set properties, binning and region of the rig, and read them back; keys that are left out change nothing.

    Parameters
    ----------
    core
        With the rig's configuration loaded.
    rig
        Description of the instrument.

    Raises
    ------
    DeviceNotReadyError
        The camera doesn't offer what the rig asks for, or reports something else afterwards.
    """
    camera, label = rig.camera, rig.devices.camera
    for name, value in camera.properties.items():
        _set_property(core, label, name, str(value), f"camera.properties.{name}")
    if camera.overlap is not None:
        for name, value in camera.overlap.properties:
            _require_offered(core, label, name, value, "camera.overlap")
    if camera.binning is not None:
        _set_binning(core, label, camera.binning)
    if camera.region is not None:
        _set_region(core, rig)


def _set_binning(core: ScanCore, label: str, binning: int) -> None:
    offered = core.getAllowedPropertyValues(label, _BINNING) if core.hasProperty(label, _BINNING) else ()
    # Some adapters write 2, others 2x2.
    value = next((value for value in offered if value.split("x")[0] == str(binning)), str(binning))
    _set_property(core, label, _BINNING, value, "camera.binning")


def _set_property(core: ScanCore, label: str, name: str, value: str, key: str) -> None:
    _require_offered(core, label, name, value, key)
    try:
        core.setProperty(label, name, value)
        found = str(core.getProperty(label, name))
    except DeviceError:
        raise
    except Exception as error:
        raise DeviceNotReadyError(f"{key}: {error}", device=label, wanted=value) from error
    if not _is_same(found, value):
        raise DeviceNotReadyError(
            f"{key}: the camera reports another value than was set", device=label, wanted=value, actual=found
        )


def _require_offered(core: ScanCore, label: str, name: str, value: str, key: str) -> None:
    if not core.hasProperty(label, name):
        raise DeviceNotReadyError(
            f"{key}: the camera has no property {name!r}",
            device=label,
            allowed=", ".join(core.getDevicePropertyNames(label)),
        )
    if core.isPropertyReadOnly(label, name):
        raise DeviceNotReadyError(
            f"{key}: the camera's property {name!r} can't be set", device=label, wanted=value
        )
    offered = core.getAllowedPropertyValues(label, name)
    if offered and not any(_is_same(each, value) for each in offered):
        raise DeviceNotReadyError(
            f"{key}: the camera doesn't offer this value of {name!r}",
            device=label,
            wanted=value,
            allowed=", ".join(offered),
        )


def _set_region(core: ScanCore, rig: Rig) -> None:
    camera, label = rig.camera, rig.devices.camera
    region = camera.region
    if region is None:
        return
    wanted = [region.x_px, region.y_px, camera.width_px, camera.height_px]
    try:
        core.clearROI()
        width_px, height_px = int(core.getImageWidth()), int(core.getImageHeight())
        fits = region.x_px + camera.width_px <= width_px and region.y_px + camera.height_px <= height_px
        if fits:
            core.setROI(label, *wanted)
        found = [int(value) for value in core.getROI(label)]
    except DeviceError:
        raise
    except Exception as error:
        raise DeviceNotReadyError(f"camera.region: {error}", device=label, wanted=str(wanted)) from error
    if not fits:
        raise DeviceNotReadyError(
            "camera.region: reaches beyond the sensor",
            device=label,
            wanted=f"columns to {region.x_px + camera.width_px}, rows to {region.y_px + camera.height_px}",
            allowed=f"{width_px} x {height_px} px",
        )
    if found != wanted:
        raise DeviceNotReadyError(
            "camera.region: the camera reads out another region; many take steps of 4, 8 or 16 px",
            device=label,
            wanted=str(wanted),
            actual=str(found),
        )


def _is_same(found: str, wanted: str) -> bool:
    if found == wanted:
        return True
    try:
        return float(found) == float(wanted)
    except ValueError:
        return False
