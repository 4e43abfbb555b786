"""The rig held against its Micro-Manager configuration, before anything moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from scanner.configuration_file import ConfigurationFile, PixelSizePreset
from scanner.yaml_core import KeyPath

if TYPE_CHECKING:
    # A rig is read through this check.
    from scanner.core import ScanCore
    from scanner.rig import Objective, Rig

DEMONSTRATION: Final = "DemoCamera"
"""Adapter whose devices move nothing; as the turret of a real stage it only notes what a person says."""
PIXEL_SIZE_TOLERANCE: Final = 0.05
"""A measured pixel size is off the nominal one by 1 % or 2 %, a wrong adapter or objective by 20 % and more."""


class MismatchKind(StrEnum):
    """What does not agree."""

    TURRET_LABEL = "turret label"
    DOUBLED_LABEL = "doubled label"
    PIXEL_SIZE = "pixel size"
    CAMERA_SIZE = "camera size"
    BIT_DEPTH = "bit depth"
    STAND_IN = "turret that turns nothing"
    FILTER_LABEL = "filter label"
    LAMP_PROPERTY = "lamp property"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing on which rig and configuration disagree.

    Attributes
    ----------
    kind
        What does not agree.
    location
        Keys and indices that lead to the rig's value; `key` names it for people.
    key
        Key of the rig.
    text
        What was found, what it means, and what to do.
    """

    kind: MismatchKind
    location: KeyPath
    key: str
    text: str


def compare_with_file(rig: Rig, configuration: ConfigurationFile) -> tuple[Mismatch, ...]:
    """Hold a rig against the text of its configuration; no device is needed.

    Parameters
    ----------
    rig
        What the laboratory says.
    configuration
        What the ``.cfg`` beside it says.

    Returns
    -------
    tuple of Mismatch
        Empty where nothing disagrees as far as the file tells.
    """
    turret = rig.devices.turret
    labels = configuration.state_labels.get(turret, {})
    found = list(_label_mismatches(rig, tuple(labels.values()))) if labels else []
    used = {objective.label for objective in rig.objectives}
    found += [
        Mismatch(
            MismatchKind.DOUBLED_LABEL,
            ("devices", "turret"),
            f"devices.turret {turret}",
            f"two positions have the label {label!r}, so that the core takes either; give each its own",
        )
        for device, label in configuration.duplicate_labels
        if device == turret and label in used
    ]
    found += _stand_in_mismatches(rig, configuration)
    if rig.devices.reflector is not None:
        filters = configuration.state_labels.get(rig.devices.reflector, {})
        found += _filter_mismatches(rig, tuple(filters.values())) if filters else []
    for index, objective in enumerate(rig.objectives):
        found += _pixel_size_mismatches(index, objective, turret, labels, configuration.pixel_sizes)
    return tuple(found)


def _stand_in_mismatches(rig: Rig, configuration: ConfigurationFile) -> list[Mismatch]:
    """A real stage under a turret that only says it turned: the wrong lens would be driven to the slide."""
    turret, stage = rig.devices.turret, rig.devices.stage
    turret_adapter, stage_adapter = (configuration.devices.get(label, ("", ""))[0] for label in (turret, stage))
    if turret_adapter != DEMONSTRATION or stage_adapter == DEMONSTRATION or len(rig.objectives) == 1:
        return []
    return [
        Mismatch(
            MismatchKind.STAND_IN,
            ("devices", "turret"),
            f"devices.turret {turret}",
            f"is a device of {DEMONSTRATION}, which says that it turned and turns nothing: another objective than "
            "the program believes would be driven to the slide. A turret turned by hand serves one objective: "
            f"keep one of {', '.join(objective.name for objective in rig.objectives)}",
        )
    ]


