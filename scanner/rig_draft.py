"""A first ``rig.yaml`` from a Micro-Manager configuration; what nobody said yet stays ``TODO``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scanner.configuration_check import DEMONSTRATION
from scanner.configuration_file import ConfigurationFile
from scanner.errors import RigError
from scanner.objective_label import LabelledImmersion, ObjectiveLabel, read_objective_label
from scanner.rig import FocusSense
from scanner.unfinished_rig import TODO, how_to_find

_ROLES: Final = {
    "stage": ("XYStage", re.compile(r"xy.?stage", re.IGNORECASE)),
    "focus": ("Focus", re.compile(r"(?<!xy)(?<!xy.)(stage|focus|zaxis|zdrive)", re.IGNORECASE)),
    "lamp": ("Shutter", re.compile(r"shutter", re.IGNORECASE)),
    "camera": ("Camera", re.compile(r"cam", re.IGNORECASE)),
}
"""Setting of the core that names the device; and what a device's name says where the core isn't told."""
_TURRET: Final = re.compile(r"objective|nosepiece|revolver", re.IGNORECASE)
_SPEED: Final = re.compile(r"(speed|velocity)", re.IGNORECASE)
_MM_PER_S: Final = re.compile(r"[\[(]mm/s[\])]")
_ACCELERATION: Final = re.compile(r"acceleration.*\[m/s\^2\]", re.IGNORECASE)
_RAMP: Final = re.compile(r"acceleration.*\(ms\)", re.IGNORECASE)
_MS_PER_S: Final = 1_000.0
_UM_PER_MM: Final = 1_000.0
_UM_PER_M: Final = 1_000_000.0
_STAGE_TOLERANCE_UM: Final = 2.0
"""Twice what open-loop stages repeat to."""
_FOCUS_TOLERANCE_UM: Final = 0.2
"""A fifth of the depth of field of 63x/1.4 oil would be finer than many drives count."""
_READ_OUT_MS: Final = 500.0
"""Slower than any camera in use; calibration measures it, and too long costs time, never a picture."""
_TRAVEL_FREE_UM: Final = 1_000.0
"""Of an oil objective: within it the oil film holds."""
_TRAVEL_DROP_UM: Final = 400.0
"""Out of the oil film of a drop."""

_BY_HAND_REMARK: Final = (
    "No device names objectives. A turret that is turned by hand has no role of its own: a rig then has one "
    "objective (docs/how-to/new-rig.md, section 2)."
)
_STAND_IN_REMARK: Final = (
    f"is a device of {DEMONSTRATION}: it turns nothing. Keep one objective (--objective NAME), the one that stays "
    "in the light path; with more, the rig is refused."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Lowest and highest position of an axis, in um."""

    min_um: float
    max_um: float


@dataclass(frozen=True, slots=True)
class AxisMotion:
    """Top speed and acceleration of an axis, in um/s and um/s^2."""

    speed_um_s: float
    acceleration_um_s2: float


@dataclass(frozen=True, slots=True)
class SensorSize:
    """A camera's pictures.

    Attributes
    ----------
    width_px, height_px
        Size.
    bit_depth
        Bits of a pixel.
    """

    width_px: int
    height_px: int
    bit_depth: int


@dataclass(frozen=True, slots=True)
class RigAnswers:
    """What a person says of an instrument; None where it is still open.

    Attributes
    ----------
    x, y, z
        Limits of the axes.
    down_um
        Focus position in which nothing can touch.
    direction
        Which way the focus drive counts, where the configuration leaves it open.
    slide_origin_um
        Stage position x, y of the slide's corner.
    camera
        Size of the pictures.
    stage_motion, focus_motion
        What the axes can do.
    focus, apertures, immersions, um_per_px
        Of an objective, by its name such as ``10x``.
    objectives
        Names of the objectives to take; all where empty.
    """

    x: Limits | None = None
    y: Limits | None = None
    z: Limits | None = None
    down_um: float | None = None
    direction: FocusSense | None = None
    slide_origin_um: tuple[float, float] | None = None
    camera: SensorSize | None = None
    stage_motion: AxisMotion | None = None
    focus_motion: AxisMotion | None = None
    focus: Mapping[str, Limits] = field(default_factory=dict)
    apertures: Mapping[str, float] = field(default_factory=dict)
    immersions: Mapping[str, LabelledImmersion] = field(default_factory=dict)
    um_per_px: Mapping[str, float] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftObjective:
    """An objective of the turret, as far as configuration and answers describe it.

    Attributes
    ----------
    name
        Unique in the rig.
    label
        What its position's label says.
    um_per_px
        From the answers or a preset; None where neither says.
    """

    name: str
    label: ObjectiveLabel
    um_per_px: float | None


