"""Fit how the initial selection weighs a cell's proposals, for new weights of the detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_coefficients
from analysis.selection.initial_selection import (
    SelectionSettings,
    class_certainty,
    select_proposals,
)
from analysis.training.fits.labelled_proposals import LabelledProposals

_SEARCHED: Final = ("threshold", "slope", "area_price", "third_price")
"""Of proposals merged from four views no two mean the same chromosome: prices of overlap have nothing to do."""

_LEAST_GAIN: Final = 3e-4
"""Saved errors a chromosome below which a step is fitted to chance: refitted by three quarters of the cases and
held against the last one, steps without such a limit were worth nothing."""

_STEP: Final = 0.5
_LEAST_STEP: Final = 0.05
_SURE_SHARE: Final = 0.08
_UNSURE_BELOW: Final = 0.2
_NORMAL_COUNT: Final = 46
_DRAWS: Final = 2000
_INTERVAL_PERCENT: Final = (2.5, 97.5)
_GREATEST_THRESHOLD: Final = 0.9
"""A score that hardly any right proposal reaches."""
_SEED: Final = 46


@dataclass(frozen=True, slots=True)
class SelectionTargets:
    """What a good selection is.

    Attributes
    ----------
    missed_weight
        What a missed chromosome costs, a false one costing 1: people see what is too much, and take what is lost
        for a finding.
    lean_price
        Price of a chromosome by which cells of other than 46 come out nearer to 46, a cell, in chromosomes a cell.
    """

    missed_weight: float = 1.25
    lean_price: float = 0.2

    def cost(self, table: NDArray[np.float64]) -> float:
        """Errors a true chromosome, and the lean; of a table of `outcomes`, shape (cells, 3)."""
        matched, false, missed = table.T
        errors = (false.sum() + self.missed_weight * missed.sum()) / max(float((matched + missed).sum()), 1.0)
        other = matched + missed != _NORMAL_COUNT
        towards = (false - missed) * np.sign(_NORMAL_COUNT - matched - missed)
        lean = max(0.0, float(towards[other].mean())) if other.any() else 0.0
        return float(errors) + self.lean_price * lean / _NORMAL_COUNT


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


def outcomes(labelled_proposals: Sequence[LabelledProposals], settings: SelectionSettings) -> NDArray[np.float64]:
    """Count matched, false and missed chromosomes of every cell.

    Parameters
    ----------
    labelled_proposals
        Labelled proposals.
    settings
        How they are weighed.

    Returns
    -------
    NDArray[np.float64]
        Shape (cells, 3), columns as of `SelectionOutcome`.
    """
    table = [cell.outcome(select_proposals(cell.measurements, settings)) for cell in labelled_proposals]
    return np.asarray(table, np.float64).reshape(-1, 3)


def figures(table: NDArray[np.float64]) -> dict[str, float]:
    """Figures of a table of `outcomes`, shape (cells, 3).

    Returns
    -------
    dict
        ``aer``, ``acc``, ``wcr`` as of `analysis.metrics.enumeration`, ``missed`` and ``false``.
    """
    matched, false, missed = (float(value) for value in table.sum(axis=0))
    return {
        "aer": (false + missed) / max(matched + missed, 1.0),
        "acc": matched / max(matched + false + missed, 1.0),
        "wcr": float(np.mean((table[:, 1] == 0.0) & (table[:, 2] == 0.0))),
        "missed": missed,
        "false": false,
    }


def refit(
    labelled_proposals: Sequence[LabelledProposals],
    initial_settings: SelectionSettings,
    aims: SelectionTargets | None = None,
    *,
    most_trials: int = 80,
    progress: Callable[[str], None] | None = None,
) -> SelectionSettings:
    """Look for settings that cost less: one changed at a time, by steps that get finer where none helps.

    From which certainty classes count is no matter of search, as hardly a cell of one set is unsure: in full from
    what 92 in 100 cells reach.

    Parameters
    ----------
    labelled_proposals
        Of a split the detector has not learned from.
    initial_settings
        Where the search begins.
    aims
        What costs how much.
    most_trials
        Settings tried at the most.
    progress
        Called with a line for each better one.
    """
    aims = aims or SelectionTargets()
    best = _trusted(labelled_proposals, initial_settings)
    least = aims.cost(outcomes(labelled_proposals, best))
    steps = dict.fromkeys(_SEARCHED, _STEP)
    trials = 0
    while trials < most_trials and max(steps.values()) > _LEAST_STEP:
        for name in _SEARCHED:
            found = None
            for factor in (1.0 + steps[name], 1.0 / (1.0 + steps[name])):
                changed = _changed(best, name, factor)
                cost = aims.cost(outcomes(labelled_proposals, changed))
                trials += 1
                if cost < least - _LEAST_GAIN:
                    found, least = changed, cost
                    break
            if found is None:
                steps[name] /= 2.0
                continue
            best = found
            if progress is not None:
                progress(f"{name} {getattr(best, name):.3f}: {least:.5f}")
    return best


def compare(
    labelled_proposals: Sequence[LabelledProposals], before: SelectionSettings, after: SelectionSettings
) -> Comparison:
    """Compare two settings on the same cells, with an interval by bootstrap over cases (Efron 1979).

    Parameters
    ----------
    labelled_proposals
        Labelled proposals.
    before, after
        The settings.
    """
    first, second = outcomes(labelled_proposals, before), outcomes(labelled_proposals, after)
    cases = np.asarray([cell.case for cell in labelled_proposals])
    groups = [np.flatnonzero(cases == case) for case in np.unique(cases)]
    rng = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(_DRAWS):
        rows = np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        drawn.append(figures(second[rows])["aer"] - figures(first[rows])["aer"])
    low, high = (float(value) for value in np.percentile(drawn, _INTERVAL_PERCENT))
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
    return replace(settings, **{name: min(value, _GREATEST_THRESHOLD) if name == "threshold" else value})


def _trusted(labelled_proposals: Sequence[LabelledProposals], settings: SelectionSettings) -> SelectionSettings:
    """Set from which certainty classes count."""
    sure = [
        class_certainty(cell.measurements, settings) for cell in labelled_proposals if len(cell.measurements.score)
    ]
    if not sure:
        return settings
    reached = round(float(np.quantile(sure, _SURE_SHARE)), 2)
    return replace(settings, sure_at=reached, unsure_at=round(reached - _UNSURE_BELOW, 2))
