"""Values of a rig that nobody has filled in yet: such a rig is refused, so that it can never move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scanner.errors import RigError
from scanner.strict_yaml import line_of
from scanner.yaml_core import KeyPath, YamlTextError, YamlValue, parse_yaml

TODO: Final = "TODO"
"""Stands in a rig file where a value is still missing."""

_BY_HAND: Final = (
    "lower the objective, drive there by hand with nothing loaded that can touch, read the position, and stay "
    "1000 um inside"
)
_MOTION: Final = (
    "data sheet or settings of the controller; rather too slow than too fast, since deadlines are computed from it"
)
_ENGRAVED: Final = "it is engraved on the objective"
_DEVICE: Final = "the label in a line 'Device,LABEL,...' of the Micro-Manager configuration"
HOW_TO_FIND: Final[dict[str, str]] = {
    "devices": _DEVICE,
    "devices.turret": (
        f"{_DEVICE}; for a turret that is turned by hand add 'Device,Objective,DemoCamera,DObjective' and a label "
        "for the one objective that stays in the light path (docs/how-to/new-rig.md)"
    ),
    "stage.x": _BY_HAND,
    "stage.y": _BY_HAND,
    "stage.motion": _MOTION,
    "focus.z": "read the drive's position at its lowest point and, over an empty stage, near its highest",
    "focus.down_um": "a position of the focus drive in which no objective can touch slide, holder or turret",
    "focus.direction": (
        "raise the drive's number by 10 um by hand: toward_specimen_positive where objective and slide come "
        "nearer, else toward_specimen_negative"
    ),
    "focus.motion": _MOTION,
    "objectives.name": "a short name for protocols, such as 10x",
    "objectives.label": "the label in a line 'Label,TURRET,POSITION,LABEL' of the Micro-Manager configuration",
    "objectives.magnification": _ENGRAVED,
    "objectives.numerical_aperture": f"{_ENGRAVED}, after the slash",
    "objectives.immersion": f"air or oil; {_ENGRAVED}; other immersions can't be used",
    "objectives.um_per_px": (
        "size of the camera's pixel in um (data sheet), over the magnification; karyoscan rig calibrate "
        "measures it"
    ),
    "objectives.focus": (
        "focus on a slide by hand from below; min_um and max_um 100 um below and above, less above than the "
        "working distance"
    ),
    "objectives.travel_drop_um": (
        "lowering by so much takes the objective out of the oil, without leaving the focus limits; 400 um"
    ),
    "camera": "data sheet, or the size and bit depth of a picture that Micro-Manager takes",
    "slide": (
        "drive the objective of the lowest magnification over the slide's corner at the label by hand, and read "
        "the stage's position"
    ),
}
"""By the key, without the numbers of a list; the longest key that leads to a value counts."""
_NAMED_KEYS: Final = 5
"""Further keys in a message: a line stays a line."""
_FALLBACK: Final = "see docs/how-to/new-rig.md"


@dataclass(frozen=True, slots=True)
class UnfinishedValue:
    """A value that is still to be filled in.

    Attributes
    ----------
    key
        Where it stands, such as ``objectives.10x.focus.min_um``.
    line
        In the file, counted from 1; None where unknown.
    how
        How the value is found out.
    """

    key: str
    line: int | None
    how: str


def unfinished_values(text: str) -> tuple[UnfinishedValue, ...]:
    """Values of a rig file that are still to be filled in, in the order of the file.

    Raises
    ------
    YamlTextError
        The text isn't acceptable YAML.
    """
    document = parse_yaml(text)
    return tuple(
        UnfinishedValue(_shown(location, document.data), line_of(location, document.lines), how_to_find(location))
        for location in _marked(document.data, ())
    )


def refuse_unfinished(text: str, path: Path) -> None:
    """Refuse a rig file in which a value is still to be filled in.

    Parameters
    ----------
    text
        Contents of the file. What isn't YAML is left to whoever reads it next.
    path
        Named in the message.

    Raises
    ------
    RigError
        Names the first such key, how its value is found out, and the other keys.
    """
    if TODO not in text:
        return
    try:
        unfinished = unfinished_values(text)
    except YamlTextError:
        return
    if not unfinished:
        return
    first, *others = unfinished
    keys = ", ".join(value.key for value in others[:_NAMED_KEYS])
    more = f" (and {len(others)} more: {keys}{', ...' if len(others) > _NAMED_KEYS else ''})" if others else ""
    raise RigError(f"{first.key}: still {TODO}; {first.how}{more}", path=path, line=first.line)


def how_to_find(location: KeyPath) -> str:
    """How the value of a key is found out."""
    names = [part for part in location if isinstance(part, str)]
    while names:
        if (how := HOW_TO_FIND.get(".".join(names))) is not None:
            return how
        names.pop()
    return _FALLBACK


def _marked(value: YamlValue, location: KeyPath) -> Iterator[KeyPath]:
    if value == TODO:
        yield location
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _marked(item, (*location, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, (*location, index))


def _shown(location: KeyPath, data: YamlValue) -> str:
    """The key, with an objective's name instead of its number."""
    parts: list[str] = []
    for part in location:
        data = data[part] if isinstance(data, (dict, list)) else None  # type: ignore[index]
        name = data.get("name") if isinstance(part, int) and isinstance(data, dict) else None
        parts.append(str(part) if name is None or name == TODO else str(name))
    return ".".join(parts)
