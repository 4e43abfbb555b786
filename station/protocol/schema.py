"""JSON Schemas of the files that people write."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from acquisition.protocol import Protocol
from analysis.karyotyping.proposal_model import ProposalModel
from analysis.karyotyping.refine.edit_list import EditList
from scanner.rig import Rig


class SchemaOf(StrEnum):
    """Files whose schema is published."""

    PROTOCOL = "protocol"
    RIG = "rig"
    PROPOSAL = "proposal"
    EDITS = "edits"


_MODELS: dict[SchemaOf, tuple[type[BaseModel], str]] = {
    SchemaOf.PROTOCOL: (Protocol, "A scan protocol of KaryoScan"),
    SchemaOf.RIG: (Rig, "An instrument of KaryoScan: rig.yaml"),
    SchemaOf.PROPOSAL: (ProposalModel, "A karyotype proposal of KaryoScan: the JSON file of a cell"),
    SchemaOf.EDITS: (EditList, "Edits of a karyotype proposal of KaryoScan"),
}


def schema_of(what: SchemaOf) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for editors and other programs.

    Rules between keys, such as limits that have to be in order, are beyond it: `protocol check` knows all.
    """
    model, title = _MODELS[what]
    schema = model.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def schema_text(what: SchemaOf) -> str:
    """The schema as it is published in ``docs/reference/schemas``."""
    return json.dumps(schema_of(what), indent=2, ensure_ascii=False) + "\n"
