"""A Micro-Manager configuration as text: devices, roles, labels, pixel sizes, directions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scanner.errors import RigError

MAX_BYTES: Final = 4_000_000
"""The largest configurations of laboratories with every device of a frame have some 100 kB."""
_COMMENT: Final = "#"
_PYTHON_LINE: Final = "#py "
"""Such a line is read by the scanner's core and a comment to other programs."""


@dataclass(frozen=True, slots=True)
class PixelSizePreset:
    """A pixel size that the configuration names.

    Attributes
    ----------
    name
        Of the preset.
    um_per_px
        Its pixel size; None where the configuration gives none.
    settings
        Value of a property, by device and property: when the preset is meant.
    """

    name: str
    um_per_px: float | None
    settings: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """What a configuration says.

    Attributes
    ----------
    path
        The file.
    devices
        Adapter and device name, by label.
    state_labels
        Labels of a state device, by its label: position to label.
    duplicate_labels
        Device and label of labels that two positions of one device have.
    focus_directions
        -1, 0 (unknown) or 1, by the label of the drive.
    pixel_sizes
        Presets of pixel sizes.
    core_roles
        Label of a device, by its role: ``XYStage``, ``Focus``, ``Camera``, ``Shutter`` and other settings of the
        core.
    device_properties
        Value as it is set at loading, there or by the startup preset, by device and property.
    python_labels
        Labels of the devices that are Python classes; the others come from adapters of Micro-Manager.
    """

    path: Path
    devices: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    state_labels: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    duplicate_labels: tuple[tuple[str, str], ...] = ()
    focus_directions: Mapping[str, int] = field(default_factory=dict)
    pixel_sizes: tuple[PixelSizePreset, ...] = ()
    core_roles: Mapping[str, str] = field(default_factory=dict)
    device_properties: Mapping[tuple[str, str], str] = field(default_factory=dict)
    python_labels: frozenset[str] = frozenset()


def read_configuration_file(path: Path) -> ConfigurationFile:
    """Read a Micro-Manager configuration (``.cfg``) without loading any device.

    Lines of other kinds are passed over: the core knows them better. A byte-order mark is no part of the text.
    Bytes that aren't UTF-8 are taken for Windows-1252, in which Micro-Manager writes on many instrument computers.

    Raises
    ------
    RigError
        The file can't be read, is too large, or one of those lines is incomplete; with file and line.
    """
    reader = _Reader(path)
    for number, command in _commands(path):
        reader.take([part.strip() for part in command.split(",")], number)
    return reader.result()


def configuration_digest(path: Path) -> str:
    """SHA-256 of what a configuration commands, hexadecimal: comments and white space don't count.

    Raises
    ------
    RigError
        The file can't be read, or is too large.
    """
    commands = (",".join(part.strip() for part in command.split(",")) for _, command in _commands(path))
    return hashlib.sha256("\n".join(commands).encode("utf-8")).hexdigest()


def _commands(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that aren't empty or comments, with their numbers counted from 1."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RigError(f"{path}: can't be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise RigError(f"{path}: more than {MAX_BYTES:,} bytes, which no Micro-Manager configuration has")
    for number, line in enumerate(decode_configuration(content).splitlines(), start=1):
        command = line.strip().removeprefix(_PYTHON_LINE).lstrip()
        if command and not command.startswith(_COMMENT):
            yield number, command


def decode_configuration(content: bytes) -> str:
    """Text of a configuration, whichever program wrote it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


class _Reader:
    """Collects what the lines say; a later line replaces an earlier one, as in the core."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._devices: dict[str, tuple[str, str]] = {}
        self._labels: dict[str, dict[int, str]] = {}
        self._directions: dict[str, int] = {}
        self._settings: dict[str, dict[tuple[str, str], str]] = {}
        self._sizes: dict[str, float] = {}
        self._roles: dict[str, str] = {}
        self._properties: dict[tuple[str, str], str] = {}
        self._python_labels: set[str] = set()

    def take(self, parts: list[str], line: int) -> None:
        """Take in one line."""
        try:
            match parts:
                case ["Device" | "pyDevice" as kind, label, adapter, name]:
                    self._devices[label] = (adapter, name)
                    if kind == "pyDevice":
                        self._python_labels.add(label)
                case ["Property", "Core", role, *value] | [
                    "ConfigGroup",
                    "System",
                    "Startup",
                    "Core",
                    role,
                    *value,
                ]:
                    self._roles[role] = ",".join(value)
                case ["Property", device, name, *value] | [
                    "ConfigGroup",
                    "System",
                    "Startup",
                    device,
                    name,
                    *value,
                ]:
                    self._properties[device, name] = ",".join(value)
                case ["Label", device, position, *label]:
                    self._labels.setdefault(device, {})[int(position)] = ",".join(label)
                case ["FocusDirection", device, direction]:
                    self._directions[device] = int(direction)
                case ["ConfigPixelSize", preset, device, name, *value]:
                    self._settings.setdefault(preset, {})[device, name] = ",".join(value)
                case ["PixelSize_um", preset, size]:
                    self._sizes[preset] = float(size)
                case _:
                    pass
        except ValueError as error:
            raise RigError(f"{self._path}:{line}: {parts[0]}: found {', '.join(parts[1:])}; {error}") from error

    def result(self) -> ConfigurationFile:
        """Put together what was collected."""
        doubled = tuple(
            (device, label)
            for device, labels in self._labels.items()
            for label in dict.fromkeys(labels.values())
            if list(labels.values()).count(label) > 1
        )
        presets = tuple(
            PixelSizePreset(name, self._sizes.get(name), dict(self._settings.get(name, {})))
            for name in dict.fromkeys([*self._settings, *self._sizes])
        )
        return ConfigurationFile(
            path=self._path,
            devices=self._devices,
            state_labels=self._labels,
            duplicate_labels=doubled,
            focus_directions=self._directions,
            pixel_sizes=presets,
            core_roles=self._roles,
            device_properties=self._properties,
            python_labels=frozenset(self._python_labels),
        )
