"""A protocol held against schema and rig while it is written, and changed in places with its comments kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acquisition.dry_run import estimate, with_free_room
from acquisition.errors import ProtocolError
from acquisition.plan.check import check
from acquisition.protocol import load_protocol
from scanner.rig import Rig
from scanner.strict_yaml import key_lines, line_of
from station.web.problems import ProblemError

MAX_TEXT: Final = 100_000
"""A protocol has a hundred lines."""
_LINE_WIDTH: Final = 4096
"""Lines stay as they are written, however long."""

KeyOfProtocol = str | int


def checked_text(name: str, text: str, rig: Rig | None, free_bytes: int) -> dict[str, Any]:
    """What the command line would say of a protocol, and what a run with it would take.

    Parameters
    ----------
    name
        Of the protocol, for messages.
    text
        YAML.
    rig
        Instrument that shall carry it out; None for the schema alone.
    free_bytes
        Room on the disk.

    Returns
    -------
    dict
        ``error`` with ``line`` where it can't be read; else ``values``, ``findings`` and, with a rig,
        ``estimate``.
    """
    try:
        protocol = load_protocol(Path(f"{name}.yaml"), text=text)
    except ProtocolError as error:
        return {"error": str(error), "line": error.line, "values": None, "findings": [], "estimate": None}
    lines = key_lines(text)
    findings = check(protocol, rig) if rig is not None else ()
    taken = None
    if rig is not None:
        result = with_free_room(estimate(protocol, rig), free_bytes)
        findings = result.findings
        taken = result.to_json()
    return {
        "error": None,
        "line": None,
        "values": protocol.model_dump(mode="json"),
        "findings": [
            {"level": each.level.value, "key": list(each.key), "line": line_of(each.key, lines), "text": str(each)}
            for each in findings
        ],
        "estimate": taken,
    }


def changed_text(text: str, key: Sequence[KeyOfProtocol], value: object) -> str:
    """Change one value of a YAML text; comments, order and all else stay.

    Parameters
    ----------
    text
        YAML.
    key
        Keys from the top to the value.
    value
        What shall stand there, plain JSON; None takes the key out, so that its default counts.

    Raises
    ------
    ProblemError
        The text can't be read, or there is no such place.
    """
    if not key:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "no-key", "name the key that shall change")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _LINE_WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        document = yaml.load(text)
        place: Any = document
        for part in key[:-1]:
            if isinstance(place, dict) and place.get(part) is None:
                place[part] = {}
            place = place[part]
        if value is None:
            if isinstance(place, dict):
                place.pop(key[-1], None)
        else:
            place[key[-1]] = value
        changed = io.StringIO()
        yaml.dump(document, changed)
    except (YAMLError, KeyError, TypeError, IndexError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "not-changed", f"the text can't be changed in place: {reason}"
        ) from error
    return changed.getvalue()
