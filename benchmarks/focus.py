"""Focus on random spots of warped slides of the twin, against the twin's truth and two classical searches.

    python benchmarks/focus.py [--spots 200] [--json PATH]

A run's way: the first search of a slide starts in the middle of the envelope and covers +-40 um; from then on the
focus surface through what was found predicts the plane, and its deviation bounds the range. At 63x the surface
comes from searches at 10x, as in a run. Spots are drawn at random over the glass. A spot is an object spot where a
cell or a nucleus lies in the measured part of the field, a grain spot where only grains of dirt show, and an empty
spot where nothing does. Truth is where the twin itself says that the specimen lies.

The named peers search the same spots from the same expected planes over the same ranges: `sweep`, planes a depth
of field apart through the range and the normalised variance of the whole picture (Groen et al. 1985); `golden`, a
golden-section search for the largest Tenengrad of the whole picture, to a third of a depth of field.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from acquisition.run.focus_map import RANGE_DEVIATIONS, sweep_for
from scanner.coordinates import SlidePoint, stage_to_centre
from scanner.core import ScanCore
from scanner.errors import BlankFieldError, FocusError
from scanner.focus.search import FocusSweep, search_focus
from scanner.focus.surface import FocusPoint, FocusSurface
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.devices import twin_of
from simulators.specimen.glass import GLASS_UM
from simulators.twin import Twin

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
GOALS_UM = {"10x": 1.0, "63x": 0.25}
EXPOSURE_MS = {"10x": 8.0, "63x": 32.0}
FIRST_RANGE_UM = 40.0
CAPTURE_RANGE_UM = 6.0
CAPTURE_SHARE = 0.7
MARGIN_UM = 3_000.0
SURFACE_POINTS = 9
LARGE_UM = 6.0
"""Half the size of a body that is no grain."""
BARE = {"10x": 0.003, "63x": 0.05}
"""Density of nuclei and grains on the bare slides, against the others."""
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

Search = Callable[[Microscope, float, FocusSweep], float]


@dataclass
class Tally:
    """Outcomes of one method at one objective."""

    errors_um: list[float] = field(default_factory=list)
    exposures: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    refused: int = 0

    def summary(self) -> dict[str, float | int]:
        errors = np.asarray(self.errors_um)
        if not errors.size:
            return {"focused": 0, "refused": self.refused}
        return {
            "focused": int(errors.size),
            "refused": self.refused,
            "mean_error_um": float(errors.mean()),
            "p95_error_um": float(np.percentile(errors, 95)),
            "worst_error_um": float(errors.max()),
            "exposures": float(np.mean(self.exposures)),
            "simulated_s": float(np.mean(self.seconds)),
            "cpu_ms": float(np.mean(self.cpu_ms)),
        }


@dataclass
class Blanks:
    """What became of empty spots."""

    spots: int = 0
    refused: int = 0
    exposures: list[int] = field(default_factory=list)
    travel_um: list[float] = field(default_factory=list)


class Table:
    """The instrument with its twin, and the bookkeeping of one search."""

    def __init__(self) -> None:
        self.rig, cfg = load_rig(RIG)
        self.core = ScanCore()
        self.core.loadSystemConfiguration(cfg)
        self.twin: Twin = twin_of(self.core)
        self.microscope = Microscope(self.core, self.rig)

    def lay(self, seed: int, *, density: float, tilt_um: float) -> None:
        """Put a slide on the stage; cells lie along the whole glass."""
        self.twin.settings = replace(
            self.twin.settings,
            seed=seed,
            cells=6,
            area_um=(MARGIN_UM, MARGIN_UM, GLASS_UM[0] - MARGIN_UM, GLASS_UM[1] - MARGIN_UM),
            tilt_um=tilt_um,
            nuclei_per_mm2=40.0 * density,
            specks_per_mm2=180.0 * density,
        )

    def go(self, where: SlidePoint) -> None:
        objective = self.microscope.objective
        stage = self.rig.slide.frame.to_stage(where)
        self.microscope.move_to(stage_to_centre(stage, objective.parcentric))

    def truth_um(self) -> float:
        return self.twin.sharp_um(self.twin.objective)

    def shows(self, where: SlidePoint, share: float) -> str:
        """What lies in the measured part of the field about a place: ``object``, ``grain`` or ``empty``."""
        width_um, height_um = (
            self.twin.configuration.sensor.pixel_um / self.twin.objective.magnification * side * share / 2.0
            for side in (self.rig.camera.width_px, self.rig.camera.height_px)
        )
        box = (where.x_um - width_um, where.y_um - height_um, where.x_um + width_um, where.y_um + height_um)
        bodies = self.twin.world.bodies_in(box)
        inside = [body for body in bodies if box[0] < body.x_um < box[2] and box[1] < body.y_um < box[3]]
        if any(body.half_width_um > LARGE_UM for body in inside):
            return "object"
        return "grain" if bodies else "empty"

    def measured(self, search: Search, expected_um: float, sweep: FocusSweep, tally: Tally) -> float | None:
        """Search once; None where it refused."""
        # The twin draws what it has not drawn yet: that is not the search's time.
        self.microscope.snap(sweep.exposure_ms)
        exposures, start_s, cpu_s = self.twin.exposures, self.twin.clock.now_s(), time.process_time()
        try:
            z_um = search(self.microscope, expected_um, sweep)
        except FocusError:
            tally.refused += 1
            return None
        tally.errors_um.append(abs(z_um - self.truth_um()))
        tally.exposures.append(self.twin.exposures - exposures)
        tally.seconds.append(self.twin.clock.now_s() - start_s)
        tally.cpu_ms.append((time.process_time() - cpu_s) * 1000.0)
        return z_um


def ours(microscope: Microscope, expected_um: float, sweep: FocusSweep) -> float:
    return search_focus(microscope, expected_um, sweep).z_um


def sweep_search(microscope: Microscope, expected_um: float, sweep: FocusSweep) -> float:
    """The classical method: every plane of the range, normalised variance, parabola through the best three."""
    step_um = sweep.coarse_step_um / 2.0
    count = max(2, math.ceil(sweep.half_range_um / step_um))
    planes = [expected_um + step_um * k for k in range(-count, count + 1)]
    planes = [z for z in planes if z in microscope.objective.focus]
    values = [normalised_variance(microscope, z, sweep) for z in planes]
    best = min(max(int(np.argmax(values)), 1), len(planes) - 2)
    return microscope.focus_to(_vertex(planes[best - 1 : best + 2], values[best - 1 : best + 2]))


def golden_search(microscope: Microscope, expected_um: float, sweep: FocusSweep) -> float:
    """Golden-section search for the largest Tenengrad (Press et al., section 10.2)."""
    low = max(expected_um - sweep.half_range_um, microscope.objective.focus.min_um)
    high = min(expected_um + sweep.half_range_um, microscope.objective.focus.max_um)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = tenengrad(microscope, left, sweep), tenengrad(microscope, right, sweep)
    while high - low > sweep.coarse_step_um / 6.0:
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = tenengrad(microscope, left, sweep)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = tenengrad(microscope, right, sweep)
    return microscope.focus_to((low + high) / 2.0)


def _picture(microscope: Microscope, z_um: float, sweep: FocusSweep) -> np.ndarray:
    microscope.focus_to(z_um)
    pixels = microscope.snap(sweep.exposure_ms).pixels
    height, width = pixels.shape
    rows, columns = int(height * sweep.centre_fraction), int(width * sweep.centre_fraction)
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns].astype(np.float32)


def normalised_variance(microscope: Microscope, z_um: float, sweep: FocusSweep) -> float:
    picture = _picture(microscope, z_um, sweep)
    return float(picture.var() / picture.mean())


def tenengrad(microscope: Microscope, z_um: float, sweep: FocusSweep) -> float:
    picture = _picture(microscope, z_um, sweep)
    across, down = cv2.Sobel(picture, cv2.CV_32F, 1, 0), cv2.Sobel(picture, cv2.CV_32F, 0, 1)
    return float(np.mean(across**2 + down**2))


def _vertex(z_um: list[float], values: list[float]) -> float:
    curve = np.polyfit(np.asarray(z_um) - z_um[1], values, 2)
    if curve[0] >= 0.0:
        return z_um[int(np.argmax(values))]
    return float(np.clip(z_um[1] - curve[1] / (2.0 * curve[0]), z_um[0], z_um[2]))


def random_spot(rng: np.random.Generator) -> SlidePoint:
    return SlidePoint(
        float(rng.uniform(MARGIN_UM, GLASS_UM[0] - MARGIN_UM)),
        float(rng.uniform(MARGIN_UM, GLASS_UM[1] - MARGIN_UM)),
    )


PEERS: dict[str, Search] = {"ours": ours, "sweep": sweep_search, "golden": golden_search}


@dataclass
class Outcome:
    """All tallies of one objective."""

    methods: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in PEERS})
    grains: Tally = field(default_factory=Tally)
    blanks: Blanks = field(default_factory=Blanks)
    prior_um: list[float] = field(default_factory=list)


def plan_for(table: Table, points: list[FocusPoint], where: SlidePoint) -> tuple[float, FocusSweep]:
    """Expected plane and range, as a run chooses them."""
    objective = table.microscope.objective
    capture = objective.name != table.rig.objectives[0].name
    depth_um, exposure_ms = objective.depth_of_field_um, EXPOSURE_MS[objective.name]
    if not points:
        return 2_000.0, sweep_for(depth_um, FIRST_RANGE_UM, exposure_ms)
    surface = FocusSurface.fit(points)
    expected_um = surface.z_um(where) + objective.parfocal_um
    if capture:
        return expected_um, sweep_for(depth_um, CAPTURE_RANGE_UM, exposure_ms, CAPTURE_SHARE)
    range_um = max(4.0 * depth_um, RANGE_DEVIATIONS * surface.deviation_um(where))
    return expected_um, sweep_for(depth_um, min(FIRST_RANGE_UM, range_um), exposure_ms)


def visit(table: Table, points: list[FocusPoint], where: SlidePoint, outcome: Outcome) -> None:
    """Search one spot with every method."""
    table.go(where)
    expected_um, sweep = plan_for(table, points, where)
    kind = table.shows(where, sweep.centre_fraction)
    if kind == "empty":
        visit_blank(table, expected_um, sweep, outcome.blanks)
        return
    if kind == "grain":
        table.measured(ours, expected_um, sweep, outcome.grains)
        return
    outcome.prior_um.append(abs(expected_um - table.truth_um()))
    for name, search in PEERS.items():
        # Each starts where a scan would: at the expected plane.
        table.microscope.focus_to(expected_um)
        z_um = table.measured(search, expected_um, sweep, outcome.methods[name])
        wanted = table.microscope.objective.name == "10x" and len(points) < SURFACE_POINTS
        if name == "ours" and z_um is not None and wanted:
            points.append(FocusPoint(where, z_um))


def visit_blank(table: Table, expected_um: float, sweep: FocusSweep, blanks: Blanks) -> None:
    table.microscope.focus_to(expected_um)
    exposures, start_um = table.twin.exposures, table.twin.focus_um()
    blanks.spots += 1
    try:
        search_focus(table.microscope, expected_um, sweep)
    except BlankFieldError:
        blanks.refused += 1
    except FocusError:
        pass
    blanks.exposures.append(table.twin.exposures - exposures)
    blanks.travel_um.append(abs(table.twin.focus_um() - start_um))


def run(table: Table, objective: str, spots: int, slides: int, seed: int) -> Outcome:
    outcome = Outcome()
    rng = np.random.default_rng(seed)
    for slide in range(slides):
        wanted = spots * (slide + 1) // slides
        table.lay(seed + slide, density=1.0, tilt_um=float(rng.uniform(24.0, 34.0)))
        table.microscope.select_objective("10x")
        points: list[FocusPoint] = []
        if objective != "10x":
            for _ in range(SURFACE_POINTS):
                visit(table, points, random_spot(rng), Outcome())
            table.microscope.select_objective(objective, oil_allowed=True)
        while len(outcome.methods["ours"].errors_um) + outcome.methods["ours"].refused < wanted:
            visit(table, points, random_spot(rng), outcome)
        # The same glass, nearly bare: most fields have nothing on them.
        table.lay(seed + slide, density=BARE[objective], tilt_um=30.0)
        for _ in range(max(spots // slides // 2, 1)):
            visit(table, points, random_spot(rng), Outcome(blanks=outcome.blanks, grains=outcome.grains))
        table.microscope.select_objective(objective, oil_allowed=True)
        table.microscope.slides.declare_clean()
    return outcome


def report(objective: str, outcome: Outcome) -> dict[str, Any]:
    goal_um = GOALS_UM[objective]
    blanks = outcome.blanks
    found: dict[str, Any] = {
        "goal_um": goal_um,
        "expected_plane_off_by_um": float(np.mean(outcome.prior_um)),
        "methods": {name: tally.summary() for name, tally in outcome.methods.items()},
        "grains": outcome.grains.summary(),
        "blank": {
            "spots": blanks.spots,
            "refused": blanks.refused,
            "exposures_mean": float(np.mean(blanks.exposures)) if blanks.spots else 0.0,
            "exposures_most": int(max(blanks.exposures, default=0)),
            "focus_travel_um_most": float(max(blanks.travel_um, default=0.0)),
        },
    }
    print(
        f"{objective}: goal {goal_um} um; the expected plane is off by {found['expected_plane_off_by_um']:.2f} um"
    )
    own = found["methods"]["ours"]
    for name, row in found["methods"].items():
        if not row.get("focused"):
            print(f"  {name:7s} focused none, refused {row['refused']}")
            continue
        ratios = ", ".join(
            f"{key} {row[key] / own[key]:.2f}" for key in ("mean_error_um", "exposures", "simulated_s", "cpu_ms")
        )
        print(
            f"  {name:7s} {row['focused']:3d} spots, {row['refused']} refused: error mean "
            f"{row['mean_error_um']:.3f}, 95 % {row['p95_error_um']:.3f}, worst {row['worst_error_um']:.3f} um; "
            f"{row['exposures']:.1f} exposures, {row['simulated_s']:.2f} simulated s, {row['cpu_ms']:.0f} ms "
            f"processor (over ours: {ratios})"
        )
    found["within_goal"] = own.get("mean_error_um", math.inf) <= goal_um
    print(f"  mean error over the goal: {own.get('mean_error_um', math.inf) / goal_um:.2f}")
    grains = found["grains"]
    print(
        f"  grain spots: {grains.get('focused', 0)} focused, {grains['refused']} refused; "
        f"error mean {grains.get('mean_error_um', 0.0):.3f}, worst {grains.get('worst_error_um', 0.0):.3f} um"
    )
    print(
        f"  empty spots: {blanks.spots}, refused {blanks.refused}, after {found['blank']['exposures_mean']:.2f} "
        f"exposures (most {found['blank']['exposures_most']}), focus moved at most "
        f"{found['blank']['focus_travel_um_most']:.2f} um"
    )
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spots", type=int, default=200, help="object spots an objective")
    parser.add_argument("--slides", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objective", action="append", choices=sorted(GOALS_UM))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    table = Table()
    with table.microscope.lit():
        results = {
            name: report(name, run(table, name, arguments.spots, arguments.slides, arguments.seed))
            for name in arguments.objective or sorted(GOALS_UM)
        }
    table.microscope.safe_state()
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
