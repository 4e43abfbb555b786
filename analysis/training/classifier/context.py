"""Train the whole-cell context net on embeddings that are computed once, from changed crops."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.nets.embedding import CLASS_COUNT, PROFILE_BINS, ContextNet, EmbeddingNet
from analysis.straightening.band_profile import profiles
from analysis.training.classifier.augmentation import CropAugmentation, augment
from analysis.training.classifier.crops import ClassifierCropTable
from analysis.training.classifier.losses import polarity_loss
from analysis.training.engine.average import AverageSettings
from analysis.training.engine.parallel import backward
from analysis.training.engine.progress import Budget, Progress
from analysis.training.engine.schedule import CosineSchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask

LOG_STEPS = 100
WHOLE_CELL = 30
"""Cells with fewer objects aren't trained on."""


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """How the context net is trained.

    Attributes
    ----------
    rounds
        How many times every crop is changed and embedded.
    cells
        Cells of a source that are used at most.
    source_fractions
        Part of the batches that each source fills.
    dropped, added
        Fraction of the cells from which objects are taken, and to which objects of the own or of another cell are
        added: cells of any number, so that 46 isn't learned.
    most_dropped, most_added
        How many at most.
    own_fraction
        Fraction of the added objects that are further copies of the cell's own.
    warm_up_steps, least_rate, clip_norm, ema_decay
        Of the schedule, the gradients and the averaged weights.
    label_smoothing
        Of the loss: less than in the embedding's training, as the logits to be refined are smoothed already.
    """

    batch_cells: int = 24
    steps: int = 1500
    learning_rate: float = 1e-3
    weight_decay: float = 5e-2
    rounds: int = 3
    cells: int = 450
    dropped: float = 0.6
    most_dropped: int = 8
    added: float = 0.5
    most_added: int = 3
    own_fraction: float = 0.6
    feature_noise: float = 0.05
    seed: int = 21
    warm_up_steps: int = 100
    least_rate: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    label_smoothing: float = 0.01
    augment: CropAugmentation = field(default_factory=CropAugmentation)
    source_fractions: Mapping[str, float] = field(
        default_factory=lambda: {"gband612": 0.35, "tseng": 0.25, "tseng_boxes": 0.25, "bioimlab": 0.15}
    )


@dataclass(frozen=True, slots=True)
class EmbeddedCells:
    """Embedded objects of many cells.

    Attributes
    ----------
    presented, turned
        bfloat16, shape (rounds, n, 128).
    features
        float32, shape (n, 3).
    classes
        int64, shape (n,); -1 unknown.
    rows
        Rows of every cell.
    """

    presented: Tensor
    turned: Tensor
    features: Tensor
    classes: Tensor
    rows: tuple[NDArray[np.intp], ...]


def embed_cells(
    embedding_net: EmbeddingNet,
    table: ClassifierCropTable,
    settings: ContextSettings,
    *,
    changed: bool,
    batch: int = 256,
) -> EmbeddedCells:
    """Embed all objects of a table's cells.

    Parameters
    ----------
    embedding_net
        Ready for use.
    table
        Crops; objects of unknown class belong to their cells.
    settings
        How many rounds and cells, and how strongly crops are changed.
    changed
        False embeds every crop once, as it is.
    batch
        Crops at a time.
    """
    table = whole_cells(table)
    table = table.select(np.isin(table.cells, np.unique(table.cells)[: settings.cells]))
    rounds = settings.rounds if changed else 1
    generator = torch.Generator().manual_seed(settings.seed)
    presented: list[Tensor] = []
    turned: list[Tensor] = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=changed):
        for _ in range(rounds):
            for start in range(0, len(table), batch):
                piece = table.select(np.arange(start, min(start + batch, len(table))))
                views, features = torch.from_numpy(piece.densities()), torch.from_numpy(piece.features)
                if changed:
                    views, features = augment(views, features, generator, settings.augment)
                bands = torch.from_numpy(profiles(views[:, 0].numpy(), PROFILE_BINS))
                both = embedding_net.both(views, bands, features)
                presented.append(both[0].bfloat16())
                turned.append(both[1].bfloat16())
    rows = tuple(np.flatnonzero(table.cells == k) for k in np.unique(table.cells))
    shape = (rounds, len(table), -1)
    return EmbeddedCells(
        torch.cat(presented).reshape(shape),
        torch.cat(turned).reshape(shape),
        torch.from_numpy(table.features),
        torch.from_numpy(table.classes),
        rows,
    )


def whole_cells(table: ClassifierCropTable) -> ClassifierCropTable:
    """Rows of cells with enough objects to be looked at as a whole."""
    counts = np.bincount(table.cells, minlength=1)
    return table.select(counts[table.cells] >= WHOLE_CELL)


