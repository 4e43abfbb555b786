"""Train mask net and blob net on scenes that are simulated on the way.

The rate follows a cosine over a given number of steps: a busy machine makes the training longer and not worse.
Every scene depends on seed and number alone, so that a resumed run sees what it would have seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from analysis.nets.mask_net import BLOB_WEIGHTS, BlobNet, MaskNet
from analysis.parameters.weights import Manifest, write_weights
from analysis.segmentation.mask_net.input import CROP_PX
from analysis.segmentation.mask_net.predictor import MASK_WEIGHTS
from analysis.training.engine.arithmetic import (
    channels_last,
    is_faster_in_half,
    stored_weights,
    training_arithmetic,
    weight_groups,
)
from analysis.training.engine.average import AverageSettings
from analysis.training.engine.drawing import BatchSource, Request, batch_source
from analysis.training.engine.parallel import ThreadedGradients
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import CosineSchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask
from analysis.training.masks.batches import DrawScenes, MaskBatch, as_mask_batch, draw_batch
from analysis.training.masks.scene import SceneSettings
from analysis.training.masks.singles import SOURCES, SingleBank, load_bank

_CHECKPOINT_NAME: Final = "stream.ckpt"
_CLIP_NORM: Final = 5.0
"""Gradients of the first steps are larger than this now and then, those of later ones hardly ever."""

_VAL_SEED: Final = 77
_SOFT: Final = 1.0
"""Pixels added to either side of the Dice ratio, so that empty masks have one."""

_SLIDE_LEVEL: Final = 0.2
"""Stain, in units of the cell's typical one, below which a pixel is slide."""

_SLIDE_WEIGHT: Final = 0.05
"""At work masks are kept to what is stained: the slide teaches little."""


@dataclass(frozen=True, slots=True)
class StreamTrainSettings:
    """How the stream is trained.

    Attributes
    ----------
    mask_width, blob_width
        Of the nets.
    sources
        Whose chromosomes: without ``"tseng"`` no picture of that set is seen.
    scenes
        Of a step.
    prompts
        Asked in a scene.
    cells
        At most as many cells of each source; None for all.
    threads
        Of the nets.
    drawers
        Processes that draw scenes ahead; with none the nets' threads draw, and hold each other up.
    val_scenes
        Simulated of the val split's chromosomes for the figures.
    bfloat16
        Whether to compute in half precision; None to take what is faster on this machine.
    """

    mask_width: int = 16
    blob_width: int = 16
    sources: tuple[str, ...] = SOURCES
    scenes: int = 6
    prompts: int = 6
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up_steps: int = 200
    ema_decay: float = 0.999
    seed: int = 33
    threads: int = 2
    drawers: int = 0
    checkpoint_steps: int = 250
    cells: int | None = None
    val_scenes: int = 200
    bfloat16: bool | None = None
    scene: SceneSettings = field(default_factory=SceneSettings)


@dataclass(frozen=True, slots=True)
class StreamTrainResult:
    """What a call left behind.

    Attributes
    ----------
    weights_paths
        Of the mask net and the blob net; None where the training isn't at its end.
    steps
        Done, resumed ones counted.
    metrics
        Figures on simulated scenes of the val split's chromosomes; empty before the end.
    """

    weights_paths: tuple[Path, Path] | None
    steps: int
    metrics: dict[str, float]


def train_stream(
    data_dir: Path,
    out_dir: Path,
    *,
    steps: int,
    minutes: float = math.inf,
    resume: bool = True,
    settings: StreamTrainSettings | None = None,
    progress: Progress | None = None,
) -> StreamTrainResult:
    """Train mask net and blob net.

    Parameters
    ----------
    data_dir
        Data root.
    out_dir
        Gets chromosomes, checkpoints, ``log.jsonl`` and, at the end, weights with their manifests. Keep it outside
        of a repository.
    steps
        Of the whole training.
    minutes
        This call ends after as many; the next one goes on.
    resume
        Go on from the checkpoint. Where other steps were planned, the rate follows the new plan from there on.
    settings
        How to train.
    progress
        Called with one line per logged interval.

    Raises
    ------
    DatasetError
        Where a set isn't there.
    """
    settings, tell = settings or StreamTrainSettings(), progress or silent
    with training_arithmetic():
        out_dir.mkdir(parents=True, exist_ok=True)
        cache = out_dir / "prepared"
        bank, val = (
            load_bank(data_dir, cache, split, sources=settings.sources, cell_count=settings.cells, progress=tell)
            for split in ("train", "val")
        )
        with closing(StreamTask(settings)) as task:
            trainer = stream_trainer(task, settings, steps, out_dir, tell)
            if resume:
                trainer.resume()
            draw = DrawScenes(bank, settings.scene, settings.prompts)
            with batch_source(draw, settings.drawers) as batches:
                task.draw_from(batches, trainer.step)
                # The time is that of this call, whatever earlier ones took.
                finished = trainer.run(Budget(steps=steps, seconds=trainer.spent_s + 60.0 * minutes))
            if not finished:
                return StreamTrainResult(None, trainer.step, {})
            metrics = task.figures(trainer.average.weights, val)
            tell(json.dumps({"step": trainer.step, **metrics}))
            paths = _write(task, settings, trainer, metrics, out_dir, singles=len(bank))
            return StreamTrainResult(paths, trainer.step, metrics)