def draft_objectives(configuration: ConfigurationFile) -> tuple[DraftObjective, ...]:
    """Objectives of a configuration's turret, the lowest magnification first.

    Parameters
    ----------
    configuration
        What the ``.cfg`` says.
    """
    turret = find_turret(configuration)
    if turret is None:
        return ()
    labels = _turret_labels(configuration, turret)
    parsed = [
        (position, described)
        for position, label in labels.items()
        if (described := read_objective_label(label)) is not None
    ]
    parsed.sort(key=lambda entry: (entry[1].magnification, entry[0]))
    names = [described.name for _, described in parsed]
    return tuple(
        DraftObjective(
            name=described.name if names.count(described.name) == 1 else f"{described.name}-{position}",
            label=described,
            um_per_px=_preset_um_per_px(configuration, turret, position, described.label),
        )
        for position, described in parsed
    )


def find_turret(configuration: ConfigurationFile) -> str | None:
    """Label of the state device that turns objectives: the one whose labels name most magnifications.

    Parameters
    ----------
    configuration
        What the ``.cfg`` says.

    Returns
    -------
    str or None
        None where no device can be told from the others.
    """
    candidates = dict.fromkeys(
        [
            *configuration.state_labels,
            *(device for preset in configuration.pixel_sizes for device, _ in preset.settings),
        ]
    )
    scores = {
        device: (
            sum(
                read_objective_label(label) is not None for label in _turret_labels(configuration, device).values()
            ),
            bool(_TURRET.search(" ".join((device, *configuration.devices.get(device, ()))))),
        )
        for device in candidates
    }
    best = max(scores.values(), default=(0, False))
    chosen = [device for device, score in scores.items() if score == best]
    if best == (0, False) or len(chosen) != 1:
        return None
    return chosen[0]


def find_device(configuration: ConfigurationFile, role: str) -> str | None:
    """Label of the device for a role of a rig: as the core is told, else the only one whose name says so.

    Parameters
    ----------
    configuration
        What the ``.cfg`` says.
    role
        ``stage``, ``focus``, ``lamp`` or ``camera``.
    """
    setting, pattern = _ROLES[role]
    if named := configuration.core_roles.get(setting):
        return named
    matching = [label for label, (_, name) in configuration.devices.items() if pattern.search(name)]
    return matching[0] if len(matching) == 1 else None


def draft_remarks(configuration: ConfigurationFile) -> tuple[str, ...]:
    """What a person has to know of a configuration before the draft is filled in.

    Parameters
    ----------
    configuration
        What the ``.cfg`` says.
    """
    turret, stage = find_turret(configuration), find_device(configuration, "stage")
    if turret is None:
        return (_BY_HAND_REMARK,)
    adapters = [configuration.devices.get(label or "", ("", ""))[0] for label in (turret, stage)]
    if adapters[0] == DEMONSTRATION and adapters[1] != DEMONSTRATION and len(draft_objectives(configuration)) > 1:
        return (f"{turret} {_STAND_IN_REMARK}",)
    return ()


def draft_rig(name: str, cfg_name: str, configuration: ConfigurationFile, answers: RigAnswers) -> str:
    """Write the text of a rig file.

    Parameters
    ----------
    name
        Of the rig.
    cfg_name
        Name of the configuration beside the rig file.
    configuration
        What it says.
    answers
        What a person says; it goes before what the configuration says.

    Returns
    -------
    str
        YAML with comments. What nobody says is ``TODO``, and such a rig is refused.

    Raises
    ------
    RigError
        The answers name an objective that the turret hasn't.
    """
    objectives = _wanted(draft_objectives(configuration), answers)
    devices = {
        "stage": find_device(configuration, "stage"),
        "focus": find_device(configuration, "focus"),
        "turret": find_turret(configuration),
        "lamp": find_device(configuration, "lamp"),
        "camera": find_device(configuration, "camera"),
    }
    sections = [
        _head(name, cfg_name),
        _devices(devices),
        _stage(configuration, devices["stage"], answers),
        _focus(configuration, devices["focus"], answers),
        _objectives(objectives, answers),
        _camera(answers.camera),
        _slide(answers.slide_origin_um),
    ]
    return "\n".join("\n".join(lines) + "\n" for lines in sections)


