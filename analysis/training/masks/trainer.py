"""Train the stream's two nets on scenes that are simulated on the way.

The rate follows a cosine over a given number of steps: a busy machine makes the training longer and not worse.
Every scene depends on seed and number alone, so that a run that was taken up again sees what it would have seen.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from analysis.evaluation.box_free.blob_classifier import BLOB_WEIGHTS
from analysis.nets.mask_net import BlobNet, MaskNet
from analysis.parameters.weights import Manifest, write_weights
from analysis.segmentation.mask_net.predictor import MASK_WEIGHTS
from analysis.training.engine.run_files import log_line, read_checkpoint, write_checkpoint
from analysis.training.engine.steps import is_faster_in_half, means, take_into_average, weight_groups
from analysis.training.masks.batches import Batches, MaskBatch, Seeds, draw_batch, drawing
from analysis.training.masks.scene import SceneSettings
from analysis.training.masks.singles import SOURCES, SingleBank, load_bank

Progress = Callable[[str], None]
_CLIP: Final = 5.0
_VAL_SEED: Final = 77
_SOFT: Final = 1.0


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
    """What a stint left behind.

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
        This stint ends after as many; the next call goes on.
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
    settings = settings or StreamTrainSettings()
    tell = progress or (lambda _line: None)
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cv2.setNumThreads(1)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        cache = out_dir / "prepared"
        bank = load_bank(data_dir, cache, "train", sources=settings.sources, cells=settings.cells, tell=tell)
        val = load_bank(data_dir, cache, "val", sources=settings.sources, cells=settings.cells, tell=tell)
        run = _Run(settings, out_dir, bank, steps, tell)
        if resume:
            run.take_up()
        run.train(60.0 * minutes)
        if run.step < steps:
            return StreamTrainResult(None, run.step, {})
        metrics = run.validate(val)
        tell(json.dumps({"step": run.step, **metrics}))
        return StreamTrainResult(run.write(metrics, len(bank)), run.step, metrics)
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)


class _Pair(nn.Module):
    """Both nets, trained side by side."""

    def __init__(self, settings: StreamTrainSettings) -> None:
        super().__init__()
        self.masks = MaskNet(settings.mask_width)
        self.blobs = BlobNet(settings.blob_width)


