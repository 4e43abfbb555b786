"""Train the finder's net on labelled crops.

The rate warms up and falls along a cosine over a number of epochs. Examples depend on seed and number alone, so
that a resumed training sees what it would have seen. The averaged weights are validated every so often; the best
are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import DatasetError
from analysis.finder.net_scores import FINDER_WEIGHTS, ScoreCalibration, calibrated_scores, net_inputs
from analysis.nets.finder_net import CROP_SIDE_PX, TYPICAL_RADIUS_UM, FinderNet
from analysis.nets.layers import folded
from analysis.parameters.weights import Manifest, fill_net, load_weights, read_manifest, write_weights
from analysis.training.engine.arithmetic import (
    channels_last,
    is_faster_in_half,
    stored_weights,
    training_arithmetic,
    weight_groups,
)
from analysis.training.engine.average import AverageSettings
from analysis.training.engine.parallel import backward
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import CosineFloor, CosineSchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask
from analysis.training.finder.augmentation import FinderAugmentation, FinderBatch, augment
from analysis.training.finder.figures import agreement, choice_score, figures_of, fit_calibration, outputs_of
from analysis.training.finder.loss import FinderLossWeights, Labels, finder_loss
from analysis.training.finder.table import FinderCropTable

_CLIP_NORM: Final = 5.0
"""Gradients of the first steps are larger than this now and then, those of later ones hardly ever."""

_STEPS_A_SEED: Final = 1_000_003
"""Seeds of two trainings draw other numbers for as many steps."""


@dataclass(frozen=True, slots=True)
class FinderTrainSettings:
    """How the net is trained.

    Attributes
    ----------
    width
        Of the net.
    epochs
        Times that the training crops are gone through.
    batch, learning_rate, weight_decay, warm_up_steps, ema_decay
        Of the optimiser and the averaged weights.
    reviewed_fraction
        Fraction of a batch that comes from a reviewer's decisions, where there are any.
    checkpoint_steps, validate_steps
        Steps between checkpoints, and between validations.
    bfloat16
        Whether to compute in half precision; None to take what is faster on this machine.
    """

    width: int = 12
    epochs: float = 16.0
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_up_steps: int = 200
    ema_decay: float = 0.998
    reviewed_fraction: float = 0.25
    seed: int = 20
    checkpoint_steps: int = 200
    validate_steps: int = 400
    bfloat16: bool | None = None
    augment: FinderAugmentation = field(default_factory=FinderAugmentation)
    loss: FinderLossWeights = field(default_factory=FinderLossWeights)


@dataclass(frozen=True, slots=True)
class FinderData:
    """What is trained and judged on.

    Attributes
    ----------
    train, val
        Labelled crops.
    reviewed
        A reviewer's decisions that are mixed in.
    reviewed_val
        Others of them, held back, that have a say in the choice of weights.
    about
        Numbers for the manifest: training examples of every source.
    """

    train: FinderCropTable
    val: FinderCropTable
    reviewed: FinderCropTable | None = None
    reviewed_val: FinderCropTable | None = None
    about: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinderTrainResult:
    """What a training left behind.

    Attributes
    ----------
    weights_path
        The ``.safetensors`` file, of the best weights on val so far.
    finished
        Whether the last epoch was reached.
    steps
        Steps behind it, resumed ones counted.
    metrics
        Figures on val.
    """

    weights_path: Path
    finished: bool
    steps: int
    metrics: dict[str, float]


Drift = Callable[[FinderNet, ScoreCalibration], dict[str, dict[str, float]]]


def train_finder(
    data: FinderData,
    out_dir: Path,
    *,
    minutes: float,
    resume: bool = True,
    start_folder: Path | None = None,
    command: str = "karyoscan train finder",
    drift: Drift | None = None,
    settings: FinderTrainSettings | None = None,
    progress: Progress | None = None,
) -> FinderTrainResult:
    """Train, and write the best weights so far with their manifest.

    Parameters
    ----------
    data
        Crops of train and val.
    out_dir
        Gets ``checkpoint.ckpt``, ``log.jsonl`` and the weights. Keep it outside of a repository.
    minutes
        Time budget of all calls together; a training that has not come to its end is taken up by the next call.
    resume
        Go on from the checkpoint.
    start_folder
        Folder of weights to begin from, None for random ones.
    command
        For the manifest.
    drift
        Called with the finished net, gives what the manifest keeps under ``drift``.
    settings
        How to train.
    progress
        Called with one line per logged interval.

    Raises
    ------
    DatasetError
        Where train or val hold no crops of either kind.
    WeightsError
        Where the weights to begin from can't be used.
    """
    _refuse_one_kind(data)
    settings, tell = settings or FinderTrainSettings(), progress or silent
    with training_arithmetic():
        out_dir.mkdir(parents=True, exist_ok=True)
        task = FinderTask(settings, data, start_folder)
        trainer = finder_trainer(task, settings, out_dir, tell)
        if resume and trainer.resume():
            trainer.score_best_again()
        kind = "bfloat16" if task.half else "float32"
        tell(f"from step {trainer.step} of {task.steps}, {kind}, {len(data.train)} crops")
        finished = trainer.run(Budget(steps=task.steps, seconds=60.0 * minutes))
        kept = stored_weights(trainer.best.weights)
        manifest = replace(_manifest(task, settings, data, command), steps=trainer.best.step)
        manifest = _with_figures(manifest, task, kept, data.val, drift)
        path = write_weights(out_dir, kept, manifest)
        tell(json.dumps({"step": manifest.steps, **manifest.metrics}))
        return FinderTrainResult(path, finished, trainer.step, dict(manifest.metrics))


def _refuse_one_kind(data: FinderData) -> None:
    for name, table in (("train", data.train), ("val", data.val)):
        if not (np.any(table.metaphase == 1) and np.any(table.metaphase == 0)):
            raise DatasetError(f"there are no crops of metaphases, or none of anything else, to {name} on")


def _with_figures(
    manifest: Manifest, task: FinderTask, weights: Mapping[str, Tensor], val: FinderCropTable, drift: Drift | None
) -> Manifest:
    """Add calibration and figures on val of the weights, and their drift."""
    net = task.ready_net({key: value.float() for key, value in weights.items()})
    calibration = fit_calibration(outputs_of(net, val), val)
    return replace(
        manifest,
        metrics=task.figures(net, calibration),
        calibration=asdict(calibration),
        drift=drift(net, calibration) if drift is not None else {},
    )


def _manifest(task: FinderTask, settings: FinderTrainSettings, data: FinderData, command: str) -> Manifest:
    """Manifest of weights that nothing is measured of yet."""
    return Manifest(
        name=FINDER_WEIGHTS,
        net="FinderNet",
        arguments=task.arguments,
        data=dict(data.about) or {"crops": len(data.train)},
        split="train (by case); choices and calibration on val",
        command=command,
        settings={**asdict(settings), "bfloat16": task.half, "steps_planned": task.steps},
        seed=settings.seed,
        steps=0,
        metrics={},
    )


class FinderTask(TrainingTask):
    """The finder's batches, loss and figures.

    Parameters
    ----------
    settings
        How the net is trained.
    data
        Crops of train and val.
    start_folder
        Folder of weights to begin from; None for random ones.

    Attributes
    ----------
    arguments
        That the net is made with.
    steps
        Of the whole training.
    half
        Whether it computes in bfloat16.
    """

    net: FinderNet
    chooses = True

    def __init__(self, settings: FinderTrainSettings, data: FinderData, start_folder: Path | None) -> None:
        torch.manual_seed(settings.seed)
        arguments = (
            {"width": settings.width}
            if start_folder is None
            else read_manifest(FINDER_WEIGHTS, start_folder).arguments
        )
        self.arguments: dict[str, Any] = dict(arguments)
        net = FinderNet(**self.arguments)
        if start_folder is not None:
            tensors = load_weights(FINDER_WEIGHTS, start_folder)
            fill_net(net, {key: value.float() for key, value in tensors.items()}, FINDER_WEIGHTS)
        channels_last(net)
        super().__init__(net)
        self._settings, self._data = settings, data
        reviewed = len(data.reviewed) if data.reviewed is not None else 0
        self._reviewed = round(settings.batch * settings.reviewed_fraction) if reviewed else 0
        self.steps = max(1, math.ceil(settings.epochs * len(data.train) / (settings.batch - self._reviewed)))
        self.half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of the batch of a step, see `TrainingTask.gradients`."""
        batch, labels = self._draw(step)
        self.net.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            output = self.net(batch.crops.contiguous(memory_format=torch.channels_last), batch.extras)
        return backward(finder_loss(output, labels, self._settings.loss))

    def validate(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of weights (of any shape) on val, uncalibrated."""
        return self.figures(self.ready_net(tensors), ScoreCalibration())

    def choice_score(self, figures: Mapping[str, float]) -> float:
        """What the best weights are chosen by, see `choice_score`."""
        return choice_score(figures)

    def figures(self, finder_net: FinderNet, calibration: ScoreCalibration) -> dict[str, float]:
        """Figures of a net on val, and its agreement with a reviewer where decisions are held back.

        Parameters
        ----------
        finder_net
            Ready for use.
        calibration
            Makes its logits probabilities.
        """
        scores = calibrated_scores(outputs_of(finder_net, self._data.val), calibration)
        figures, held = figures_of(scores, self._data.val), self._data.reviewed_val
        if held is not None and len(held):
            figures["reviewed_agreement"] = agreement(
                calibrated_scores(outputs_of(finder_net, held), calibration), held
            )
        return figures

    def ready_net(self, tensors: Mapping[str, Tensor]) -> FinderNet:
        """A net of the same kind with these weights (each of the shape it has there), folded, ready for use."""
        net = FinderNet(**self.arguments)
        fill_net(net, tensors, FINDER_WEIGHTS)
        return folded(net, half=False)

    def _is_faster_in_half(self) -> bool:
        crops, extras = torch.zeros(16, 1, CROP_SIDE_PX, CROP_SIDE_PX), torch.zeros(16, 2)
        crops = crops.contiguous(memory_format=torch.channels_last)
        net = self.ready_net(self.net.state_dict())
        return is_faster_in_half(lambda: net(crops, extras))

    def _draw(self, step: int) -> tuple[FinderBatch, Labels]:
        """The examples of a step: they depend on seed and step alone."""
        own = self._settings.batch - self._reviewed
        tables = [self._data.train.at(self._rows(step, own, len(self._data.train), 0))]
        if self._reviewed and self._data.reviewed is not None:
            reviewed = self._data.reviewed
            tables.append(reviewed.at(self._rows(step, self._reviewed, len(reviewed), 1)))
        seed = self._settings.seed * _STEPS_A_SEED + step
        torch.manual_seed(seed)
        return drawn_batch(tables, torch.Generator().manual_seed(seed), self._settings.augment)

    def _rows(self, step: int, count: int, total: int, stream: int) -> NDArray[np.int64]:
        numbers = np.arange(step * count, (step + 1) * count)
        orders = {
            int(epoch): np.random.default_rng((self._settings.seed, stream, int(epoch))).permutation(total)
            for epoch in np.unique(numbers // total)
        }
        return np.array([orders[int(number // total)][number % total] for number in numbers], np.int64)


def finder_trainer(task: FinderTask, settings: FinderTrainSettings, out_dir: Path, progress: Progress) -> Trainer:
    """Make the trainer of the finder's net, at its first step.

    Parameters
    ----------
    task
        What is trained.
    settings
        How.
    out_dir
        Gets checkpoint and log.
    progress
        Called with one line per log entry.
    """
    every = Interval(steps=settings.checkpoint_steps)
    return Trainer(
        task,
        # Not the fused one: it scrambles kernels whose gradients lie otherwise in memory (torch 2.13).
        torch.optim.AdamW(weight_groups(task.net, settings.weight_decay), lr=settings.learning_rate),
        CosineSchedule(settings.warm_up_steps, steps=task.steps, floor_kind=CosineFloor.CLAMPED),
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


def drawn_batch(
    tables: Sequence[FinderCropTable], generator: torch.Generator, settings: FinderAugmentation
) -> tuple[FinderBatch, Labels]:
    """New views of the crops of some tables, and their labels.

    Parameters
    ----------
    tables
        Rows that make the batch.
    generator
        Source of all randomness.
    settings
        How much is changed.
    """

    def column(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(table, name) for table in tables]))

    radii, noises = column("radius_um").numpy(), column("noise_od").numpy()
    empty = np.zeros((len(radii), 1, 1), np.uint8)
    _, extras = net_inputs(empty, radii, noises)
    log_radius = torch.log(column("cell_radius_um") / TYPICAL_RADIUS_UM)
    before = FinderBatch(torch.zeros(0), extras, column("offset_px"), log_radius)
    batch = augment(column("crops"), before, generator, settings)
    labels = Labels(
        metaphase=column("metaphase").float(),
        analysable=column("analysable").float(),
        wanted=column("wanted").float(),
        offset=batch.offset,
        log_radius=batch.log_radius,
        chromosomes=column("chromosomes"),
        correct_fraction=column("correct_fraction"),
        quality=column("quality"),
    )
    return batch, labels