def _wanted(objectives: tuple[DraftObjective, ...], answers: RigAnswers) -> tuple[DraftObjective, ...]:
    names = [objective.name for objective in objectives]
    answered = (*answers.objectives, *answers.focus, *answers.apertures, *answers.immersions, *answers.um_per_px)
    for name in answered:
        if name not in names:
            has = ", ".join(names) if names else "no label that names a magnification"
            raise RigError(f"the turret has no objective {name!r}; it has {has}")
    return tuple(each for each in objectives if not answers.objectives or each.name in answers.objectives)


def _turret_labels(configuration: ConfigurationFile, device: str) -> Mapping[int, str]:
    """Labels by position; where the configuration gives none, those that its presets of pixel sizes name."""
    if labels := configuration.state_labels.get(device):
        return labels
    named = [preset.settings.get((device, "Label")) for preset in configuration.pixel_sizes]
    return dict(enumerate(label for label in named if label is not None))


def _preset_um_per_px(configuration: ConfigurationFile, turret: str, position: int, label: str) -> float | None:
    for preset in configuration.pixel_sizes:
        by_label = preset.settings.get((turret, "Label")) == label
        if (by_label or preset.settings.get((turret, "State")) == str(position)) and preset.um_per_px:
            return preset.um_per_px
    return None


def _head(name: str, cfg_name: str) -> list[str]:
    return [
        "# Written by karyoscan rig new. Every TODO has to be replaced before the rig is accepted; (check) and",
        "# (measure) mark values that are plausible but not this instrument's own. Step by step:",
        "# docs/how-to/new-rig.md.",
        "version: 1",
        f"name: {_text(name)}",
        f"micro_manager_cfg: {_text(cfg_name)}",
    ]


def _devices(devices: Mapping[str, str | None]) -> list[str]:
    return [
        "devices:              # labels in the Micro-Manager configuration",
        *(
            f"  {role}: {_text(label)}"
            if label is not None
            else f"  {role}: {TODO}  # {how_to_find(('devices', role))}"
            for role, label in devices.items()
        ),
    ]


def _stage(configuration: ConfigurationFile, device: str | None, answers: RigAnswers) -> list[str]:
    motion = answers.stage_motion or _configured_motion(configuration, device)
    return [
        "stage:                # the part of the travel in which nothing can touch, as the controller counts",
        _limits("  x", answers.x, ("stage", "x")),
        _limits("  y", answers.y, ("stage", "y")),
        *_motion(motion, _STAGE_TOLERANCE_UM, "stage"),
    ]


def _focus(configuration: ConfigurationFile, device: str | None, answers: RigAnswers) -> list[str]:
    counted = {1: FocusSense.POSITIVE, -1: FocusSense.NEGATIVE}.get(
        configuration.focus_directions.get(device or "", 0)
    )
    direction = answers.direction or counted
    lines = [
        "focus:                # higher z is nearer to the specimen, whichever way the drive counts",
        _limits("  z", answers.z, ("focus", "z")),
        _number("  down_um", answers.down_um, ("focus", "down_um")),
    ]
    if direction is None:
        lines.append(f"  direction: {TODO}  # {how_to_find(('focus', 'direction'))}")
    else:
        source = "(check)" if answers.direction else "(check) FocusDirection of the configuration"
        lines.append(f"  direction: {direction}  # {source}")
    if direction is FocusSense.NEGATIVE:
        lines.append("  # Every z of this file is minus the drive's position.")
    motion = answers.focus_motion or _configured_motion(configuration, device)
    return [*lines, *_motion(motion, _FOCUS_TOLERANCE_UM, "focus")]


def _configured_motion(configuration: ConfigurationFile, device: str | None) -> AxisMotion | None:
    """The slowest speed and acceleration that the configuration sets with their units."""
    speeds: list[float] = []
    accelerations: list[float] = []
    ramps_s: list[float] = []
    for (owner, name), value in configuration.device_properties.items():
        if owner != device:
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if number > 0 and _SPEED.search(name) and _MM_PER_S.search(name):
            speeds.append(number * _UM_PER_MM)
        elif number > 0 and _ACCELERATION.search(name):
            accelerations.append(number * _UM_PER_M)
        elif number > 0 and _RAMP.search(name):
            ramps_s.append(number / _MS_PER_S)
    if speeds and ramps_s:
        accelerations.append(min(speeds) / max(ramps_s))
    return AxisMotion(min(speeds), min(accelerations)) if speeds and accelerations else None


