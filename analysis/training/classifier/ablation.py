"""Variants of the classifier and well-known nets, each trained anew in the same time, in one table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from analysis.assignment.joint_assignment import load_assignment_costs
from analysis.classification.classifier import scores_from_logits
from analysis.errors import DatasetError
from analysis.nets.embedding import CLASS_COUNT, PROFILE_BINS, ContextNet, EmbeddingNet
from analysis.straightening.band_profile import profiles
from analysis.training.classifier.calibration import FLUORESCENT, class_accuracy, fit_temperature, scored_cells
from analysis.training.classifier.context import (
    ContextSettings,
    context_logits,
    embed_cells,
    train_context,
    whole_cells,
)
from analysis.training.classifier.crops import ClassifierCropTable, load_tables
from analysis.training.classifier.peers import PEERS
from analysis.training.classifier.trainer import (
    ClassifierTask,
    MakeNet,
    TrainSettings,
    classifier_trainer,
    embedding_net,
    labelled_rows,
    logits_of_table,
)
from analysis.training.engine.progress import Budget, Progress
from scanner.portable.atomic_files import write_atomic

CELL = 46
TIMED = 5
TOP = 5
CONTEXT_FRACTION = 0.25
"""Part of the time that the row with the context net spends on it."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table.

    Attributes
    ----------
    name
        What it is called.
    settings
        How it is trained.
    make_net
        Makes its net.
    context
        Whether a part of the time trains the context net.
    """

    name: str
    settings: TrainSettings
    make_net: MakeNet = embedding_net
    context: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one variant.

    Attributes
    ----------
    name, parameters
        What it is, and how large.
    train_s, steps
        Processor time it was trained in, and steps done in it.
    cell_ms
        Milliseconds for the crops of one cell (46), on one thread, the straightening not counted.
    figures
        ``<source>_top1, _top5, _assigned`` on the validation split.
    """

    name: str
    parameters: int
    train_s: float
    steps: int
    cell_ms: float
    figures: dict[str, float]


def variants(seed: int = 20) -> tuple[Variant, ...]:
    """Rows of the table: the product's net, it without one thing each, and other nets."""
    full = TrainSettings(seed=seed)
    own = (
        Variant("both losses", full),
        Variant("cross-entropy only", replace(full, loss="cross-entropy")),
        Variant("triplet only", replace(full, loss="triplet")),
        Variant("without banding vector", replace(full, use_profile=False)),
        Variant("without sizes", replace(full, use_sizes=False)),
        Variant("without surroundings", replace(full, views=1)),
        Variant("without banding given", replace(full, use_domain=False)),
        Variant("with cell context", full, context=True),
    )
    return own + tuple(Variant(name, full, _peer(make)) for name, make in PEERS.items())


def _peer(make: Callable[[], nn.Module]) -> MakeNet:
    return lambda _settings: make()


