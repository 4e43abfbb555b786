"""The group ``karyoscan rig``: an instrument described, checked, measured, and its oil accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scanner.portable.file_names import file_name_part
from station.commands.messages import say
from station.commands.options import RigArgument, examples, record_text
from station.errors import UsageError
from station.exit_codes import ExitCode

if TYPE_CHECKING:
    from station.instrument.new_rig import NewRig

PageFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="folder of the page and its pictures; default: state folder of a real rig, none for a simulated one",
        show_default=False,
    ),
]

rig_app = typer.Typer(help="Describe, check and calibrate an instrument.", no_args_is_help=True)


@rig_app.command(
    "new",
    epilog=examples(
        "karyoscan rig new room-3 --from MMConfig.cfg",
        "karyoscan rig new room-3 --from MMConfig.cfg --out rigs/room-3 --x-limits 0:76000 --y-limits 0:26000 "
        "--camera 1360x1024x12 --focus 10x=19000:20000",
    ),
)
def rig_new(
    name: Annotated[str, typer.Argument(callback=record_text, help="name of the rig")],
    configuration: Annotated[
        Path, typer.Option("--from", help="Micro-Manager configuration (.cfg); it is copied")
    ],
    out: Annotated[
        Path | None, typer.Option(help="new folder of the rig; default: rigs/NAME", show_default=False)
    ] = None,
    x_limits: Annotated[str | None, typer.Option(help="MIN:MAX, stage um, in which nothing can touch")] = None,
    y_limits: Annotated[str | None, typer.Option(help="MIN:MAX, stage um, in which nothing can touch")] = None,
    z_limits: Annotated[str | None, typer.Option(help="MIN:MAX, um; a higher z is nearer to the slide")] = None,
    down: Annotated[float | None, typer.Option(help="z in which nothing can touch, um")] = None,
    direction: Annotated[
        str | None,
        typer.Option(help="positive where the focus drive's numbers grow toward the slide, or negative"),
    ] = None,
    slide_origin: Annotated[
        str | None, typer.Option(help="X:Y, stage um of the corner at the slide's label")
    ] = None,
    camera: Annotated[str | None, typer.Option(help="WIDTHxHEIGHTxBITS of its pictures")] = None,
    stage_motion: Annotated[str | None, typer.Option(help="SPEED:ACCELERATION, um/s and um/s^2")] = None,
    focus_motion: Annotated[str | None, typer.Option(help="SPEED:ACCELERATION, um/s and um/s^2")] = None,
    objective: Annotated[
        list[str] | None, typer.Option(help="name of an objective to take, such as 10x; repeat; default: all")
    ] = None,
    focus: Annotated[
        list[str] | None, typer.Option(help="NAME=MIN:MAX, z that an objective may use, um; repeat")
    ] = None,
    aperture: Annotated[list[str] | None, typer.Option(help="NAME=NA, numerical aperture; repeat")] = None,
    immersion: Annotated[list[str] | None, typer.Option(help="NAME=air or NAME=oil; repeat")] = None,
    pixel_size: Annotated[list[str] | None, typer.Option(help="NAME=UM, um on the slide a pixel; repeat")] = None,
) -> None:
    """Write a rig folder from a Micro-Manager configuration; what nobody says stays TODO, and can't move."""
    from scanner.rig_draft import RigAnswers
    from station.instrument import new_rig
    from station.instrument.new_rig import parse_answer, parse_by_objective

    answers = RigAnswers(
        x=parse_answer("--x-limits", x_limits, new_rig.parse_limits),
        y=parse_answer("--y-limits", y_limits, new_rig.parse_limits),
        z=parse_answer("--z-limits", z_limits, new_rig.parse_limits),
        down_um=down,
        direction=parse_answer("--direction", direction, new_rig.parse_direction),
        slide_origin_um=parse_answer("--slide-origin", slide_origin, new_rig.parse_point),
        camera=parse_answer("--camera", camera, new_rig.parse_sensor),
        stage_motion=parse_answer("--stage-motion", stage_motion, new_rig.parse_motion),
        focus_motion=parse_answer("--focus-motion", focus_motion, new_rig.parse_motion),
        focus=parse_by_objective("--focus", focus or (), new_rig.parse_limits),
        apertures=parse_by_objective("--aperture", aperture or (), new_rig.parse_number),
        immersions=parse_by_objective("--immersion", immersion or (), new_rig.parse_immersion),
        um_per_px=parse_by_objective("--pixel-size", pixel_size or (), new_rig.parse_number),
        objectives=tuple(objective or ()),
    )
    written = new_rig.write_new_rig(name, configuration, out or Path("rigs") / file_name_part(name), answers)
    _report_new_rig(written)


