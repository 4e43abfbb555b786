"""Whether the server is well, and what its API is."""

from __future__ import annotations

import shutil
from importlib import metadata
from typing import Any

from fastapi import Request
from pydantic import BaseModel

from station.web.context import Context


class Health(BaseModel):
    """Whether the server is well."""

    status: str
    version: str


class Disk(BaseModel):
    """Room on the disk of the data folder."""

    free_bytes: int
    total_bytes: int


def read_health(context: Context) -> Health:
    """Answer when casebook and data folder can be read."""
    context.accounts.has_administrator()
    return Health(status="well", version=metadata.version("karyoscan"))


def read_disk(context: Context) -> Disk:
    """Room that is left for runs."""
    usage = shutil.disk_usage(context.data.path)
    return Disk(free_bytes=usage.free, total_bytes=usage.total)


def read_openapi(request: Request) -> dict[str, Any]:
    """The OpenAPI document of this API."""
    document: dict[str, Any] = request.app.openapi()
    return document
