"""The commands ``karyoscan karyotype`` and ``karyoscan classify``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acquisition.storage import write_json_atomic
from analysis.case.clones import CaseOrigin
from analysis.errors import AnalysisError
from scanner.counted import counted
from station.commands.messages import complain, say
from station.commands.options import JsonOption
from station.errors import UsageError
from station.exit_codes import ExitCode

if TYPE_CHECKING:
    from analysis.case.summary import CasePolicy
    from analysis.karyogram.sheet import SheetOptions
    from analysis.karyotyping.pipeline import Karyotyper
    from station.case import CaseRun


class BandingOption(StrEnum):
    """Techniques of banding, as protocols name them."""

    G = "G"
    R = "R"
    Q = "Q"
    DAPI = "DAPI"


class Ideograms(StrEnum):
    """Resolutions of the ideograms, in bands a haploid set."""

    NONE = "none"
    B400 = "400"
    B550 = "550"
    B850 = "850"


IdeogramsOption = Annotated[Ideograms, typer.Option(help="ideograms beside the pairs, at so many bands")]
StraightenOption = Annotated[
    bool, typer.Option("--straighten", help="straighten the chromosomes of the karyogram along their axes")
]


def classify(
    crops: Annotated[Path, typer.Argument(help="folder of pictures, one chromosome each")],
    cells: Annotated[
        Path | None, typer.Option(help="table (CSV): file, cell; chromosomes of a cell are assigned jointly")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Classify chromosomes that another system cut out."""
    from analysis.karyotyping.external_cells import CropClassifier, read_cells

    table = read_cells(cells) if cells is not None else {}
    done, refused = CropClassifier.load().classify_folder(crops, table)
    if json_file is not None:
        write_json_atomic(json_file, [entry.to_json() for entry in done])
    else:
        for entry in done:
            way = "  short arm down" if entry.flipped else ""
            say(f"{entry.file}  {entry.class_name}  {entry.probability:.3f}{way}")
    for other in refused:
        complain(other.reason if other.file in other.reason else f"{other.file}: {other.reason}")
    typer.echo(f"{len(done)} classified, {len(refused)} refused")
    if refused:
        raise typer.Exit(ExitCode.FAILED)


def karyotype(
    out: Annotated[Path, typer.Option(help="folder for <stem>.json, .karyogram.png, .metaphase.png and .pdf")],
    images: Annotated[list[Path] | None, typer.Argument(help="metaphase pictures")] = None,
    cells: Annotated[
        Path | None, typer.Option(help="folder of all pictures of one case: adds case.json, case.html, case.pdf")
    ] = None,
    edit: Annotated[
        Path | None, typer.Option(help="<stem>.json of a proposal, edited: draws it anew, counts it anew")
    ] = None,
    case: Annotated[str | None, typer.Option(help="with --cells: name of the case; default: the folder's")] = None,
    origin: Annotated[
        CaseOrigin, typer.Option("--origin", "--nature", help="with --cells: how the case is written")
    ] = CaseOrigin.CONSTITUTIONAL,
    counted: Annotated[int, typer.Option(help="with --cells: cells to count", min=1)] = 20,
    analysed: Annotated[int, typer.Option(help="with --cells: cells of them to analyse", min=0)] = 5,
    laid_out: Annotated[int, typer.Option(help="with --cells: cells of them to lay out", min=0)] = 2,
    banding: Annotated[
        BandingOption | None,
        typer.Option(help="what the chromosomes are stained with; default: estimated from the bands"),
    ] = None,
    ideograms: IdeogramsOption = Ideograms.NONE,
    accession: Annotated[
        str, typer.Option(help="written on karyogram and PDF; with --cells default: what --case says")
    ] = "",
    plane: Annotated[
        int | None,
        typer.Option(help="plane to take of pictures that have several, from 1 on; default: the sharpest", min=1),
    ] = None,
    straighten: StraightenOption = False,
    discard_edits: Annotated[
        bool, typer.Option("--discard-edits", help="make proposals in --out anew that a person edited")
    ] = False,
) -> None:
    """Propose a karyogram for each picture; with --cells for a whole case, with its clones."""
    from analysis.karyotyping.pipeline import load_karyotyper
    from station.case_pictures import refuse_overwriting, refuse_twins

    if sum((cells is not None, bool(images), edit is not None)) != 1:
        raise UsageError("karyotype takes either pictures, or --cells and a folder, or --edit and a proposal")
    _refuse_unordered(counted, analysed, laid_out)
    if plane is not None and edit is not None:
        raise UsageError("--plane is for pictures: a proposal names its own plane")
    refuse_twins(images or [])
    refuse_overwriting(images or [], out)
    options = sheet_options(ideograms, accession, straighten=straighten)
    if edit is not None:
        _make_folder(out)
        _edited(edit, out, options)
        return
    karyotyper = load_karyotyper(banding=None if banding is None else banding.value)
    _make_folder(out)
    if cells is not None:
        from analysis.case.summary import CasePolicy
        from station.case import CaseRun

        run = CaseRun(cells, out, case, options, discard_edits, plane)
        _case(run, karyotyper, CasePolicy(counted, analysed, laid_out, origin))
        return
    _pictures(images or [], out, karyotyper, options, plane=plane, discard_edits=discard_edits)


