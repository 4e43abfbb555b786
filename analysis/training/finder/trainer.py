"""Train the finder's net on labelled crops.

The rate warms up and falls along a cosine over a number of epochs. Examples depend on seed and number alone, so
that a resumed training sees what it would have seen. The averaged weights are looked at on val every so often; the
best are kept.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import DatasetError
from analysis.finder.net_scores import FINDER_WEIGHTS, ScoreCalibration, calibrated_scores, net_inputs
from analysis.nets.finder_net import TYPICAL_RADIUS_UM, FinderNet
from analysis.nets.layers import folded
from analysis.parameters.weights import Manifest, fill_net, load_weights, read_manifest, write_weights
from analysis.training.engine.run_files import log_line, read_checkpoint, write_checkpoint
from analysis.training.engine.steps import is_faster_in_half, means, take_into_average, weight_groups
from analysis.training.finder.augmentation import FinderAugmentation, FinderBatch, augment
from analysis.training.finder.figures import agreement, choice_score, figures_of, fit_calibration, outputs_of
from analysis.training.finder.loss import FinderLossWeights, Labels, finder_loss
from analysis.training.finder.table import FinderCropTable

Progress = Callable[[str], None]
_CLIP: Final = 5.0
_SLOWEST: Final = 0.01


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
    reviewed_share
        Share of a batch that comes from a reviewer's decisions, where there are any.
    checkpoint_steps, validate_steps
        Steps between checkpoints, and between looks at val.
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
    reviewed_share: float = 0.25
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
    start: Path | None = None,
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
    start
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
    for name, table in (("train", data.train), ("val", data.val)):
        if not (np.any(table.metaphase == 1) and np.any(table.metaphase == 0)):
            raise DatasetError(f"there are no crops of metaphases, or none of anything else, to {name} on")
    settings = settings or FinderTrainSettings()
    with _fast_arithmetic():
        out_dir.mkdir(parents=True, exist_ok=True)
        run = _Run(settings, data, out_dir, start, progress or (lambda _line: None))
        if resume:
            run.take_up()
        finished = run.train(60.0 * minutes)
        return run.write(command, drift, finished=finished)


@contextmanager
def _fast_arithmetic() -> Iterator[None]:
    """One thread, and numbers too small to matter are nothing; as it was before, afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@dataclass(slots=True)
