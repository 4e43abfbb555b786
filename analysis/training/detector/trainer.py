"""Train the detector: a long stint at a constant rate, and decays branched off it.

The rate stays constant until somebody wants weights; then a decay takes it to nothing within a given number of
steps, from the last checkpoint (warm-up, stable, decay: Hu et al. 2024). The next stable stint or decay goes on
from the decay's end, so that none of its steps is lost (Wen et al. 2024), for as long as anybody likes. All counts
in steps: a busy machine makes a training longer and not worse.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

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
from analysis.training.engine.run_files import log_line, read_checkpoint, write_checkpoint
from analysis.training.engine.steps import is_faster_in_half, means, take_into_average, weight_groups

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
_CLIP: Final = 10.0


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
    """What a stint left behind.

    Attributes
    ----------
    weights_path
        The ``.safetensors`` file of a finished decay; None after a stable stint or an unfinished decay.
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
        Time budget: of all stable stints together, or of the decay. A decay that has not come to its end is
        taken up by the next call.
    decay_steps
        Branch off the last checkpoint and take the rate to nothing in as many steps; None for a stable stint.
    decay_from
        Share of the constant rate that the decay begins with.
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
    settings = settings or DetectorTrainSettings()
    tell = progress or (lambda _line: None)
    with _fast_arithmetic():
        out_dir.mkdir(parents=True, exist_ok=True)
        folder, cache = data_dir / "tseng", out_dir / "prepared"
        train = prepare_cells(folder, cache, "train", limit=settings.train_images, tell=tell)
        some_val = prepare_cells(folder, cache, "val", limit=settings.validate_images, tell=tell)
        run = _Run(settings, out_dir, train, tell)
        run.begin(decay_steps, decay_from, resume=resume)
        finished = run.train(60.0 * minutes, some_val)
        if decay_steps is None or not finished:
            return DetectorTrainResult(None, run.state.step, {})
        val = prepare_cells(folder, cache, "val", tell=tell) if settings.validate_images else some_val
        metrics = run.validate(val)
        path = write_weights(out_dir, stored(run.state.average), run.manifest(metrics))
        run.take_over()
        tell(json.dumps({"step": run.state.step, "images": len(val), **metrics}))
        return DetectorTrainResult(path, run.state.step, metrics)


@contextmanager
def _fast_arithmetic() -> Iterator[None]:
    """One thread an operation, and numbers too small to matter are nothing; as it was before, afterwards.

    Both belong to the process: whoever else computes in it counts on subnormal numbers.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def stored(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are kept: kernels in half precision, which costs them nothing that shows."""
    return {key: value.half() if value.ndim > 1 else value for key, value in tensors.items()}


