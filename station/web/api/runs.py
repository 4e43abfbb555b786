"""Runs: which there are, how each stands, its pictures, and commands to it."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import numpy as np
from fastapi import Header, Query, Response
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray
from pydantic import BaseModel

from acquisition.errors import StorageError
from acquisition.run.control import RunCommand
from acquisition.storage import read_capture
from acquisition.storage.run_folder import CASEBOOK_NAME, REPORT_NAME
from station.report.pictures import at_most, stretch
from station.web.context import Context
from station.web.live.overview_tiles import encoded_jpeg, read_place, read_tile
from station.web.live.run_feed import position_of
from station.web.problems import ProblemError

MOST_WIDTH_PX: Final = 2048
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_PAGE_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
_KEPT: Final = {"Cache-Control": "private, max-age=86400"}
"""Pictures of a run are written once."""

WidthPx = Annotated[int, Query(ge=16, le=MOST_WIDTH_PX, description="greatest width of the picture, px")]


class CommandAnswer(BaseModel):
    """What became of a command."""

    message: str


class RunCommandRequest(BaseModel):
    """A command to a run or a night."""

    command: RunCommand


def list_runs(context: Context) -> list[dict[str, Any]]:
    """All runs of the data folder, the last one begun first."""
    summaries = [context.runs.summary(run) for run in context.runs.runs()]
    summaries.sort(key=lambda each: each["name"])
    summaries.sort(key=lambda each: (each["running"], each["started_at"] or ""), reverse=True)
    return summaries


def read_run(name: str, context: Context) -> dict[str, Any]:
    """All that a page shows of a run, and the position after which its events go on.

    Parameters
    ----------
    name
        Of the run.
    context
        What handlers work with.
    """
    run = context.runs.run(name)
    _require_record(run.path)
    summary = context.runs.summary(run)
    return {"name": run.name, "accession": summary["accession"], **context.feeds.of(run.path).snapshot()}


def follow_run(
    name: str,
    context: Context,
    after: Annotated[str, Query(max_length=40, description="position of what the page has")] = "",
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> StreamingResponse:
    """Server-sent events of a run: ``changes``, ``status``, ``reload``.

    Parameters
    ----------
    name
        Of the run.
    context
        What handlers work with.
    after
        Position of what the page has.
    last_event_id
        The same, as browsers send it when they lost the connection; it counts before `after`.
    """
    run = context.runs.run(name)
    _require_record(run.path)
    events = context.feeds.of(run.path).events(position_of(last_event_id or after))
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def command_run(name: str, request: RunCommandRequest, context: Context) -> CommandAnswer:
    """Pause, continue, stop or abort a run; answers when it took the command up, or says that it didn't yet.

    Parameters
    ----------
    name
        Of the run.
    request
        The command.
    context
        What handlers work with.
    """
    return CommandAnswer(message=context.launcher.send(context.runs.run(name).path, request.command))


def resume_run(name: str, context: Context) -> CommandAnswer:
    """Go on with a run that was cut off or stopped, in a process of its own.

    Parameters
    ----------
    name
        Of the run.
    context
        What handlers work with.
    """
    run = context.runs.run(name)
    return CommandAnswer(message=context.launcher.resume(run.path))


def read_overview_tile(name: str, level: int, column: int, row: int, context: Context) -> Response:
    """A tile of the overview, JPEG.

    Parameters
    ----------
    name
        Of the run.
    level, column, row
        Of the tile, from the whole picture down.
    context
        What handlers work with.
    """
    content = read_tile(context.runs.run(name).path, level, column, row)
    return Response(content, media_type="image/jpeg")


def read_overview_place(
    name: str,
    x_um: float,
    y_um: float,
    context: Context,
    width_um: Annotated[float, Query(gt=0, le=5000)] = 900.0,
    height_um: Annotated[float, Query(gt=0, le=5000)] = 700.0,
) -> Response:
    """Part of the overview round a place of the slide, JPEG.

    Parameters
    ----------
    name
        Of the run.
    x_um, y_um
        Centre, slide um.
    context
        What handlers work with.
    width_um, height_um
        Size.
    """
    content = read_place(context.runs.run(name).path, x_um, y_um, width_um, height_um)
    if content is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-overview", "this run has no overview there")
    return Response(content, media_type="image/jpeg")


def read_find_picture(name: str, file: str, context: Context) -> Response:
    """The 10x picture of a find, JPEG.

    Parameters
    ----------
    name
        Of the run.
    file
        Name of the file in its folder.
    context
        What handlers work with.
    """
    return _picture(_file(context.runs.run(name).path, "finds", file), MOST_WIDTH_PX, stretched=True)


def read_capture_picture(name: str, file: str, context: Context, width_px: WidthPx = 900) -> Response:
    """A 63x picture with its contrast stretched, JPEG.

    Parameters
    ----------
    name
        Of the run.
    file
        Name of the file in its folder.
    context
        What handlers work with.
    width_px
        Greatest width of the picture.
    """
    path = _file(context.runs.run(name).path, "captures", file)
    try:
        pixels = stretch(read_capture(path).pixels)
    except StorageError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-picture", str(error)) from error
    return Response(encoded_jpeg(at_most(pixels, width_px)), media_type="image/jpeg", headers=_KEPT)


def read_karyogram_picture(name: str, file: str, context: Context, width_px: WidthPx = 1200) -> Response:
    """A karyogram, JPEG.

    Parameters
    ----------
    name
        Of the run.
    file
        Name of the file in its folder.
    context
        What handlers work with.
    width_px
        Greatest width of the picture.
    """
    return _picture(_file(context.runs.run(name).path, "karyograms", file), width_px, stretched=False)


def read_report_page(name: str, context: Context) -> Response:
    """The report page that a run wrote at its end.

    Parameters
    ----------
    name
        Of the run.
    context
        What handlers work with.
    """
    return page_of_program(context.runs.run(name).path / REPORT_NAME)


def page_of_program(path: Path) -> Response:
    """A page that the program wrote, which has its style and pictures inside and no script.

    Raises
    ------
    ProblemError
        There is none yet.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-page", f"{path.name} isn't written yet") from error
    return Response(content, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})


def _require_record(folder: Path) -> None:
    if not (folder / CASEBOOK_NAME).is_file():
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "half-copied",
            f"{folder.name} has a journal and no {CASEBOOK_NAME}: it is being copied, or was copied in part",
        )


def _file(folder: Path, part: str, name: str) -> Path:
    """A file of a run, by a name that leads nowhere else."""
    path = folder / part / name
    if not _FILE_NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-picture", f"the run has no {part}/{name}")
    return path


def _picture(path: Path, width_px: int, *, stretched: bool) -> Response:
    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-picture", f"{path.name}: {error}") from error
    if pixels is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-picture", f"{path.name}: not a picture")
    content = encoded_jpeg(at_most(_shown(np.asarray(pixels), stretched), width_px))
    return Response(content, media_type="image/jpeg", headers=_KEPT)


def _shown(pixels: NDArray[Any], stretched: bool) -> NDArray[np.uint8]:
    return stretch(pixels) if stretched or pixels.dtype != np.uint8 else pixels
