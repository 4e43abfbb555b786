"""Photographs an area of a slide field by field and counts the metaphases on it.

The stage is a Maerzhaeuser TANGO that this script drives over its serial line; camera, lamp and focus belong to
Micro-Manager.

    grid-scan lab.cfg /dev/ttyUSB0 30000 11000 31600 12200 --focus 2000
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import serial
from pymmcore_plus import CMMCorePlus
from scipy import ndimage

TOLERANCE_UM = 2.0
MOVE_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 1.0
EXPOSURE_MS = 8.0
# A lit field is far above this share of full scale; below it the lamp is dead or the light path is blocked.
DARK_SHARE = 0.1
FULL_SCALE = 4095
FOCUS_DOWN_UM = 0.0


class StageError(Exception):
    """The stage did not answer, refused, or is not where it was sent."""


class CameraError(Exception):
    """A picture that shows nothing."""


class Tango:
    """A Maerzhaeuser TANGO on a serial line; positions in um."""

    def __init__(self, port: str, baud_rate: int = 57600) -> None:
        self._line = serial.Serial(port, baud_rate, stopbits=2, timeout=ANSWER_TIMEOUT_S, write_timeout=5.0)
        try:
            if not self._ask("?version").startswith("TANGO"):
                raise StageError(f"{port}: this is no TANGO")
            for order in ("!autostatus 0", "!joy 0", "!dim 1 1", "!encpos 1 1"):
                self._order(order)
        except BaseException:
            self._line.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def position(self) -> tuple[float, float]:
        """Where the stage is."""
        words = self._ask("?pos").split()
        try:
            return float(words[0]), float(words[1])
        except (IndexError, ValueError) as error:
            raise StageError(f"no position: {words}") from error

    def move_to(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Move, wait, and prove the arrival; the position read back."""
        self._order(f"!moa {x_um:.4f} {y_um:.4f}")
        deadline_s = time.monotonic() + MOVE_TIMEOUT_S
        while "M" in self._ask("?statusaxis"):
            if time.monotonic() > deadline_s:
                raise StageError(f"still moving after {MOVE_TIMEOUT_S:g} s")
            time.sleep(0.005)
        self._check_no_error("move")
        here = self.position()
        if math.dist(here, (x_um, y_um)) > TOLERANCE_UM:
            raise StageError(f"sent to ({x_um:.1f}, {y_um:.1f}), arrived at ({here[0]:.1f}, {here[1]:.1f})")
        return here

    def halt(self) -> None:
        """Stop at once; works while an answer is owed, too."""
        self._line.write(b"\x03")

    def _order(self, order: str) -> None:
        self._line.write(order.encode() + b"\r")
        self._check_no_error(order)

    def _check_no_error(self, doing: str) -> None:
        code = self._ask("?err")
        if code != "0":
            raise StageError(f"{doing}: error {code}")

    def _ask(self, question: str) -> str:
        # An answer that came too late for the last question must not pass for one to this.
        self._line.reset_input_buffer()
        self._line.write(question.encode() + b"\r")
        answer = self._line.read_until(b"\r")
        if not answer.endswith(b"\r"):
            raise StageError(f"{question}: no answer within {ANSWER_TIMEOUT_S:g} s")
        try:
            text = answer.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise StageError(f"{question}: noise on the line") from error
        if text.startswith(question):
            raise StageError(f"{question}: the line echoes, nobody answers")
        return text


@dataclass(frozen=True)
class Area:
    """A rectangle of stage positions, um."""

    xmin_um: float
    ymin_um: float
    xmax_um: float
    ymax_um: float

    def fields(self, width_um: float, height_um: float) -> Iterator[tuple[float, float]]:
        """Centres of fields that cover it, row by row, there and back."""
        columns = max(1, math.ceil((self.xmax_um - self.xmin_um) / width_um))
        rows = max(1, math.ceil((self.ymax_um - self.ymin_um) / height_um))
        for row in range(rows):
            y_um = self.ymin_um + (row + 0.5) * (self.ymax_um - self.ymin_um) / rows
            for step in range(columns):
                column = step if row % 2 == 0 else columns - 1 - step
                yield self.xmin_um + (column + 0.5) * (self.xmax_um - self.xmin_um) / columns, y_um