def _refuse_unordered(counted: int, analysed: int, laid_out: int) -> None:
    if not laid_out <= analysed <= counted:
        raise UsageError("--laid-out, --analysed and --counted: each includes the one before it")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: can't be made: {error.strerror}") from error


def sheet_options(ideograms: Ideograms, accession: str, *, straighten: bool) -> SheetOptions:
    """Options of the karyogram sheet, from those of a command.

    Parameters
    ----------
    ideograms
        Resolution of the ideograms, or none.
    accession
        Of the case; none where empty.
    straighten
        Whether the chromosomes are straightened.
    """
    from analysis.karyogram.sheet import SheetOptions

    resolution = None if ideograms is Ideograms.NONE else int(ideograms.value)
    return SheetOptions(ideograms=resolution, accession=accession, straighten=straighten)


def _edited(proposal: Path, out: Path, options: SheetOptions) -> None:
    from analysis.karyotyping.proposal_file import read_proposal
    from station.cell_files import write_cell

    result = read_proposal(proposal)
    files = write_cell(result, out, proposal.stem, options)
    by = " (edited by a person)" if result.edited else ""
    say(f"{proposal}: {result.iscn.text or f'no ISCN: {result.iscn.reason}'}{by} -> {files}")


def _case(run: CaseRun, karyotyper: Karyotyper, policy: CasePolicy) -> None:
    from station.case import run_case

    summary = run_case(run, karyotyper, policy, say)
    say(f"{summary.name}: {summary.clones.text or 'no karyotype'}  (proposal; {run.out / 'case.html'})")
    if not summary.clones.clones:
        complain("no cell of the case could be read completely")
        raise typer.Exit(ExitCode.FAILED)


def _pictures(
    images: list[Path],
    out: Path,
    karyotyper: Karyotyper,
    options: SheetOptions,
    *,
    plane: int | None,
    discard_edits: bool,
) -> None:
    from analysis.imaging.image_file import read_image
    from station.case_pictures import is_own_drawing, output_stem
    from station.cell_files import write_cell
    from station.edited_proposals import is_edited_proposal

    refused = 0
    for image in images:
        if is_own_drawing(image):
            refused += 1
            complain(f"{image}: was drawn by KaryoScan; karyotype the picture that it was made from")
            continue
        proposal = out / f"{output_stem(image)}.json"
        if not discard_edits and is_edited_proposal(proposal):
            refused += 1
            complain(f"{image}: {proposal} was edited by a person; --edit draws it, --discard-edits makes it anew")
            continue
        try:
            result = karyotyper.karyotype(read_image(image, plane))
            files = write_cell(result, out, output_stem(image), options)
        except AnalysisError as error:
            refused += 1
            complain(str(error) if str(image) in str(error) else f"{image}: {error}")
            continue
        text = result.iscn.text or f"no ISCN: {result.iscn.reason}"
        count = len(result.chromosomes)
        review = ": ".join(filter(None, (result.verdict.level.value, result.remark)))
        remarks = "".join(f"; {remark}" for remark in result.image.remarks)
        objects = counted(count, "chromosome")
        say(f"{image}: {text}, {objects}, {result.seconds:.2f} s, {review}{remarks} -> {files}")
    if refused:
        raise typer.Exit(ExitCode.FAILED)
