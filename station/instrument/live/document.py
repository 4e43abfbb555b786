"""What a live page shows, as plain values that a program can read too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from scanner.coordinates import GLASS_UM
from scanner.live_view import InstrumentPositions, InterlockState
from scanner.rig import Rig
from station.instrument.live.session import LiveState, NumberedPicture
from station.report.pictures import scale_bar_um


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One line of the page.

    Attributes
    ----------
    name
        What it is.
    value
        As text, without unit.
    unit
        Empty where there is none.
    """

    name: str
    value: str
    unit: str = ""


UNANSWERED: Final = "no answer"
"""Value of what a device did not answer."""


def state_document(rig: Rig, state: LiveState) -> dict[str, Any]:
    """The state of an instrument as JSON values.

    Parameters
    ----------
    rig
        Description of the instrument.
    state
        What is known of it now.
    """
    positions = state.positions
    return {
        "rig": rig.name,
        "watched": state.watched,
        "picture": None if state.picture is None else _picture(rig, state.picture, state.picture_age_s, positions),
        "positions_age_s": round(state.positions_age_s, 1),
        "positions": [] if positions is None else [_row(row) for row in position_rows(rig, positions)],
        "interlocks": [] if positions is None else [_interlock(one) for one in positions.interlocks],
        "hanging": None
        if state.hanging is None
        else {"what": state.hanging.what, "for_s": round(state.hanging.for_s, 1)},
        "faults": [*state.faults, *(() if positions is None else positions.faults)],
    }


def position_rows(rig: Rig, positions: InstrumentPositions) -> list[LiveRow]:
    """Positions with their units, one line each.

    Parameters
    ----------
    rig
        Description of the instrument.
    positions
        As the devices said.
    """
    rows = []
    if positions.stage is None:
        rows.append(LiveRow("stage", UNANSWERED))
    else:
        slot = rig.slide_at(positions.stage)
        place = rig.slides[slot].to_slide(positions.stage)
        on_glass = 0.0 <= place.x_um <= GLASS_UM[0] and 0.0 <= place.y_um <= GLASS_UM[1]
        name = f"slide {slot}" if len(rig.slides) > 1 else "slide"
        rows += [
            LiveRow("stage x", f"{positions.stage.x_um:z.1f}", "um"),
            LiveRow("stage y", f"{positions.stage.y_um:z.1f}", "um"),
            LiveRow(f"{name} x", f"{place.x_um:z.1f}", "um"),
            LiveRow(f"{name} y", f"{place.y_um:z.1f}", "um"),
            LiveRow("over the glass", "yes" if on_glass else "no"),
        ]
    focus = UNANSWERED if positions.focus_um is None else f"{positions.focus_um:z.2f}"
    rows.append(LiveRow("focus z", focus, "" if positions.focus_um is None else "um"))
    rows.append(LiveRow("focus is down", _yes_or_no(positions.focus_is_down)))
    rows.append(LiveRow("turret", positions.turret_label or UNANSWERED))
    objective = positions.objective
    rows.append(LiveRow("objective", "none of the rig's" if objective is None else objective.name))
    if objective is not None:
        rows.append(LiveRow("pixel size", f"{rig.um_per_px(objective):g}", "um"))
    light = {None: UNANSWERED, True: "on", False: "off"}[positions.light_on]
    rows.append(LiveRow("transmitted light", light))
    rows.append(LiveRow("oil on the slide", _yes_or_no(positions.slide_oiled)))
    return rows


def _picture(
    rig: Rig, numbered: NumberedPicture, age_s: float, positions: InstrumentPositions | None
) -> dict[str, Any]:
    picture = numbered.picture
    height_px, width_px = picture.pixels.shape
    objective = None if positions is None else positions.objective
    width_um = None if objective is None else width_px * rig.um_per_px(objective)
    bar_um = None if width_um is None else scale_bar_um(width_um)
    return {
        "number": numbered.number,
        "age_s": round(age_s, 1),
        "taken_at": picture.taken_at.isoformat(timespec="milliseconds"),
        "exposure_ms": round(picture.exposure_ms, 3),
        "width_px": width_px,
        "height_px": height_px,
        "darkest": int(picture.pixels.min()),
        "brightest": int(picture.pixels.max()),
        "full_scale": rig.camera.full_scale,
        "bar_um": bar_um,
        "bar_percent": None if bar_um is None or width_um is None else round(100 * bar_um / width_um, 2),
    }


def _row(row: LiveRow) -> dict[str, str]:
    return {"name": row.name, "value": row.value, "unit": row.unit}


def _interlock(state: InterlockState) -> dict[str, Any]:
    action = state.action.replace("_", " ")
    return {
        "action": action if state.target is None else f"{action} to {state.target}",
        "allowed": state.rule is None,
        "rule": state.rule,
        "reason": state.reason,
    }


def _yes_or_no(answer: bool | None) -> str:
    return {None: UNANSWERED, True: "yes", False: "no"}[answer]
