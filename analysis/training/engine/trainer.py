"""The training loop of every net of this project.

What is trained, on what, by which loss and how it is validated is a `TrainingTask`; when the rate falls is a
schedule; when it ends is a `Budget`. Everything else stands here once: the loop, gradient clipping, averaged
weights, checkpoints that a run goes on from bit by bit, the log, and the best weights on the validation split.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from analysis.training.engine.average import AverageSettings, WeightAverage, copied
from analysis.training.engine.checkpoint import read_checkpoint, write_checkpoint
from analysis.training.engine.log import TrainingLog, means
from analysis.training.engine.progress import Budget, Progress, silent
from analysis.training.engine.schedule import Schedule, schedule_from_state, schedule_to_state

logger = logging.getLogger(__name__)

CHECKPOINT_NAME = "checkpoint.ckpt"


class TrainingTask(ABC):
    """What one trainer supplies.

    Parameters
    ----------
    net
        What is trained.

    Attributes
    ----------
    chooses
        Whether the best averaged weights on the validation split are kept, by `choice_score`; a run then ends
        with a validation.
    """

    chooses: ClassVar[bool] = False

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    @abstractmethod
    def gradients(self, step: int) -> Mapping[str, float]:
        """Draw the batch of a step and leave its gradients in the net.

        Parameters
        ----------
        step
            Steps done before this one.

        Returns
        -------
        Mapping
            Values of the loss' parts.
        """

    def validate(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of averaged weights (of any shape) on the validation split; empty where a task has none."""
        del tensors
        return {}

    def choice_score(self, figures: Mapping[str, float]) -> float:
        """What the best weights are chosen by, the higher the better; asked only of a task that `chooses`."""
        raise NotImplementedError

    def validated(self, step: int, figures: Mapping[str, float], tensors: Mapping[str, Tensor]) -> None:
        """Do what is to be done after every validation, such as writing weights.

        Parameters
        ----------
        step
            Steps done.
        figures
            Of `validate`.
        tensors
            Averaged weights, of any shape.
        """
        del step, figures, tensors

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the task itself: generators, class centres."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        del state


@dataclass(frozen=True, slots=True)
class Interval:
    """How often something is done; never where neither is given.

    Attributes
    ----------
    steps
        Steps between.
    seconds
        Least seconds of the trainer's clock between.
    """

    steps: int | None = None
    seconds: float | None = None

    def is_due(self, step: int, since_s: float) -> bool:
        """Whether it is to be done after a step.

        Parameters
        ----------
        step
            Steps done.
        since_s
            Seconds since it was done, or since the run was begun or resumed.
        """
        by_step = self.steps is not None and step % self.steps == 0
        return by_step or (self.seconds is not None and since_s >= self.seconds)


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """How the loop runs.

    Attributes
    ----------
    learning_rate
        That the schedule's factors are of.
    clip_norm
        Greatest norm of all gradients together (Pascanu et al. 2013).
    average
        Of the averaged weights.
    log, checkpoint, validation
        Intervals. Losses are logged as means over the steps since they were last.
    """

    learning_rate: float
    clip_norm: float
    average: AverageSettings
    log: Interval
    checkpoint: Interval = Interval()
    validation: Interval = Interval()


@dataclass(slots=True)
class BestWeights:
    """The averaged weights with the best figures on the validation split.

    Attributes
    ----------
    weights
        The weights.
    score, step
        Theirs; the score is -inf before the first validation.
    """

    weights: dict[str, Tensor]
    score: float = float("-inf")
    step: int = 0

    def offer(self, tensors: Mapping[str, Tensor], score: float, step: int) -> None:
        """Keep weights where they are better than those kept.

        Parameters
        ----------
        tensors
            Averaged weights of any shape; they are copied.
        score
            The higher the better.
        step
            Steps behind them.
        """
        if score > self.score:
            self.weights, self.score, self.step = copied(tensors), score, step