class _State:
    """Everything a checkpoint has."""

    net: FinderNet
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    best_score: float = -1.0
    best_step: int = 0
    step: int = 0
    spent_s: float = 0.0

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        content = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "best": self.best,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "step": self.step,
            "spent_s": self.spent_s,
        }
        write_checkpoint(path, content)

    def load(self, path: Path) -> None:
        """Take a checkpoint up."""
        content = read_checkpoint(path)
        self.net.load_state_dict(content["net"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.average, self.best = content["average"], content["best"]
        self.best_score, self.best_step = float(content["best_score"]), int(content["best_step"])
        self.step, self.spent_s = int(content["step"]), float(content["spent_s"])


class _Run:
    """One call of the trainer."""

    def __init__(
        self, settings: FinderTrainSettings, data: FinderData, out_dir: Path, start: Path | None, tell: Progress
    ) -> None:
        self._settings, self._data, self._out_dir, self._tell = settings, data, out_dir, tell
        torch.manual_seed(settings.seed)
        arguments = {"width": settings.width} if start is None else read_manifest(FINDER_WEIGHTS, start).arguments
        self._arguments: dict[str, Any] = dict(arguments)
        net = FinderNet(**self._arguments)
        if start is not None:
            tensors = load_weights(FINDER_WEIGHTS, start)
            fill_net(net, {key: value.float() for key, value in tensors.items()}, FINDER_WEIGHTS)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Not the fused one: it scrambles kernels whose gradients lie otherwise in memory (torch 2.13).
        optimiser = torch.optim.AdamW(weight_groups(net, settings.weight_decay), lr=settings.learning_rate)
        average = {key: value.detach().clone() for key, value in net.state_dict().items()}
        self._state = _State(net, optimiser, average, dict(average))
        self._half = False
        reviewed = len(data.reviewed) if data.reviewed is not None else 0
        self._reviewed = round(settings.batch * settings.reviewed_share) if reviewed else 0
        self._last = max(1, math.ceil(settings.epochs * len(data.train) / (settings.batch - self._reviewed)))

    def take_up(self) -> None:
        """Go on from the checkpoint, where there is one; val may have grown, so its best is looked at anew."""
        path = self._out_dir / "checkpoint.ckpt"
        if path.is_file():
            self._state.load(path)
            self._state.best_score = choice_score(self._look(self._state.best))

    def train(self, budget_s: float) -> bool:
        """Train until the time is spent or the last step was made; True for the latter."""
        state, settings = self._state, self._settings
        self._half = self._is_faster_in_half() if settings.bfloat16 is None else settings.bfloat16
        kind = "bfloat16" if self._half else "float32"
        self._tell(f"from step {state.step} of {self._last}, {kind}, {len(self._data.train)} crops")
        started, before_s, parts = time.monotonic(), state.spent_s, []
        state.net.train()
        while state.spent_s < budget_s and state.step < self._last:
            parts.append(self._one_step())
            state.spent_s = before_s + time.monotonic() - started
            if state.step % settings.validate_steps == 0 or state.step == self._last:
                self._choose()
            if state.step % settings.checkpoint_steps == 0:
                state.save(self._out_dir / "checkpoint.ckpt")
                self._log({"loss": means(parts)})
                parts.clear()
        if state.step and state.step % settings.validate_steps and state.step < self._last:
            self._choose()
        state.save(self._out_dir / "checkpoint.ckpt")
        return state.step >= self._last

    def write(self, command: str, drift: Drift | None, *, finished: bool) -> FinderTrainResult:
        """Calibrate the best weights on val and write them."""
        kept = stored(self._state.best)
        net = self._net({key: value.float() for key, value in kept.items()})
        output = outputs_of(net, self._data.val)
        calibration = fit_calibration(output, self._data.val)
        metrics = figures_of(calibrated_scores(output, calibration), self._data.val) | self._agreement(
            net, calibration
        )
        manifest = Manifest(
            name=FINDER_WEIGHTS,
            net="FinderNet",
            arguments=self._arguments,
            data=dict(self._data.about) or {"crops": len(self._data.train)},
            split="train (by case); choices and calibration on val",
            command=command,
            settings={**asdict(self._settings), "bfloat16": self._half, "steps_planned": self._last},
            metrics=metrics,
            seed=self._settings.seed,
            steps=self._state.best_step,
            calibration=asdict(calibration),
            drift=drift(net, calibration) if drift is not None else {},
        )
        path = write_weights(self._out_dir, kept, manifest)
        self._tell(json.dumps({"step": self._state.best_step, **metrics}))
        return FinderTrainResult(path, finished, self._state.step, metrics)

    def _is_faster_in_half(self) -> bool:
        crops, extras = torch.zeros(16, 1, 128, 128), torch.zeros(16, 2)
        crops = crops.contiguous(memory_format=torch.channels_last)
        net = self._net(self._state.average)
        return is_faster_in_half(lambda: net(crops, extras))

    def _net(self, tensors: Mapping[str, Tensor]) -> FinderNet:
        net = FinderNet(**self._arguments)
        fill_net(net, tensors, FINDER_WEIGHTS)
        return folded(net, half=False)

    def _choose(self) -> None:
        """Look at val, and keep the averaged weights where they are the best so far."""
        state = self._state
        net = self._net(state.average)
        output = outputs_of(net, self._data.val)
        figures = figures_of(calibrated_scores(output, ScoreCalibration()), self._data.val) | self._agreement(
            net, ScoreCalibration()
        )
        score = choice_score(figures)
        if score > state.best_score:
            state.best = {key: value.clone() for key, value in state.average.items()}
            state.best_score, state.best_step = score, state.step
        self._log({"val": figures, "score": round(score, 4), "best_step": state.best_step})

    def _look(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of weights on val, uncalibrated."""
        net, plain = self._net(tensors), ScoreCalibration()
        found = calibrated_scores(outputs_of(net, self._data.val), plain)
        return figures_of(found, self._data.val) | self._agreement(net, plain)

    def _agreement(self, net: FinderNet, calibration: ScoreCalibration) -> dict[str, float]:
        held = self._data.reviewed_val
        if held is None or not len(held):
            return {}
        return {"reviewed_agreement": agreement(calibrated_scores(outputs_of(net, held), calibration), held)}

    def _log(self, entry: dict[str, Any]) -> None:
        line = {"step": self._state.step, "spent_s": round(self._state.spent_s, 1), **entry}
        self._tell(log_line(self._out_dir, line))

    def _rate(self) -> float:
        warm = min(1.0, (self._state.step + 1) / self._settings.warm_up_steps)
        share = min(1.0, self._state.step / self._last)
        return self._settings.learning_rate * warm * max(_SLOWEST, 0.5 * (1.0 + math.cos(math.pi * share)))

    def _one_step(self) -> dict[str, float]:
        state = self._state
        for group in state.optimiser.param_groups:
            group["lr"] = self._rate()
        batch, labels = self._draw(state.step)
        state.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            output = state.net(batch.crops.contiguous(memory_format=torch.channels_last), batch.extras)
        parts = finder_loss(output, labels, self._settings.loss)
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), _CLIP)
        state.optimiser.step()
        state.step += 1
        self._average()
        return {key: float(value.detach()) for key, value in parts.items()}

    def _draw(self, step: int) -> tuple[FinderBatch, Labels]:
        """The examples of a step: they depend on seed and step alone."""
        own = self._settings.batch - self._reviewed
        table = self._data.train.at(self._rows(step, own, len(self._data.train), 0))
        tables = [table]
        if self._reviewed and self._data.reviewed is not None:
            reviewed = self._data.reviewed
            tables.append(reviewed.at(self._rows(step, self._reviewed, len(reviewed), 1)))
        torch.manual_seed(self._settings.seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(self._settings.seed * 1_000_003 + step)
        return drawn_batch(tables, generator, self._settings.augment)

    def _rows(self, step: int, count: int, total: int, stream: int) -> NDArray[np.int64]:
        numbers = np.arange(step * count, (step + 1) * count)
        orders = {
            int(epoch): np.random.default_rng((self._settings.seed, stream, int(epoch))).permutation(total)
            for epoch in np.unique(numbers // total)
        }
        return np.array([orders[int(number // total)][number % total] for number in numbers], np.int64)

    def _average(self) -> None:
        state = self._state
        take_into_average(state.average, state.net, step=state.step, decay=self._settings.ema_decay)


def drawn_batch(
    tables: Sequence[FinderCropTable], generator: torch.Generator, settings: FinderAugmentation
) -> tuple[FinderBatch, Labels]:
    """New views of the crops of some tables, and their labels."""

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
        share_right=column("share_right"),
        quality=column("quality"),
    )
    return batch, labels


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are kept: kernels in half precision, which costs them nothing that shows."""
    return {key: value.half() if value.ndim > 1 else value for key, value in tensors.items()}