class StreamNets(nn.Module):
    """Both nets, trained side by side."""

    def __init__(self, settings: StreamTrainSettings) -> None:
        super().__init__()
        self.masks = MaskNet(settings.mask_width)
        self.blobs = BlobNet(settings.blob_width)


class StreamTask(TrainingTask):
    """Scenes, losses and figures of mask net and blob net.

    Parameters
    ----------
    settings
        How both are trained.
    """

    net: StreamNets

    def __init__(self, settings: StreamTrainSettings) -> None:
        torch.manual_seed(settings.seed)
        net = StreamNets(settings)
        channels_last(net)
        super().__init__(net)
        self._settings = settings
        self._parallel = ThreadedGradients(net, min(settings.threads, settings.scenes))
        self._batches: BatchSource | None = None
        self.half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16

    def draw_from(self, batches: BatchSource, step: int) -> None:
        """Say where scenes come from, and ask for those of the first steps.

        Parameters
        ----------
        batches
            Draws them.
        step
            Steps done before.
        """
        self._batches = batches
        for ahead in range(step, step + batches.ahead):
            for seeds in self._seeds(ahead):
                batches.ask(seeds)

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of the scenes of a step, see `TrainingTask.gradients`."""
        batches = self._batches
        if batches is None:
            raise TypeError("nothing draws scenes: call draw_from first")
        parts = self._seeds(step)
        for seeds in self._seeds(step + batches.ahead):
            batches.ask(seeds)
        return self._parallel(self._losses, [as_mask_batch(batches.take(seeds)) for seeds in parts])

    def _seeds(self, step: int) -> list[Request]:
        """Seeds of a step's scenes, a part for each thread."""
        first, count = step * self._settings.scenes, self._parallel.threads
        return [
            tuple(
                (self._settings.seed, number) for number in range(first + k, first + self._settings.scenes, count)
            )
            for k in range(count)
        ]

    def _losses(self, net: StreamNets, batch: MaskBatch) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            answer = net.masks(batch.prompted)
            kinds = net.blobs(batch.shown, batch.extras)
        return {**mask_losses(answer.mask, answer.quality, batch), "kinds": blob_loss(kinds, batch.answers)}

    def figures(self, tensors: Mapping[str, Tensor], bank: SingleBank) -> dict[str, float]:
        """Figures of averaged weights on simulated scenes of other people's chromosomes.

        Parameters
        ----------
        tensors
            Of both nets, of any shape.
        bank
            The chromosomes.
        """
        nets = StreamNets(self._settings)
        nets.load_state_dict(dict(tensors))
        nets.eval()
        by_prompt: list[NDArray[np.float32]] = []
        right: list[NDArray[np.float32]] = []
        for number in range(0, self._settings.val_scenes, 4):
            seeds = tuple((_VAL_SEED, number + k) for k in range(4))
            batch = draw_batch(bank, self._settings.scene, self._settings.prompts, seeds)
            with torch.inference_mode():
                masks = nets.masks(batch.prompted).mask > 0.0
                kinds = nets.blobs(batch.shown, batch.extras) > 0.0
            overlap = _overlap(masks, batch.target > 0.5)
            by_box = batch.prompted[:, 1].amax(dim=(1, 2)) > 0.0
            asked = batch.target.amax(dim=(1, 2)) > 0.0
            by_prompt.append(np.stack([overlap[asked].numpy(), by_box[asked].numpy()], axis=1))
            labelled = batch.answers >= 0.0
            agrees = torch.where(labelled, (kinds == (batch.answers > 0.5)).float(), torch.nan)
            right.append(agrees.numpy())
        overlaps, answers = np.concatenate(by_prompt), np.concatenate(right)
        figures = {
            "iou_by_box": float(overlaps[overlaps[:, 1] > 0, 0].mean()),
            "iou_by_point": float(overlaps[overlaps[:, 1] == 0, 0].mean()),
        }
        for column, name in enumerate(("pure", "connected", "attached")):
            rows = answers[:, column][~np.isnan(answers[:, column])]
            figures[f"{name}_right"] = float(rows.mean()) if rows.size else 0.0
        return {key: round(value, 4) for key, value in figures.items()}

    def close(self) -> None:
        """End the threads."""
        self._parallel.close()

    def _is_faster_in_half(self) -> bool:
        crop = torch.zeros(8, 3, CROP_PX, CROP_PX).contiguous(memory_format=torch.channels_last)
        return is_faster_in_half(lambda: self.net.masks(crop))


