"""Micro-Manager's device adapters: which are installed, which fit, which are needed, and how to get them."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymmcore
from pymmcore_plus import find_micromanager

from scanner.configuration_file import ConfigurationFile

MICRO_MANAGER_VARIABLE: Final = "MICROMANAGER_PATH"
"""Names the folder of an installed Micro-Manager; it goes before all that are found."""
_LIBRARY: Final = re.compile(r"(?:lib)?mmgr_dal_(?P<name>.+?)(?:\.dll|\.so(?:\.0)?|\.dylib)?")
"""File of an adapter: ``mmgr_dal_Prior.dll``, ``libmmgr_dal_Prior.so.0``, ``libmmgr_dal_Prior``."""

VENDOR_SOFTWARE: Final[dict[str, str]] = {
    "AndorSDK3": "Andor's SDK3 driver pack (Zyla, Neo, Sona, Marana)",
    "BaslerPylon": "Basler's pylon runtime",
    "HamamatsuHam": "Hamamatsu's DCAM-API driver",
    "NikonTi2": "Nikon's Ti2 Control of the version that the adapter was built for",
    "PVCAM": "Teledyne Photometrics' PVCAM driver",
    "SpinnakerCamera": "Teledyne FLIR's Spinnaker runtime",
    "TSI": "Thorlabs' ThorCam",
}
"""What an adapter needs beside Micro-Manager; those on a serial port need the driver of the converter only."""


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A folder with adapters.

    Attributes
    ----------
    path
        The folder.
    interface
        Device interface that its adapters were built for; None where none could be asked.
    adapters
        Their names, in alphabetical order.
    """

    path: Path
    interface: int | None
    adapters: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether this installation can load them."""
        return self.interface == required_interface()


@dataclass(frozen=True, slots=True)
class MissingAdapter:
    """An adapter that a configuration needs and this installation doesn't offer.

    Attributes
    ----------
    name
        Of the adapter.
    labels
        Devices that come from it.
    """

    name: str
    labels: tuple[str, ...]

    @property
    def vendor_software(self) -> str | None:
        """What it needs beside Micro-Manager; None where nothing is known of that."""
        return VENDOR_SOFTWARE.get(self.name)

    def __str__(self) -> str:
        also = f"; it also needs {self.vendor_software}" if self.vendor_software else ""
        return f"adapter {self.name}, for {', '.join(self.labels)}{also}"


def required_interface() -> int:
    """Device interface that an adapter has to be built for: the fourth part of pymmcore's version."""
    return int(pymmcore.__version__.split(".")[3])


def adapter_folders() -> tuple[AdapterFolder, ...]:
    """Folders with adapters on this computer, the one that is used first where it fits."""
    return tuple(read_adapter_folder(Path(folder)) for folder in find_micromanager(return_first=False))


def read_adapter_folder(folder: Path) -> AdapterFolder:
    """What a folder of Micro-Manager offers, by the names of its files; only one library is loaded to be asked."""
    libraries = {
        match["name"]: path
        for path in sorted(folder.glob("*mmgr_dal_*"))
        if (match := _LIBRARY.fullmatch(path.name)) is not None
    }
    interfaces = (_library_interface(path) for path in libraries.values())
    return AdapterFolder(
        folder, next((found for found in interfaces if found is not None), None), tuple(sorted(libraries))
    )


def misleading_variable() -> str | None:
    """What is wrong with the folder that the environment names; None where it names none, or one that fits."""
    given = os.environ.get(MICRO_MANAGER_VARIABLE)
    if not given:
        return None
    if not Path(given).is_dir():
        return f"{MICRO_MANAGER_VARIABLE} names {given}, which is no folder"
    folder = read_adapter_folder(Path(given))
    if not folder.adapters:
        return f"{MICRO_MANAGER_VARIABLE} names {given}, in which there are no adapters (mmgr_dal_*)"
    if not folder.fits:
        return (
            f"{MICRO_MANAGER_VARIABLE} names {given}, whose adapters were built for device interface "
            f"{folder.interface or 'unknown'}, not {required_interface()}"
        )
    return None


def needed_adapters(configuration: ConfigurationFile) -> dict[str, tuple[str, ...]]:
    """Labels of the devices that come from each adapter of Micro-Manager.

    Parameters
    ----------
    configuration
        What the ``.cfg`` says.
    """
    needed: dict[str, list[str]] = {}
    for label, (adapter, _) in configuration.devices.items():
        if label not in configuration.python_labels:
            needed.setdefault(adapter, []).append(label)
    return {adapter: tuple(labels) for adapter, labels in needed.items()}


def missing_adapters(configuration: ConfigurationFile, offered: Collection[str]) -> tuple[MissingAdapter, ...]:
    """Adapters that a configuration needs and that aren't offered.

    Parameters
    ----------
    configuration
        What the ``.cfg`` says.
    offered
        Names of the adapters that can be loaded here.
    """
    return tuple(
        MissingAdapter(name, labels)
        for name, labels in needed_adapters(configuration).items()
        if name not in offered
    )


def how_to_install(*, system: str = sys.platform) -> str:
    """How a Micro-Manager that fits gets onto this computer.

    Parameters
    ----------
    system
        As `sys.platform` names it.
    """
    interface = required_interface()
    if system in {"win32", "darwin"}:
        return (
            f"run 'mmcore install', or set {MICRO_MANAGER_VARIABLE} to an installed Micro-Manager of device "
            f"interface {interface}"
        )
    return (
        "use a Windows computer, since Micro-Manager has no builds for this system (docs/how-to/windows.md), or "
        f"build them from mmCoreAndDevices for device interface {interface} and set {MICRO_MANAGER_VARIABLE} to "
        "their folder"
    )


def _library_interface(library: Path) -> int | None:
    """Device interface that an adapter's library was built for; None where it can't be loaded or isn't one."""
    try:
        function = ctypes.CDLL(str(library)).GetDeviceInterfaceVersion
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_long
    function.argtypes = []
    return int(function())