def compare_with_core(rig: Rig, core: ScanCore) -> tuple[Mismatch, ...]:
    """Hold a rig against the devices that are loaded; nothing moves, no picture is taken.

    Parameters
    ----------
    rig
        What the laboratory says.
    core
        With the rig's configuration loaded.

    Returns
    -------
    tuple of Mismatch
        Empty where nothing disagrees.
    """
    found = list(_label_mismatches(rig, tuple(core.getStateLabels(rig.devices.turret))))
    width_px, height_px = int(core.getImageWidth()), int(core.getImageHeight())
    if (width_px, height_px) != (rig.camera.width_px, rig.camera.height_px):
        found.append(
            Mismatch(
                MismatchKind.CAMERA_SIZE,
                ("camera", "width_px"),
                "camera.width_px, camera.height_px",
                f"the camera gives {width_px} x {height_px} px, the rig {rig.camera.width_px} x "
                f"{rig.camera.height_px}: fields would be planned wrongly; correct the rig, or binning and "
                "region of the camera in the configuration",
            )
        )
    bit_depth = int(core.getImageBitDepth())
    # More bits than the rig says are no contradiction: adapters name the size of a sample, 12 bits in 16.
    if bit_depth < rig.camera.bit_depth:
        found.append(
            Mismatch(
                MismatchKind.BIT_DEPTH,
                ("camera", "bit_depth"),
                "camera.bit_depth",
                f"the camera gives {bit_depth} bits, the rig says {rig.camera.bit_depth}: no exposure would ever "
                "reach the full scale; correct the rig, or the pixel type in the configuration",
            )
        )
    if rig.devices.reflector is not None:
        found += _filter_mismatches(rig, tuple(core.getStateLabels(rig.devices.reflector)))
    found += _lamp_mismatches(rig, core)
    return tuple(found)


def _filter_mismatches(rig: Rig, labels: tuple[str, ...]) -> list[Mismatch]:
    if rig.reflector is None:
        return []
    return [
        Mismatch(
            MismatchKind.FILTER_LABEL,
            ("reflector", path.value),
            f"reflector.{path.value}",
            f"{label!r} is no label of {rig.devices.reflector}, which has {', '.join(map(repr, labels))}: these "
            "filters could never be selected",
        )
        for path, label in rig.reflector.labels.items()
        if label not in labels
    ]


def _lamp_mismatches(rig: Rig, core: ScanCore) -> list[Mismatch]:
    lamp = rig.lamp
    if lamp is None or lamp.ready_property is None:
        return []
    device = lamp.ready_device or rig.devices.lamp
    is_there = device in core.getLoadedDevices() and core.hasProperty(device, lamp.ready_property)
    if is_there:
        return []
    return [
        Mismatch(
            MismatchKind.LAMP_PROPERTY,
            ("lamp", "ready_property"),
            "lamp.ready_property",
            f"the configuration has no property {lamp.ready_property!r} of {device!r}: the run would wait in vain",
        )
    ]


def _label_mismatches(rig: Rig, labels: tuple[str, ...]) -> list[Mismatch]:
    return [
        Mismatch(
            MismatchKind.TURRET_LABEL,
            ("objectives", index, "label"),
            f"objectives.{objective.name}.label",
            f"{objective.label!r} is no label of the turret {rig.devices.turret}, which has "
            f"{', '.join(repr(label) for label in labels)}: the objective could never be selected",
        )
        for index, objective in enumerate(rig.objectives)
        if objective.label not in labels
    ]


def _pixel_size_mismatches(
    index: int,
    objective: Objective,
    turret: str,
    labels: Mapping[int, str],
    presets: tuple[PixelSizePreset, ...],
) -> list[Mismatch]:
    positions = {label: str(position) for position, label in labels.items()}
    found = []
    for preset in presets:
        meant = preset.settings.get((turret, "Label")) == objective.label or preset.settings.get(
            (turret, "State")
        ) == positions.get(objective.label, "")
        if not meant or preset.um_per_px is None:
            continue
        if abs(preset.um_per_px / objective.um_per_px - 1.0) > PIXEL_SIZE_TOLERANCE:
            found.append(
                Mismatch(
                    MismatchKind.PIXEL_SIZE,
                    ("objectives", index, "um_per_px"),
                    f"objectives.{objective.name}.um_per_px",
                    f"the rig says {objective.um_per_px:g} um, the preset {preset.name!r} of the configuration "
                    f"{preset.um_per_px:g} um a px: one of them is wrong, and places would be off by as much; "
                    "measure it (karyoscan rig calibrate) or correct the preset",
                )
            )
    return found
