"""Train the detector: long at a constant rate, with decays branched off.

The rate stays constant until somebody wants weights; then a decay takes it to nothing within a given number of
steps, from the last checkpoint (warm-up, stable, decay: Hu et al. 2024). The next stable phase or decay goes on
from the decay's end, so that none of its steps is lost (Wen et al. 2024), for as long as anybody likes. All counts
in steps: a busy machine makes a training longer and not worse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from analysis.detection.detector import DETECTOR_WEIGHTS, Detector
from analysis.nets.detector_net import DetectorNet, points
from analysis.parameters.weights import Manifest, write_weights
from analysis.training.detector.augmentation import DetectorAugmentation, Example, draw_example
from analysis.training.detector.composed import (
    ComposedExampleSettings,
    DrawComposedExamples,
    composed_check_cells,
    examples_from_arrays,
)
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
from analysis.training.engine.decay import begin_decay, continue_from_decay
from analysis.training.engine.drawing import BatchSource, Request, batch_source
from analysis.training.engine.parallel import ThreadedGradients
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import ConstantSchedule, LinearDecaySchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask
from analysis.training.masks.singles import SingleBank, load_bank

_COMPOSED_SOURCES: Final = ("gband612",)
"""Sets of single chromosomes that cells are composed of."""

_MIX_STREAM: Final = 2
"""Last part of the seeds that decide which examples are composed."""

_CLIP_NORM: Final = 10.0
"""Gradients of the first steps are larger than this now and then, those of later ones hardly ever."""


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
    composed_fraction
        Fraction of the examples that show composed cells. With 1 no picture of the Tseng set is read, and figures
        in passing are those of composed cells.
    composed
        How these are drawn.
    composed_sources
        Folders of the data root with single chromosomes that cells are composed of, as `load_bank` takes them.
    composed_check_cells
        Composed cells that figures are measured on where there are no others.
    drawers
        Processes that draw composed examples ahead; with 0 they are drawn where they are taken.
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
    composed_fraction: float = 0.0
    composed: ComposedExampleSettings = field(default_factory=ComposedExampleSettings)
    composed_sources: tuple[str, ...] = _COMPOSED_SOURCES
    composed_check_cells: int = 40
    drawers: int = 0

    @property
    def reads_real_cells(self) -> bool:
        """Whether any example shows a real cell."""
        return self.composed_fraction < 1.0


@dataclass(frozen=True, slots=True)
class DetectorCells:
    """What the detector is trained and measured on.

    Attributes
    ----------
    train
        Real cells of the train split; none where all examples are composed.
    val
        Cells that are measured in passing.
    bank
        Single chromosomes that cells are composed of; None where no example is composed.
    composed_of
        Names of the sets that these come from.
    """

    train: Sequence[DetectorCell] = ()
    val: Sequence[DetectorCell] = ()
    bank: SingleBank | None = None
    composed_of: str = "composed"

    @property
    def counts(self) -> dict[str, int]:
        """Pictures and cells of each set that is trained on."""
        counts = {"tseng": len(self.train)} if self.train else {}
        return counts if self.bank is None else {**counts, self.composed_of: len(self.bank.by_cell)}


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
    """Train the detector on the train split of the Tseng set, on composed cells, or both; figures on val.

    Parameters
    ----------
    data_dir
        Data root with ``tseng`` (unless all examples are composed) and ``gband612`` (where some are).
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
        cells = _prepared(data_dir, out_dir / "prepared", settings, tell)
        with closing(DetectorTask(settings, cells)) as task, ExitStack() as stack:
            trainer = detector_trainer(task, settings, out_dir, tell)
            if decay_steps is None:
                if resume:
                    trainer.resume()
                task.draw_ahead(stack, trainer.step)
                return _run_stable_phase(trainer, minutes)
            decay = begin_decay(trainer, settings.warm_up_steps, decay_steps, decay_from, resume=resume)
            task.draw_ahead(stack, trainer.step)
            trainer.note(branched_at=decay.first_step)
            if not trainer.run(Budget(steps=decay.first_step + decay.steps, seconds=60.0 * minutes)):
                return DetectorTrainResult(None, trainer.step, {})
            if settings.reads_real_cells and settings.validate_images:
                cells = replace(cells, val=prepare_cells(data_dir / "tseng", out_dir / "prepared", "val"))
            result = _finished(trainer, task, decay, cells, out_dir)
            tell(json.dumps({"step": result.steps, "images": len(cells.val), **result.metrics}))
            return result


def _finished(
    trainer: Trainer, task: DetectorTask, decay: LinearDecaySchedule, cells: DetectorCells, out_dir: Path
) -> DetectorTrainResult:
    """Measure and write the weights of a decay's end."""
    metrics = task.figures(trainer.average.weights, cells.val)
    manifest = _manifest(task.settings, trainer, decay, metrics, half=task.half, counts=cells.counts)
    path = write_weights(out_dir, stored_weights(trainer.average.weights), manifest)
    continue_from_decay(trainer, task.settings.warm_up_steps)
    return DetectorTrainResult(path, trainer.step, metrics)


