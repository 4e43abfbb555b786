"""Train the classifier: resumable, within a time budget, with whatever prepared crops there are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.assignment.joint_assignment import load_assignment_costs
from analysis.classification.classifier import scores_from_logits
from analysis.errors import DatasetError
from analysis.imaging.image_file import read_image
from analysis.nets.embedding import (
    CLASS_COUNT,
    DOMAINS,
    EMBEDDING_SIZE,
    OUTPUT_COUNT,
    PROFILE_BINS,
    EmbeddingNet,
)
from analysis.parameters.weights import Manifest, write_weights
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.straightening.band_profile import profiles
from analysis.training.classifier.augmentation import CropAugmentation, augment
from analysis.training.classifier.calibration import calibrate
from analysis.training.classifier.crops import ClassifierCropTable, load_tables, prepare_crops
from analysis.training.classifier.finish import finish
from analysis.training.classifier.losses import MARGIN, ClassCentres, batch_hard_triplet_loss, polarity_loss
from analysis.training.engine.arithmetic import channels_last
from analysis.training.engine.average import AverageSettings, copied
from analysis.training.engine.parallel import backward
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import CosineSchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask

WEIGHTS_NAME = "classifier"
PASSING_CROPS: Final = 460
"""Crops of every source that are looked at in passing: those of ten cells."""

OTHER_SOURCE_FRACTION: Final = 0.02
"""Of every batch, for a source that has no fraction of its own."""

MakeNet = Callable[["TrainSettings"], nn.Module]
DOMAIN_OF_SOURCE: Mapping[str, str] = {"bioimlab": "Q", "mfish": "DAPI", "rendered_r": "R"}
"""Banding of the sources that aren't G-banded."""
LOSSES = ("both", "cross-entropy", "triplet")


def embedding_net(settings: TrainSettings) -> nn.Module:
    """Make the product's net."""
    return EmbeddingNet(
        settings.width,
        settings.views,
        settings.use_profile,
        settings.use_sizes,
        settings.use_domain,
    )


