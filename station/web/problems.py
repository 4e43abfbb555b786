"""What went wrong, as problem details of RFC 9457."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from acquisition.errors import DiskFullError, FolderInUseError
from scanner.errors import DeviceNotReadyError
from station.errors import EXPECTED_ERRORS, NoAnswerError
from station.laboratory.errors import (
    CasebookUnavailableError,
    ConflictError,
    CredentialsError,
    DuplicateRecordError,
    InvalidRecordError,
    LaboratoryError,
    LockedOutError,
    MissingRecordError,
    PasswordRefusedError,
    PermissionDeniedError,
)

_log = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:karyoscan:problem:"


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="kind of problem, a URN")
    title: str = Field(description="the kind in words")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="what happened, what it means, what to do")


class ProblemError(Exception):
    """A request that can't be answered as it was asked.

    Parameters
    ----------
    status
        HTTP status.
    kind
        Machine-readable kind, such as ``run-not-running``.
    detail
        One line for people.
    extra
        Further members of the problem, which JSON can hold.
    """

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, extra: Mapping[str, object] | None = None
    ) -> None:
        self.status = status
        self.kind = kind
        self.extra = dict(extra or {})
        super().__init__(detail)


_STATUSES: Final[tuple[tuple[type[Exception], HTTPStatus, str], ...]] = (
    (LockedOutError, HTTPStatus.TOO_MANY_REQUESTS, "locked-out"),
    (CredentialsError, HTTPStatus.FORBIDDEN, "wrong-credentials"),
    (PasswordRefusedError, HTTPStatus.UNPROCESSABLE_ENTITY, "password-refused"),
    (PermissionDeniedError, HTTPStatus.FORBIDDEN, "not-permitted"),
    (MissingRecordError, HTTPStatus.NOT_FOUND, "not-there"),
    (DuplicateRecordError, HTTPStatus.CONFLICT, "duplicate"),
    (ConflictError, HTTPStatus.CONFLICT, "changed-meanwhile"),
    (InvalidRecordError, HTTPStatus.UNPROCESSABLE_ENTITY, "not-allowed"),
    (CasebookUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "casebook-unavailable"),
    (LaboratoryError, HTTPStatus.CONFLICT, "casebook"),
    (DiskFullError, HTTPStatus.INSUFFICIENT_STORAGE, "disk-full"),
    (FolderInUseError, HTTPStatus.CONFLICT, "in-use"),
    (DeviceNotReadyError, HTTPStatus.CONFLICT, "rig-not-ready"),
    (NoAnswerError, HTTPStatus.GATEWAY_TIMEOUT, "no-answer"),
    *((kind, HTTPStatus.UNPROCESSABLE_ENTITY, "refused") for kind in EXPECTED_ERRORS),
)
"""The first class that fits counts."""


def problem_response(
    status: HTTPStatus, kind: str, detail: str, extra: Mapping[str, object] | None = None
) -> JSONResponse:
    """Answer with problem details.

    Parameters
    ----------
    status
        HTTP status.
    kind
        Machine-readable kind.
    detail
        One line for people.
    extra
        Further members.
    """
    problem = Problem(type=_TYPE_PREFIX + kind, title=kind.replace("-", " "), status=status.value, detail=detail)
    content = {**(extra or {}), **problem.model_dump()}
    return JSONResponse(content, status.value, media_type=PROBLEM_MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error of the API become problem details."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for kind in (LaboratoryError, *EXPECTED_ERRORS):
        app.add_exception_handler(kind, _on_expected_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


def _on_problem(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ProblemError):
        raise error
    return problem_response(error.status, error.kind, str(error), error.extra)


def _on_expected_error(_request: Request, error: Exception) -> JSONResponse:
    status, kind = next((status, kind) for cls, status, kind in _STATUSES if isinstance(error, cls))
    extra: dict[str, object] = {}
    if isinstance(error, ConflictError):
        extra = {"present_version": error.present_version, "differences": list(error.as_table())}
    if isinstance(error, LockedOutError):
        extra = {"until": error.until.isoformat()}
    return problem_response(status, kind, str(error), extra)


def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    # What was sent is left out: it may be a password.
    faults = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", detail, {"faults": faults})


def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    response = problem_response(status, status.phrase.lower().replace(" ", "-"), str(error.detail))
    response.headers.update(error.headers or {})
    return response


def _on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = f"a fault of the software ({type(error).__name__}); the log of the server has its place"
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected", detail)


def problem_responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of answers that are problems."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status.value: {"model": Problem, "description": status.phrase, "content": content} for status in statuses
    }
