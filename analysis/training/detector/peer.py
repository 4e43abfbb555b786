"""Train the peer, a Faster R-CNN, on the detector's examples for a given processor time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from analysis.evaluation.peer import PEER_WEIGHTS, peer_net
from analysis.parameters.weights import Manifest, write_weights
from analysis.training.detector.augmentation import DetectorAugmentation, draw_example
from analysis.training.detector.data import prepare_cells
from analysis.training.engine.steps import take_into_average

Progress = Callable[[str], None]
_CLIP: Final = 5.0
_TOLD_EVERY: Final = 25


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


def train_peer(
    data_dir: Path,
    out_dir: Path,
    *,
    minutes: float,
    cache_dir: Path | None = None,
    settings: PeerTrainSettings | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train for some minutes of processor time, drawing of examples counted in; the weights' path.

    The rate follows a cosine over the time.

    Parameters
    ----------
    data_dir
        Data root with ``tseng``.
    out_dir
        Gets weights and manifest.
    minutes
        Of one thread.
    cache_dir
        Where pictures are prepared, or were for the detector; by default in ``out_dir``.
    settings
        How to train.
    progress
        Called with one line per logged interval.

    Raises
    ------
    DatasetError
        Where the set isn't there.
    WeightsError
        Without torchvision.
    """
    settings = settings or PeerTrainSettings()
    tell = progress or (lambda _line: None)
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        torch.manual_seed(settings.seed)
        cells = prepare_cells(
            data_dir / "tseng", cache_dir or out_dir / "prepared", "train", limit=settings.images, tell=tell
        )
        singles = tuple(single for cell in cells for single in cell.singles)
        net = peer_net(settings.width)
        net.train()
        net.backbone.in_half = True  # type: ignore[union-attr]
        optimiser = torch.optim.AdamW(
            net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        average = {key: value.detach().clone() for key, value in net.state_dict().items()}
        begun, step, spent = time.process_time(), 0, 0.0
        while spent < 1.0:
            examples = []
            for number in range(step * settings.batch, (step + 1) * settings.batch):
                rng = np.random.default_rng((settings.seed, number))
                examples.append(draw_example(cells[int(rng.integers(len(cells)))], singles, rng, settings.augment))
            pictures = [torch.from_numpy(one.image[None]) for one in examples]
            targets = [
                {
                    "boxes": torch.from_numpy(one.boxes_px),
                    "labels": torch.ones(len(one.boxes_px), dtype=torch.int64),
                }
                for one in examples
            ]
            losses: dict[str, Tensor] = net(pictures, targets)
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), _CLIP)
            rate = min(1.0, (step + 1) / settings.warm_up_steps) * (0.01 + 0.495 * (1.0 + np.cos(np.pi * spent)))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate
            optimiser.step()
            step += 1
            take_into_average(average, net, step=step, decay=settings.ema_decay)
            spent = (time.process_time() - begun) / (60.0 * minutes)
            if step % _TOLD_EVERY == 0:
                parts = {key: round(float(value.detach()), 4) for key, value in losses.items()}
                tell(json.dumps({"step": step, "spent": round(spent, 3), **parts}))
        manifest = Manifest(
            name=PEER_WEIGHTS,
            net="FasterRCNN",
            arguments={"width": settings.width},
            data={"tseng": len(cells)},
            split="train (by case)",
            command=f"karyoscan train peer --minutes {minutes:g}",
            settings=asdict(settings),
            metrics={},
            seed=settings.seed,
            steps=step,
        )
        return write_weights(out_dir, average, manifest)
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
