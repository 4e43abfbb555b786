"""How a cell's proposals are weighed, refitted to new weights of the detector.

The net is run once over a split, which takes a second a picture, and what the selection needs to know is kept on
the disk. On that a setting costs a third of a second for 141 cells, so that a search takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import grown_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng
from analysis.detection.detector import DETECTOR_WEIGHTS, Detector
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.parameters.manifest import Manifest, ParameterKind, read_manifest
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, write_coefficients
from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.selection.initial_selection import SelectionSettings, class_certainty, select_proposals
from analysis.selection.measurements import ProposalMeasurements
from analysis.structures.boxes import box_iou, match

_LEAST_SCORE: Final = 0.1
"""Proposals below are never chosen (the least chosen one of the val split has .2), and only take time."""

_SEARCHED: Final = ("threshold", "slope", "area_price", "third_price")
"""Of proposals merged from four views no two mean the same chromosome: prices of overlap have nothing to do."""

_LEAST_GAIN: Final = 3e-4
"""Saved errors a chromosome below which a step is fitted to chance: refitted by three quarters of the cases and
held against the last one, steps without such a limit were worth nothing."""

_STEP: Final = 0.5
_LEAST_STEP: Final = 0.05
_SURE_SHARE: Final = 0.08
_UNSURE_BELOW: Final = 0.2
_USUAL_COUNT: Final = 46
_DRAWS: Final = 2000
_SEED: Final = 46


@dataclass(frozen=True, slots=True)
class ProposedTruth:
    """A cell's proposals beside its true chromosomes.

    Attributes
    ----------
    case
        Patient.
    known
        Of the proposals.
    iou
        float64, shape (true chromosomes, proposals): overlap of their boxes as the set's are drawn.
    """

    case: str
    known: ProposalMeasurements
    iou: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SelectionTargets:
    """What a good selection is.

    Attributes
    ----------
    missed_worth
        What a missed chromosome costs, a false one costing 1: people see what is too much, and take what is lost
        for a finding.
    lean_price
        Price of a chromosome by which cells of other than 46 come out nearer to 46, a cell, in chromosomes a cell.
    """

    missed_worth: float = 1.25
    lean_price: float = 0.2

    def cost(self, table: NDArray[np.float64]) -> float:
        """Errors a true chromosome, and the lean; of a table of `outcomes`."""
        matched, false, missed = table.T
        errors = (false.sum() + self.missed_worth * missed.sum()) / max(float((matched + missed).sum()), 1.0)
        other = matched + missed != _USUAL_COUNT
        towards = (false - missed) * np.sign(_USUAL_COUNT - matched - missed)
        lean = max(0.0, float(towards[other].mean())) if other.any() else 0.0
        return float(errors) + self.lean_price * lean / _USUAL_COUNT


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two settings on the same cells.

    Attributes
    ----------
    before, after
        Tables of `outcomes`.
    aer_difference
        AER after minus before.
    interval
        95 % of it, cases drawn with replacement.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    aer_difference: float
    interval: tuple[float, float]

    @property
    def no_worse(self) -> bool:
        """Whether the AER didn't rise."""
        return self.aer_difference <= 0.0