def train_context(
    embedding_net: EmbeddingNet,
    sources: Mapping[str, EmbeddedCells],
    settings: ContextSettings,
    *,
    budget_s: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> ContextNet:
    """Train the context net.

    Parameters
    ----------
    embedding_net
        What the cells were embedded with; it isn't changed.
    sources
        Embedded cells of every source.
    settings
        How to train.
    budget_s
        Ends earlier where this is spent.
    clock
        Measures the time.
    progress
        Called with one line in 100 steps.
    """
    task = ContextTask(embedding_net, sources, settings)
    trainer = Trainer(
        task,
        torch.optim.AdamW(
            task.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        ),
        CosineSchedule(settings.warm_up_steps, steps=settings.steps, seconds=budget_s, floor=settings.least_rate),
        TrainerSettings(
            learning_rate=settings.learning_rate,
            clip_norm=settings.clip_norm,
            average=AverageSettings(settings.ema_decay, first_update=0, early=10),
            log=Interval(steps=LOG_STEPS),
        ),
        progress=progress,
        clock=clock,
    )
    trainer.run(Budget(steps=settings.steps, seconds=budget_s))
    task.net.load_state_dict(trainer.average.weights)
    return task.net.eval()


class ContextTask(TrainingTask):
    """Batches of altered cells and their loss.

    Parameters
    ----------
    embedding_net
        What the cells were embedded with; it isn't changed.
    sources
        Embedded cells of every source.
    settings
        How to train.
    """

    net: ContextNet

    def __init__(
        self, embedding_net: EmbeddingNet, sources: Mapping[str, EmbeddedCells], settings: ContextSettings
    ) -> None:
        torch.manual_seed(settings.seed)
        self._rng = np.random.default_rng(settings.seed)
        super().__init__(ContextNet())
        self._embedding, self._settings = embedding_net, settings
        names = [name for name in sources if settings.source_fractions.get(name, 0.0) > 0]
        self._sources = [sources[name] for name in names]
        fractions = np.array([settings.source_fractions[name] for name in names])
        self._chances = fractions / fractions.sum()

    def state(self) -> dict[str, Any]:
        """The generator's."""
        return {"generator": self._rng.bit_generator.state}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._rng.bit_generator.state = state["generator"]

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of a batch of cells, see `TrainingTask.gradients`."""
        del step
        settings, rng = self._settings, self._rng
        chosen = [self._sources[k] for k in rng.choice(len(self._sources), settings.batch_cells, p=self._chances)]
        batch = [_altered(cells, rng, settings) for cells in chosen]
        presented = _padded([cell.presented for cell in batch])
        turned = _padded([cell.turned for cell in batch])
        features = _padded([cell.features for cell in batch])
        classes = _padded([cell.classes for cell in batch], fill=-1.0)
        lengths = torch.tensor([len(cell.classes) for cell in batch])
        padding = torch.arange(presented.shape[1])[None, :] >= lengths[:, None]
        with torch.no_grad():
            flat = self._embedding.logits((presented.flatten(0, 1), turned.flatten(0, 1)))
            logits = flat.reshape(*presented.shape[:2], -1)
        refined = self.net((presented, turned), logits, features, padding)
        labelled = classes >= 0
        unknown_polarity = torch.full((int(labelled.sum()),), -1)
        loss = polarity_loss(refined[labelled], classes[labelled], unknown_polarity, settings.label_smoothing)
        self.net.zero_grad(set_to_none=True)
        return backward({"context_loss": loss})


@dataclass(frozen=True, slots=True)
class _Cell:
    presented: Tensor
    turned: Tensor
    features: Tensor
    classes: Tensor


def _altered(embedded_cells: EmbeddedCells, rng: np.random.Generator, settings: ContextSettings) -> _Cell:
    """One cell, with objects gone and others in it that don't belong there."""
    rounds = len(embedded_cells.presented)
    rows = embedded_cells.rows[int(rng.integers(len(embedded_cells.rows)))]
    if rng.random() < settings.dropped:
        gone = rng.choice(len(rows), int(rng.integers(1, settings.most_dropped + 1)), replace=False)
        rows = np.delete(rows, gone)
    view = np.full(len(rows), int(rng.integers(rounds)))
    if rng.random() < settings.added:
        count = int(rng.integers(1, settings.most_added + 1))
        # A further copy of the cell's own, changed otherwise, or one of another cell.
        donor = (
            rows
            if rng.random() < settings.own_fraction
            else embedded_cells.rows[int(rng.integers(len(embedded_cells.rows)))]
        )
        rows = np.concatenate([rows, rng.choice(donor, count)])
        view = np.concatenate([view, (view[0] + rng.integers(1, max(rounds, 2), count)) % rounds])
    at, which = torch.from_numpy(rows), torch.from_numpy(view)
    features = embedded_cells.features[at]
    features = features + settings.feature_noise * torch.from_numpy(
        rng.normal(0.0, 1.0, features.shape).astype(np.float32)
    )
    return _Cell(
        embedded_cells.presented[which, at].float(),
        embedded_cells.turned[which, at].float(),
        features,
        embedded_cells.classes[at],
    )


def _padded(tensors: list[Tensor], fill: float = 0.0) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)


def context_logits(
    embedding_net: EmbeddingNet, context: ContextNet, embedded_cells: EmbeddedCells
) -> tuple[Tensor, Tensor]:
    """Logits, each of shape (n, 49), of cells that were embedded as they are: alone, and in view of their cell.

    Parameters
    ----------
    embedding_net
        Embeds.
    context
        Sees the whole cell.
    embedded_cells
        Embedded as they are.
    """
    presented, turned = embedded_cells.presented[0].float(), embedded_cells.turned[0].float()
    alone = embedding_net.logits((presented, turned)).detach()
    refined = alone.clone()
    with torch.no_grad():
        for rows in embedded_cells.rows:
            at = torch.from_numpy(rows)
            both = presented[at][None], turned[at][None]
            refined[at] = context(both, alone[at][None], embedded_cells.features[at][None])[0]
    return alone, refined


def error_rate(logits: Tensor, labels: Tensor) -> float:
    """Fraction of the labelled chromosomes whose likeliest class is another one.

    Parameters
    ----------
    logits
        float32, shape (n, 49).
    labels
        int64, shape (n,); -1 unknown.
    """
    real = (labels >= 0) & (labels < CLASS_COUNT)
    both = torch.logsumexp(torch.stack([logits[:, :CLASS_COUNT], logits[:, CLASS_COUNT : 2 * CLASS_COUNT]]), 0)
    return float((both.argmax(1)[real] != labels[real]).float().mean())
