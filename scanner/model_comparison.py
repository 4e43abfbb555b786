"""What differs between two readings of a settings file: values count, comments and white space don't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def changed_keys(before: BaseModel, now: BaseModel) -> tuple[str, ...]:
    """Name the keys whose values differ.

    Parameters
    ----------
    before, now
        The same kind of file, read twice. What one of them leaves to its default counts as that value.

    Returns
    -------
    tuple of str
        Paths such as ``objectives.63x.um_per_px``, in the order of the file; empty where all values are the same.
        Entries of a list go by their name where they have one, else by their number from 1.
    """
    return tuple(_differences(before.model_dump(mode="json"), now.model_dump(mode="json"), ()))


def _differences(before: object, now: object, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(before, list) and isinstance(now, list):
        before, now = _by_name(before), _by_name(now)
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            if key not in before or key not in now:
                yield ".".join((*path, str(key)))
            else:
                yield from _differences(before[key], now[key], (*path, str(key)))
    # 1 and 1.0 are the same value; 1 and true are not.
    elif before != now or isinstance(before, bool) is not isinstance(now, bool):
        yield ".".join(path)


def _by_name(entries: list[Any]) -> dict[str, Any]:
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return dict(zip(map(str, names), entries, strict=True))
    return {str(number): entry for number, entry in enumerate(entries, start=1)}