def _report_new_rig(rig: NewRig) -> None:
    """Say what was written, what is still open, and what is missing."""
    from scanner.adapters import how_to_install
    from scanner.unfinished_rig import TODO

    say(f"Written: {rig.folder}")
    for value in rig.unfinished:
        say(f"{TODO} line {value.line}, {value.key}: {value.how}")
    for remark in rig.remarks:
        say(remark)
    for adapter in rig.missing:
        say(f"Not installed here: {adapter}")
    if rig.missing:
        say(f"To get them: {how_to_install()}")
    if rig.unfinished:
        say(f"The rig is refused until these {len(rig.unfinished)} values are filled in")


@rig_app.command(
    "check",
    epilog=examples(
        "karyoscan rig check simulated", "karyoscan rig check rigs/room-3 --home --turret --out room-3-check"
    ),
)
def rig_check(
    rig: RigArgument,
    home: Annotated[bool, typer.Option("--home", help="drive the stage to its end switches first")] = False,
    turret: Annotated[
        bool, typer.Option("--turret", help="turn to every objective, focus down, and read back its label")
    ] = False,
    out: PageFolderOption = None,
) -> None:
    """Load an instrument, move everything a little, take a picture, and say what is in order."""
    from station.instrument.check_page import write_check_page
    from station.instrument.result_folder import ResultKind, readable_rig, result_folder
    from station.instrument.rig_check import RigCheckState, check_rig

    folder = result_folder(readable_rig(rig), out, ResultKind.CHECK)
    colours = {RigCheckState.OK: "green", RigCheckState.FAULT: "red", RigCheckState.NOT_ASSESSED: "yellow"}
    check = check_rig(rig, home=home, turret=turret)
    table = Table("step", "state", title=f"rig check {escape(rig.name)}")
    table.add_column("detail", overflow="fold")
    for step in check.steps:
        table.add_row(step.what, f"[{colours[step.state]}]{step.state}[/]", escape(step.detail))
    not_assessed = RigCheckState.NOT_ASSESSED
    for unproven in check.unproven:
        detail = ": ".join(part for part in (unproven.how, unproven.command) if part)
        table.add_row(unproven.what, f"[{colours[not_assessed]}]{not_assessed}[/]", escape(detail))
    Console().print(table)
    if folder is not None:
        say(f"Page: {write_check_page(check, folder)}")
    if check.failed:
        raise typer.Exit(ExitCode.FAILED)


@rig_app.command(
    "look",
    epilog=examples("karyoscan rig look rigs/room-3", "karyoscan rig look simulated --once room-3-picture"),
)
def rig_live(
    rig: RigArgument,
    port: Annotated[
        int,
        typer.Option(
            help="port of the page on 127.0.0.1; default: a free one", min=0, max=65535, show_default=False
        ),
    ] = 0,
    exposure_ms: Annotated[
        float | None,
        typer.Option(
            help="fixed exposure; default: it follows the light", min=0.01, max=10_000, show_default=False
        ),
    ] = None,
    once: Annotated[
        Path | None,
        typer.Option(help="write one picture and all positions into this folder, and end", show_default=False),
    ] = None,
) -> None:
    """Show the live picture and all positions in a browser of this computer; nothing moves until the end.

    The instrument is held alone. The light is on only while the page is watched. At the end (Ctrl-C, closed
    terminal) the light goes off and the focus down.
    """
    from station.instrument.live.watch import LiveRequest, keep_picture, watch_instrument
    from station.output import optional_output

    request = LiveRequest(rig=rig, exposure_ms=exposure_ms, port=port)
    if once is not None:
        for path in keep_picture(request, once):
            say(f"Written: {path}")
        return
    watch_instrument(request, lambda url: say(f"Open {url} in a browser of this computer; Ctrl-C ends"))
    with optional_output():
        say("Light off, stage halted, focus down")