class Trainer:
    """Runs a task.

    Parameters
    ----------
    task
        What is trained.
    optimiser
        Of the task's net.
    schedule
        Of the learning rate; may be replaced between runs.
    settings
        How the loop runs.
    folder
        Gets checkpoints and the log; None keeps neither.
    progress
        Gets a line for every log entry.
    clock
        Seconds that budgets and time schedules count in: of the wall, or of the processor, so that other work on
        the machine costs no steps.
    checkpoint_name
        Name of the checkpoint's file in the folder.

    Attributes
    ----------
    step, spent_s
        Steps done and seconds spent, resumed ones counted.
    average
        Averaged weights, what is shipped.
    best
        Best of them, for tasks that choose.
    """

    def __init__(
        self,
        task: TrainingTask,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        settings: TrainerSettings,
        *,
        folder: Path | None = None,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
        checkpoint_name: str = CHECKPOINT_NAME,
    ) -> None:
        self.task, self.optimiser, self.schedule, self.settings = task, optimiser, schedule, settings
        self.checkpoint_name = checkpoint_name
        self.average = WeightAverage(task.net, settings.average)
        self.best = BestWeights(copied(self.average.weights))
        self.step = 0
        self.spent_s = 0.0
        self._folder, self._clock = folder, clock
        self._log = TrainingLog(folder, progress or silent)
        self._losses: list[Mapping[str, float]] = []
        self._validated_step: int | None = None
        self._extra: dict[str, float] = {}
        self._run_begin = (0, 0.0)

    def note(self, **extra: float) -> None:
        """Add figures to every entry of the log from here on."""
        self._extra = dict(extra)

    def path(self, name: str | None = None) -> Path | None:
        """Where a checkpoint lies: the trainer's own, or one of another name; None without a folder."""
        return None if self._folder is None else self._folder / (name or self.checkpoint_name)

    def save(self) -> None:
        """Write the checkpoint whole or not at all; nothing without a folder."""
        path = self.path()
        if path is None:
            return
        content = {
            "net": self.task.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.weights,
            "best": {"weights": self.best.weights, "score": self.best.score, "step": self.best.step},
            "schedule": schedule_to_state(self.schedule),
            "task": self.task.state(),
            "random": torch.get_rng_state(),
            "losses": [dict(each) for each in self._losses],
            "step": self.step,
            "spent_s": self.spent_s,
            "validated_step": self._validated_step,
        }
        write_checkpoint(path, content)

    def resume(self, name: str | None = None, *, keep_schedule: bool = True) -> bool:
        """Take a checkpoint up, where there is one.

        Parameters
        ----------
        name
            Of another file than the trainer's own.
        keep_schedule
            Whether the trainer's own schedule stays; otherwise the checkpoint's goes on.

        Returns
        -------
        bool
            Whether there was one.
        """
        path = self.path(name)
        if path is None or not path.is_file():
            return False
        content = read_checkpoint(path)
        self.task.net.load_state_dict(content["net"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.average.weights = content["average"]
        best = content["best"]
        self.best = BestWeights(best["weights"], float(best["score"]), int(best["step"]))
        if not keep_schedule:
            self.schedule = schedule_from_state(content["schedule"])
        self.task.load_state(content["task"])
        torch.set_rng_state(content["random"])
        self._losses = list(content["losses"])
        self.step, self.spent_s = int(content["step"]), float(content["spent_s"])
        self._validated_step = content["validated_step"]
        logger.info("resumed at step %d after %.0f s", self.step, self.spent_s)
        return True

    def score_best_again(self) -> None:
        """Score the kept best weights anew: the validation split may have grown since."""
        self.best.score = self.task.choice_score(self.task.validate(self.best.weights))

    def run(self, budget: Budget) -> bool:
        """Train until a limit is reached; a checkpoint lies there then.

        Parameters
        ----------
        budget
            When it ends, everything before a resumption counted.

        Returns
        -------
        bool
            Whether the last step of the budget is done.
        """
        begun, before_s = self._clock(), self.spent_s
        self._run_begin = (self.step, self.spent_s)
        saved_s = logged_s = validated_s = self.spent_s
        settings = self.settings
        self.task.net.train()
        while not budget.is_spent(self.step, self.spent_s):
            self._one_step()
            self.spent_s = before_s + self._clock() - begun
            at_end = budget.is_spent(self.step, self.spent_s)
            if settings.validation.is_due(self.step, self.spent_s - validated_s) or (self.task.chooses and at_end):
                validated_s = self.spent_s
                self._validate(budget)
            if settings.log.is_due(self.step, self.spent_s - logged_s):
                logged_s = self.spent_s
                self._log_losses(budget)
            if settings.checkpoint.is_due(self.step, self.spent_s - saved_s):
                saved_s = self.spent_s
                self.save()
        self.save()
        return budget.has_last_step(self.step)

    def _one_step(self) -> None:
        factor = self.schedule.factor(self.step, self.spent_s)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * factor
        self._losses.append(self.task.gradients(self.step))
        nn.utils.clip_grad_norm_(self.task.net.parameters(), self.settings.clip_norm)
        self.optimiser.step()
        self.step += 1
        self.average.update(self.task.net, self.step)

    def _validate(self, budget: Budget) -> None:
        """Look at the averaged weights, and keep them where they are the best so far."""
        if self._validated_step == self.step:
            return
        self._validated_step = self.step
        figures = self.task.validate(self.average.weights)
        self.task.net.train()
        entry: dict[str, Any] = {"val": figures}
        if self.task.chooses:
            score = self.task.choice_score(figures)
            self.best.offer(self.average.weights, score, self.step)
            entry |= {"score": round(score, 4), "best_step": self.best.step}
        self._add(budget, entry)
        self.task.validated(self.step, figures, self.average.weights)

    def _log_losses(self, budget: Budget) -> None:
        self._add(budget, {"loss": means(self._losses)})
        self._losses.clear()

    def _add(self, budget: Budget, entry: Mapping[str, Any]) -> None:
        steps, seconds = self.step - self._run_begin[0], self.spent_s - self._run_begin[1]
        left_s = budget.remaining_s(self.step, self.spent_s, seconds / steps if steps else None)
        line = {"step": self.step, "spent_s": round(self.spent_s, 1), **self._extra, **entry}
        if left_s is not None:
            line["left_s"] = round(left_s)
        self._log.add(line)
