"""Rigs: what they are, who uses them, their checks and calibrations."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import Response

from scanner.errors import ScannerError
from scanner.rig import Rig, load_rig
from station.compose import rig_state_folder
from station.instrument.result_folder import ResultKind
from station.web.api.nights import NameAnswer
from station.web.api.runs import page_of_program
from station.web.context import Context
from station.web.problems import ProblemError

_RESULT_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}\.html")
_RESULTS: Final = "results"


def list_rigs(context: Context) -> list[dict[str, Any]]:
    """All rigs, and which run uses each."""
    return [_line(context, name, path) for name, path in context.rigs.paths().items()]


def read_rig(name: str, context: Context) -> dict[str, Any]:
    """What a rig is, and its results with their times, the last one first.

    Parameters
    ----------
    name
        Of the rig.
    context
        What handlers work with.
    """
    path = context.rigs.path(name)
    line = _line(context, name, path)
    try:
        rig, _ = load_rig(path)
    except ScannerError:
        return line | {"facts": [], "results": []}
    return line | {"facts": _facts(rig), "results": _results(_folders(context, name, rig))}


def check_rig(name: str, context: Context) -> NameAnswer:
    """Begin a rig check in a process of its own; its page is among the results when it is through.

    Parameters
    ----------
    name
        Of the rig.
    context
        What handlers work with.
    """
    path = context.rigs.path(name)
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    out = context.data.rigs / _RESULTS / name / f"{ResultKind.CHECK.value}-{moment}"
    context.launcher.start(["rig", "check", str(path), "--out", str(out)], path, out)
    return NameAnswer(name=out.name)


def read_result_page(name: str, result: str, file: str, context: Context) -> Response:
    """The page of a check or a calibration.

    Parameters
    ----------
    name
        Of the rig.
    result
        Folder of the result.
    file
        Its page.
    context
        What handlers work with.
    """
    rig, _ = load_rig(context.rigs.path(name))
    folder = _folders(context, name, rig).get(result)
    if folder is None or not _RESULT_FILE.fullmatch(file):
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-page", f"rig {name} has no result {result}/{file}")
    return page_of_program(folder / file)


def _line(context: Context, name: str, path: Path) -> dict[str, Any]:
    line: dict[str, Any] = {"name": name, "simulated": None, "slots": None, "used_by": None, "error": None}
    user = context.launcher.user_of(path)
    line["used_by"] = None if user is None else user.name
    try:
        rig, _ = load_rig(path)
    except ScannerError as error:
        return line | {"error": str(error)}
    slots = rig.loader.slots if rig.loader is not None else len(rig.slides)
    return line | {
        "simulated": rig.simulated,
        "slots": slots,
        "loader": rig.loader is not None,
        "reads_labels": rig.devices.label_camera is not None,
        "objectives": [objective.name for objective in rig.objectives],
    }


def _facts(rig: Rig) -> list[dict[str, str]]:
    """Parts of a rig for people, each with its unit."""
    camera = rig.camera
    facts = [
        ("camera", f"{camera.width_px} x {camera.height_px} px, {camera.bit_depth} bit"),
        ("slides", f"{rig.loader.slots} in a loader" if rig.loader else f"{len(rig.slides)} on the stage"),
    ]
    for objective in rig.objectives:
        immersion = objective.immersion
        facts.append(
            (
                f"objective {objective.name}",
                f"NA {objective.numerical_aperture:g}, {immersion}, {rig.um_per_px(objective):g} um a pixel",
            )
        )
    return [{"name": name, "value": value} for name, value in facts]


def _folders(context: Context, name: str, rig: Rig) -> dict[str, Path]:
    """Folders of results by name: those begun here, and the last ones of the command line."""
    folders = {
        path.name: path for path in sorted((context.data.rigs / _RESULTS / name).glob("*")) if path.is_dir()
    }
    for kind in ResultKind:
        folder = rig_state_folder(rig) / kind
        if not rig.simulated and folder.is_dir():
            folders[kind.value] = folder
    return folders


def _results(folders: dict[str, Path]) -> list[dict[str, str]]:
    results = [
        {
            "result": result,
            "file": page.name,
            "at": datetime.fromtimestamp(page.stat().st_mtime, UTC).isoformat(timespec="seconds"),
        }
        for result, folder in folders.items()
        for page in folder.glob("*.html")
        if _RESULT_FILE.fullmatch(page.name)
    ]
    return sorted(results, key=lambda each: each["at"], reverse=True)