class _Run:
    """One training."""

    def __init__(
        self, settings: StreamTrainSettings, out_dir: Path, bank: SingleBank, steps: int, tell: Progress
    ) -> None:
        self._settings = settings
        self._out_dir = out_dir
        self._bank = bank
        self._steps = steps
        self._tell = tell
        self.step = 0
        self._spent_s = 0.0
        torch.manual_seed(settings.seed)
        self._nets = _Pair(settings)
        self._nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = weight_groups(self._nets, settings.weight_decay)
        self._optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
        self._average = {key: value.detach().clone() for key, value in self._nets.state_dict().items()}
        # A net for every thread, as in the detector's training: threads then meet once a step.
        self._twins = [deepcopy(self._nets) for _ in range(min(settings.threads, settings.scenes))]
        self._half = False

    @property
    def _path(self) -> Path:
        return self._out_dir / "stream.ckpt"

    def take_up(self) -> None:
        """Go on from the checkpoint."""
        if not self._path.is_file():
            return
        content = read_checkpoint(self._path)
        if content["steps"] != self._steps:
            self._tell(f"{content['steps']} steps were planned, now {self._steps}")
        self._nets.load_state_dict(content["nets"])
        self._optimiser.load_state_dict(content["optimiser"])
        self._average = content["average"]
        self.step, self._spent_s = int(content["step"]), float(content["spent_s"])

    def _save(self) -> None:
        content = {
            "nets": self._nets.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
            "step": self.step,
            "steps": self._steps,
            "spent_s": self._spent_s,
        }
        write_checkpoint(self._path, content)

    def train(self, budget_s: float) -> None:
        """Train until the steps are done or the time is spent."""
        settings, started, before_s = self._settings, time.monotonic(), self._spent_s
        self._half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16
        parts: list[dict[str, float]] = []
        with (
            ThreadPoolExecutor(max_workers=len(self._twins)) as pool,
            drawing(self._bank, settings.scene, settings.prompts, settings.drawers) as batches,
        ):
            for step in range(self.step, self.step + batches.ahead):
                for seeds in self._shares(step):
                    batches.ask(seeds)
            while self.step < self._steps and time.monotonic() - started < budget_s:
                parts.append(self._one_step(pool, batches))
                self._spent_s = before_s + time.monotonic() - started
                if self.step % settings.checkpoint_steps == 0:
                    self._save()
                    self._log(means(parts))
                    parts.clear()
        self._save()

    def _is_faster_in_half(self) -> bool:
        crop = torch.zeros(8, 3, 112, 112).contiguous(memory_format=torch.channels_last)
        return is_faster_in_half(lambda: self._nets.masks(crop))

    def _log(self, entry: dict[str, float]) -> None:
        line = {"step": self.step, "spent_s": round(self._spent_s, 1), **entry}
        self._tell(log_line(self._out_dir, line))

    def _one_step(self, pool: ThreadPoolExecutor, batches: Batches) -> dict[str, float]:
        settings = self._settings
        for group in self._optimiser.param_groups:
            group["lr"] = settings.learning_rate * self._rate()
        shares = self._shares(self.step)
        for seeds in self._shares(self.step + batches.ahead):
            batches.ask(seeds)
        parts = list(pool.map(self._learn, self._twins, [batches.take(seeds) for seeds in shares]))
        for value, *others in zip(
            self._nets.parameters(), *(twin.parameters() for twin in self._twins), strict=True
        ):
            grads = [torch.zeros_like(value) if other.grad is None else other.grad for other in others]
            value.grad = torch.stack(grads).mean(dim=0)
        for value, *others in zip(self._nets.buffers(), *(twin.buffers() for twin in self._twins), strict=True):
            value.copy_(torch.stack([other.float() for other in others]).mean(dim=0))
        nn.utils.clip_grad_norm_(self._nets.parameters(), _CLIP)
        self._optimiser.step()
        self.step += 1
        self._take_average()
        return means(parts)

    def _shares(self, step: int) -> list[Seeds]:
        """Seeds of a step's scenes, a share for each thread."""
        first, count = step * self._settings.scenes, len(self._twins)
        return [
            tuple(
                (self._settings.seed, number) for number in range(first + k, first + self._settings.scenes, count)
            )
            for k in range(count)
        ]

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self._settings.warm_up_steps)
        return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * self.step / self._steps)))

    def _learn(self, twin: _Pair, batch: MaskBatch) -> dict[str, float]:
        """Gradients of some scenes, left in the twin."""
        twin.load_state_dict(self._nets.state_dict())
        twin.train()
        twin.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            answer = twin.masks(batch.prompted)
            kinds = twin.blobs(batch.shown, batch.extras)
        losses = {
            **mask_losses(answer.mask, answer.quality, batch),
            "kinds": blob_loss(kinds, batch.answers),
        }
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        return {key: float(value.detach()) for key, value in losses.items()}

    def _take_average(self) -> None:
        take_into_average(self._average, self._nets, step=self.step, decay=self._settings.ema_decay)

    def validate(self, bank: SingleBank) -> dict[str, float]:
        """Figures of the averaged weights on simulated scenes of other people's chromosomes."""
        nets = _Pair(self._settings)
        nets.load_state_dict(self._average)
        nets.eval()
        boxed: list[NDArray[np.float32]] = []
        right: list[NDArray[np.float32]] = []
        for number in range(0, self._settings.val_scenes, 4):
            seeds = tuple((_VAL_SEED, number + k) for k in range(4))
            batch = draw_batch(bank, self._settings.scene, self._settings.prompts, seeds)
            with torch.inference_mode():
                found = nets.masks(batch.prompted).mask > 0.0
                kinds = nets.blobs(batch.shown, batch.extras) > 0.0
            overlap = _overlap(found, batch.target > 0.5)
            by_box = batch.prompted[:, 1].amax(dim=(1, 2)) > 0.0
            asked = batch.target.amax(dim=(1, 2)) > 0.0
            boxed.append(np.stack([overlap[asked].numpy(), by_box[asked].numpy()], axis=1))
            known = batch.answers >= 0.0
            agrees = torch.where(known, (kinds == (batch.answers > 0.5)).float(), torch.nan)
            right.append(agrees.numpy())
        overlaps, answers = np.concatenate(boxed), np.concatenate(right)
        figures = {
            "iou_by_box": float(overlaps[overlaps[:, 1] > 0, 0].mean()),
            "iou_by_point": float(overlaps[overlaps[:, 1] == 0, 0].mean()),
        }
        for column, name in enumerate(("pure", "connected", "attached")):
            known_rows = answers[:, column][~np.isnan(answers[:, column])]
            figures[f"{name}_right"] = float(known_rows.mean()) if known_rows.size else 0.0
        return {key: round(value, 4) for key, value in figures.items()}

    def write(self, metrics: dict[str, float], singles: int) -> tuple[Path, Path]:
        """Write both nets with their manifests."""
        paths = []
        settings = asdict(self._settings)
        for name, net, part, width in (
            (MASK_WEIGHTS, "MaskNet", "masks.", self._settings.mask_width),
            (BLOB_WEIGHTS, "BlobNet", "blobs.", self._settings.blob_width),
        ):
            own = {key.removeprefix(part): value for key, value in self._average.items() if key.startswith(part)}
            manifest = Manifest(
                name=name,
                net=net,
                arguments={"width": width},
                data={"+".join(self._settings.sources): singles},
                split="train (by case); figures on simulated scenes of val",
                command=f"karyoscan train stream --steps {self._steps}"
                + "".join(f" --source {source}" for source in self._settings.sources),
                settings={**settings, "bfloat16": self._half},
                metrics=metrics,
                seed=self._settings.seed,
                steps=self.step,
            )
            half = {key: value.half() if value.ndim > 1 else value for key, value in own.items()}
            paths.append(write_weights(self._out_dir, half, manifest))
        return paths[0], paths[1]


def mask_losses(logits: Tensor, quality: Tensor, batch: MaskBatch) -> dict[str, Tensor]:
    """Losses of the mask net: cross entropy where there is stain, overlap, and foretelling of the overlap."""
    target = batch.target
    # At work masks are kept to what is stained: the slide teaches little.
    weight = torch.where((batch.prompted[:, 0] > 0.2) | (target > 0.5), 1.0, 0.05)
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
    """Cross entropy over the questions that arise."""
    known = (answers >= 0.0).float()
    each = functional.binary_cross_entropy_with_logits(logits, answers.clamp(min=0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1.0)


def _overlap(found: Tensor, target: Tensor) -> Tensor:
    shared = (found & target).sum(dim=(1, 2)).float()
    return shared / (found | target).sum(dim=(1, 2)).float().clamp(min=1.0)