def stream_trainer(
    task: StreamTask, settings: StreamTrainSettings, steps: int, out_dir: Path, progress: Progress
) -> Trainer:
    """Make the trainer of both nets, at its first step.

    Parameters
    ----------
    task
        What is trained.
    settings
        How.
    steps
        Of the whole training.
    out_dir
        Gets checkpoint and log.
    progress
        Called with one line per log entry.
    """
    every = Interval(steps=settings.checkpoint_steps)
    return Trainer(
        task,
        torch.optim.AdamW(weight_groups(task.net, settings.weight_decay), lr=settings.learning_rate),
        CosineSchedule(settings.warm_up_steps, steps=steps),
        TrainerSettings(
            learning_rate=settings.learning_rate,
            clip_norm=_CLIP_NORM,
            average=AverageSettings(settings.ema_decay),
            log=every,
            checkpoint=every,
        ),
        folder=out_dir,
        progress=progress,
        checkpoint_name=_CHECKPOINT_NAME,
    )


def _write(
    task: StreamTask,
    settings: StreamTrainSettings,
    trainer: Trainer,
    metrics: Mapping[str, float],
    out_dir: Path,
    *,
    singles: int,
) -> tuple[Path, Path]:
    """Write both nets with their manifests."""
    sources = "".join(f" --source {source}" for source in settings.sources)
    paths = []
    for name, net, part, width in (
        (MASK_WEIGHTS, "MaskNet", "masks.", settings.mask_width),
        (BLOB_WEIGHTS, "BlobNet", "blobs.", settings.blob_width),
    ):
        own = {
            key.removeprefix(part): value for key, value in trainer.average.weights.items() if key.startswith(part)
        }
        manifest = Manifest(
            name=name,
            net=net,
            arguments={"width": width},
            data={"+".join(settings.sources): singles},
            split="train (by case); figures on simulated scenes of val",
            command=f"karyoscan train mask-net --steps {trainer.step}{sources}",
            settings={**asdict(settings), "bfloat16": task.half},
            seed=settings.seed,
            steps=trainer.step,
            metrics=dict(metrics),
        )
        paths.append(write_weights(out_dir, stored_weights(own), manifest))
    return paths[0], paths[1]


def mask_losses(logits: Tensor, quality: Tensor, batch: MaskBatch) -> dict[str, Tensor]:
    """Losses of the mask net: cross entropy where there is stain, overlap, and foretelling of the overlap.

    Parameters
    ----------
    logits
        Shape (n, h, w).
    quality
        Shape (n,): logits of the foretold overlap.
    batch
        What was asked.
    """
    target = batch.target
    weight = torch.where((batch.prompted[:, 0] > _SLIDE_LEVEL) | (target > 0.5), 1.0, _SLIDE_WEIGHT)
    crossed = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    crossed = (crossed * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))
    chance = logits.sigmoid() * weight
    shared = (chance * target).sum(dim=(1, 2))
    asked = (target.amax(dim=(1, 2)) > 0.0).float()
    dice = 1.0 - (2.0 * shared + _SOFT) / (chance.sum(dim=(1, 2)) + target.sum(dim=(1, 2)) + _SOFT)
    overlap = _overlap(logits.detach() > 0.0, target > 0.5)
    return {
        "crossed": crossed.mean(),
        "dice": (dice * asked).sum() / asked.sum().clamp(min=1.0),
        "quality": functional.binary_cross_entropy_with_logits(quality, overlap),
    }


def blob_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Cross entropy over the questions that arise.

    Parameters
    ----------
    logits
        Shape (n, 3).
    answers
        Shape (n, 3): 1, 0, or less where the question doesn't arise.
    """
    known = (answers >= 0.0).float()
    each = functional.binary_cross_entropy_with_logits(logits, answers.clamp(min=0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1.0)


def _overlap(predicted: Tensor, target: Tensor) -> Tensor:
    shared = (predicted & target).sum(dim=(1, 2)).float()
    return shared / (predicted | target).sum(dim=(1, 2)).float().clamp(min=1.0)