def cached_proposals(
    data_dir: Path,
    split: str,
    folder: Path,
    *,
    limit: int | None = None,
    weights: Path = PARAMETERS_FOLDER,
    progress: Callable[[int, int], None] | None = None,
) -> list[ProposedTruth]:
    """Propose chromosomes in pictures of the Tseng set, or read what was proposed before by the same weights.

    Parameters
    ----------
    data_dir
        Folder of the set.
    split
        ``"train"`` or ``"val"``.
    folder
        Where proposals are kept, a file a cell; named by the weights' sum, so that new ones propose anew.
    limit
        Only this many, spread evenly.
    weights
        Folder of the detector's weights.
    progress
        Called with (pictures done, pictures in all).

    Raises
    ------
    DatasetError
        If the set isn't there, or the test split is asked for.
    WeightsError
        Where weights are missing or damaged.
    """
    if split == "test":
        raise DatasetError("nothing is chosen on the test split", path=data_dir)
    entries = load_tseng(data_dir, split)
    if limit is not None and limit < len(entries):
        at = np.linspace(0, len(entries) - 1, max(1, limit)).round().astype(int)
        entries = tuple(entries[k] for k in at)
    sha256 = read_manifest(DETECTOR_WEIGHTS, weights).sha256
    folder.mkdir(parents=True, exist_ok=True)
    segmenter: DetectorSegmenter | None = None
    cells = []
    for number, entry in enumerate(entries, start=1):
        path = folder / f"{sha256[:12]}-{split}-{entry.name}.npz"
        if not path.exists():
            segmenter = segmenter or DetectorSegmenter(Detector.load(weights))
            write_cell(path, propose(entry, segmenter))
        cells.append(read_cell(path))
        if progress is not None:
            progress(number, len(entries))
    return cells


def propose(entry: TsengImage, segmenter: DetectorSegmenter) -> ProposedTruth:
    """Propose chromosomes in one picture; none where there is nothing like a metaphase."""
    image = read_image(entry.path)
    truth = entry.boxes_px.astype(np.float64)
    try:
        known, extents_px = segmenter.measure(image)
    except NoMetaphaseError:
        nothing = ProposalMeasurements(
            np.zeros(0), np.zeros((0, 0)), np.zeros((0, 24)), np.zeros(0, np.int64), np.zeros(0)
        )
        return ProposedTruth(entry.case, nothing, np.zeros((len(truth), 0)))
    rows = np.flatnonzero(known.score >= _LEAST_SCORE)
    boxes = grown_boxes(extents_px[rows], TSENG_PADDING_PX, image.pixels.shape)
    kept = replace(
        known,
        score=known.score[rows],
        overlap=known.overlap[np.ix_(rows, rows)],
        classes=known.classes[rows],
        piece=known.piece[rows],
    )
    return ProposedTruth(entry.case, kept, box_iou(truth, boxes))


def write_cell(path: Path, cell: ProposedTruth) -> None:
    """Write a cell, whole or not at all."""
    part = path.with_suffix(".part.npz")
    known = cell.known
    np.savez_compressed(
        part,
        case=np.asarray(cell.case),
        iou=cell.iou,
        score=known.score,
        overlap=known.overlap,
        classes=known.classes,
        piece=known.piece,
        piece_areas=known.piece_areas,
    )
    part.replace(path)


def read_cell(path: Path) -> ProposedTruth:
    """Read a cell."""
    with np.load(path, allow_pickle=False) as held:
        known = ProposalMeasurements(
            held["score"], held["overlap"], held["classes"], held["piece"], held["piece_areas"]
        )
        return ProposedTruth(str(held["case"]), known, held["iou"])


def outcomes(cells: Sequence[ProposedTruth], settings: SelectionSettings) -> NDArray[np.float64]:
    """Count matched, false and missed chromosomes of every cell: float64, shape (cells, 3)."""
    table = []
    for cell in cells:
        rows = select_proposals(cell.known, settings)
        matched = len(match(cell.iou[:, rows]))
        table.append((matched, len(rows) - matched, len(cell.iou) - matched))
    return np.asarray(table, np.float64).reshape(-1, 3)


def figures(table: NDArray[np.float64]) -> dict[str, float]:
    """Return ``aer``, ``acc``, ``wcr`` as of `analysis.metrics.enumeration`, ``missed`` and ``false``."""
    matched, false, missed = (float(value) for value in table.sum(axis=0))
    return {
        "aer": (false + missed) / max(matched + missed, 1.0),
        "acc": matched / max(matched + false + missed, 1.0),
        "wcr": float(np.mean((table[:, 1] == 0.0) & (table[:, 2] == 0.0))),
        "missed": missed,
        "false": false,
    }


