"""YAML that is refused with file, line, key, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str | int, ...]
Fault = Callable[[str, Path, int | None], Exception]

CROSS_CHECK = "cross_check"


def cross_check(message: str, *at: str) -> PydanticCustomError:
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
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise fault("no such file", path, None) from error
        except (OSError, UnicodeDecodeError) as error:
            raise fault(f"can't be read: {error}", path, None) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[KeyPath, int] = {}
        if node is not None:
            _index(node, (), lines, lambda message, line: fault(message, path, line))
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise fault(
            f"not YAML: {error.problem or error.context}", path, mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise fault(f"not YAML: {error}", path, None) from error
    if not isinstance(data, dict):
        raise fault(f"expected a mapping of keys, found {type(data).__name__}", path, 1)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = (*first["loc"], *first.get("ctx", {}).get("at", ()))
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        message = _describe(model, location, lines, first["type"], first["msg"], first.get("input")) + tail
        raise fault(message, path, line_of(location, lines)) from error


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line of every key of a YAML text, counted from 1; the text has been read without a fault before."""
    lines: dict[KeyPath, int] = {}
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is not None:
        _index(node, (), lines, lambda message, line: ValueError(f"line {line}: {message}"))
    return lines


def _index(
    node: yaml.Node, key_path: KeyPath, lines: dict[KeyPath, int], fault: Callable[[str, int], Exception]
) -> None:
    lines.setdefault(key_path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            child = (*key_path, str(key_node.value))
            if child in lines:
                raise fault(f"{_dotted(child)}: key given twice", key_node.start_mark.line + 1)
            lines[child] = key_node.start_mark.line + 1
            _index(value_node, child, lines, fault)
    elif isinstance(node, yaml.SequenceNode):
        for index, value_node in enumerate(node.value):
            _index(value_node, (*key_path, index), lines, fault)


def line_of(location: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    """Line of a key, or of the nearest one above it that stands in the file."""
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
        return f"{name}: unknown key{allowed}"
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
