"""The text of a proposal file: read with limits, refused with the place, written so that people can edit it."""

from __future__ import annotations

import difflib
import json
import math
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from analysis.errors import ProposalFileError
from analysis.karyotyping.proposal_model import (
    BandingModel,
    BandLevelModel,
    ChromosomeModel,
    ComparedModel,
    DefectModel,
    ExplanationModel,
    MaskModel,
    NotComparedModel,
    PileModel,
    ProposalModel,
    ProposedClassModel,
    ReasonModel,
    UnexplainedModel,
    UnselectedModel,
    VerdictModel,
)

ParsedModel = TypeVar("ParsedModel", bound=BaseModel)

MAX_BYTES: Final = 64 * 2**20
"""Largest file that is read; a proposal of a metaphase has about 40 KiB."""

_MODELS: Final[dict[str, tuple[type[BaseModel], ...]]] = {
    "": (ProposalModel,),
    "chromosomes": (ChromosomeModel,),
    "mask": (MaskModel,),
    "proposed": (ProposedClassModel,),
    "verdict": (VerdictModel,),
    "proposed_verdict": (VerdictModel,),
    "reasons": (ReasonModel,),
    "banding": (BandingModel,),
    "band_level": (BandLevelModel,),
    "homologues": (ComparedModel, NotComparedModel),
    "defects": (DefectModel,),
    "left_out": (UnselectedModel,),
    "unexplained": (UnexplainedModel,),
    "piles": (PileModel,),
    "explanations": (ExplanationModel,),
    "superseded": (ChromosomeModel,),
}
"""Models by the key they stand under."""

_MESSAGES: Final = {
    "missing": "is missing",
    "bool_type": "is neither true nor false",
    "finite_number": "isn't a finite number",
    "int_type": "isn't a whole number",
    "float_type": "isn't a number",
    "string_type": "isn't a text",
    "tuple_type": "isn't a list",
    "model_type": "isn't an object",
}


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a regular file of limited size.

    Raises
    ------
    ProposalFileError
        It can't be read, is no regular file, too large or nested too deeply, no JSON object, or it repeats a key
        or holds a number that isn't finite.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise ProposalFileError("isn't a regular file", path=path)
        if state.st_size > MAX_BYTES:
            raise ProposalFileError(f"has {state.st_size} bytes; no proposal has more than {MAX_BYTES}", path=path)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ProposalFileError(f"can't be read ({error.strerror or error})", path=path) from error
    except UnicodeDecodeError as error:
        raise ProposalFileError("isn't a text of UTF-8", path=path) from error
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ProposalFileError("isn't a karyotype proposal: it is nested too deeply", path=path) from error
    except ValueError as error:
        raise ProposalFileError(f"isn't JSON ({error})", path=path) from error
    if not isinstance(content, dict):
        raise ProposalFileError("isn't a karyotype proposal: it holds no JSON object", path=path)
    return content


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} isn't a finite number")
    return number


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} isn't a finite number")


def parse_proposal(content: dict[str, Any], path: Path) -> ProposalModel:
    """Check the keys and values of a proposal, each by itself.

    Parameters
    ----------
    content
        As `load_json` gives it, of the present version.
    path
        The file, for messages.

    Raises
    ------
    ProposalFileError
        With the place of the first key that is unknown, or else of the first value that can't be.
    """
    return parse_strictly(ProposalModel, content, path, what="a karyotype proposal")


def parse_strictly(model: type[ParsedModel], content: dict[str, Any], path: Path, *, what: str) -> ParsedModel:
    """Check the keys and values of a JSON object by a strict model.

    Parameters
    ----------
    model
        The model.
    content
        As `load_json` gives it.
    path
        The file, for messages.
    what
        What it should be, for messages.

    Raises
    ------
    ProposalFileError
        With the place of the first key that is unknown, or else of the first value that can't be.
    """
    try:
        # Through text, because enumerations and tuples are JSON's strings and lists.
        return model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
        place, problem = _place(first["loc"]), _problem(first)
        if not place or (first["type"] == "missing" and len(first["loc"]) == 1):
            problem = f"{problem}; this isn't {what}"
        raise ProposalFileError(problem, place=place, path=path) from error


def _place(location: Sequence[str | int]) -> str:
    place = ""
    for before, part in zip(["", *location], location, strict=False):
        if isinstance(part, str):
            place += f".{part}" if place else part
        elif isinstance(before, str):
            place += f"[{part}]"
        # A number behind a number is the variant of an entry that was tried.
    return place


def _problem(error: ErrorDetails) -> str:
    kind, location = error["type"], error["loc"]
    if kind == "extra_forbidden":
        names = [part for part in location if isinstance(part, str)]
        parent = names[-2] if len(names) > 1 else ""
        return "unknown key" + _suggestion(names[-1], parent)
    if kind == "enum":
        return f"{error['input']!r} isn't one of {error['ctx']['expected']}"
    message = _MESSAGES.get(kind, error["msg"])
    shown = repr(error["input"])
    return message if kind == "missing" or len(shown) > 40 or shown in message else f"{message}: {shown}"


def _suggestion(key: str, parent: str) -> str:
    known = [
        field.alias or name for model in _MODELS.get(parent, ()) for name, field in model.model_fields.items()
    ]
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def proposal_text(model: ProposalModel) -> str:
    """The text of a proposal: one key a line; lists of plain values, and objects within lists of them, on one."""
    return _text(model.model_dump(mode="json", by_alias=True), 0) + "\n"


def _text(value: object, depth: int) -> str:
    if isinstance(value, dict) and value and (depth < 1 or not _is_flat(value)):
        inner = ",\n".join(
            f"{' ' * (depth + 1)}{json.dumps(key)}: {_text(each, depth + 1)}" for key, each in value.items()
        )
        return f"{{\n{inner}\n{' ' * depth}}}"
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        inner = ",\n".join(f"{' ' * (depth + 1)}{_text(each, depth + 1)}" for each in value)
        return f"[\n{inner}\n{' ' * depth}]"
    return json.dumps(value)


def _is_flat(value: dict[str, object]) -> bool:
    """Whether an object holds nothing but plain values and lists of them."""
    return not any(
        isinstance(each, dict) or (isinstance(each, list) and any(isinstance(one, dict | list) for one in each))
        for each in value.values()
    )
