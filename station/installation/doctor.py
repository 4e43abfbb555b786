"""A check of everything a run will need."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from analysis.parameters.store import parameters_status
from scanner.core import ScanCore
from scanner.errors import ScannerError
from scanner.rig import RIG_FILE, load_rig

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


@dataclass(frozen=True, slots=True)
class InstallationFinding:
    """One line of the examination."""

    what: str
    ok: bool
    detail: str


def examine(rigs: Path) -> list[InstallationFinding]:
    """Examine packages, rigs, weights, disk and cores.

    Parameters
    ----------
    rigs
        Folder that holds one folder a rig.
    """
    findings = [InstallationFinding("python", sys.version_info >= (3, 11), sys.version.split()[0])]
    findings += [_package(name) for name in PACKAGES]
    findings.append(_device_interface())
    findings += [_rig(path.parent) for path in sorted(rigs.glob(f"*/{RIG_FILE}"))] or [
        InstallationFinding("rigs", False, f"none in {rigs}")
    ]
    findings += [
        InstallationFinding(f"parameters {status.name}", status.intact, status.message)
        for status in parameters_status()
    ]
    free = shutil.disk_usage(Path.cwd()).free
    findings.append(InstallationFinding("disk", free >= MIN_FREE_BYTES, f"{free / 1024**3:.1f} GiB free"))
    findings.append(InstallationFinding("cores", True, str(os.cpu_count())))
    return findings


def _package(name: str) -> InstallationFinding:
    try:
        return InstallationFinding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return InstallationFinding(name, False, "not installed")


def _device_interface() -> InstallationFinding:
    """Number that adapters have to be built for, and where they are looked for."""
    core = ScanCore()
    folders = ", ".join(core.getDeviceAdapterSearchPaths()) or "no folder"
    return InstallationFinding("device interface", True, f"{core.getAPIVersionInfo()}; adapters in {folders}")


def _rig(folder: Path) -> InstallationFinding:
    what = f"rig {folder.name}"
    try:
        rig, cfg = load_rig(folder)
        core = ScanCore()
        try:
            core.loadSystemConfiguration(cfg)
            missing = sorted(label for _, label in rig.devices.missing_from(core.getLoadedDevices()))
        finally:
            core.unloadAllDevices()
    except ScannerError as error:
        return InstallationFinding(what, False, str(error))
    if missing:
        return InstallationFinding(what, False, f"devices named in rig.yaml but not loaded: {', '.join(missing)}")
    return InstallationFinding(what, True, rig.description or rig.name)
