"""Fit the costs of the joint assignment, on labelled cells and on aneuploid ones composed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from analysis.assignment.joint_assignment import AssignmentCosts
from analysis.classification.fusion import FusionWeights
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_coefficients
from analysis.training.classifier.calibration import ScoredCell, assignment_score, tune_costs, with_aneuploid
from analysis.training.fits.cell_evidence import LabelledEvidence

_SEED: Final = 17
GRID: Final[Mapping[str, Sequence[float]]] = MappingProxyType(
    {
        "extra": (2.5, 3.0, 3.5, 4.0, 5.0),
        "missing": (2.5, 3.0, 3.5, 4.0, 5.0),
        "odd_sex": (0.5, 1.0, 2.0),
        "unclassified": (5.0, 7.0, 9.0),
        "refused": (0.5, 1.0, 2.0),
    }
)
"""Costs tried, in nats. Below 2.5 normal cells are called abnormal; above 5 every third change is overlooked."""


def cells_to_assign(
    labelled_evidence: Sequence[LabelledEvidence], fusion_weights: FusionWeights
) -> list[ScoredCell]:
    """Cells in both manners of cutting, each once as it is and once with a chromosome lost, added, or both.

    Parameters
    ----------
    labelled_evidence
        Labelled evidence.
    fusion_weights
        How it is fused.
    """
    given = [cell.given.scored(fusion_weights, given=True) for cell in labelled_evidence]
    detected = [cell.detected.scored(fusion_weights, given=False) for cell in labelled_evidence]
    return [*with_aneuploid(given, _SEED), *with_aneuploid(detected, _SEED + 1)]


def fit_assignment_costs(scored: Sequence[ScoredCell], initial_costs: AssignmentCosts) -> AssignmentCosts:
    """Choose costs from `GRID`; one is changed only where that is a gain.

    Parameters
    ----------
    scored
        Normal and aneuploid cells, see `cells_to_assign`.
    initial_costs
        Where the search begins.
    """
    return tune_costs(scored, GRID, initial_costs)


def cost_figures(scored: Sequence[ScoredCell], costs: AssignmentCosts) -> dict[str, float]:
    """Fraction of objects rightly classed or left out, and of cells without an error.

    Parameters
    ----------
    scored
        Normal and aneuploid cells.
    costs
        Of the joint assignment.
    """
    objects, whole = assignment_score(scored, costs)
    return {"objects_right": objects, "cells_right": whole}


def write_assignment_costs(
    costs: AssignmentCosts, folder: Path, *, cell_count: int, figures: Mapping[str, float], command: str
) -> Path:
    """Write the parameter set ``assignment-costs``.

    Parameters
    ----------
    costs
        As fitted.
    folder
        Gets content and manifest.
    cell_count
        Pictures it was fitted to.
    figures
        As `cost_figures` returns them.
    command
        The command line that makes it again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.ASSIGNMENT_COSTS,
        kind=ParameterKind.COEFFICIENTS,
        data={"tseng pictures": cell_count},
        split="tseng val (by case), chromosomes given and detected, and as many composed aneuploid cells; "
        "figures of the same cells",
        command=command,
        settings={name: list(values) for name, values in GRID.items()},
        metrics={name: round(value, 4) for name, value in figures.items()},
        seed=_SEED,
        steps=0,
    )
    return write_coefficients(folder, costs, manifest)