@rig_app.command(
    "oil", epilog=examples("karyoscan rig oil simulated", "karyoscan rig oil rigs/room-3 --clean B1024")
)
def rig_oil(
    rig: RigArgument,
    clean: Annotated[
        list[str] | None,
        typer.Option(help="slide that carries no oil any more, as it is listed; repeat for several"),
    ] = None,
) -> None:
    """List the slides that carry oil; declare one clean after a person has checked it."""
    from scanner.rig import load_rig
    from station.compose import open_oil_ledger

    description, _ = load_rig(rig)
    ledger = open_oil_ledger(description)
    for slide in clean or ():
        if not ledger.is_oiled(slide):
            oiled = ", ".join(sorted(ledger.oiled_slides())) or "none"
            raise UsageError(f"--clean: slide {slide!r} carries no oil in the record; those that do: {oiled}")
        ledger.declare_clean(slide)
    table = Table("slide", "drops", title=f"oil on {escape(description.name)}")
    for slide in sorted(ledger.oiled_slides()):
        table.add_row(escape(slide), str(len(ledger.drops(slide))))
    Console().print(table)


@rig_app.command(
    "calibrate",
    epilog=examples(
        "karyoscan rig calibrate rigs/room-3 --slide-x-um 30000 --slide-y-um 12000",
        "karyoscan rig calibrate rigs/room-3 --what offsets --oil --dry-run",
    ),
)
def rig_calibrate(
    rig: RigArgument,
    what: Annotated[
        list[str] | None,
        typer.Option(help="pixels, backlash, field, read-out, motion, offsets; repeat for several, default all"),
    ] = None,
    slide_x_um: Annotated[float | None, typer.Option(help="place with cells, slide um; default: here")] = None,
    slide_y_um: Annotated[float | None, typer.Option(help="place with cells, slide um; default: here")] = None,
    focus_um: Annotated[float | None, typer.Option(help="where focus is expected; default mid-envelope")] = None,
    oil: Annotated[bool, typer.Option("--oil", help="there is oil on the slide: measure oil objectives")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="measure, but leave the rig as it is")] = False,
    out: PageFolderOption = None,
) -> None:
    """Let an instrument measure itself on a slide, and write the results into its rig file."""
    from scanner.calibration.session import procedures_of
    from scanner.coordinates import SlidePoint
    from station.instrument.calibrate import CalibrationRequest, run_calibration
    from station.instrument.result_text import described

    if (slide_x_um is None) != (slide_y_um is None):
        raise UsageError("--slide-x-um and --slide-y-um belong together")
    at = None if slide_x_um is None or slide_y_um is None else SlidePoint(slide_x_um, slide_y_um)
    request = CalibrationRequest(
        rig=rig,
        what=procedures_of(what or ()),
        at=at,
        focus_um=focus_um,
        oil_allowed=oil,
        write=not dry_run,
        out=out,
    )
    outcome = run_calibration(request)
    table = Table("measured", "value", "residual", title=f"rig calibrate {escape(rig.name)}")
    for result in outcome.results:
        table.add_row(*described(result))
    console = Console()
    console.print(table)
    if not oil:
        console.print("Oil objectives were left out; --oil measures them.", highlight=False)
    console.print(
        "Nothing was written to the rig." if dry_run else f"Written: {rig}", highlight=False, soft_wrap=True
    )
    if outcome.page is not None:
        say(f"Page: {outcome.page}")
