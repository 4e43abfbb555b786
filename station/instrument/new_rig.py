"""A new rig folder from a Micro-Manager configuration and what a person says of the instrument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from scanner.adapters import MissingAdapter, missing_adapters
from scanner.configuration_file import read_configuration_file
from scanner.core import ScanCore
from scanner.objective_label import LabelledImmersion
from scanner.portable.atomic_files import write_atomic
from scanner.rig import RIG_FILE, FocusSense
from scanner.rig_draft import AxisMotion, Limits, RigAnswers, SensorSize, draft_remarks, draft_rig
from scanner.unfinished_rig import UnfinishedValue, unfinished_values
from station.errors import UsageError

CFG_NAME: Final = "micro-manager.cfg"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class NewRig:
    """A rig folder that was written.

    Attributes
    ----------
    folder
        Where it is.
    unfinished
        Values that are still to be filled in; until then the rig is refused.
    missing
        Adapters that the configuration needs and that aren't installed here.
    remarks
        What has to be known before the values are filled in.
    """

    folder: Path
    unfinished: tuple[UnfinishedValue, ...]
    missing: tuple[MissingAdapter, ...] = ()
    remarks: tuple[str, ...] = ()


def write_new_rig(name: str, configuration: Path, folder: Path, answers: RigAnswers) -> NewRig:
    """Write a rig folder: the configuration as it is, and a draft of the rig file.

    Parameters
    ----------
    name
        Of the rig.
    configuration
        Micro-Manager's ``.cfg``; it is copied.
    folder
        New folder of the rig.
    answers
        What a person says of the instrument.

    Raises
    ------
    RigError
        The configuration can't be read, or the answers name an objective that it hasn't.
    UsageError
        There is a rig in the folder, or it can't be written.
    """
    path = folder / RIG_FILE
    if path.exists():
        raise UsageError(f"--out: {path} is there already; a rig is never overwritten: take another folder")
    read = read_configuration_file(configuration)
    text = draft_rig(name, CFG_NAME, read, answers)
    copy = folder / CFG_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (copy.exists() and copy.samefile(configuration)):
            if copy.exists():
                raise UsageError(
                    f"--out: {copy} is there already and isn't the file of --from; take another folder"
                )
            write_atomic(copy, configuration.read_bytes())
        write_atomic(path, text.encode())
    except OSError as error:
        raise UsageError(f"--out: {folder} can't be written: {error.strerror or error}") from error
    return NewRig(
        folder,
        unfinished_values(text),
        missing_adapters(read, ScanCore().getDeviceAdapterNames()),
        draft_remarks(read),
    )


def parse_answer(option: str, text: str | None, parse: Callable[[str], Value]) -> Value | None:
    """Read the value of an option.

    Parameters
    ----------
    option
        Named in the message.
    text
        As given; None where it wasn't.
    parse
        Reads it.

    Raises
    ------
    UsageError
        It can't be read.
    """
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: found {text!r}; allowed: {error}") from error


def parse_by_objective(option: str, texts: Iterable[str], parse: Callable[[str], Value]) -> dict[str, Value]:
    """Read values of objectives, each ``NAME=VALUE``.

    Parameters
    ----------
    option
        Named in the message.
    texts
        As given.
    parse
        Reads a value.

    Raises
    ------
    UsageError
        One can't be read.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option}: found {text!r}; allowed: OBJECTIVE=VALUE, such as 10x=...")
        try:
            values[name] = parse(value)
        except ValueError as error:
            raise UsageError(f"{option}: found {text!r}; allowed after {name}=: {error}") from error
    return values


def parse_limits(text: str) -> Limits:
    """Read ``MIN:MAX`` in um; `ValueError` says what is allowed."""
    low_um, high_um = _numbers(text, "MIN:MAX in um, such as 0:76000", count=2)
    if not low_um < high_um:
        raise ValueError("MIN:MAX in um, the lower one first")
    return Limits(low_um, high_um)


def parse_point(text: str) -> tuple[float, float]:
    """Read ``X:Y`` in um; `ValueError` says what is allowed."""
    x_um, y_um = _numbers(text, "X:Y in um, such as 12000:4000", count=2)
    return x_um, y_um


def parse_motion(text: str) -> AxisMotion:
    """Read ``SPEED:ACCELERATION`` in um/s and um/s^2; `ValueError` says what is allowed."""
    allowed = "SPEED:ACCELERATION in um/s and um/s^2, both above 0, such as 20000:200000"
    speed_um_s, acceleration_um_s2 = _numbers(text, allowed, count=2)
    if speed_um_s <= 0 or acceleration_um_s2 <= 0:
        raise ValueError(allowed)
    return AxisMotion(speed_um_s, acceleration_um_s2)


def parse_sensor(text: str) -> SensorSize:
    """Read ``WIDTHxHEIGHTxBITS``; `ValueError` says what is allowed."""
    try:
        width_px, height_px, bit_depth = (int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError as error:
        raise ValueError("WIDTHxHEIGHTxBITS, such as 1360x1024x12") from error
    return SensorSize(width_px, height_px, bit_depth)


def parse_direction(text: str) -> FocusSense:
    """Read which way a focus drive counts; `ValueError` says what is allowed."""
    senses = {"positive": FocusSense.POSITIVE, "negative": FocusSense.NEGATIVE}
    if text not in senses:
        raise ValueError(", ".join(senses))
    return senses[text]


def parse_number(text: str) -> float:
    """Read one number; `ValueError` says what is allowed."""
    (number,) = _numbers(text, "a number", count=1)
    return number


def parse_immersion(text: str) -> LabelledImmersion:
    """Read an immersion; `ValueError` says what is allowed."""
    try:
        return LabelledImmersion(text)
    except ValueError as error:
        raise ValueError(", ".join(LabelledImmersion)) from error


def _numbers(text: str, allowed: str, *, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(":"))
    except ValueError as error:
        raise ValueError(allowed) from error
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise ValueError(allowed)
    return numbers