def _prepared(
    data_dir: Path, cache_dir: Path, settings: DetectorTrainSettings, progress: Progress
) -> DetectorCells:
    """Prepare what is trained on; the Tseng set isn't touched where all examples are composed."""

    def chromosomes(split: str) -> SingleBank:
        return load_bank(data_dir, cache_dir, split, sources=settings.composed_sources, progress=progress)

    bank = chromosomes("train") if settings.composed_fraction > 0.0 else None
    composed_of = ", ".join(settings.composed_sources)
    if not settings.reads_real_cells:
        check = composed_check_cells(
            chromosomes("val"), settings.composed.cell, seed=settings.seed, count=settings.composed_check_cells
        )
        return DetectorCells(val=check, bank=bank, composed_of=composed_of)
    folder = data_dir / "tseng"
    train = prepare_cells(folder, cache_dir, "train", limit=settings.train_images, progress=progress)
    val = prepare_cells(folder, cache_dir, "val", limit=settings.validate_images, progress=progress)
    return DetectorCells(train, val, bank, composed_of)


def _run_stable_phase(trainer: Trainer, minutes: float) -> DetectorTrainResult:
    trainer.run(Budget(seconds=60.0 * minutes))
    return DetectorTrainResult(None, trainer.step, {})


def _manifest(
    settings: DetectorTrainSettings,
    trainer: Trainer,
    decay: LinearDecaySchedule,
    metrics: dict[str, float],
    *,
    half: bool,
    counts: dict[str, int],
) -> Manifest:
    option = f" --composed-fraction {settings.composed_fraction:g}" if settings.composed_fraction else ""
    return Manifest(
        name=DETECTOR_WEIGHTS,
        net="DetectorNet",
        arguments={"width": settings.width},
        data=counts,
        split="train (by case); choices on val",
        command=f"karyoscan train detector{option}, then with --decay-steps {decay.steps}",
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
    detector_cells
        What it is trained and measured on.
    """

    net: DetectorNet

    def __init__(self, settings: DetectorTrainSettings, detector_cells: DetectorCells) -> None:
        torch.manual_seed(settings.seed)
        net = DetectorNet(settings.width)
        channels_last(net)
        super().__init__(net)
        self.settings, self._train, self._val = settings, detector_cells.train, detector_cells.val
        self._singles: tuple[Single, ...] = tuple(single for cell in self._train for single in cell.singles)
        self._draw: DrawComposedExamples | None = None
        self._source: BatchSource | None = None
        if detector_cells.bank is not None:
            self._draw = DrawComposedExamples(detector_cells.bank, settings.composed, settings.augment)
            self._source = BatchSource(self._draw)
        self._places = points(settings.augment.window_px, settings.augment.window_px)
        self._parallel = ThreadedGradients(net, min(settings.threads, settings.batch))
        self.half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16

    def draw_ahead(self, stack: ExitStack, step: int) -> None:
        """Let processes draw composed examples ahead; nothing where none are composed.

        Parameters
        ----------
        stack
            The processes end with it.
        step
            Steps done before.
        """
        if self._draw is None:
            return
        self._source = stack.enter_context(batch_source(self._draw, self.settings.drawers))
        for ahead in range(step, step + self._source.ahead):
            self._source.ask(self._request(ahead))

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of the batch of a step, see `TrainingTask.gradients`."""
        first, count = step * self.settings.batch, self._parallel.threads
        composed = self._composed(step)
        numbers = [range(first + k, first + self.settings.batch, count) for k in range(count)]
        return self._parallel(
            lambda net, part: self._losses(net, part, composed),
            numbers,
        )

    def _composed(self, step: int) -> dict[int, Example]:
        """Composed examples of a step by their numbers, those of later steps asked for."""
        if self._source is None:
            return {}
        if self._source.ahead:
            self._source.ask(self._request(step + self._source.ahead))
        request = self._request(step)
        arrays = self._source.take(request)
        return dict(zip((number for _, number in request), examples_from_arrays(arrays), strict=True))

    def _request(self, step: int) -> Request:
        """Composed examples of a step; the batch may hold none."""
        first, seed = step * self.settings.batch, self.settings.seed
        numbers = range(first, first + self.settings.batch)
        return tuple((seed, number) for number in numbers if self._is_composed(number))

    def _is_composed(self, number: int) -> bool:
        rng = np.random.default_rng((self.settings.seed, number, _MIX_STREAM))
        return bool(rng.random() < self.settings.composed_fraction)

    def _losses(
        self, detector_net: DetectorNet, numbers: range, composed: Mapping[int, Example]
    ) -> dict[str, Tensor]:
        examples = [composed[number] if number in composed else self._example(number) for number in numbers]
        pictures, targets = _batch(examples)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            output = detector_net(pictures)
        return detector_loss(detector_net, self._places, output, targets, self.settings.loss)

    def _example(self, number: int) -> Example:
        """Draw an example: it depends on seed and number alone, so that a resumed run sees the same."""
        settings, count = self.settings, len(self._train)
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
        net = DetectorNet(self.settings.width)
        net.load_state_dict(dict(tensors))
        channels_last(net)
        net.eval()
        return detector_figures(Detector(net), detector_cells)

    def close(self) -> None:
        """End the threads."""
        self._parallel.close()

    def _is_faster_in_half(self) -> bool:
        side = self.settings.augment.window_px
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
