"""Train the instance mask net at a constant rate, with decays branched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from analysis.nets.instance_mask_net import PROMPT_CHANNELS, InstanceMaskNet
from analysis.parameters.weights import Manifest, write_weights
from analysis.segmentation.instance_masks.predictor import INSTANCE_MASK_WEIGHTS
from analysis.training.engine.arithmetic import (
    channels_last,
    is_faster_in_half,
    stored_weights,
    training_arithmetic,
    weight_groups,
)
from analysis.training.engine.average import AverageSettings
from analysis.training.engine.decay import begin_decay, continue_from_decay
from analysis.training.engine.drawing import BatchSource, Request, batch_source
from analysis.training.engine.parallel import ThreadedGradients
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import ConstantSchedule, LinearDecaySchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask
from analysis.training.instance_masks.batches import DrawInstanceMasks, InstanceMaskBatch, as_batch
from analysis.training.instance_masks.cells import prepare_mask_cells
from analysis.training.instance_masks.loss import instance_mask_losses

_CLIP_NORM: Final = 5.0
"""Gradients of the first steps are larger than this now and then, those of later ones hardly ever."""

_VAL_SEED: Final = 77
_VAL_SIDE_PX: Final = 192
_SLACK_PX: Final = 6
"""Beyond a box, in which a mask counts."""
_STROKE_LEVEL: Final = 0.3
"""Of a softly drawn stroke, from which a pixel is on it."""


@dataclass(frozen=True, slots=True)
class InstanceMaskTrainSettings:
    """How the net is trained.

    Attributes
    ----------
    width
        Of the net.
    scenes, prompts
        Of a step; asked in a scene.
    sides_px, side_chances
        Sides of a step's crops, and how often each is taken: small ones cost less, long chromosomes need large
        ones.
    composed_fraction
        Of the scenes, those composed of single chromosomes alone.
    learning_rate, weight_decay, warm_up_steps, ema_decay
        Of the optimiser and the averaged weights.
    threads, drawers
        Of the net; processes that draw scenes ahead.
    checkpoint_steps
        Between checkpoints.
    cells, val_cells, val_scenes
        At most as many cells of train; cells of val and scenes of them for the figures.
    bfloat16
        Whether to compute in half precision; None to take what is faster on this machine.
    """

    width: int = 16
    scenes: int = 6
    prompts: int = 6
    sides_px: tuple[int, ...] = (96, 128, 160, 192)
    side_chances: tuple[float, ...] = (0.2, 0.35, 0.2, 0.25)
    composed_fraction: float = 0.3
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up_steps: int = 150
    ema_decay: float = 0.998
    seed: int = 41
    threads: int = 1
    drawers: int = 1
    checkpoint_steps: int = 100
    cells: int | None = None
    val_cells: int = 40
    val_scenes: int = 60
    bfloat16: bool | None = None


@dataclass(frozen=True, slots=True)
class InstanceMaskTrainResult:
    """What a call left behind.

    Attributes
    ----------
    weights_path
        Of a finished decay; else None.
    steps
        Done, resumed ones counted.
    metrics
        Figures on scenes of the val split; empty before a decay's end.
    """

    weights_path: Path | None
    steps: int
    metrics: dict[str, float]


def train_instance_masks(
    data_dir: Path,
    out_dir: Path,
    *,
    minutes: float,
    decay_steps: int | None = None,
    resume: bool = True,
    settings: InstanceMaskTrainSettings | None = None,
    progress: Progress | None = None,
) -> InstanceMaskTrainResult:
    """Train the instance mask net on the train splits of the Tseng set and gband612; figures on val.

    Parameters
    ----------
    data_dir
        Data root.
    out_dir
        Gets prepared cells, checkpoints, ``log.jsonl`` and, from a decay, weights with their manifest. Keep it
        outside of a repository.
    minutes
        Time budget: of all stable phases together, or of the decay.
    decay_steps
        Branch off the last checkpoint and take the rate to nothing in as many steps; None for a stable phase.
    resume
        Go on from the checkpoint, or from an unfinished decay of the same length off it.
    settings
        How to train.
    progress
        Called with one line per logged interval.

    Raises
    ------
    DatasetError
        Where a set isn't there, or where there is no checkpoint to branch a decay off.
    """
    settings, tell = settings or InstanceMaskTrainSettings(), progress or silent
    with training_arithmetic():
        out_dir.mkdir(parents=True, exist_ok=True)
        cache = out_dir / "prepared"
        train = prepare_mask_cells(data_dir / "tseng", cache, "train", limit=settings.cells, progress=tell)
        val = prepare_mask_cells(data_dir / "tseng", cache, "val", limit=settings.val_cells, progress=tell)
        draw, draw_val = (
            DrawInstanceMasks(data_dir, cache, split, cells.paths, settings.prompts, settings.composed_fraction)
            for split, cells in (("train", train), ("val", val))
        )
        with closing(InstanceMaskTask(settings, draw_val)) as task:
            trainer = instance_mask_trainer(task, settings, out_dir, tell)
            decay = None
            if decay_steps is not None:
                decay = begin_decay(trainer, settings.warm_up_steps, decay_steps, 1.0, resume=resume)
            elif resume:
                trainer.resume()
            last = None if decay is None else decay.first_step + decay.steps
            with batch_source(draw, settings.drawers) as source:
                task.draw_from(source, trainer.step)
                finished = trainer.run(Budget(steps=last, seconds=60.0 * minutes))
            if decay is None or not finished:
                return InstanceMaskTrainResult(None, trainer.step, {})
            return _finish(task, trainer, decay, out_dir, examples={"tseng": len(train), "gband612": draw.singles})


def _finish(
    task: InstanceMaskTask,
    trainer: Trainer,
    decay: LinearDecaySchedule,
    out_dir: Path,
    *,
    examples: dict[str, int],
) -> InstanceMaskTrainResult:
    """Write the weights of a decay's end."""
    metrics = task.validate(trainer.average.weights)
    manifest = _manifest(task.settings, trainer, decay, metrics, half=task.half, examples=examples)
    path = write_weights(out_dir, stored_weights(trainer.average.weights), manifest)
    continue_from_decay(trainer, task.settings.warm_up_steps)
    return InstanceMaskTrainResult(path, trainer.step, metrics)


