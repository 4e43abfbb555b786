"""Train the classifier: resumable, within a time budget, with whatever prepared crops there are."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

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
from analysis.training.engine.run_files import log_line, read_checkpoint, write_checkpoint
from analysis.training.engine.steps import take_into_average

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "classifier"
Progress = Callable[[str], None]
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


SHARES: Mapping[str, float] = {
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
    shares
        Part of every batch that each source fills, where its crops exist; the rest is scaled up.
    loss
        ``"both"``, ``"cross-entropy"`` or ``"triplet"``.
    views, use_profile, use_sizes, use_domain
        What the net looks at, see `EmbeddingNet`.
    domain_told
        Share of the crops whose banding the net is told; it must do without as well.
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
    domain_told: float = 0.5
    half_precision: bool = True
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
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

    Returns
    -------
    TrainResult
        Where the weights are and how good they are.

    Raises
    ------
    DatasetError
        Where there is no crop to train on.
    """
    settings = settings or TrainSettings()
    out_dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    train, val = known_rows(load_tables(crops_dir, "train")), known_rows(load_tables(crops_dir, "val"))
    if not train:
        raise DatasetError("there are no prepared crops to train on", path=crops_dir)
    run = TrainingRun(settings, out_dir, budget_s=60.0 * minutes, make_net=make_net)
    if resume:
        run.resume()
    report = progress or (lambda _line: None)

    def keep(metrics: dict[str, float], calibration: dict[str, float] | None = None) -> Path:
        manifest = _manifest(run, train, metrics, command)
        return write_weights(out_dir, run.average(), replace(manifest, calibration=calibration or {}))

    run.train(train, val, report, keep)
    if settings.loss == "triplet":
        run.class_vectors_from(train)
    metrics = run.validate(val)
    report(f"step {run.step}: " + json.dumps(metrics))
    path = keep(metrics, calibrate(val, run.logits(val), load_assignment_costs()))
    return TrainResult(path, run.step, metrics)


