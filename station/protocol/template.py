"""A new protocol, begun from a packaged one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from acquisition.protocol import load_protocol
from acquisition.storage.atomic import write_bytes_atomic
from station.errors import UsageError
from station.installation.packaged import PACKAGED_PROTOCOLS, protocol_names
from station.protocol.schema import SchemaOf, schema_text
from station.suggestions import not_allowed

SCHEMA_NAME = "protocol.schema.json"
"""JSON Schema beside new protocols, which editors complete and check by."""
_SCHEMA_LINE = re.compile(r"^(# yaml-language-server: \$schema=)\S+$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def new_protocol(name: str, template: str, folder: Path) -> Path:
    """Write a copy of a shipped protocol under another name, comments included, and the schema for editors.

    Parameters
    ----------
    name
        Of the protocol, and of its file.
    template
        Name of the packaged protocol to start from.
    folder
        Where to write it; it is made where it isn't there.

    Returns
    -------
    Path
        The new file.

    Raises
    ------
    UsageError
        No such template, no usable name, or the file exists.
    StorageError
        It can't be written.
    """
    if template not in protocol_names():
        raise UsageError(not_allowed("--like", template, protocol_names()))
    if not _NAME.fullmatch(name):
        raise UsageError(f"name: found {name!r}; allowed: letters, digits, '_', '-' and '.', at most 80")
    path = folder / f"{name}.yaml"
    if path.exists():
        raise UsageError(f"{path} exists; choose another name")
    text = (PACKAGED_PROTOCOLS / f"{template}.yaml").read_text(encoding="utf-8")
    quoted = yaml.safe_dump(name, default_style='"' if not name[0].isalpha() else None).splitlines()[0]
    renamed = re.sub(r"^name: .*$", lambda _: f"name: {quoted}", text, count=1, flags=re.MULTILINE)
    renamed = _SCHEMA_LINE.sub(lambda match: f"{match[1]}{SCHEMA_NAME}", renamed, count=1)
    load_protocol(path, text=renamed)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(folder / SCHEMA_NAME, schema_text(SchemaOf.PROTOCOL).encode())
    write_bytes_atomic(path, renamed.encode())
    return path