def _motion(motion: AxisMotion | None, tolerance_um: float, axis: str) -> list[str]:
    speed = None if motion is None else motion.speed_um_s
    acceleration = None if motion is None else motion.acceleration_um_s2
    return [
        "  motion:",
        _number("    speed_um_s", speed, (axis, "motion")),
        _number("    acceleration_um_s2", acceleration, (axis, "motion")),
        "    settle_ms: 100    # (measure)",
        f"    tolerance_um: {tolerance_um:g}   # (check)",
    ]


def _objectives(objectives: tuple[DraftObjective, ...], answers: RigAnswers) -> list[str]:
    lines = ["objectives:           # the first one is the reference for parcentric and parfocal offsets"]
    for objective in objectives:
        lines += _objective(objective, answers)
    if not objectives:
        lines += [
            f"  - name: {TODO}        # {how_to_find(('objectives', 'name'))}",
            *(f"    {key}: {TODO}  # {how_to_find(('objectives', key))}" for key in ("label", "magnification")),
            _number("    numerical_aperture", None, ("objectives", "numerical_aperture")),
            f"    immersion: {TODO}  # {how_to_find(('objectives', 'immersion'))}",
            _number("    um_per_px", None, ("objectives", "um_per_px")),
            _limits("    focus", None, ("objectives", "focus")),
        ]
    return lines


def _objective(objective: DraftObjective, answers: RigAnswers) -> list[str]:
    name, described = objective.name, objective.label
    immersion = answers.immersions.get(name, described.immersion)
    envelope = answers.focus.get(name)
    aperture = answers.apertures.get(name, described.numerical_aperture)
    um_per_px = answers.um_per_px.get(name, objective.um_per_px)
    lines = [
        f"  - name: {_text(name)}",
        f"    label: {_text(described.label)}",
        f"    magnification: {described.magnification:g}",
        _number("    numerical_aperture", aperture, ("objectives", "numerical_aperture")),
        f"    immersion: {immersion}  # (check)"
        if immersion is not None
        else f"    immersion: {TODO}  # {how_to_find(('objectives', 'immersion'))}",
        _number("    um_per_px", um_per_px, ("objectives", "um_per_px"), note="(measure)"),
        _limits("    focus", envelope, ("objectives", "focus")),
    ]
    if immersion is not LabelledImmersion.AIR:
        room_um = None if envelope is None or answers.down_um is None else envelope.min_um - answers.down_um
        drop_um = None if room_um is None else min(_TRAVEL_DROP_UM, room_um)
        lines += [
            f"    travel_free_um: {_TRAVEL_FREE_UM:g}  # longer moves first lower the objective from the oil",
            _number("    travel_drop_um", drop_um, ("objectives", "travel_drop_um"), note="(check)"),
        ]
    return lines


def _camera(sensor: SensorSize | None) -> list[str]:
    sizes = (
        ("width_px", None if sensor is None else sensor.width_px),
        ("height_px", None if sensor is None else sensor.height_px),
        ("bit_depth", None if sensor is None else sensor.bit_depth),
    )
    return [
        "camera:               # as it is mounted; karyoscan rig calibrate measures read-out, rotation and flips",
        *(_number(f"  {key}", value, ("camera",)) for key, value in sizes),
        f"  read_out_ms: {_READ_OUT_MS:g}    # (measure)",
        "  rotation_deg: 0     # (measure)",
        "  flip_x: false       # (measure)",
        "  flip_y: false       # (measure)",
    ]


def _slide(origin_um: tuple[float, float] | None) -> list[str]:
    x_um, y_um = (None, None) if origin_um is None else origin_um
    return [
        "slide:                # where the corner of a slide lies on the stage, and how the slide is turned",
        _number("  x_um", x_um, ("slide",)),
        _number("  y_um", y_um, ("slide",)),
        "  rotation_deg: 0     # (check)",
        "  flip_x: false       # (check)",
        "  flip_y: false       # (check)",
    ]


def _limits(key: str, limits: Limits | None, location: tuple[str, ...]) -> str:
    if limits is None:
        return f"{key}: {{min_um: {TODO}, max_um: {TODO}}}  # {how_to_find(location)}"
    return f"{key}: {{min_um: {_plain(limits.min_um)}, max_um: {_plain(limits.max_um)}}}"


def _number(key: str, value: float | None, location: tuple[str, ...], *, note: str = "") -> str:
    if value is None:
        return f"{key}: {TODO}  # {how_to_find(location)}"
    return f"{key}: {_plain(value)}" + (f"  # {note}" if note else "")


def _plain(value: float) -> str:
    """A number as a person writes it."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _text(value: str) -> str:
    """A text as YAML: quoted where a plain word would be read as something else."""
    return json.dumps(value, ensure_ascii=False)