@dataclass(slots=True)
class _State:
    """Everything a checkpoint has."""

    net: DetectorNet
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int = 0
    spent_s: float = 0.0
    branched_at: int = 0
    decay_steps: int = 0
    decay_from: float = 1.0

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        content = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "step": self.step,
            "spent_s": self.spent_s,
            "branched_at": self.branched_at,
            "decay_steps": self.decay_steps,
            "decay_from": self.decay_from,
        }
        write_checkpoint(path, content)

    def load(self, path: Path) -> None:
        """Take a checkpoint up."""
        content = read_checkpoint(path)
        self.net.load_state_dict(content["net"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.average = content["average"]
        self.step, self.spent_s = int(content["step"]), float(content["spent_s"])
        self.branched_at, self.decay_steps = int(content["branched_at"]), int(content["decay_steps"])
        self.decay_from = float(content.get("decay_from", 1.0))


class _Run:
    """One stint."""

    def __init__(
        self, settings: DetectorTrainSettings, out_dir: Path, train: Sequence[DetectorCell], tell: Progress
    ) -> None:
        self._settings = settings
        self._out_dir = out_dir
        self._train = train
        self._singles: tuple[Single, ...] = tuple(single for cell in train for single in cell.singles)
        self._tell = tell
        self._path = out_dir / "checkpoint.ckpt"
        self._places = points(settings.augment.window_px, settings.augment.window_px)
        self._half = False
        torch.manual_seed(settings.seed)
        net = DetectorNet(settings.width)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = weight_groups(net, settings.weight_decay)
        # Not the fused one: where a gradient lies in memory otherwise than its parameter (channels last), it takes
        # the numbers in the order of the memory and scrambles the kernels, without a word (torch 2.13).
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
        average = {key: value.detach().clone() for key, value in net.state_dict().items()}
        self.state = _State(net, optimiser, average)
        # Every thread learns from its share of a batch with a net of its own. They wait for each other once a
        # step; threads that share every operation wait hundreds of times, most of the time on a busy machine.
        self._twins = [deepcopy(net) for _ in range(min(settings.threads, settings.batch))]
        self._pool = ThreadPoolExecutor(max_workers=len(self._twins))

    def begin(self, decay_steps: int | None, decay_from: float, *, resume: bool) -> None:
        """Take up what the stint goes on from."""
        stable, decay = self._out_dir / "checkpoint.ckpt", self._out_dir / "decay.ckpt"
        if decay_steps is None:
            if resume and stable.is_file():
                self.state.load(stable)
            return
        if not stable.is_file():
            raise DatasetError("there is no checkpoint to branch a decay off", path=stable)
        self.state.load(stable)
        self._path = decay
        branch = self.state.step
        if resume and decay.is_file():
            self.state.load(decay)
            if (self.state.branched_at, self.state.decay_steps) == (branch, decay_steps):
                return
            self.state.load(stable)
        self.state.branched_at, self.state.decay_steps, self.state.spent_s = branch, decay_steps, 0.0
        self.state.decay_from = decay_from

    def take_over(self) -> None:
        """Let what comes next go on from the end of the decay."""
        stable = self._out_dir / "checkpoint.ckpt"
        decay_s = self.state.spent_s
        before = read_checkpoint(stable)
        self.state.branched_at, self.state.decay_steps = 0, 0
        self.state.spent_s = float(before["spent_s"]) + decay_s
        self.state.save(stable)

    def train(self, budget_s: float, val: Sequence[DetectorCell]) -> bool:
        """Train until the time is spent or the decay has come to its end; True for the latter."""
        state, settings = self.state, self._settings
        end = state.branched_at + state.decay_steps if state.decay_steps else None
        self._half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16
        self._tell(
            f"from step {state.step}, {'bfloat16' if self._half else 'float32'}, {len(self._train)} pictures"
        )
        started, before_s, parts = time.monotonic(), state.spent_s, []
        state.net.train()
        while state.spent_s < budget_s and state.step != end:
            parts.append(self._one_step())
            state.spent_s = before_s + time.monotonic() - started
            if state.step % settings.checkpoint_steps == 0:
                state.save(self._path)
                self._log({"loss": means(parts)})
                parts.clear()
            if state.step % settings.validate_steps == 0:
                self._log(self.validate(val))
                state.net.train()
        state.save(self._path)
        return state.step == end

    def _is_faster_in_half(self) -> bool:
        picture = torch.zeros(1, 1, 448, 448).contiguous(memory_format=torch.channels_last)
        return is_faster_in_half(lambda: self.state.net(picture))

    def _log(self, entry: dict[str, Any]) -> None:
        line = {"step": self.state.step, "spent_s": round(self.state.spent_s, 1), **entry}
        if self.state.decay_steps:
            line["branched_at"] = self.state.branched_at
        self._tell(log_line(self._out_dir, line))

    def _one_step(self) -> dict[str, float]:
        state, count = self.state, len(self._twins)
        for group in state.optimiser.param_groups:
            group["lr"] = self._settings.learning_rate * self._rate()
        first = state.step * self._settings.batch
        numbers = [range(first + k, first + self._settings.batch, count) for k in range(count)]
        parts = list(self._pool.map(self._learn, self._twins, numbers))
        for value, *others in zip(
            state.net.parameters(), *(twin.parameters() for twin in self._twins), strict=True
        ):
            value.grad = torch.stack([_gradient(other) for other in others]).mean(dim=0)
        for value, *others in zip(state.net.buffers(), *(twin.buffers() for twin in self._twins), strict=True):
            value.copy_(torch.stack([other.float() for other in others]).mean(dim=0))
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), _CLIP)
        state.optimiser.step()
        state.step += 1
        self._average()
        return means(parts)

    def _learn(self, twin: DetectorNet, numbers: range) -> dict[str, float]:
        """Gradients of some examples, left in the twin."""
        twin.load_state_dict(self.state.net.state_dict())
        twin.train()
        twin.zero_grad(set_to_none=True)
        pictures, targets = _batch([self._example(number) for number in numbers])
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            output = twin(pictures)
        parts = detector_loss(twin, self._places, output, targets, self._settings.loss)
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        return {key: float(value.detach()) for key, value in parts.items()}

    def _rate(self) -> float:
        state = self.state
        warm = min(1.0, (state.step + 1) / self._settings.warm_up_steps)
        if not state.decay_steps:
            return warm
        return warm * state.decay_from * (1.0 - (state.step - state.branched_at) / state.decay_steps)

    def _example(self, number: int) -> Example:
        """Draw an example: it depends on seed and number alone, so that a resumed run sees the same."""
        settings, count = self._settings, len(self._train)
        order = np.random.default_rng((settings.seed, number // count)).permutation(count)
        rng = np.random.default_rng((settings.seed, number, 1))
        return draw_example(self._train[int(order[number % count])], self._singles, rng, settings.augment)

    def _average(self) -> None:
        state = self.state
        take_into_average(state.average, state.net, step=state.step, decay=self._settings.ema_decay)

    def validate(self, val: Sequence[DetectorCell]) -> dict[str, float]:
        """Figures of the averaged weights."""
        net = DetectorNet(self._settings.width)
        net.load_state_dict(self.state.average)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        net.eval()
        return detector_figures(Detector(net), val)

    def manifest(self, metrics: dict[str, float]) -> Manifest:
        """Say where the weights come from."""
        settings, state = self._settings, self.state
        return Manifest(
            name=DETECTOR_WEIGHTS,
            net="DetectorNet",
            arguments={"width": settings.width},
            data={"tseng": len(self._train)},
            split="train (by case); choices on val",
            command=f"karyoscan train detector, then with --decay-steps {state.decay_steps}",
            settings={
                **asdict(settings),
                "bfloat16": self._half,
                "branched_at": state.branched_at,
                "decay_from": state.decay_from,
            },
            metrics=metrics,
            seed=settings.seed,
            steps=state.step,
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


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad
