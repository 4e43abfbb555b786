"""Protocols: read, checked while they are typed, changed by a form, kept as versions."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from acquisition.errors import AcquisitionError, ProtocolError
from acquisition.protocol import load_protocol
from scanner.rig import load_rig
from station.protocol.explanation import free_bytes
from station.protocol.schema import SchemaOf, schema_of
from station.web.access import LoggedInCaller
from station.web.api.nights import ShortText
from station.web.context import Context
from station.web.nights.worklists import checked_name
from station.web.problems import ProblemError
from station.web.protocols.editing import MAX_TEXT, KeyOfProtocol, changed_text, checked_text
from station.web.protocols.store import ProtocolStore, StoredProtocol


class ProtocolText(BaseModel):
    """A protocol that is being written."""

    name: ShortText = "protocol"
    text: str = Field(max_length=MAX_TEXT)
    rig: ShortText = Field(default="", description="rig to hold it against; empty for the schema alone")


class ProtocolEdit(ProtocolText):
    """One value that shall change in a text."""

    key: list[KeyOfProtocol] = Field(min_length=1, max_length=10, description="keys from the top to the value")
    value: Any = Field(description="plain JSON; null takes the key out, so that its default counts")


class ProtocolSaving(BaseModel):
    """A new version."""

    text: str = Field(max_length=MAX_TEXT)
    version: int = Field(ge=0, description="version that was read; 0 for a new protocol")
    remark: ShortText = ""


def list_protocols(context: Context) -> list[dict[str, Any]]:
    """All protocols with their last version."""
    return [_line(context.protocols, name) for name in context.protocols.names()]


def read_protocol(name: str, context: Context) -> dict[str, Any]:
    """A protocol with its versions.

    Parameters
    ----------
    name
        Of the protocol.
    context
        What handlers work with.
    """
    stored = context.protocols.read(name)
    return _view(context.protocols, stored)


def save_protocol(name: str, saving: ProtocolSaving, caller: LoggedInCaller, context: Context) -> dict[str, Any]:
    """Keep a new version; a protocol that can't be read is refused with the command line's words.

    Parameters
    ----------
    name
        Of the protocol.
    saving
        The text, and the version that was read.
    caller
        Who asks.
    context
        What handlers work with.
    """
    try:
        stored = context.protocols.write(
            checked_name(name),
            saving.text,
            expected_version=saving.version,
            author=caller.actor.name,
            remark=saving.remark,
        )
    except ProtocolError as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "protocol-refused", str(error), {"line": error.line}
        ) from error
    return _view(context.protocols, stored)


def protocol_difference(
    name: str,
    context: Context,
    before: Annotated[int, Query(ge=0)],
    after: Annotated[int, Query(ge=0)],
) -> dict[str, str]:
    """What changed between two versions, as a unified diff.

    Parameters
    ----------
    name
        Of the protocol.
    context
        What handlers work with.
    before, after
        Numbers of the versions.
    """
    return {"difference": context.protocols.difference(name, before, after)}


def check_protocol_text(text: ProtocolText, context: Context) -> dict[str, Any]:
    """What the command line would say of a text, and what a run with it would take.

    Parameters
    ----------
    text
        The text, and the rig to hold it against.
    context
        What handlers work with.
    """
    rig = load_rig(context.rigs.path(text.rig))[0] if text.rig else None
    return checked_text(text.name, text.text, rig, free_bytes(context.data.path))


def edit_protocol_text(edit: ProtocolEdit, context: Context) -> dict[str, Any]:
    """Change one value of a text, comments kept, and check the result.

    Parameters
    ----------
    edit
        The text, and the value that changes.
    context
        What handlers work with.
    """
    text = changed_text(edit.text, edit.key, edit.value)
    return {"text": text, **check_protocol_text(ProtocolText(name=edit.name, text=text, rig=edit.rig), context)}


def protocol_schema() -> dict[str, Any]:
    """JSON Schema of a protocol, from which pages make their form."""
    return schema_of(SchemaOf.PROTOCOL)


def _view(store: ProtocolStore, stored: StoredProtocol) -> dict[str, Any]:
    return {
        "name": stored.name,
        "text": stored.text,
        "version": stored.version.number,
        "packaged": stored.packaged,
        "versions": [
            {"number": each.number, "author": each.author, "at": each.at, "remark": each.remark}
            for each in store.versions(stored.name)
        ],
    }


def _line(store: ProtocolStore, name: str) -> dict[str, Any]:
    line: dict[str, Any] = {"name": name, "description": "", "banding": None, "tissue": None, "error": None}
    try:
        stored = store.read(name)
        line |= {"packaged": stored.packaged, "version": stored.version.number}
        line |= {"author": stored.version.author, "at": stored.version.at}
        protocol = load_protocol(Path(f"{name}.yaml"), text=stored.text)
    except AcquisitionError as error:
        return line | {"error": str(error)}
    return line | {
        "description": protocol.description,
        "banding": protocol.banding,
        "tissue": protocol.tissue,
    }
