"""YAML that is refused with file, line, key, what was found and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from scanner.yaml_core import KeyPath, YamlLimits, YamlTextError, parse_yaml

Model = TypeVar("Model", bound=BaseModel)
Fault = Callable[[str, Path, int | None], Exception]

CROSS_CHECK = "cross_check"


def cross_check(message: str, *at: str | int) -> PydanticCustomError:
    """Error of a model's validator about one key below it: `at` leads to the key, whose line is then told."""
    # Braces would be taken for places to fill in.
    return PydanticCustomError(CROSS_CHECK, "{message}", {"message": message, "at": at})


def load_strict(model: type[Model], path: Path, fault: Fault, *, text: str | None = None) -> Model:
    """Read a YAML file into a strict model.

    Parameters
    ----------
    model
        Pydantic model with ``extra="forbid"``.
    path
        File to read; named in every message.
    fault
        Makes the exception to raise, from message, path and line.
    text
        Contents, where they were read already.

    Raises
    ------
    Exception
        Whatever `fault` makes: file missing, not YAML, duplicate key, unknown key or bad value.
    """
    if text is None:
        text = read_text_file(path, fault)
    try:
        document = parse_yaml(text)
    except YamlTextError as error:
        raise fault(error.message, path, error.line) from error
    data, lines = document.data, document.lines
    if not isinstance(data, dict):
        raise fault(f"expected a mapping of keys, found {type(data).__name__}", path, 1)
    try:
        # As JSON, strictly: a list fills a tuple and a word an enumeration, but no boolean and no text a number.
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A misspelt key is two faults, one unknown key and one that is missing: the first says what is wrong.
        first = next((each for each in details if each["type"] == "extra_forbidden"), details[0])
        location = (*first["loc"], *first.get("ctx", {}).get("at", ()))
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        message = _describe(model, location, lines, first["type"], first["msg"], first.get("input")) + tail
        raise fault(message, path, line_of(location, lines)) from error


def read_text_file(path: Path, fault: Fault) -> str:
    """Read a regular file of sensible size; a byte-order mark is no part of it.

    Parameters
    ----------
    path
        File to read; named in every message.
    fault
        Makes the exception to raise, from message, path and line.

    Raises
    ------
    Exception
        Whatever `fault` makes: file missing, no regular file, too large, or not UTF-8.
    """
    limit = YamlLimits().bytes_
    try:
        if path.exists() and not path.is_file():
            raise fault("not a regular file", path, None)
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise fault(f"more than {limit:,} bytes, which no file of this kind has", path, None)
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise fault("no such file", path, None) from error
    except UnicodeDecodeError as error:
        raise fault(f"not UTF-8 text (byte {error.start + 1}); save it as UTF-8", path, None) from error
    except OSError as error:
        raise fault(f"can't be read: {error.strerror or error}", path, None) from error


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line of every key of a YAML text, counted from 1.

    Raises
    ------
    YamlTextError
        The text isn't acceptable YAML.
    """
    return parse_yaml(text).lines


def line_of(location: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    """Line of a key, or of the nearest one above it that stands in the file.

    Parameters
    ----------
    location
        Keys and indices that lead to the value.
    lines
        Line of every key of the file.
    """
    location = _written(location, lines)
    while location:
        if location in lines:
            return lines[location]
        location = location[:-1]
    return lines.get(())


def _written(location: KeyPath, lines: dict[KeyPath, int], *, keep_last: bool = False) -> KeyPath:
    """The location as it stands in the file: without the names of union members that pydantic puts in."""
    path: KeyPath = ()
    for position, part in enumerate(location):
        if (*path, part) in lines or (keep_last and position == len(location) - 1):
            path = (*path, part)
    return path


def _dotted(location: KeyPath) -> str:
    return ".".join(str(part) for part in location)


def _describe(
    model: type[BaseModel],
    location: KeyPath,
    lines: dict[KeyPath, int],
    kind: str,
    message: str,
    found: object,
) -> str:
    name = _dotted(_written(location, lines, keep_last=kind == "missing"))
    if kind == "extra_forbidden":
        keys = _keys_beside(model, location)
        allowed = f"; allowed here: {', '.join(keys)}" if keys else ""
        nearest = get_close_matches(str(location[-1]), keys, n=1)
        suggestion = f"; did you mean {nearest[0]!r}?" if nearest else ""
        return f"{name}: unknown key{allowed}{suggestion}"
    if kind == "missing":
        return f"{name}: required key is missing"
    if kind == CROSS_CHECK:
        return f"{name}: {message}"
    shown = repr(found)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    message = message.removeprefix("Value error, ")
    return f"{name}: found {shown}; {message[:1].lower()}{message[1:]}" if name else message


def _keys_beside(model: type[BaseModel], location: KeyPath) -> list[str]:
    models: list[type[BaseModel]] = [model]
    for part in location[:-1]:
        chosen = [member for member in models if _is_member(member, part)]
        if chosen:
            models = chosen
            continue
        if isinstance(part, int) or len(models) != 1 or part not in models[0].model_fields:
            continue
        models = _models_in(models[0].model_fields[part].annotation)
    return sorted(models[0].model_fields) if len(models) == 1 else []


def _is_member(model: type[BaseModel], tag: str | int) -> bool:
    """Whether this is the member of a union that the tag names."""
    kind = model.model_fields.get("type")
    return kind is not None and tag in getattr(kind.annotation, "__args__", ())


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]
