"""Train the detector: long at a constant rate, with decays branched off.

The rate stays constant until somebody wants weights; then a decay takes it to nothing within a given number of
steps, from the last checkpoint (warm-up, stable, decay: Hu et al. 2024). The next stable phase or decay goes on
from the decay's end, so that none of its steps is lost (Wen et al. 2024), for as long as anybody likes. All counts
in steps: a busy machine makes a training longer and not worse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from analysis.detection.detector import DETECTOR_WEIGHTS, Detector
from analysis.errors import DatasetError
from analysis.nets.detector_net import DetectorNet, points
from analysis.parameters.weights import Manifest, write_weights
from analysis.training.detector.augmentation import DetectorAugmentation, Example, draw_example
from analysis.training.detector.data import DetectorCell, Single, prepare_cells
from analysis.training.detector.figures import detector_figures
from analysis.training.detector.loss import DetectorLossWeights, Target, detector_loss
from analysis.training.engine.arithmetic import (
    channels_last,
    is_faster_in_half,
    stored_weights,
    training_arithmetic,
    weight_groups,
)
from analysis.training.engine.average import AverageSettings
from analysis.training.engine.checkpoint import read_checkpoint
from analysis.training.engine.parallel import ThreadedGradients
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import ConstantSchedule, LinearDecaySchedule
from analysis.training.engine.trainer import CHECKPOINT_NAME, Interval, Trainer, TrainerSettings, TrainingTask

_CLIP_NORM: Final = 10.0
"""Gradients of the first steps are larger than this now and then, those of later ones hardly ever."""

_DECAY_NAME: Final = "decay.ckpt"


@dataclass(frozen=True, slots=True)
class DetectorTrainSettings:
    """How the detector is trained.

    Attributes
    ----------
    width
        Of the net.
    batch, learning_rate, weight_decay, warm_up_steps, ema_decay
        Of the optimiser and the averaged weights.
    checkpoint_steps, validate_steps
        Steps between checkpoints, and between looks at the val split.
    validate_images, train_images
        Pictures of val looked at in passing, and of train trained on; None for all.
    bfloat16
        Whether to compute in half precision; None to take what is faster on this machine.
    """

    width: int = 32
    batch: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    warm_up_steps: int = 300
    ema_decay: float = 0.999
    seed: int = 20
    threads: int = 2
    checkpoint_steps: int = 250
    validate_steps: int = 1500
    validate_images: int | None = 47
    train_images: int | None = None
    bfloat16: bool | None = None
    augment: DetectorAugmentation = field(default_factory=DetectorAugmentation)
    loss: DetectorLossWeights = field(default_factory=DetectorLossWeights)


@dataclass(frozen=True, slots=True)
class DetectorTrainResult:
    """What a call left behind.

    Attributes
    ----------
    weights_path
        The ``.safetensors`` file of a finished decay; None after a stable phase or an unfinished decay.
    steps
        Steps behind the weights, resumed ones counted.
    metrics
        Figures of the averaged weights on val; empty where none were due.
    """

    weights_path: Path | None
    steps: int
    metrics: dict[str, float]


def train_detector(
    data_dir: Path,
    out_dir: Path,
    *,
    minutes: float,
    decay_steps: int | None = None,
    decay_from: float = 1.0,
    resume: bool = True,
    settings: DetectorTrainSettings | None = None,
    progress: Progress | None = None,
) -> DetectorTrainResult:
    """Train the detector on the train split of the Tseng set; figures on val.

    Parameters
    ----------
    data_dir
        Data root with ``tseng``.
    out_dir
        Gets prepared pictures, checkpoints, ``log.jsonl`` and, from a decay, weights with their manifest. Keep it
        outside of a repository.
    minutes
        Time budget: of all stable phases together, or of the decay. A decay that has not come to its end is
        taken up by the next call.
    decay_steps
        Branch off the last checkpoint and take the rate to nothing in as many steps; None for a stable phase.
    decay_from
        Fraction of the constant rate that the decay begins with.
    resume
        Go on from the checkpoint, or from an unfinished decay of the same length off it.
    settings
        How to train.
    progress
        Called with one line per logged interval.

    Raises
    ------
    DatasetError
        Where the set isn't there, or where there is no checkpoint to branch a decay off.
    """
    settings, tell = settings or DetectorTrainSettings(), progress or silent
    with training_arithmetic():
        out_dir.mkdir(parents=True, exist_ok=True)
        folder, cache = data_dir / "tseng", out_dir / "prepared"
        train = prepare_cells(folder, cache, "train", limit=settings.train_images, progress=tell)
        some_val = prepare_cells(folder, cache, "val", limit=settings.validate_images, progress=tell)
        with closing(DetectorTask(settings, train, some_val)) as task:
            trainer = detector_trainer(task, settings, out_dir, tell)
            if decay_steps is None:
                return _run_stable_phase(trainer, minutes, resume=resume)
            decay = _begin_decay(trainer, settings, decay_steps, decay_from, resume=resume)
            trainer.note(branched_at=decay.first_step)
            if not trainer.run(Budget(steps=decay.first_step + decay.steps, seconds=60.0 * minutes)):
                return DetectorTrainResult(None, trainer.step, {})
            val = prepare_cells(folder, cache, "val", progress=tell) if settings.validate_images else some_val
            metrics = task.figures(trainer.average.weights, val)
            manifest = _manifest(settings, trainer, decay, metrics, half=task.half, pictures=len(train))
            path = write_weights(out_dir, stored_weights(trainer.average.weights), manifest)
            _continue_from_decay(trainer, settings)
            tell(json.dumps({"step": trainer.step, "images": len(val), **metrics}))
            return DetectorTrainResult(path, trainer.step, metrics)


def _run_stable_phase(trainer: Trainer, minutes: float, *, resume: bool) -> DetectorTrainResult:
    if resume:
        trainer.resume()
    trainer.run(Budget(seconds=60.0 * minutes))
    return DetectorTrainResult(None, trainer.step, {})


def _manifest(
    settings: DetectorTrainSettings,
    trainer: Trainer,
    decay: LinearDecaySchedule,
    metrics: dict[str, float],
    *,
    half: bool,
    pictures: int,
) -> Manifest:
    return Manifest(
        name=DETECTOR_WEIGHTS,
        net="DetectorNet",
        arguments={"width": settings.width},
        data={"tseng": pictures},
        split="train (by case); choices on val",
        command=f"karyoscan train detector, then with --decay-steps {decay.steps}",
        settings={
            **asdict(settings),
            "bfloat16": half,
            "branched_at": decay.first_step,
            "decay_from": decay.start_factor,
        },
        seed=settings.seed,
        steps=trainer.step,
        metrics=metrics,
    )


class DetectorTask(TrainingTask):
    """The detector's examples, loss and figures.

    Parameters
    ----------
    settings
        How the detector is trained.
    train, val
        Cells of the train split, and those of val that are looked at in passing.
    """

    net: DetectorNet

    def __init__(
        self, settings: DetectorTrainSettings, train: Sequence[DetectorCell], val: Sequence[DetectorCell]
    ) -> None:
        torch.manual_seed(settings.seed)
        net = DetectorNet(settings.width)
        channels_last(net)
        super().__init__(net)
        self._settings, self._train, self._val = settings, train, val
        self._singles: tuple[Single, ...] = tuple(single for cell in train for single in cell.singles)
        self._places = points(settings.augment.window_px, settings.augment.window_px)
        self._parallel = ThreadedGradients(net, min(settings.threads, settings.batch))
        self.half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of the batch of a step, see `TrainingTask.gradients`."""
        first, count = step * self._settings.batch, self._parallel.threads
        numbers = [range(first + k, first + self._settings.batch, count) for k in range(count)]
        return self._parallel(self._losses, numbers)

    def _losses(self, detector_net: DetectorNet, numbers: range) -> dict[str, Tensor]:
        pictures, targets = _batch([self._example(number) for number in numbers])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            output = detector_net(pictures)
        return detector_loss(detector_net, self._places, output, targets, self._settings.loss)

    def _example(self, number: int) -> Example:
        """Draw an example: it depends on seed and number alone, so that a resumed run sees the same."""
        settings, count = self._settings, len(self._train)
        order = np.random.default_rng((settings.seed, number // count)).permutation(count)
        rng = np.random.default_rng((settings.seed, number, 1))
        return draw_example(self._train[int(order[number % count])], self._singles, rng, settings.augment)

    def validate(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of averaged weights (of any shape) on the pictures of val that are measured in passing."""
        return self.figures(tensors, self._val)

    def figures(self, tensors: Mapping[str, Tensor], detector_cells: Sequence[DetectorCell]) -> dict[str, float]:
        """Figures of weights.

        Parameters
        ----------
        tensors
            Of a net of the same width, of any shape.
        detector_cells
            What they are measured on.
        """
        net = DetectorNet(self._settings.width)
        net.load_state_dict(dict(tensors))
        channels_last(net)
        net.eval()
        return detector_figures(Detector(net), detector_cells)

    def close(self) -> None:
        """End the threads."""
        self._parallel.close()

    def _is_faster_in_half(self) -> bool:
        side = self._settings.augment.window_px
        picture = torch.zeros(1, 1, side, side).contiguous(memory_format=torch.channels_last)
        return is_faster_in_half(lambda: self.net(picture))


def detector_trainer(
    task: DetectorTask, settings: DetectorTrainSettings, out_dir: Path, progress: Progress
) -> Trainer:
    """Make the trainer of a detector, at its first step.

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
    # Not the fused optimiser: where a gradient lies in memory otherwise than its parameter (channels last), it
    # takes the numbers in the order of the memory and scrambles the kernels, without a word (torch 2.13).
    optimiser = torch.optim.AdamW(weight_groups(task.net, settings.weight_decay), lr=settings.learning_rate)
    every = Interval(steps=settings.checkpoint_steps)
    return Trainer(
        task,
        optimiser,
        ConstantSchedule(settings.warm_up_steps),
        TrainerSettings(
            learning_rate=settings.learning_rate,
            clip_norm=_CLIP_NORM,
            average=AverageSettings(settings.ema_decay),
            log=every,
            checkpoint=every,
            validation=Interval(steps=settings.validate_steps),
        ),
        folder=out_dir,
        progress=progress,
    )


def _begin_decay(
    trainer: Trainer, settings: DetectorTrainSettings, steps: int, start_factor: float, *, resume: bool
) -> LinearDecaySchedule:
    """Branch a decay off the stable checkpoint, or go on with an unfinished one that was branched off there."""
    if not trainer.resume(CHECKPOINT_NAME):
        raise DatasetError("there is no checkpoint to branch a decay off", path=trainer.path(CHECKPOINT_NAME))
    branch = trainer.step
    trainer.checkpoint_name = _DECAY_NAME
    if resume and trainer.resume(keep_schedule=False):
        going = trainer.schedule
        if isinstance(going, LinearDecaySchedule) and (going.first_step, going.steps) == (branch, steps):
            return going
        trainer.resume(CHECKPOINT_NAME)
    decay = LinearDecaySchedule(settings.warm_up_steps, branch, steps, start_factor)
    trainer.schedule, trainer.spent_s = decay, 0.0
    return decay


def _continue_from_decay(trainer: Trainer, settings: DetectorTrainSettings) -> None:
    """Let what comes next go on from the end of the decay."""
    stable = trainer.path(CHECKPOINT_NAME)
    if stable is not None:
        trainer.spent_s += float(read_checkpoint(stable)["spent_s"])
    trainer.checkpoint_name = CHECKPOINT_NAME
    trainer.schedule = ConstantSchedule(settings.warm_up_steps)
    trainer.save()


def _batch(examples: Sequence[Example]) -> tuple[Tensor, list[Target]]:
    pictures = torch.from_numpy(np.stack([example.image for example in examples])[:, None])
    targets = [
        Target(
            torch.from_numpy(example.boxes_px),
            torch.from_numpy(example.classes),
            torch.from_numpy(example.ignored_px),
        )
        for example in examples
    ]
    return pictures.contiguous(memory_format=torch.channels_last), targets