SOURCE_FRACTIONS: Mapping[str, float] = {
    "gband612": 0.27,
    "tseng": 0.22,
    "tseng_boxes": 0.18,
    "tseng_contour": 0.15,
    "bioimlab": 0.11,
    "mfish": 0.03,
    "rendered": 0.02,
    "rendered_r": 0.02,
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How the classifier is trained.

    Attributes
    ----------
    source_fractions
        Part of every batch that each source fills, where its crops exist; the rest is scaled up.
    loss
        ``"both"``, ``"cross-entropy"`` or ``"triplet"``.
    views, use_profile, use_sizes, use_domain
        What the net takes in, see `EmbeddingNet`.
    domain_given_fraction
        Fraction of the crops whose banding the net is given; it must do without as well.
    warm_up_steps, clip_norm
        Steps over which the rate rises; greatest norm of all gradients together.
    half_precision
        Convolutions in bfloat16: more than twice as fast where the processor knows it.
    """

    width: int = 32
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 2e-2
    label_smoothing: float = 0.03
    ema_decay: float = 0.998
    seed: int = 20
    threads: int = 1
    checkpoint_s: float = 240.0
    loss: str = "both"
    triplet_weight: float = 0.5
    margin: float = MARGIN
    views: int = 2
    use_profile: bool = True
    use_sizes: bool = True
    use_domain: bool = True
    domain_given_fraction: float = 0.5
    half_precision: bool = True
    warm_up_steps: int = 200
    clip_norm: float = 5.0
    source_fractions: Mapping[str, float] = field(default_factory=lambda: dict(SOURCE_FRACTIONS))
    augment: CropAugmentation = field(default_factory=CropAugmentation)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training run left behind.

    Attributes
    ----------
    weights_path
        The ``.safetensors`` file; its manifest lies beside it as ``.json``.
    steps
        Steps done in all, resumed ones counted.
    metrics
        Validation figures of the averaged weights.
    """

    weights_path: Path
    steps: int
    metrics: dict[str, float]


def train_classifier(
    data_dir: Path,
    out_dir: Path,
    *,
    minutes: float = 45.0,
    resume: bool = True,
    seed: int = 20,
    threads: int = 1,
    progress: Progress | None = None,
) -> TrainResult:
    """Prepare the crops of all sources that are there, train the classifier on them, then its look at the cell.

    Parameters
    ----------
    data_dir
        Data root with ``gband612`` and, where it is there, ``tseng``; drawn chromosomes join always.
    out_dir
        Gets ``crops/``, the checkpoint, the log and the weights. Keep it outside of a repository: the crops are
        other people's pictures.
    minutes
        Training time, without the preparation.
    resume
        Keep prepared crops and go on from the checkpoint; otherwise begin anew.
    seed
        Of weights, batches and augmentation.
    threads
        Threads of torch.
    progress
        Called with one line per step of the work.

    Returns
    -------
    TrainResult
        Where the weights are and how good they are.

    Raises
    ------
    DatasetError
        Where ``gband612`` isn't there.
    """
    segment = load_detector_segmenter()
    prepare_crops(data_dir, out_dir / "crops", segment=segment, read=read_image, keep=resume, progress=progress)
    result = train_on_crops(
        out_dir / "crops",
        out_dir,
        minutes=minutes,
        resume=resume,
        settings=TrainSettings(seed=seed, threads=threads),
        command=f"karyoscan train classifier --minutes {minutes:g} --seed {seed}",
        progress=progress,
    )
    train, val = (load_tables(out_dir / "crops", split) for split in ("train", "val"))
    finished = finish(out_dir, WEIGHTS_NAME, train, val, progress=progress)
    return replace(result, metrics={**result.metrics, **finished.figures})


def train_on_crops(
    crops_dir: Path,
    out_dir: Path,
    *,
    minutes: float,
    resume: bool = True,
    settings: TrainSettings | None = None,
    command: str = "karyoscan train classifier",
    progress: Progress | None = None,
    make_net: MakeNet = embedding_net,
    clock: Callable[[], float] = time.monotonic,
) -> TrainResult:
    """Train the classifier on prepared crops.

    Parameters
    ----------
    crops_dir
        Holds ``<source>-train.npz`` and ``<source>-val.npz`` files, see `ClassifierCropTable`. A resumed run takes
        sources that have come since.
    out_dir
        Gets ``checkpoint.ckpt``, ``log.jsonl`` and the weights with their manifest.
    minutes
        Time in all; a resumed run goes on where the earlier one stopped on the same clock.
    resume
        Go on from the checkpoint where there is one.
    settings
        How to train.
    command
        Goes into the manifest.
    progress
        Called with one line per logged interval.
    make_net
        Makes the net; another one than the product's is for comparisons only.
    clock
        Measures the time.

    Returns
    -------
    TrainResult
        Where the weights are and how good they are.

    Raises
    ------
    DatasetError
        Where there is no crop to train on.
    """
    settings, tell = settings or TrainSettings(), progress or silent
    torch.set_num_threads(settings.threads)
    train, val = _labelled_splits(crops_dir)
    task = ClassifierTask(settings, train, val, make_net)
    trainer = classifier_trainer(
        task, settings, budget_s=60.0 * minutes, folder=out_dir, progress=tell, clock=clock
    )
    task.after_validation = write = _WeightsWriter(settings, trainer, train, out_dir, command)
    if resume:
        trainer.resume()
    trainer.run(Budget(seconds=60.0 * minutes))
    metrics, calibration = _validated(task, trainer.average.weights, settings, val)
    tell(f"step {trainer.step}: " + json.dumps(metrics))
    return TrainResult(write(metrics, calibration), trainer.step, metrics)


def _labelled_splits(
    crops_dir: Path,
) -> tuple[Mapping[str, ClassifierCropTable], Mapping[str, ClassifierCropTable]]:
    """Crops of known class of train and val, by source."""
    train, val = labelled_rows(load_tables(crops_dir, "train")), labelled_rows(load_tables(crops_dir, "val"))
    if not train:
        raise DatasetError("there are no prepared crops to train on", path=crops_dir)
    return train, val


def _validated(
    task: ClassifierTask,
    weights: dict[str, Tensor],
    settings: TrainSettings,
    val: Mapping[str, ClassifierCropTable],
) -> tuple[dict[str, float], dict[str, float]]:
    """Figures on val, and the calibration that fits it."""
    if settings.loss == "triplet":
        task.set_class_vectors(weights)
    logits = task.logits(weights, val)
    return figures_of_logits(logits, val), calibrate(val, logits, load_assignment_costs())


@dataclass(frozen=True, slots=True)
class _WeightsWriter:
    """Writes the averaged weights of a training with their manifest."""

    settings: TrainSettings
    trainer: Trainer
    train: Mapping[str, ClassifierCropTable]
    folder: Path
    command: str

    def __call__(self, metrics: Mapping[str, float], calibration: Mapping[str, float] | None = None) -> Path:
        manifest = _manifest(self.settings, self.trainer.step, self.train, metrics, self.command)
        weights = copied(self.trainer.average.weights)
        return write_weights(self.folder, weights, replace(manifest, calibration=dict(calibration or {})))


class ClassifierTask(TrainingTask):
    """The classifier's batches, losses and figures.

    Parameters
    ----------
    settings
        How it is trained.
    train, val
        Crops of every source, all of known class.
    make_net
        Makes the net.

    Attributes
    ----------
    after_validation
        Called with the figures of every validation.

    Raises
    ------
    ValueError
        There is no such loss.
    """

    def __init__(
        self,
        settings: TrainSettings,
        train: Mapping[str, ClassifierCropTable],
        val: Mapping[str, ClassifierCropTable],
        make_net: MakeNet,
    ) -> None:
        if settings.loss not in LOSSES:
            raise ValueError(f"no such loss: {settings.loss!r}, only {', '.join(LOSSES)}")
        torch.manual_seed(settings.seed)
        net = make_net(settings)
        channels_last(net)
        super().__init__(net)
        self._settings, self._train, self._val, self._make_net = settings, train, val, make_net
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._centres = ClassCentres(EMBEDDING_SIZE)
        self.after_validation: Callable[[Mapping[str, float]], object] | None = None

    def state(self) -> dict[str, Any]:
        """Generator and class centres."""
        return {"generator": self._generator.get_state(), "centres": self._centres.vectors}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._generator.set_state(state["generator"])
        self._centres.vectors = state["centres"]

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of a batch, see `TrainingTask.gradients`; the batch follows from the generator."""
        del step
        views, features, classes, polarity, domain = self._batch()
        views, features = augment(views, features, self._generator, self._settings.augment)
        bands = torch.from_numpy(profiles(views[:, 0].numpy(), PROFILE_BINS))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._settings.half_precision):
            loss = self._loss(views, bands, features, domain, classes, polarity)
        self.net.zero_grad(set_to_none=True)
        return backward({"loss": loss})

    def _loss(
        self, views: Tensor, bands: Tensor, features: Tensor, domain: Tensor, labels: Tensor, polarity: Tensor
    ) -> Tensor:
        settings = self._settings
        if not isinstance(self.net, EmbeddingNet):
            logits = self.net(views, bands, features, domain).float()
            return polarity_loss(logits, labels, polarity, settings.label_smoothing)
        embeddings = self.net.both(views, bands, features, domain)
        with torch.autocast("cpu", enabled=False):
            upright = self._centres.upright(embeddings, labels, polarity)
            self._centres.update(upright, labels, polarity)
            triplet = batch_hard_triplet_loss(upright, labels, settings.margin)
            if settings.loss == "triplet":
                return triplet
            loss = polarity_loss(self.net.logits(embeddings), labels, polarity, settings.label_smoothing)
            return loss if settings.loss == "cross-entropy" else loss + settings.triplet_weight * triplet

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        settings, generator = self._settings, self._generator
        weights = torch.tensor(
            [settings.source_fractions.get(name, OTHER_SOURCE_FRACTION) for name in self._train]
        )
        source = torch.multinomial(weights, settings.batch, replacement=True, generator=generator)
        draw = torch.rand(settings.batch, generator=generator)
        given = torch.rand(settings.batch, generator=generator) < settings.domain_given_fraction
        parts, domain = [], []
        for number, (name, table) in enumerate(self._train.items()):
            rows = (draw[source == number] * len(table)).long().numpy()
            parts.append(table.select(np.minimum(rows, len(table) - 1)))
            domain.append(domain_of(name).expand(len(rows), -1))
        return (
            torch.from_numpy(np.concatenate([part.densities() for part in parts])),
            torch.from_numpy(np.concatenate([part.features for part in parts])),
            torch.from_numpy(np.concatenate([part.classes for part in parts])),
            torch.from_numpy(np.concatenate([part.polarity for part in parts])),
            torch.cat(domain) * given[:, None],
        )

    def validate(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of averaged weights (of any shape) on the first crops of every source."""
        some = {name: table.select(np.arange(len(table))[:PASSING_CROPS]) for name, table in self._val.items()}
        return figures_of_logits(self.logits(tensors, some), some)

    def validated(self, step: int, figures: Mapping[str, float], tensors: Mapping[str, Tensor]) -> None:
        """Call `after_validation`.

        Parameters
        ----------
        step
            Steps done.
        figures
            Of the validation.
        tensors
            Averaged weights, by parameter name, of any shape.
        """
        del step, tensors
        if self.after_validation is not None:
            self.after_validation(figures)

    def net_with(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """A net of the same kind with these weights (each of the shape it has there), ready for use."""
        net = self._make_net(self._settings)
        net.load_state_dict(dict(tensors))
        return net.eval()

    def logits(
        self, tensors: Mapping[str, Tensor], tables: Mapping[str, ClassifierCropTable]
    ) -> dict[str, Tensor]:
        """Logits of weights, source by source.

        Parameters
        ----------
        tensors
            Of a net of the same kind.
        tables
            Crops of every source.

        Returns
        -------
        dict
            Of every source float32, shape (n, 49).
        """
        net = self.net_with(tensors)
        return {name: logits_of_table(net, table, name) for name, table in tables.items()}

    def set_class_vectors(self, tensors: dict[str, Tensor], row_count: int = 1500) -> None:
        """Set the class vectors to the mean embeddings, where no cross-entropy has trained them.

        Parameters
        ----------
        tensors
            Averaged weights, of any shape; theirs are set, and the net's.
        row_count
            Crops of every source that are embedded at most.

        Raises
        ------
        TypeError
            The net has none.
        """
        net = self.net_with(tensors)
        if not isinstance(net, EmbeddingNet):
            raise TypeError("only an embedding has class vectors")
        total = torch.zeros((CLASS_COUNT + 1, EMBEDDING_SIZE))
        with torch.no_grad():
            for name, table in self._train.items():
                piece = table.select(np.linspace(0, len(table) - 1, min(row_count, len(table))).astype(np.intp))
                classes, polarity = torch.from_numpy(piece.classes), torch.from_numpy(piece.polarity)
                upright = self._centres.upright(net.both(*_inputs(piece, name)), classes, polarity)
                total.index_add_(0, classes, upright)
        for state in (tensors, self.net.state_dict()):
            state["class_vectors"].copy_(functional.normalize(total, dim=1))


def classifier_trainer(
    task: ClassifierTask,
    settings: TrainSettings,
    *,
    budget_s: float,
    folder: Path | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trainer:
    """Make the trainer of a classifier, at its first step.

    Parameters
    ----------
    task
        What is trained.
    settings
        How.
    budget_s
        Time over which the rate falls.
    folder
        Gets checkpoint and log; None keeps neither, and validates nothing in passing.
    progress
        Called with one line per log entry.
    clock
        Measures the time.
    """
    every = Interval() if folder is None else Interval(seconds=settings.checkpoint_s)
    return Trainer(
        task,
        # Not the fused optimiser: it takes channels-last weights for contiguous ones.
        torch.optim.AdamW(
            task.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        ),
        CosineSchedule(settings.warm_up_steps, seconds=budget_s),
        TrainerSettings(
            learning_rate=settings.learning_rate,
            clip_norm=settings.clip_norm,
            average=AverageSettings(settings.ema_decay, first_update=0, early=10),
            log=every,
            checkpoint=every,
            validation=every,
        ),
        folder=folder,
        progress=progress,
        clock=clock,
    )


def figures_of_logits(logits: Mapping[str, Tensor], tables: Mapping[str, ClassifierCropTable]) -> dict[str, float]:
    """Top-1, top-5 and polarity, source by source.

    Parameters
    ----------
    logits
        Of every source, shape (n, 49).
    tables
        Crops they are of.
    """
    metrics: dict[str, float] = {}
    for name, table in tables.items():
        classes, polarity = table.classes, table.polarity
        scores = scores_from_logits(logits[name])
        ranked = np.argsort(-scores.log_prob, axis=1)
        real = classes < CLASS_COUNT
        hit = ranked[real, :5] == classes[real, None]
        metrics[f"{name}_top1"] = round(float(hit[:, 0].mean()), 4)
        metrics[f"{name}_top5"] = round(float(hit.any(axis=1).mean()), 4)
        if not real.all():
            refused = scores.log_none > np.log(0.5)
            metrics[f"{name}_refused_right"] = round(float(np.mean(refused[~real])), 4)
            metrics[f"{name}_refused_wrong"] = round(float(np.mean(refused[real])), 4)
        if (polarity >= 0).any():
            labelled = polarity >= 0
            right = scores.flipped[labelled] == polarity[labelled]
            metrics[f"{name}_polarity"] = round(float(np.mean(right)), 4)
    return metrics


def domain_of(source: str) -> Tensor:
    """float32, shape (4,): banding of a source in the order of `DOMAINS`."""
    at = DOMAINS.index(DOMAIN_OF_SOURCE.get(source, "G"))
    return functional.one_hot(torch.tensor(at), len(DOMAINS)).float()


def logits_of_table(
    net: nn.Module, table: ClassifierCropTable, source: str | None = None, batch: int = 256
) -> Tensor:
    """Logits, shape (n, 49), of prepared crops; the net is given the banding of ``source``, or none.

    Parameters
    ----------
    net
        Ready for use.
    table
        Crops.
    source
        Source whose banding the net is given; None gives none.
    batch
        Crops at a time.
    """
    parts = [torch.zeros((0, OUTPUT_COUNT))]
    with torch.no_grad():
        for start in range(0, len(table), batch):
            piece = table.select(np.arange(start, min(start + batch, len(table))))
            parts.append(net(*_inputs(piece, source)))
    return torch.cat(parts)


def _inputs(table: ClassifierCropTable, source: str | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    views = table.densities()
    bands = torch.from_numpy(profiles(views[:, 0], PROFILE_BINS))
    domain = None if source is None else domain_of(source).expand(len(table), -1)
    return torch.from_numpy(views), bands, torch.from_numpy(table.features), domain


def labelled_rows(tables: Mapping[str, ClassifierCropTable]) -> dict[str, ClassifierCropTable]:
    """Rows with a class."""
    return {name: table.select(table.classes >= 0) for name, table in tables.items()}


def _manifest(
    settings: TrainSettings,
    steps: int,
    train: Mapping[str, ClassifierCropTable],
    metrics: Mapping[str, float],
    command: str,
) -> Manifest:
    return Manifest(
        name=WEIGHTS_NAME,
        net="EmbeddingNet",
        arguments={
            "width": settings.width,
            "views": settings.views,
            "use_profile": settings.use_profile,
            "use_sizes": settings.use_sizes,
            "use_domain": settings.use_domain,
        },
        data={name: len(table) for name, table in train.items()},
        split="train (by case); choices on val",
        command=command,
        settings={**asdict(settings), "source_fractions": dict(settings.source_fractions)},
        seed=settings.seed,
        steps=steps,
        metrics=dict(metrics),
    )