class TrainingRun:
    """State of one training: net, optimiser, average, clock."""

    def __init__(
        self,
        settings: TrainSettings,
        out_dir: Path,
        budget_s: float,
        make_net: MakeNet,
        *,
        clock: Callable[[], float] = time.monotonic,
        checkpoints: bool = True,
    ) -> None:
        if settings.loss not in LOSSES:
            raise ValueError(f"no such loss: {settings.loss!r}, only {', '.join(LOSSES)}")
        self.settings = settings
        self.checkpoint_path = out_dir / "checkpoint.ckpt"
        self._folder = out_dir
        self.budget_s = budget_s
        self._make_net, self._clock, self._checkpoints = make_net, clock, checkpoints
        self.net = make_net(settings)
        # Not the fused optimiser: it takes channels-last weights for contiguous ones.
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        )
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.centres = ClassCentres(EMBEDDING_SIZE)
        self.ema = {key: value.detach().clone() for key, value in self.net.state_dict().items()}
        self.step = 0
        self.spent_s = 0.0

    def resume(self) -> None:
        """Take up the checkpoint, where there is one."""
        if not self.checkpoint_path.is_file():
            return
        state = read_checkpoint(self.checkpoint_path)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.ema = state["ema"]
        self.centres.vectors = state["centres"]
        self.step, self.spent_s = int(state["step"]), float(state["spent_s"])
        logger.info("resumed at step %d after %.0f s", self.step, self.spent_s)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "ema": self.ema,
            "centres": self.centres.vectors,
            "step": self.step,
            "spent_s": self.spent_s,
        }
        write_checkpoint(self.checkpoint_path, state)

    def average(self) -> dict[str, Tensor]:
        """Averaged weights, what is shipped."""
        return {key: value.clone() for key, value in self.ema.items()}

    def train(
        self,
        train: Mapping[str, ClassifierCropTable],
        val: Mapping[str, ClassifierCropTable],
        report: Progress,
        keep: Callable[[dict[str, float]], Path] | None = None,
    ) -> None:
        """Train until the time is spent; ``keep`` writes the averaged weights at every checkpoint."""
        started, before_s, saved_s, losses = self._clock(), self.spent_s, self.spent_s, []
        self.net.train()
        while self.spent_s < self.budget_s:
            losses.append(self._one_step(train))
            self.spent_s = before_s + self._clock() - started
            if self._checkpoints and self.spent_s - saved_s >= self.settings.checkpoint_s:
                saved_s = self.spent_s
                self.save()
                metrics = self.validate(val, limit=460)
                if keep is not None:
                    keep(metrics)
                line = {
                    "step": self.step,
                    "spent_s": round(self.spent_s, 1),
                    "loss": round(float(np.mean(losses)), 4),
                    **metrics,
                }
                losses.clear()
                self._log(line, report)
        if self._checkpoints:
            self.save()

    def _log(self, line: dict[str, Any], report: Progress) -> None:
        report(log_line(self._folder, line))

    def _one_step(self, train: Mapping[str, ClassifierCropTable]) -> float:
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * self._rate_factor()
        views, features, classes, polarity, domain = self._batch(train)
        views, features = augment(views, features, self.generator, settings.augment)
        bands = torch.from_numpy(profiles(views[:, 0].numpy(), PROFILE_BINS))
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.half_precision):
            loss = self._loss(views, bands, features, domain, classes, polarity)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return float(loss.detach())

    def _loss(
        self, views: Tensor, bands: Tensor, features: Tensor, domain: Tensor, classes: Tensor, polarity: Tensor
    ) -> Tensor:
        settings = self.settings
        if not isinstance(self.net, EmbeddingNet):
            logits = self.net(views, bands, features, domain).float()
            return polarity_loss(logits, classes, polarity, settings.label_smoothing)
        embeddings = self.net.both(views, bands, features, domain)
        with torch.autocast("cpu", enabled=False):
            upright = self.centres.upright(embeddings, classes, polarity)
            self.centres.update(upright, classes, polarity)
            triplet = batch_hard_triplet_loss(upright, classes, settings.margin)
            if settings.loss == "triplet":
                return triplet
            loss = polarity_loss(self.net.logits(embeddings), classes, polarity, settings.label_smoothing)
            return loss if settings.loss == "cross-entropy" else loss + settings.triplet_weight * triplet

    def _rate_factor(self) -> float:
        warm_up = min(1.0, (self.step + 1) / 200)
        share = min(1.0, self.spent_s / max(self.budget_s, 1e-9))
        return warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))

    def _batch(self, train: Mapping[str, ClassifierCropTable]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        weights = torch.tensor([self.settings.shares.get(name, 0.02) for name in train])
        source = torch.multinomial(weights, self.settings.batch, replacement=True, generator=self.generator)
        draw = torch.rand(self.settings.batch, generator=self.generator)
        told = torch.rand(self.settings.batch, generator=self.generator) < self.settings.domain_told
        parts, domain = [], []
        for number, (name, table) in enumerate(train.items()):
            rows = (draw[source == number] * len(table)).long().numpy()
            parts.append(table.select(np.minimum(rows, len(table) - 1)))
            domain.append(domain_of(name).expand(len(rows), -1))
        return (
            torch.from_numpy(np.concatenate([part.densities() for part in parts])),
            torch.from_numpy(np.concatenate([part.features for part in parts])),
            torch.from_numpy(np.concatenate([part.classes for part in parts])),
            torch.from_numpy(np.concatenate([part.polarity for part in parts])),
            torch.cat(domain) * told[:, None],
        )

    def _update_average(self) -> None:
        take_into_average(self.ema, self.net, step=self.step, decay=self.settings.ema_decay, ahead=10)

    def averaged_net(self) -> nn.Module:
        """The net with averaged weights, ready for use."""
        net = self._make_net(self.settings)
        net.load_state_dict(self.average())
        return net.eval()

    def class_vectors_from(self, train: Mapping[str, ClassifierCropTable], rows: int = 1500) -> None:
        """Set the class vectors to the mean embeddings, where no cross-entropy has trained them."""
        net = self.averaged_net()
        if not isinstance(net, EmbeddingNet):
            raise TypeError("only an embedding has class vectors")
        total = torch.zeros((CLASS_COUNT + 1, EMBEDDING_SIZE))
        with torch.no_grad():
            for name, table in train.items():
                piece = table.select(np.linspace(0, len(table) - 1, min(rows, len(table))).astype(np.intp))
                classes, polarity = torch.from_numpy(piece.classes), torch.from_numpy(piece.polarity)
                upright = self.centres.upright(net.both(*_inputs(piece, name)), classes, polarity)
                total.index_add_(0, classes, upright)
        for state in (self.ema, self.net.state_dict()):
            state["class_vectors"].copy_(functional.normalize(total, dim=1))

    def validate(self, val: Mapping[str, ClassifierCropTable], limit: int | None = None) -> dict[str, float]:
        """Top-1, top-5 and polarity of the averaged weights, source by source."""
        parts = {name: table.select(np.arange(len(table))[:limit]) for name, table in val.items()}
        metrics: dict[str, float] = {}
        for name, logits in self.logits(parts).items():
            table = parts[name]
            classes, polarity = table.classes, table.polarity
            scores = scores_from_logits(logits)
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
                known = polarity >= 0
                metrics[f"{name}_polarity"] = round(float(np.mean(scores.flipped[known] == polarity[known])), 4)
        return metrics

    def logits(self, tables: Mapping[str, ClassifierCropTable]) -> dict[str, Tensor]:
        """Logits of the averaged weights, source by source."""
        net = self.averaged_net()
        return {name: logits_of_table(net, table, name) for name, table in tables.items()}


def domain_of(source: str) -> Tensor:
    """float32, shape (4,): banding of a source in the order of `DOMAINS`."""
    at = DOMAINS.index(DOMAIN_OF_SOURCE.get(source, "G"))
    return functional.one_hot(torch.tensor(at), len(DOMAINS)).float()


def logits_of_table(
    net: nn.Module, table: ClassifierCropTable, source: str | None = None, batch: int = 256
) -> Tensor:
    """Logits, shape (n, 49), of prepared crops; the net is told the banding of ``source``, or nothing."""
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


def known_rows(tables: Mapping[str, ClassifierCropTable]) -> dict[str, ClassifierCropTable]:
    """Rows with a class."""
    return {name: table.select(table.classes >= 0) for name, table in tables.items()}


def _manifest(
    run: TrainingRun, train: Mapping[str, ClassifierCropTable], metrics: dict[str, float], command: str
) -> Manifest:
    settings = asdict(run.settings)
    settings["shares"] = dict(run.settings.shares)
    return Manifest(
        name=WEIGHTS_NAME,
        net="EmbeddingNet",
        arguments={
            "width": run.settings.width,
            "views": run.settings.views,
            "use_profile": run.settings.use_profile,
            "use_sizes": run.settings.use_sizes,
            "use_domain": run.settings.use_domain,
        },
        data={name: len(table) for name, table in train.items()},
        split="train (by case); choices on val",
        command=command,
        settings=settings,
        metrics=metrics,
        seed=run.settings.seed,
        steps=run.step,
    )