def find_metaphases(picture: np.ndarray, um_per_px: float) -> list[tuple[float, float]]:
    """Offsets of metaphases from the picture's centre, um: groups of many small dark bodies."""
    light = ndimage.uniform_filter(ndimage.percentile_filter(picture[::16, ::16].astype(np.float32), 80, 13), 5)
    zoom = picture.shape[0] / light.shape[0], picture.shape[1] / light.shape[1]
    dark = picture < 0.8 * ndimage.zoom(light, zoom, order=1)
    bodies, count = ndimage.label(dark)
    areas_um2 = ndimage.sum_labels(dark, bodies, np.arange(count + 1)) * um_per_px**2
    # Dust is smaller than a chromosome, a nucleus larger than a pile of them.
    is_chromosome = (areas_um2 > 1.5) & (areas_um2 < 90.0)
    is_chromosome[0] = False
    chromosomes = is_chromosome[bodies]
    near = ndimage.maximum_filter(chromosomes, 2 * round(5.0 / um_per_px) + 1)
    groups, _ = ndimage.label(near)
    found = []
    for number, box in enumerate(ndimage.find_objects(groups), start=1):
        inside = groups[box] == number
        members = np.unique(bodies[box][inside & chromosomes[box]])
        if len(members) >= 12:
            y_px, x_px = ndimage.center_of_mass(inside)
            centre_y, centre_x = (picture.shape[0] - 1) / 2, (picture.shape[1] - 1) / 2
            found.append(
                ((box[1].start + x_px - centre_x) * um_per_px, (box[0].start + y_px - centre_y) * um_per_px)
            )
    return found


def photograph(core: CMMCorePlus) -> np.ndarray:
    """A picture; one without light is refused."""
    picture = core.snap()
    if np.percentile(picture, 90) < DARK_SHARE * FULL_SCALE:
        raise CameraError("dark picture: is the lamp on?")
    return picture


def scan(
    stage: Tango,
    core: CMMCorePlus,
    area: Area,
    focus_um: float,
    tell: Callable[[str], None] = print,
) -> list[tuple[float, float]]:
    """Metaphases of an area as stage positions, um. However it ends, the instrument is left safe."""
    try:
        metaphases = _scan(stage, core, area, focus_um, tell)
    except BaseException as error:
        for trouble in make_safe(stage, core):
            error.add_note(f"and the instrument is not safe: {trouble}")
        raise
    if troubles := make_safe(stage, core):
        raise ExceptionGroup("the instrument is not safe", troubles)
    return metaphases


def _scan(
    stage: Tango, core: CMMCorePlus, area: Area, focus_um: float, tell: Callable[[str], None]
) -> list[tuple[float, float]]:
    um_per_px = core.getPixelSizeUm()
    # Neighbouring fields overlap by more than a metaphase, so that each lies whole in one of them.
    width_um, height_um = core.getImageWidth() * um_per_px - 80.0, core.getImageHeight() * um_per_px - 80.0
    metaphases: list[tuple[float, float]] = []
    core.setExposure(EXPOSURE_MS)
    core.setShutterOpen(True)
    core.setPosition(focus_um)
    core.waitForDevice(core.getFocusDevice())
    for x_um, y_um in area.fields(width_um, height_um):
        here = stage.move_to(x_um, y_um)
        for dx_um, dy_um in find_metaphases(photograph(core), um_per_px):
            place = here[0] + dx_um, here[1] + dy_um
            if all(math.dist(place, other) > 40.0 for other in metaphases):
                metaphases.append(place)
        tell(f"({here[0]:.0f}, {here[1]:.0f}) um: {len(metaphases)} metaphases so far")
    return metaphases


def make_safe(stage: Tango, core: CMMCorePlus) -> list[Exception]:
    """Stage halted, light off, objective down: each is tried whatever the others do; what could not be done."""
    steps: tuple[Callable[[], None], ...] = (
        stage.halt,
        lambda: core.setShutterOpen(False),
        lambda: core.setPosition(FOCUS_DOWN_UM),
    )
    troubles: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001
            troubles.append(error)
    return troubles


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="count the metaphases of an area")
    parser.add_argument("configuration", help="Micro-Manager configuration of camera, lamp and focus")
    parser.add_argument("port", help="serial port of the TANGO")
    parser.add_argument("area_um", nargs=4, type=float, metavar=("XMIN", "YMIN", "XMAX", "YMAX"))
    parser.add_argument("--focus", type=float, required=True, help="focus position, um")
    told = parser.parse_args(arguments)
    core = CMMCorePlus()
    core.loadSystemConfiguration(told.configuration)
    try:
        with Tango(told.port) as stage:
            metaphases = scan(stage, core, Area(*told.area_um), told.focus)
    except (StageError, CameraError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    finally:
        core.unloadAllDevices()
    print(f"{len(metaphases)} metaphases")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