def refit(
    cells: Sequence[ProposedTruth],
    start: SelectionSettings,
    aims: SelectionTargets | None = None,
    *,
    most_trials: int = 80,
    tell: Callable[[str], None] | None = None,
) -> SelectionSettings:
    """Look for settings that cost less: one changed at a time, by steps that get finer where none helps.

    From which certainty classes count is no matter of search, as hardly a cell of one set is unsure: in full from
    what 92 in 100 cells reach.

    Parameters
    ----------
    cells
        Of a split the detector has not learned from.
    start
        Where the search begins.
    aims
        What costs how much.
    most_trials
        Settings tried at the most.
    tell
        Called with a line for each better one.
    """
    aims = aims or SelectionTargets()
    best = _trusted(cells, start)
    least = aims.cost(outcomes(cells, best))
    steps = dict.fromkeys(_SEARCHED, _STEP)
    trials = 0
    while trials < most_trials and max(steps.values()) > _LEAST_STEP:
        for name in _SEARCHED:
            found = None
            for factor in (1.0 + steps[name], 1.0 / (1.0 + steps[name])):
                changed = _changed(best, name, factor)
                cost = aims.cost(outcomes(cells, changed))
                trials += 1
                if cost < least - _LEAST_GAIN:
                    found, least = changed, cost
                    break
            if found is None:
                steps[name] /= 2.0
                continue
            best = found
            if tell is not None:
                tell(f"{name} {getattr(best, name):.3f}: {least:.5f}")
    return best


def compare(cells: Sequence[ProposedTruth], before: SelectionSettings, after: SelectionSettings) -> Comparison:
    """Compare two settings on the same cells, with an interval by bootstrap over cases."""
    first, second = outcomes(cells, before), outcomes(cells, after)
    cases = np.asarray([cell.case for cell in cells])
    groups = [np.flatnonzero(cases == case) for case in np.unique(cases)]
    rng = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(_DRAWS):
        rows = np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        drawn.append(figures(second[rows])["aer"] - figures(first[rows])["aer"])
    low, high = (float(value) for value in np.percentile(drawn, (2.5, 97.5)))
    return Comparison(first, second, figures(second)["aer"] - figures(first)["aer"], (low, high))


def write_selection(
    settings: SelectionSettings, folder: Path, *, result: Comparison, aims: SelectionTargets, command: str
) -> Path:
    """Write the parameter set ``selection``.

    Parameters
    ----------
    settings
        As `refit` returns them.
    folder
        Gets content and manifest.
    result
        Of the settings and those before them, on the cells they were fitted to.
    aims
        What they were fitted to.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.SELECTION,
        kind=ParameterKind.COEFFICIENTS,
        data={"tseng pictures": len(result.after)},
        split="tseng val (by case); figures of the same pictures",
        command=command,
        provenance=f"Searched from the settings before: {', '.join(_SEARCHED)}; the others were kept.",
        settings=asdict(aims),
        metrics={name: round(value, 4) for name, value in figures(result.after).items()},
        seed=0,
        steps=0,
    )
    return write_coefficients(folder, settings, manifest)


def _changed(settings: SelectionSettings, name: str, factor: float) -> SelectionSettings:
    value = getattr(settings, name) * factor
    return replace(settings, **{name: min(value, 0.9) if name == "threshold" else value})


def _trusted(cells: Sequence[ProposedTruth], settings: SelectionSettings) -> SelectionSettings:
    """Set from which certainty classes count."""
    sure = [class_certainty(cell.known, settings) for cell in cells if len(cell.known.score)]
    if not sure:
        return settings
    reached = round(float(np.quantile(sure, _SURE_SHARE)), 2)
    return replace(settings, sure_at=reached, unsure_at=round(reached - _UNSURE_BELOW, 2))
