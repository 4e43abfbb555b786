"""From a trained embedding to weights that can be shipped: the look at the cell, calibration, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analysis.assignment.joint_assignment import AssignmentCosts, load_assignment_costs
from analysis.classification.classifier import CONTEXT_ENDING
from analysis.errors import WeightsError
from analysis.nets.embedding import CLASS_COUNT, ContextNet, EmbeddingNet
from analysis.parameters.weights import Manifest, fill_net, load_weights, read_manifest, write_weights
from analysis.training.classifier.calibration import (
    FLUORESCENT,
    ScoredCell,
    assignment_score,
    calibrate,
    class_accuracy,
    scored_cells,
)
from analysis.training.classifier.context import (
    ContextSettings,
    context_logits,
    embed_cells,
    error_rate,
    train_context,
    whole_cells,
)
from analysis.training.classifier.crops import ClassifierCropTable
from analysis.training.engine.progress import Progress, silent

EUPLOID_SEXES = ((2, 0), (1, 1))


@dataclass(frozen=True, slots=True)
class FinishedClassifier:
    """What came of it.

    Attributes
    ----------
    figures
        Validation figures, ``<source>_<what>``; ``_alone`` without and ``_seen`` with the look at the cell.
    context
        The net that looks at the cell.
    """

    figures: dict[str, float]
    context: ContextNet


def finish(
    folder: Path,
    name: str,
    train: Mapping[str, ClassifierCropTable],
    val: Mapping[str, ClassifierCropTable],
    *,
    settings: ContextSettings | None = None,
    budget_s: float = 600.0,
    progress: Progress | None = None,
) -> FinishedClassifier:
    """Train the look at the cell for the embedding that lies in a folder, calibrate both, write all beside it.

    Parameters
    ----------
    folder
        Holds ``<name>.safetensors`` and its manifest, and gets ``<name>-context.*``; the manifest is written anew
        with its calibration and its figures.
    name
        Name of the weights.
    train, val
        Crops of every source, those of unknown class included.
    settings
        How to train the look at the cell.
    budget_s
        Time for that.
    progress
        Called with one line per step of the work.

    Raises
    ------
    WeightsError
        Where the weights are missing, damaged or no embedding.
    """
    settings = settings or ContextSettings()
    tell = progress or silent
    net = load_embedding(folder, name)
    used = {source: table for source, table in train.items() if settings.source_fractions.get(source, 0.0) > 0}
    embedded = {}
    for source, table in used.items():
        embedded[source] = embed_cells(net, table, settings, changed=True)
        tell(f"{source}: {len(embedded[source].rows)} cells embedded")
    context = train_context(net, embedded, settings, budget_s=budget_s, progress=progress)
    return write_finished(
        folder, name, net, context, val, settings, cell_counts={k: len(v.rows) for k, v in embedded.items()}
    )


def load_embedding(folder: Path, name: str) -> EmbeddingNet:
    """Embedding net of a folder, ready for use.

    Parameters
    ----------
    folder
        Where its two files lie.
    name
        Their name without ending.

    Raises
    ------
    WeightsError
        Where the weights are missing, damaged or of another kind of net.
    """
    manifest = read_manifest(name, folder)
    if manifest.net != EmbeddingNet.__name__:
        raise WeightsError("these are weights of another kind of net", path=folder / f"{name}.json")
    net = EmbeddingNet(**manifest.arguments)
    fill_net(net, load_weights(name, folder), name)
    return net


def write_finished(
    folder: Path,
    name: str,
    embedding_net: EmbeddingNet,
    context: ContextNet,
    val: Mapping[str, ClassifierCropTable],
    settings: ContextSettings,
    cell_counts: Mapping[str, int],
) -> FinishedClassifier:
    """Calibrate on the validation split, and write the manifests and the weights of the context net.

    Parameters
    ----------
    folder
        Where the embedding net lies and all is written.
    name
        Name of its files without ending.
    embedding_net
        The embedding net.
    context
        The context net.
    val
        Crops of the validation split, by source.
    settings
        Of the context net.
    cell_counts
        Cells that it was trained on, by source.
    """
    whole = {source: whole_cells(table) for source, table in val.items()}
    alone, seen = _logits_of(embedding_net, context, val, settings)
    prices = load_assignment_costs()
    single, joint = calibrate(whole, alone, prices), calibrate(whole, seen, prices)
    figures = {
        **figures_of(whole, alone, single.get("temperature", 1.0), prices, "alone"),
        **figures_of(whole, seen, joint.get("temperature", 1.0), prices, "seen"),
    }
    manifest = read_manifest(name, folder)
    metrics = {**manifest.metrics, **figures}
    # A cell is always assigned from what was seen of all of it; the sharpness is that of these scores.
    calibration = {**single, "sharpness": joint.get("sharpness", 1.0)}
    write_weights(folder, load_weights(name, folder), replace(manifest, metrics=metrics, calibration=calibration))
    beside = Manifest(
        name=name + CONTEXT_ENDING,
        net="ContextNet",
        arguments={},
        data=dict(cell_counts),
        split=manifest.split,
        command=manifest.command,
        settings=asdict(settings),
        metrics=figures,
        seed=settings.seed,
        steps=settings.steps,
        calibration=joint,
    )
    write_weights(folder, context.state_dict(), beside)
    return FinishedClassifier(figures, context)


def _logits_of(
    embedding_net: EmbeddingNet,
    context: ContextNet,
    val: Mapping[str, ClassifierCropTable],
    settings: ContextSettings,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits of every source's crops, each chromosome by itself and with its cell."""
    alone: dict[str, Tensor] = {}
    with_cell: dict[str, Tensor] = {}
    for source, table in val.items():
        everything = replace(settings, cells=len(np.unique(table.cells)) + 1)
        embedded = embed_cells(embedding_net, table, everything, changed=False)
        alone[source], with_cell[source] = context_logits(embedding_net, context, embedded)
    return alone, with_cell


