"""Train the classifier: resumable, within a time budget, with whatever prepared crops there are."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from analysis.classification.classifier import scores_from_logits
from analysis.classification.profile import profiles
from analysis.errors import DatasetError
from analysis.image import read_image
from analysis.karyogram.assignment import AssignmentPrices
from analysis.models.net import CLASS_COUNT, OUTPUT_COUNT, PROFILE_BINS, ChromosomeNet
from analysis.models.weights import Manifest, write_weights
from analysis.segmentation.segmenter import segment
from analysis.training.augment import AugmentSettings, augment
from analysis.training.calibration import calibrate
from analysis.training.crops import CropTable, prepare_crops

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "classifier"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How the classifier is trained.

    Attributes
    ----------
    shares
        Part of every batch that each source fills, where its crops exist; the rest is scaled up.
    """

    width: int = 24
    batch: int = 96
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    label_smoothing: float = 0.03
    ema_decay: float = 0.998
    seed: int = 20
    threads: int = 1
    checkpoint_s: float = 120.0
    shares: Mapping[str, float] = field(default_factory=lambda: {"gband612": 0.45, "tseng": 0.4, "rendered": 0.15})
    augment: AugmentSettings = field(default_factory=AugmentSettings)


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
    """Prepare the crops of all sources that are there, then train the classifier on them.

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
    prepare_crops(data_dir, out_dir / "crops", segment=segment, read=read_image, keep=resume, progress=progress)
    return train_on_crops(
        out_dir / "crops",
        out_dir,
        minutes=minutes,
        resume=resume,
        settings=TrainSettings(seed=seed, threads=threads),
        command=f"karyoscan train classifier --minutes {minutes:g} --seed {seed}",
        progress=progress,
    )


def train_on_crops(
    crops_dir: Path,
    out_dir: Path,
    *,
    minutes: float,
    resume: bool = True,
    settings: TrainSettings | None = None,
    command: str = "karyoscan train classifier",
    progress: Progress | None = None,
) -> TrainResult:
    """Train the classifier on prepared crops.

    Parameters
    ----------
    crops_dir
        Holds ``<source>-train.npz`` and ``<source>-val.npz`` files, see `CropTable`. A resumed run takes sources
        that have come since.
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
    train, val = load_tables(crops_dir, "train"), load_tables(crops_dir, "val")
    if not train:
        raise DatasetError("there are no prepared crops to train on", path=crops_dir)
    run = _Run(settings, out_dir, budget_s=60.0 * minutes)
    if resume:
        run.resume()
    report = progress or (lambda _line: None)

    def keep(metrics: dict[str, float], calibration: dict[str, float] | None = None) -> Path:
        manifest = _manifest(run, train, metrics, command)
        return write_weights(out_dir, run.average(), replace(manifest, calibration=calibration or {}))

    run.train(train, val, report, keep)
    metrics = run.validate(val)
    report(f"step {run.step}: " + json.dumps(metrics))
    path = keep(metrics, calibrate(val, run.logits(val), AssignmentPrices()))
    return TrainResult(path, run.step, metrics)


def load_tables(crops_dir: Path, split: str) -> dict[str, CropTable]:
    """Prepared crops of every source that has that split."""
    found = sorted(crops_dir.glob(f"*-{split}.npz"))
    tables = {path.name.removesuffix(f"-{split}.npz"): CropTable.load(path) for path in found}
    return {name: table for name, table in tables.items() if len(table)}