def run_ablation(
    crops_dir: Path,
    out_dir: Path,
    *,
    minutes: float = 3.5,
    only: Sequence[str] | None = None,
    sources: Sequence[str] = ("gband612", "tseng_boxes"),
    rows: Sequence[Variant] | None = None,
    val_cells: int | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Train every variant in the same time and measure it; a row that is there already isn't made again.

    Parameters
    ----------
    crops_dir
        Prepared crops, see `prepare_crops`.
    out_dir
        Gets one JSON file a row, and the table as ``table.md``.
    minutes
        Processor time of one thread that every variant is trained in: other work on the machine costs steps of
        none.
    only
        Names of the rows to make; all of them where it is None.
    sources
        Validation splits that are measured.
    rows
        Variants; those of `variants` where it is None.
    val_cells
        Validation cells of every source that are measured, spread evenly; all of them where it is None.
    progress
        Called with one line a row.

    Returns
    -------
    list of Row
        All rows that there are, in the order of the variants.

    Raises
    ------
    DatasetError
        Where there are no prepared crops.
    """
    torch.set_num_threads(1)
    train, val = load_tables(crops_dir, "train"), load_tables(crops_dir, "val")
    if not train:
        raise DatasetError("there are no prepared crops to train on", path=crops_dir)
    measured = {name: _spread(val[name], val_cells) for name in sources if name in val}
    made: list[Row] = []
    for variant in variants() if rows is None else rows:
        path = out_dir / f"{_file_name(variant.name)}.json"
        if not path.is_file():
            if only is not None and variant.name not in only:
                continue
            _write_row(path, _row(variant, train, measured, 60.0 * minutes))
        made.append(_read_row(path))
        write_atomic(out_dir / "table.md", (markdown(made) + "\n").encode())
        if progress is not None:
            progress(markdown(made[-1:]).splitlines()[-1])
    return made


def _write_row(path: Path, row: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps(asdict(row), indent=1) + "\n").encode())


def _read_row(path: Path) -> Row:
    return Row(**json.loads(path.read_text(encoding="utf-8")))


def _spread(table: ClassifierCropTable, cell_count: int | None) -> ClassifierCropTable:
    numbers = np.unique(table.cells)
    if cell_count is None or cell_count >= len(numbers):
        return table
    chosen = numbers[np.linspace(0, len(numbers) - 1, cell_count).round().astype(np.intp)]
    return table.select(np.isin(table.cells, chosen))


def _row(
    variant: Variant,
    train: Mapping[str, ClassifierCropTable],
    val: Mapping[str, ClassifierCropTable],
    budget_s: float,
) -> Row:
    base_s = budget_s * (1.0 - CONTEXT_FRACTION) if variant.context else budget_s
    task = ClassifierTask(variant.settings, labelled_rows(train), {}, variant.make_net)
    trainer = classifier_trainer(task, variant.settings, budget_s=base_s, clock=time.process_time)
    trainer.run(Budget(seconds=base_s))
    weights = trainer.average.weights
    if variant.settings.loss == "triplet":
        task.set_class_vectors(weights)
    net, parameters = task.net_with(weights), _size(task.net)
    context: ContextNet | None = None
    if variant.context and isinstance(net, EmbeddingNet):
        context = _context(net, train, budget_s - base_s)
        parameters += _size(context)
    return Row(
        variant.name,
        parameters,
        round(budget_s, 1),
        trainer.step,
        round(_cell_ms(net, context, next(iter(val.values()))), 1),
        _figures(net, context, val),
    )


def _context(embedding_net: EmbeddingNet, train: Mapping[str, ClassifierCropTable], budget_s: float) -> ContextNet:
    settings = ContextSettings(rounds=2, cells=60, steps=1500)
    started = time.process_time()
    used = [name for name in train if settings.source_fractions.get(name, 0.0) > 0]
    embedded = {name: embed_cells(embedding_net, train[name], settings, changed=True) for name in used}
    left_s = budget_s - (time.process_time() - started)
    return train_context(embedding_net, embedded, settings, budget_s=max(left_s, 1.0), clock=time.process_time)


def _figures(
    net: nn.Module, context: ContextNet | None, val: Mapping[str, ClassifierCropTable]
) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, table in val.items():
        logits = logits_of_table(net, table, name)
        if context is not None and isinstance(net, EmbeddingNet):
            settings = ContextSettings(cells=len(table))
            cells = embed_cells(net, table, settings, changed=False)
            table = whole_cells(table)
            logits = context_logits(net, context, cells)[1]
        real = (table.classes >= 0) & (table.classes < CLASS_COUNT)
        ranked = np.argsort(-scores_from_logits(logits).log_prob, axis=1)
        hit = ranked[real, :TOP] == table.classes[real, None]
        temperature = fit_temperature(logits, table.classes)
        scored = scored_cells(table, logits, temperature, refuses=name not in FLUORESCENT)
        figures[f"{name}_top1"] = round(float(hit[:, 0].mean()), 4)
        figures[f"{name}_top5"] = round(float(hit.any(axis=1).mean()), 4)
        figures[f"{name}_assigned"] = round(class_accuracy(scored, load_assignment_costs()), 4)
    return figures


def _cell_ms(net: nn.Module, context: ContextNet | None, table: ClassifierCropTable) -> float:
    piece = table.select(np.arange(min(CELL, len(table))))
    views = piece.densities()
    given = (
        torch.from_numpy(views),
        torch.from_numpy(profiles(views[:, 0], PROFILE_BINS)),
        torch.from_numpy(piece.features),
    )
    times = []
    with torch.inference_mode():
        for _ in range(TIMED):
            started = time.process_time()
            _scored(net, context, given)
            times.append(time.process_time() - started)
    return 1000.0 * min(times)


def _scored(net: nn.Module, context: ContextNet | None, given: tuple[Tensor, Tensor, Tensor]) -> None:
    if context is None or not isinstance(net, EmbeddingNet):
        net(*given)
        return
    both = net.both(*given)
    context((both[0][None], both[1][None]), net.logits(both)[None], given[2][None])


def _size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def markdown(ablation_rows: Sequence[Row]) -> str:
    """Table of the rows, in Markdown."""
    columns = list(dict.fromkeys(key for row in ablation_rows for key in row.figures))
    head = [
        "variant",
        "parameters",
        "training, s",
        "steps",
        *(key.replace("_", " ") for key in columns),
        "ms a cell",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in ablation_rows:
        figures = [f"{row.figures[key]:.4f}" if key in row.figures else "-" for key in columns]
        cells = [
            row.name,
            f"{row.parameters:,}",
            f"{row.train_s:.0f}",
            str(row.steps),
            *figures,
            f"{row.cell_ms:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