def figures_of(
    tables: Mapping[str, ClassifierCropTable],
    logits: Mapping[str, Tensor],
    temperature: float,
    prices: AssignmentCosts,
    ending: str,
) -> dict[str, float]:
    """Top-1, jointly assigned, and cells wholly right, normal and aneuploid ones, of every source.

    Parameters
    ----------
    tables
        Crops of whole cells, by source.
    logits
        Of every source float32, shape (n, 49).
    temperature
        Divides the logits.
    prices
        Of the assignment.
    ending
        Of the names of the figures.
    """
    figures: dict[str, float] = {}
    for source, table in tables.items():
        cells = scored_cells(table, logits[source], temperature, refuses=source not in FLUORESCENT)
        figures[f"{source}_top1_{ending}"] = 1.0 - error_rate(logits[source], torch.from_numpy(table.classes))
        figures[f"{source}_assigned_{ending}"] = class_accuracy(cells, prices)
        odd = [cell for cell in cells if is_aneuploid(cell)]
        even = [cell for cell in cells if not is_aneuploid(cell)]
        for kind, group in (("normal", even), ("aneuploid", odd)):
            if group:
                figures[f"{source}_{kind}_cells_right_{ending}"] = assignment_score(group, prices)[1]
    return {key: round(value, 4) for key, value in figures.items()}


def is_aneuploid(scored_cell: ScoredCell) -> bool:
    """Whether a cell's chromosomes of known class are other than 46,XX and 46,XY have them."""
    known = scored_cell.classes[(scored_cell.classes >= 0) & (scored_cell.classes < CLASS_COUNT)]
    counts = np.bincount(known, minlength=CLASS_COUNT)
    return bool((counts[:22] != 2).any()) or (int(counts[22]), int(counts[23])) not in EUPLOID_SEXES
