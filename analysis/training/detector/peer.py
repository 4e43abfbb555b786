"""Train the peer, a Faster R-CNN, on the detector's examples for a given processor time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from analysis.nets.faster_rcnn import PEER_WEIGHTS, peer_net
from analysis.parameters.weights import Manifest, write_weights
from analysis.training.detector.augmentation import DetectorAugmentation, draw_example
from analysis.training.detector.data import DetectorCell, prepare_cells
from analysis.training.engine.arithmetic import training_arithmetic
from analysis.training.engine.average import AverageSettings
from analysis.training.engine.parallel import backward
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import CosineSchedule
from analysis.training.engine.trainer import Interval, Trainer, TrainerSettings, TrainingTask

_CLIP_NORM: Final = 5.0
"""Gradients of the first steps are larger than this now and then, those of later ones hardly ever."""

_LOG_STEPS: Final = 25
_CHECKPOINT_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class PeerTrainSettings:
    """How the peer is trained.

    Attributes
    ----------
    width
        Of the net.
    batch, learning_rate, weight_decay, warm_up_steps, ema_decay
        Of the optimiser and the averaged weights.
    images
        Pictures of the train split; None for all.
    """

    width: int = 24
    batch: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 0.03
    warm_up_steps: int = 60
    ema_decay: float = 0.99
    seed: int = 20
    images: int | None = None
    augment: DetectorAugmentation = field(default_factory=DetectorAugmentation)


class PeerTask(TrainingTask):
    """The peer's examples and loss.

    Parameters
    ----------
    settings
        How it is trained.
    detector_cells
        Cells of the train split.
    """

    def __init__(self, settings: PeerTrainSettings, detector_cells: Sequence[DetectorCell]) -> None:
        net = peer_net(settings.width)
        net.train()
        net.backbone.in_half = True  # type: ignore[union-attr]
        super().__init__(net)
        self._settings, self._cells = settings, detector_cells
        self._singles = tuple(single for cell in detector_cells for single in cell.singles)

    def gradients(self, step: int) -> dict[str, float]:
        """Gradients of the batch of a step, see `TrainingTask.gradients`."""
        settings, examples = self._settings, []
        for number in range(step * settings.batch, (step + 1) * settings.batch):
            rng = np.random.default_rng((settings.seed, number))
            cell = self._cells[int(rng.integers(len(self._cells)))]
            examples.append(draw_example(cell, self._singles, rng, settings.augment))
        pictures = [torch.from_numpy(one.image[None]) for one in examples]
        targets = [
            {"boxes": torch.from_numpy(one.boxes_px), "labels": torch.ones(len(one.boxes_px), dtype=torch.int64)}
            for one in examples
        ]
        losses: dict[str, Tensor] = self.net(pictures, targets)
        self.net.zero_grad(set_to_none=True)
        return backward(losses)


def train_peer(
    data_dir: Path,
    out_dir: Path,
    *,
    minutes: float,
    cache_dir: Path | None = None,
    resume: bool = True,
    settings: PeerTrainSettings | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Path:
    """Train for some minutes of processor time, drawing of examples counted in; the weights' path.

    The rate follows a cosine over the time.

    Parameters
    ----------
    data_dir
        Data root with ``tseng``.
    out_dir
        Gets checkpoint, log, weights and manifest.
    minutes
        Of one thread, earlier calls counted.
    cache_dir
        Where pictures are prepared, or were for the detector; by default in ``out_dir``.
    resume
        Go on from the checkpoint.
    settings
        How to train.
    progress
        Called with one line per logged interval.
    clock
        Seconds of the processor, so that other work on the machine costs no steps.

    Raises
    ------
    DatasetError
        Where the set isn't there.
    WeightsError
        Without torchvision.
    """
    settings, tell = settings or PeerTrainSettings(), progress or silent
    with training_arithmetic(flush_denormal=False):
        torch.manual_seed(settings.seed)
        cache = cache_dir or out_dir / "prepared"
        cells = prepare_cells(data_dir / "tseng", cache, "train", limit=settings.images, progress=tell)
        task = PeerTask(settings, cells)
        optimizer = torch.optim.AdamW(
            task.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = CosineSchedule(settings.warm_up_steps, seconds=60.0 * minutes)
        trainer = Trainer(
            task, optimizer, schedule, _trainer_settings(settings), folder=out_dir, progress=tell, clock=clock
        )
        if resume:
            trainer.resume()
        trainer.run(Budget(seconds=60.0 * minutes))
        manifest = _manifest(settings, trainer.step, pictures=len(cells), minutes=minutes)
        return write_weights(out_dir, trainer.average.weights, manifest)


def _trainer_settings(settings: PeerTrainSettings) -> TrainerSettings:
    return TrainerSettings(
        learning_rate=settings.learning_rate,
        clip_norm=_CLIP_NORM,
        average=AverageSettings(settings.ema_decay),
        log=Interval(steps=_LOG_STEPS),
        checkpoint=Interval(steps=_CHECKPOINT_STEPS),
    )


def _manifest(settings: PeerTrainSettings, steps: int, *, pictures: int, minutes: float) -> Manifest:
    return Manifest(
        name=PEER_WEIGHTS,
        net="FasterRCNN",
        arguments={"width": settings.width},
        data={"tseng": pictures},
        split="train (by case)",
        command=f"karyoscan train peer --minutes {minutes:g}",
        settings=asdict(settings),
        seed=settings.seed,
        steps=steps,
        metrics={},
    )