class InstanceMaskTask(TrainingTask):
    """Scenes, losses and figures of the instance mask net.

    Parameters
    ----------
    settings
        How it is trained.
    draw_val
        Draws the scenes of the figures.
    """

    net: InstanceMaskNet

    def __init__(self, settings: InstanceMaskTrainSettings, draw_val: DrawInstanceMasks) -> None:
        torch.manual_seed(settings.seed)
        net = InstanceMaskNet(settings.width)
        channels_last(net)
        super().__init__(net)
        self.settings, self._draw_val = settings, draw_val
        self._parallel = ThreadedGradients(net, min(settings.threads, settings.scenes))
        self._source: BatchSource | None = None
        self.half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16

    def draw_from(self, source: BatchSource, step: int) -> None:
        """Say where batches come from, and ask for those of the first steps.

        Parameters
        ----------
        source
            Draws them.
        step
            Steps done before.
        """
        self._source = source
        for ahead in range(step, step + source.ahead):
            for request in self._requests(ahead):
                source.ask(request)

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of the scenes of a step, see `TrainingTask.gradients`."""
        source = self._source
        if source is None:
            raise TypeError("nothing draws scenes: call draw_from first")
        parts = self._requests(step)
        for request in self._requests(step + source.ahead):
            source.ask(request)
        return self._parallel(self._losses, [as_batch(source.take(request)) for request in parts])

    def _requests(self, step: int) -> list[Request]:
        """Requests of a step's scenes, a part for each thread."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, step, 2))
        side = int(rng.choice(settings.sides_px, p=settings.side_chances))
        first, count = step * settings.scenes, self._parallel.threads
        return [
            tuple((side, settings.seed, number) for number in range(first + k, first + settings.scenes, count))
            for k in range(count)
        ]

    def _losses(self, net: InstanceMaskNet, batch: InstanceMaskBatch) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            output = net(batch.prompted)
        return instance_mask_losses(output, batch)

    def validate(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of averaged weights on scenes of the val split: overlap by prompt, and reaching the box."""
        net = InstanceMaskNet(self.settings.width)
        net.load_state_dict(dict(tensors))
        channels_last(net)
        net.eval()
        rows: list[Sequence[float]] = []
        for number in range(self.settings.val_scenes):
            batch = as_batch(self._draw_val(((_VAL_SIDE_PX, _VAL_SEED, number),)))
            with torch.inference_mode():
                rows += _figures(net(batch.prompted).mask > 0.0, batch)
        array = np.asarray(rows)
        whole, boxed = array[:, 0] > 0.5, array[:, 1] > 0.5
        figures = {
            "iou_by_box": array[whole & boxed, 2],
            "iou_by_stroke": array[whole & ~boxed, 2],
            "reached": array[~whole & boxed, 3],
        }
        return {key: round(float(value.mean()), 4) if value.size else 0.0 for key, value in figures.items()}

    def close(self) -> None:
        """End the threads."""
        self._parallel.close()

    def _is_faster_in_half(self) -> bool:
        crop = torch.zeros(8, PROMPT_CHANNELS, 128, 128).contiguous(memory_format=torch.channels_last)
        return is_faster_in_half(lambda: self.net(crop))


def _figures(masks: Tensor, batch: InstanceMaskBatch) -> list[Sequence[float]]:
    """For each chromosome: whole mask known, asked by box, overlap, fraction of its box' rows and columns held."""
    out: list[Sequence[float]] = []
    for number, mask in enumerate(masks):
        target, labelled = batch.target[number] > 0.5, batch.labelled[number] > 0.5
        reach = batch.reach[number] > 0.5
        if not bool(reach.any()):
            continue
        boxed = bool(batch.prompted[number, 1].amax() > 0.0)
        if boxed:
            # As at work, where a mask is kept to its box and a little more.
            wide = functional.max_pool2d(batch.prompted[number, 1:2], 2 * _SLACK_PX + 1, 1, _SLACK_PX)[0]
            mask = mask & (wide > 0.0)
        else:
            mask = _under_stroke(mask, batch.prompted[number, 3] > _STROKE_LEVEL)
        shared = float((mask & target & labelled).sum())
        overlap = shared / max(1.0, float(((mask | target) & labelled).sum()))
        held = torch.cat([mask.any(dim=1)[reach[0]], mask.any(dim=0)[reach[1]]]).float()
        out.append((float(batch.whole[number]), float(boxed), overlap, float(held.mean())))
    return out


def _under_stroke(mask: Tensor, stroke: Tensor) -> Tensor:
    """Parts of a mask that a stroke meets, as at work; the whole mask where it meets none."""
    labels = cv2.connectedComponents(mask.numpy().astype(np.uint8), connectivity=8)[1]
    met = np.unique(labels[stroke.numpy() & (labels > 0)])
    return torch.from_numpy(np.isin(labels, met)) if met.size else mask


def instance_mask_trainer(
    task: InstanceMaskTask, settings: InstanceMaskTrainSettings, out_dir: Path, progress: Progress
) -> Trainer:
    """Make the trainer of the net, at its first step.

    Parameters
    ----------
    task
        What is trained.
    settings
        How.
    out_dir
        Gets checkpoints and log.
    progress
        Called with one line per log entry.
    """
    every = Interval(steps=settings.checkpoint_steps)
    return Trainer(
        task,
        torch.optim.AdamW(weight_groups(task.net, settings.weight_decay), lr=settings.learning_rate),
        ConstantSchedule(settings.warm_up_steps),
        TrainerSettings(
            learning_rate=settings.learning_rate,
            clip_norm=_CLIP_NORM,
            average=AverageSettings(settings.ema_decay),
            log=every,
            checkpoint=every,
            validation=Interval(steps=5 * settings.checkpoint_steps),
        ),
        folder=out_dir,
        progress=progress,
    )


def _manifest(
    settings: InstanceMaskTrainSettings,
    trainer: Trainer,
    decay: LinearDecaySchedule,
    metrics: dict[str, float],
    *,
    half: bool,
    examples: dict[str, int],
) -> Manifest:
    return Manifest(
        name=INSTANCE_MASK_WEIGHTS,
        net="InstanceMaskNet",
        arguments={"width": settings.width},
        data=examples,
        split="train (by case); figures on scenes of val",
        command=f"karyoscan train instance-masks && karyoscan train instance-masks --decay-steps {decay.steps}",
        settings={**asdict(settings), "bfloat16": half, "branched_at": decay.first_step},
        seed=settings.seed,
        steps=trainer.step,
        metrics=metrics,
    )
