"""The name of a class as a field of strict models."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED

CLASSES: Final = (*CLASS_NAMES, MARKER, UNCLASSIFIED)
"""Every class that a chromosome of a proposal may have."""


def _existing_class(value: object) -> object:
    if value not in CLASSES:
        raise PydanticCustomError("no_class", "there is no class {name}", {"name": repr(value)})
    return value


ClassName = Annotated[
    str, BeforeValidator(_existing_class), WithJsonSchema({"enum": list(CLASSES), "type": "string"})
]
