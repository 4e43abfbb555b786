"""Nights and single slides: worklists checked, runs started, nights steered."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, StringConstraints

from station.commands.options import record_text
from station.run.batch_request import BatchRequest
from station.web.api.runs import CommandAnswer, RunCommandRequest
from station.web.context import Context
from station.web.nights.tray_view import night_summary, night_view
from station.web.nights.worklists import WorklistText, check_worklist, checked_name, keep_worklist
from station.web.problems import ProblemError

_MAX_TABLE: Final = 4_000_000
_MOST_CELLS: Final = 200
ShortText = Annotated[str, StringConstraints(max_length=120)]


class WorklistRequest(BaseModel):
    """A worklist for a rig."""

    rig: ShortText
    worklist: str = Field(max_length=_MAX_TABLE, description="CSV: barcode, accession, protocol, priority")
    tray: str = Field(
        default="", max_length=_MAX_TABLE, description="simulated rigs: CSV of slot, barcode, cells, seed"
    )


class NightRequest(WorklistRequest):
    """A night that shall be begun."""

    name: ShortText = Field(description="of the night, and of its folder")


class SlideRequest(BaseModel):
    """One slide that lies on the stage."""

    name: ShortText = Field(description="of the run, and of its folder")
    rig: ShortText
    protocol: ShortText
    slide: ShortText = Field(min_length=1, description="name of the slide in the record")
    accession: ShortText = Field(default="", description="the case")
    cells: int | None = Field(default=None, ge=0, le=_MOST_CELLS, description="simulated rigs: metaphases")
    seed: int | None = Field(default=None, ge=0, description="simulated rigs: seed of the slide")


class NameAnswer(BaseModel):
    """Name of what was begun, for addresses."""

    name: str


def list_nights(context: Context) -> list[dict[str, Any]]:
    """All nights, the last one begun first."""
    nights = [night_summary(night) for night in context.runs.nights()]
    return sorted(nights, key=lambda each: (each["running"], each["started_at"] or ""), reverse=True)


def read_night(name: str, context: Context) -> dict[str, Any]:
    """A night as a tray of slots, with the reason of each parked slide.

    Parameters
    ----------
    name
        Of the night.
    context
        What handlers work with.
    """
    night = context.runs.night(name)
    return {
        **night_view(night),
        "starting": context.launcher.is_starting(night.path),
        "printed": context.launcher.printed(night.path),
    }


def check_night(request: WorklistRequest, context: Context) -> dict[str, Any]:
    """Say what would become of every row of a worklist; nothing moves, and nothing is kept.

    Parameters
    ----------
    request
        What is asked for.
    context
        What handlers work with.
    """
    texts = WorklistText(request.worklist, request.tray)
    return check_worklist(texts, context.rigs.path(request.rig), context.data, context.protocols)


def start_night(request: NightRequest, context: Context) -> NameAnswer:
    """Keep a worklist and begin to scan it, in a process of its own.

    Parameters
    ----------
    request
        What is asked for.
    context
        What handlers work with.
    """
    texts = WorklistText(request.worklist, request.tray)
    rig = context.rigs.path(request.rig)
    context.launcher.require_free(rig, context.data.runs / checked_name(request.name))
    batch = keep_worklist(request.name, texts, rig, context.data, context.protocols)
    context.launcher.start(_batch_arguments(batch), batch.rig, batch.out)
    return NameAnswer(name=request.name)


def command_night(name: str, request: RunCommandRequest, context: Context) -> CommandAnswer:
    """Pause, continue, stop or abort a night; a stop ends it after the slide that is being scanned.

    Parameters
    ----------
    name
        Of the night.
    request
        What is asked for.
    context
        What handlers work with.
    """
    return CommandAnswer(message=context.launcher.send(context.runs.night(name).path, request.command))


def resume_night(name: str, context: Context) -> CommandAnswer:
    """Go on with a night that was stopped or cut off.

    Parameters
    ----------
    name
        Of the night.
    context
        What handlers work with.
    """
    return CommandAnswer(message=context.launcher.resume(context.runs.night(name).path))


def start_slide(request: SlideRequest, context: Context) -> NameAnswer:
    """Scan the slide that lies on a rig's stage, in a process of its own.

    Parameters
    ----------
    request
        What is asked for.
    context
        What handlers work with.
    """
    name = checked_name(request.name)
    rig, protocol = context.rigs.path(request.rig), context.protocols.path(request.protocol)
    out = context.data.runs / name
    if out.exists():
        raise ProblemError(
            HTTPStatus.CONFLICT, "duplicate", f"there is a run or night {name} already; choose another"
        )
    arguments = ["scan", "--rig", str(rig), "--protocol", str(protocol), "--out", str(out)]
    # A value that begins with a dash would be taken for an option.
    arguments += [f"--slide={record_text(request.slide)}", f"--accession={record_text(request.accession)}"]
    for option, value in (("--cells", request.cells), ("--seed", request.seed)):
        if value is not None:
            arguments += [option, str(value)]
    context.launcher.start(arguments, rig, out)
    return NameAnswer(name=name)


def _batch_arguments(batch: BatchRequest) -> list[str]:
    arguments = ["batch", "--rig", str(batch.rig), "--worklist", str(batch.worklist), "--out", str(batch.out)]
    return arguments if batch.tray is None else [*arguments, "--tray", str(batch.tray)]
