"""What a rig refuses of a protocol, and what is allowed but hardly meant, before anything moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from acquisition.plan.field_size import covered_um
from acquisition.plan.tiling import PlannedField, serpentine
from acquisition.protocol import AnyArea, Area, Background, ExposureMode, FocusStrategy, Protocol
from analysis.finder import FINDERS
from scanner.coordinates import GLASS_UM, SlideFrame, SlidePoint, StagePoint, stage_to_centre
from scanner.rig import Objective, Rig, Span

# A large metaphase at 10x: an overlap below it leaves cells that no field shows whole.
METAPHASE_UM = 60.0
# Coarser than this, bands and centromeres are gone.
KARYOTYPE_UM_PER_PX = 0.2
# The steps in which focus is searched, in depths of field; a range below two of them finds no peak.
SEARCH_STEP_DEPTHS = 2.0


class Severity(StrEnum):
    """What a finding means."""

    REFUSED = "refused"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class ProtocolFinding:
    """Something about one key of a protocol.

    Attributes
    ----------
    level
        Whether the run would be refused.
    key
        Way to the key in the protocol.
    value, allowed
        What stands there, and what may.
    reason
        Why, in a few words.
    """

    level: Severity
    key: tuple[str, ...]
    value: str
    allowed: str
    reason: str

    def __str__(self) -> str:
        return f"{'.'.join(self.key)}: found {self.value}; allowed: {self.allowed} ({self.reason})"


def check(
    protocol: Protocol, rig: Rig, *, area: AnyArea | None = None, frame: SlideFrame | None = None
) -> tuple[ProtocolFinding, ...]:
    """Hold a protocol against a rig.

    Parameters
    ----------
    protocol, rig
        What is asked for, and of what.
    area
        Scanned instead of the protocol's own: the area of a coverslip that was looked for.
    frame
        How the slide lies; default: every slot of the rig is held against the limits.

    Returns
    -------
    tuple of Finding
        Refusals first; empty where all is well.
    """
    findings = [*_objectives(protocol, rig)]
    names = {objective.name: objective for objective in rig.objectives}
    scan, capture = names.get(protocol.scan.objective), names.get(protocol.capture.objective)
    if scan is not None:
        findings += _scan(protocol, rig, scan)
    if capture is not None:
        findings += _capture(protocol, rig, capture)
    if scan is not None and capture is not None:
        findings += _area(protocol, rig, scan, capture, area or protocol.scan.area, frame)
    findings += _numbers(protocol)
    return tuple(sorted(findings, key=lambda finding: finding.level is not Severity.REFUSED))


def _refused(key: str, value: object, allowed: str, reason: str) -> ProtocolFinding:
    return ProtocolFinding(Severity.REFUSED, tuple(key.split(".")), str(value), allowed, reason)


def _warning(key: str, value: object, allowed: str, reason: str) -> ProtocolFinding:
    return ProtocolFinding(Severity.WARNING, tuple(key.split(".")), str(value), allowed, reason)


def _objectives(protocol: Protocol, rig: Rig) -> Iterator[ProtocolFinding]:
    names = [objective.name for objective in rig.objectives]
    for key, name in (
        ("scan.objective", protocol.scan.objective),
        ("capture.objective", protocol.capture.objective),
    ):
        if name not in names:
            yield _refused(key, name, ", ".join(names), f"the turret of rig {rig.name} has no other")
            continue
        objective = rig.objective(name)
        if objective.immersion != "oil":
            continue
        if key == "scan.objective":
            dry = ", ".join(o.name for o in rig.objectives if o.immersion != "oil")
            yield _refused(key, name, dry or "none", "a scan needs a dry objective")
        elif protocol.capture.oil != "allowed":
            yield _refused("capture.oil", protocol.capture.oil, "allowed", f"{name} works in oil")
    if protocol.is_fluorescence and rig.reflector is not None and rig.reflector.fluorescence is None:
        yield _refused(
            "banding", protocol.banding, "G, R", f"rig {rig.name} has no filters for it: reflector.fluorescence"
        )
    if protocol.find.model not in FINDERS:
        yield _refused("find.model", protocol.find.model, ", ".join(FINDERS), "no such finder")


def _scan(protocol: Protocol, rig: Rig, objective: Objective) -> Iterator[ProtocolFinding]:
    scan = protocol.scan
    if scan.background is Background.FLAT_FIELD and objective.flat_field is None:
        yield _no_flat_field("scan", objective)
    overlap_um = scan.overlap * min(covered_um(rig, objective))
    if overlap_um < METAPHASE_UM:
        share = METAPHASE_UM / min(covered_um(rig, objective))
        yield _warning(
            "scan.overlap",
            f"{scan.overlap:g} ({overlap_um:.0f} um)",
            f"at least {share:.2f} ({METAPHASE_UM:.0f} um)",
            "a cell on the edge of a field lies whole in no field",
        )
    half_um = (objective.focus.max_um - objective.focus.min_um) / 2
    if scan.focus.range_um > half_um:
        yield _warning(
            "scan.focus.range_um",
            f"{scan.focus.range_um:g}",
            f"at most {half_um:g}",
            f"{objective.name} may use z {objective.focus} um; the search is cut there",
        )
    yield from _search_range("scan.focus.range_um", scan.focus.range_um, objective)
    if scan.focus.strategy is FocusStrategy.HARDWARE and objective.autofocus_offset is None:
        others = ", ".join(strategy for strategy in FocusStrategy if strategy is not FocusStrategy.HARDWARE)
        yield _refused(
            "scan.focus.strategy",
            "hardware",
            others,
            f"the rig has no hardware autofocus for {objective.name}: no autofocus_offset",
        )
    if scan.exposure is ExposureMode.FIXED and protocol.is_fluorescence:
        yield _warning("scan.exposure", "fixed", "auto", "fluorescence differs from slide to slide and fades")


def _capture(protocol: Protocol, rig: Rig, objective: Objective) -> Iterator[ProtocolFinding]:
    capture = protocol.capture
    if capture.background is Background.FLAT_FIELD and objective.flat_field is None:
        yield _no_flat_field("capture", objective)
    envelope_um = objective.focus.max_um - objective.focus.min_um
    wanted_um = 2 * (capture.focus_range_um + capture.z_stack.half_range_um)
    if wanted_um > envelope_um:
        yield _refused(
            "capture.focus_range_um",
            f"{capture.focus_range_um:g} with a stack of +- {capture.z_stack.half_range_um:g}",
            f"together at most +- {envelope_um / 2:g}",
            f"{objective.name} may use z {objective.focus} um",
        )
    yield from _search_range("capture.focus_range_um", capture.focus_range_um, objective)
    depth_um = objective.depth_of_field_um
    if capture.z_stack.planes > 1 and capture.z_stack.step_um > 2 * depth_um:
        yield _warning(
            "capture.z_stack.step_um",
            f"{capture.z_stack.step_um:g}",
            f"at most {2 * depth_um:.2f}",
            "what lies between two planes is sharp in neither",
        )
    um_per_px = rig.um_per_px(objective)
    if protocol.karyotype.enabled and um_per_px > KARYOTYPE_UM_PER_PX:
        yield _warning(
            "capture.objective",
            f"{objective.name} ({um_per_px:g} um/px)",
            f"at most {KARYOTYPE_UM_PER_PX:g} um/px",
            "bands can't be resolved",
        )


def _no_flat_field(part: str, objective: Objective) -> ProtocolFinding:
    return _refused(
        f"{part}.background", "flat_field", "none", f"the rig has no flat-field picture for {objective.name}"
    )


def _search_range(key: str, range_um: float, objective: Objective) -> Iterator[ProtocolFinding]:
    step_um = SEARCH_STEP_DEPTHS * objective.depth_of_field_um
    if range_um < step_um:
        yield _warning(
            key,
            f"{range_um:g}",
            f"at least {step_um:.1f}",
            f"less than one step of the search with {objective.name}",
        )


def _area(
    protocol: Protocol,
    rig: Rig,
    scan: Objective,
    capture: Objective,
    area: AnyArea,
    frame: SlideFrame | None,
) -> Iterator[ProtocolFinding]:
    """Fields and captures that would be refused halfway."""
    bounds = area.bounds
    if not (
        bounds.x_min_um >= 0
        and bounds.y_min_um >= 0
        and bounds.x_max_um <= GLASS_UM[0]
        and bounds.y_max_um <= GLASS_UM[1]
    ):
        yield _warning(
            "scan.area",
            _box(bounds),
            f"(0, 0) .. ({GLASS_UM[0]:g}, {GLASS_UM[1]:g}) um",
            "it reaches beyond the slide",
        )
    targets: list[StagePoint] = []
    for slide in (frame,) if frame is not None else rig.slides.values():
        fields = serpentine(area, *covered_um(rig, scan, slide), protocol.scan.overlap)
        targets += [slide.to_stage(field.centre) for field in _outermost(fields)]
        targets += [
            stage_to_centre(slide.to_stage(SlidePoint(x, y)), capture.parcentric) for x, y in area.outline_um
        ]
    for axis, span in (("x", rig.stage.x), ("y", rig.stage.y)):
        finding = _beyond(axis, span, targets)
        if finding is not None:
            yield finding


def _outermost(fields: tuple[PlannedField, ...]) -> Iterator[PlannedField]:
    # However the slide is turned, the stage goes furthest for a corner of the fields' hull.
    ways: tuple[Callable[[PlannedField], float], ...] = (
        lambda f: f.centre.x_um,
        lambda f: f.centre.y_um,
        lambda f: f.centre.x_um + f.centre.y_um,
        lambda f: f.centre.x_um - f.centre.y_um,
    )
    for way in ways:
        yield min(fields, key=way)
        yield max(fields, key=way)


def _beyond(axis: str, span: Span, targets: list[StagePoint]) -> ProtocolFinding | None:
    places = [getattr(target, f"{axis}_um") for target in targets]
    worst = max(places, key=lambda place: max(span.min_um - place, place - span.max_um))
    if worst in span:
        return None
    return _refused("scan.area", f"stage {axis} {worst:.0f} um", f"{span} um", "the stage's limits")


def _box(area: Area) -> str:
    return f"({area.x_min_um:g}, {area.y_min_um:g}) .. ({area.x_max_um:g}, {area.y_max_um:g}) um"


def _numbers(protocol: Protocol) -> Iterator[ProtocolFinding]:
    karyotype, capture = protocol.karyotype, protocol.capture
    if karyotype.enabled and capture.number < karyotype.counted:
        yield _warning(
            "capture.number",
            capture.number,
            f"at least {karyotype.counted}",
            "karyotype.counted asks for more cells than are photographed",
        )
    if protocol.stop.cells is not None and karyotype.enabled and protocol.stop.cells < karyotype.counted:
        yield _warning(
            "stop.cells",
            protocol.stop.cells,
            f"at least {karyotype.counted}",
            "the scan may end before there are karyotype.counted cells",
        )
