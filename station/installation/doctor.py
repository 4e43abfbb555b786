"""A check of everything a run will need."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from analysis.parameters.store import ParameterStatus, parameters_status
from scanner.adapters import (
    VENDOR_SOFTWARE,
    AdapterFolder,
    adapter_folders,
    how_to_install,
    misleading_variable,
    missing_adapters,
    needed_adapters,
    required_interface,
)
from scanner.configuration_file import read_configuration_file
from scanner.core import ScanCore
from scanner.errors import ScannerError
from scanner.rig import RIG_FILE, load_rig
from station.instrument.new_rig import CFG_NAME

PACKAGES = (
    "karyoscan",
    "pymmcore-plus",
    "mm-test-adapters",
    "useq-schema",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "torch",
    "tifffile",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "safetensors",
)
# A night of 80 slides with 20 captures each, plus overviews, stays below this.
MIN_FREE_BYTES = 10 * 1024**3
OLDEST_PYTHON: Final = (3, 11)
TEMPLATE_SUFFIX: Final = ".example"
PLACEHOLDER: Final = "Your"
"""So begins what a template leaves to be replaced: YourCameraAdapter."""
REINSTALL: Final = "install again: pip install --constraint constraints.txt -e ."


@dataclass(frozen=True, slots=True)
class InstallationFinding:
    """One line of the examination.

    Attributes
    ----------
    what
        What was examined.
    ok
        Whether it is in order.
    detail
        What was found.
    remedy
        What to do about it; empty where it is in order.
    """

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(rigs: Path) -> list[InstallationFinding]:
    """Examine packages, adapters, rigs, weights, disk and cores; whatever is wrong says what to do.

    Parameters
    ----------
    rigs
        Folder that holds one folder a rig.
    """
    folders = adapter_folders()
    offered = ScanCore().getDeviceAdapterNames()
    found_rigs = [_rig(path.parent, offered) for path in sorted(rigs.glob(f"*/{RIG_FILE}"))]
    templates = sorted(rigs.glob(f"*/{CFG_NAME}{TEMPLATE_SUFFIX}"))
    return [
        _python(),
        *(_package(name) for name in PACKAGES),
        _device_interface(folders),
        _adapters(folders, offered),
        *(found_rigs or [InstallationFinding("rigs", False, f"none in {rigs}", "give their folder with --rigs")]),
        *((_templates(templates, offered),) if templates else ()),
        *(_parameters(status) for status in parameters_status()),
        _disk(),
        InstallationFinding("cores", True, str(os.cpu_count())),
    ]


def _python() -> InstallationFinding:
    found = sys.version_info >= OLDEST_PYTHON
    remedy = "" if found else f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer for 64 bits"
    return InstallationFinding("python", found, sys.version.split()[0], remedy)


def _package(name: str) -> InstallationFinding:
    try:
        return InstallationFinding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return InstallationFinding(name, False, "not installed", REINSTALL)


def _device_interface(folders: tuple[AdapterFolder, ...]) -> InstallationFinding:
    """Number that adapters have to be built for, and where those lie that were built for it, or for another."""
    what, interface = "device interface", f"Device API version {required_interface()}"
    if (misleading := misleading_variable()) is not None:
        remedy = f"unset it, or name one that fits; {how_to_install()}"
        return InstallationFinding(what, False, f"{interface}; {misleading}", remedy)
    fitting = [str(folder.path) for folder in folders if folder.fits]
    others = [f"{folder.path} (built for {folder.interface})" for folder in folders if not folder.fits]
    unused = f"; not used, since they don't fit: {', '.join(others)}" if others else ""
    if not fitting:
        return InstallationFinding(what, False, f"{interface}; no adapters that fit{unused}", how_to_install())
    return InstallationFinding(what, True, f"{interface}; adapters in {fitting[0]}{unused}")


def _adapters(folders: tuple[AdapterFolder, ...], offered: Sequence[str]) -> InstallationFinding:
    """Adapters that can be loaded; none that is offered may fail to."""
    what, core = "adapters", ScanCore()
    broken = []
    for name in sorted(offered):
        try:
            core.getAvailableDevices(name)
        except RuntimeError as error:
            broken.append(f"{name} ({str(error).splitlines()[0]})")
    detail = ", ".join(sorted(offered)) or "none"
    if not offered:
        return InstallationFinding(what, False, detail, how_to_install())
    if broken and not any(folder.fits for folder in folders):
        return InstallationFinding(what, False, f"none fits: {'; '.join(broken)}", how_to_install())
    # A complete Micro-Manager has a hundred adapters whose vendors' drivers nobody needs here.
    unloadable = f"; without their vendors' software: {', '.join(broken)}" if broken else ""
    return InstallationFinding(what, True, f"{detail}{unloadable}")


def _rig(folder: Path, offered: Collection[str]) -> InstallationFinding:
    what = f"rig {folder.name}"
    try:
        rig, cfg = load_rig(folder)
    except ScannerError as error:
        return InstallationFinding(what, False, str(error), f"correct {folder / RIG_FILE}: docs/how-to/new-rig.md")
    if missing := missing_adapters(read_configuration_file(cfg), offered):
        return InstallationFinding(
            what, False, f"not installed: {'; '.join(str(adapter) for adapter in missing)}", how_to_install()
        )
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        absent = sorted(label for _, label in rig.devices.missing_from(core.getLoadedDevices()))
    except ScannerError as error:
        remedy = (
            "switch the devices on, end other programs that use them, check ports and cables, and run it again"
        )
        return InstallationFinding(what, False, str(error), remedy)
    finally:
        core.unloadAllDevices()
    if absent:
        detail = f"devices named in {RIG_FILE} but not loaded: {', '.join(absent)}"
        return InstallationFinding(what, False, detail, f"name them as in {cfg}, or add them there")
    return InstallationFinding(what, True, rig.description or rig.name)


def _templates(examples: Sequence[Path], offered: Collection[str]) -> InstallationFinding:
    """What the templates need; they are no rigs yet, so that an adapter that isn't here is no fault."""
    lines, absent = [], set[str]()
    for example in examples:
        configuration = read_configuration_file(example)
        needed = sorted(name for name in needed_adapters(configuration) if not name.startswith(PLACEHOLDER))
        absent |= {name for name in needed if name not in offered}
        lines.append(f"{example.parent.name} needs {', '.join(needed)}")
    if absent:
        lines.append(f"not installed here: {', '.join(sorted(absent))}; to get them {how_to_install()}")
    lines += [f"{name} also needs {VENDOR_SOFTWARE[name]}" for name in sorted(absent & VENDOR_SOFTWARE.keys())]
    return InstallationFinding("templates", True, "\n".join(lines))


def _parameters(status: ParameterStatus) -> InstallationFinding:
    remedy = "" if status.intact else f"the file was changed or is missing: {REINSTALL}"
    return InstallationFinding(f"parameters {status.name}", status.intact, status.message, remedy)


def _disk() -> InstallationFinding:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= MIN_FREE_BYTES
    remedy = f"make room, or run where there is some: a night needs {MIN_FREE_BYTES / 1024**3:.0f} GiB"
    return InstallationFinding("disk", enough, f"{free / 1024**3:.1f} GiB free", "" if enough else remedy)