def polarity_loss(logits: Tensor, classes: Tensor, polarity: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of class and polarity where the polarity is known, of its marginal where it isn't.

    Parameters
    ----------
    logits
        Shape (n, 49), from `ChromosomeNet`.
    classes
        int64, shape (n,); 24 is no single chromosome.
    polarity
        int64, shape (n,): 0 upright, 1 turned, -1 unknown.
    smoothing
        Share of the probability that is spread over all classes.
    """
    log_prob = functional.log_softmax(logits, dim=1)
    none = classes == CLASS_COUNT
    upright = log_prob.gather(1, classes[:, None].clamp(max=CLASS_COUNT - 1))[:, 0]
    turned = log_prob.gather(1, classes[:, None].clamp(max=CLASS_COUNT - 1) + CLASS_COUNT)[:, 0]
    either = torch.logaddexp(upright, turned)
    right = torch.where(polarity == 0, upright, torch.where(polarity == 1, turned, either))
    right = torch.where(none, log_prob[:, -1], right)
    return -((1 - smoothing) * right + smoothing * log_prob.mean(dim=1)).mean()


class _Run:
    """State of one training: net, optimiser, average, clock."""

    def __init__(self, settings: TrainSettings, out_dir: Path, budget_s: float) -> None:
        self.settings = settings
        self.checkpoint_path = out_dir / "checkpoint.ckpt"
        self.log_path = out_dir / "log.jsonl"
        self.budget_s = budget_s
        # Channels last is a tenth faster on CPUs.
        self.net = ChromosomeNet(settings.width)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.ema = {key: value.detach().clone() for key, value in self.net.state_dict().items()}
        self.step = 0
        self.spent_s = 0.0

    def resume(self) -> None:
        """Take up the checkpoint, where there is one."""
        if not self.checkpoint_path.is_file():
            return
        state = torch.load(self.checkpoint_path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.ema = state["ema"]
        self.step, self.spent_s = int(state["step"]), float(state["spent_s"])
        logger.info("resumed at step %d after %.0f s", self.step, self.spent_s)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        partial = self.checkpoint_path.with_name(self.checkpoint_path.name + ".part")
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "ema": self.ema,
            "step": self.step,
            "spent_s": self.spent_s,
        }
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.checkpoint_path)

    def average(self) -> dict[str, Tensor]:
        """Averaged weights, what is shipped."""
        return {key: value.clone() for key, value in self.ema.items()}

    def train(
        self,
        train: Mapping[str, CropTable],
        val: Mapping[str, CropTable],
        report: Progress,
        keep: Callable[[dict[str, float]], Path],
    ) -> None:
        """Train until the time is spent; ``keep`` writes the averaged weights at every checkpoint."""
        started, before_s, saved_s, losses = time.monotonic(), self.spent_s, self.spent_s, []
        self.net.train()
        while self.spent_s < self.budget_s:
            losses.append(self._one_step(train))
            self.spent_s = before_s + time.monotonic() - started
            if self.spent_s - saved_s >= self.settings.checkpoint_s:
                saved_s = self.spent_s
                self.save()
                metrics = self.validate(val, limit=1500)
                keep(metrics)
                line = {
                    "step": self.step,
                    "spent_s": round(self.spent_s, 1),
                    "loss": round(float(np.mean(losses)), 4),
                    **metrics,
                }
                losses.clear()
                self._log(line, report)
        self.save()

    def _log(self, line: dict[str, Any], report: Progress) -> None:
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        report(json.dumps(line))

    def _one_step(self, train: Mapping[str, CropTable]) -> float:
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * self._rate_factor()
        images, features, classes, polarity = self._batch(train)
        images, features = augment(images, features, self.generator, settings.augment)
        bands = torch.from_numpy(profiles(images.numpy(), PROFILE_BINS))
        logits = self.net(images[:, None], bands, features)
        loss = polarity_loss(logits, classes, polarity, settings.label_smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return float(loss.detach())

    def _rate_factor(self) -> float:
        warm_up = min(1.0, (self.step + 1) / 200)
        share = min(1.0, self.spent_s / max(self.budget_s, 1e-9))
        return warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))

    def _batch(self, train: Mapping[str, CropTable]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weights = torch.tensor([self.settings.shares.get(name, 0.1) for name in train])
        tables = list(train.values())
        source = torch.multinomial(weights, self.settings.batch, replacement=True, generator=self.generator)
        draw = torch.rand(self.settings.batch, generator=self.generator)
        parts = []
        for number, table in enumerate(tables):
            rows = (draw[source == number] * len(table)).long().numpy()
            parts.append(table.select(np.minimum(rows, len(table) - 1)))
        return (
            torch.from_numpy(np.concatenate([part.densities() for part in parts])),
            torch.from_numpy(np.concatenate([part.features for part in parts])),
            torch.from_numpy(np.concatenate([part.classes for part in parts])),
            torch.from_numpy(np.concatenate([part.polarity for part in parts])),
        )

    def _update_average(self) -> None:
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.net.state_dict().items():
                if value.is_floating_point():
                    self.ema[key].lerp_(value, 1 - decay)
                else:
                    self.ema[key].copy_(value)

    def validate(self, val: Mapping[str, CropTable], limit: int | None = None) -> dict[str, float]:
        """Top-1 and polarity of the averaged weights, source by source."""
        parts = {name: table.select(np.arange(len(table))[:limit]) for name, table in val.items()}
        metrics: dict[str, float] = {}
        for name, logits in self.logits(parts).items():
            table = parts[name]
            classes, polarity = table.classes, table.polarity
            scores = scores_from_logits(logits)
            best, turned = scores.log_prob.argmax(axis=1), scores.flipped
            real = classes < CLASS_COUNT
            metrics[f"{name}_top1"] = round(float(np.mean(best[real] == classes[real])), 4)
            if not real.all():
                refused = scores.log_none > np.log(0.5)
                metrics[f"{name}_refused_right"] = round(float(np.mean(refused[~real])), 4)
                metrics[f"{name}_refused_wrong"] = round(float(np.mean(refused[real])), 4)
            if (polarity >= 0).any():
                known = polarity >= 0
                metrics[f"{name}_polarity"] = round(float(np.mean(turned[known] == polarity[known])), 4)
        return metrics

    def logits(self, tables: Mapping[str, CropTable]) -> dict[str, Tensor]:
        """Logits of the averaged weights, source by source."""
        net = ChromosomeNet(self.settings.width)
        net.load_state_dict(self.average())
        net.eval()
        return {name: logits_of_table(net, table) for name, table in tables.items()}


def logits_of_table(net: ChromosomeNet, table: CropTable, batch: int = 256) -> Tensor:
    """Logits, shape (n, 49), of prepared crops."""
    parts = [torch.zeros((0, OUTPUT_COUNT))]
    with torch.no_grad():
        for start in range(0, len(table), batch):
            piece = table.select(np.arange(start, min(start + batch, len(table))))
            images = piece.densities()
            bands = torch.from_numpy(profiles(images, PROFILE_BINS))
            parts.append(net(torch.from_numpy(images)[:, None], bands, torch.from_numpy(piece.features)))
    return torch.cat(parts)


def _manifest(run: _Run, train: Mapping[str, CropTable], metrics: dict[str, float], command: str) -> Manifest:
    settings = asdict(run.settings)
    settings["shares"] = dict(run.settings.shares)
    return Manifest(
        name=WEIGHTS_NAME,
        net="ChromosomeNet",
        arguments={"width": run.settings.width},
        data={name: len(table) for name, table in train.items()},
        split="train (by case); choices on val",
        command=command,
        settings=settings,
        metrics=metrics,
        seed=run.settings.seed,
        steps=run.step,
        torch=str(torch.__version__),
        date=datetime.now(tz=UTC).date().isoformat(),
    )
