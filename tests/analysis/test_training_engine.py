"""The training engine: loop, schedules, averaged weights, checkpoints, log, best of validation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.training.engine.arithmetic import is_faster_in_half, training_arithmetic, weight_groups
from analysis.training.engine.average import AverageSettings, WeightAverage
from analysis.training.engine.checkpoint import read_checkpoint, whole_file, write_checkpoint
from analysis.training.engine.log import LOG_NAME, TrainingLog, means
from analysis.training.engine.parallel import ThreadedGradients
from analysis.training.engine.progress import Budget
from analysis.training.engine.schedule import (
    ConstantSchedule,
    CosineFloor,
    CosineSchedule,
    LinearDecaySchedule,
    schedule_from_state,
    schedule_to_state,
)
from analysis.training.engine.trainer import CHECKPOINT_NAME, Interval, Trainer, TrainerSettings, TrainingTask


def test_a_checkpoint_comes_back_with_its_optimiser(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    path = tmp_path / "run" / "checkpoint.ckpt"
    write_checkpoint(path, {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": 7})
    content = read_checkpoint(path)
    assert content["step"] == 7
    assert torch.equal(content["net"]["weight"], net.weight)
    torch.optim.AdamW(torch.nn.Linear(3, 2).parameters()).load_state_dict(content["optimiser"])
    assert [entry.name for entry in path.parent.iterdir()] == ["checkpoint.ckpt"]


def test_a_torn_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    with whole_file(path) as file:
        file.write(b"first")

    def torn() -> None:
        with whole_file(path) as file:
            file.write(b"sec")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torn()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_grows_by_a_line_an_entry(tmp_path: Path) -> None:
    lines: list[str] = []
    log = TrainingLog(tmp_path, lines.append)
    for step in (1, 2):
        log.add({"step": step, "loss": 0.5})
    assert (tmp_path / LOG_NAME).read_text() == "".join(line + "\n" for line in lines)
    assert json.loads(lines[1]) == {"step": 2, "loss": 0.5}


def test_kernels_decay_and_norms_do_not() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    kernels, others = weight_groups(net, 0.05)
    assert [value.shape for value in kernels["params"]] == [(2, 1, 3, 3)]
    assert [value.ndim for value in others["params"]] == [1, 1, 1]
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.05, 0.0)


def test_the_measurement_runs_the_work_both_ways_without_gradients() -> None:
    calls = []
    is_faster_in_half(lambda: calls.append((torch.is_autocast_enabled("cpu"), torch.is_grad_enabled())))
    assert calls == [(False, False)] * 3 + [(True, False)] * 3


def test_arithmetic_is_given_back_after_an_error() -> None:
    before = torch.get_num_threads()
    inside = []

    def broken() -> None:
        with training_arithmetic():
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert inside == [1]
    assert torch.get_num_threads() == before


def test_the_average_follows_the_net_faster_at_first_and_counts_are_taken_over() -> None:
    torch.manual_seed(1)
    net = torch.nn.BatchNorm1d(3)
    average = WeightAverage(net, AverageSettings(0.999))
    net.weight.data += 1.0
    net(torch.rand(4, 3))
    average.update(net, 1)
    assert torch.allclose(average.weights["weight"], torch.full((3,), 1.0 + 14 / 16))
    assert int(average.weights["num_batches_tracked"]) == 1
    assert AverageSettings(0.9).decay_at(10**6) == 0.9
    assert AverageSettings(0.998, first_update=0, early=10).decay_at(1) == pytest.approx(0.1)


def test_means_of_steps() -> None:
    assert means([{"loss": 1.0, "triplet": 0.5}, {"loss": 2.0}]) == {"loss": 1.5, "triplet": 0.25}


def test_schedules_rise_stay_and_fall() -> None:
    constant = ConstantSchedule(4)
    assert [constant.factor(step, 0.0) for step in (0, 3, 99)] == [0.25, 1.0, 1.0]
    linear = LinearDecaySchedule(1, first_step=10, steps=4, start_factor=0.5)
    assert [linear.factor(step, 0.0) for step in (10, 12, 14)] == [0.5, 0.25, 0.0]
    by_steps = CosineSchedule(1, steps=10)
    assert [by_steps.factor(step, 0.0) for step in (0, 5, 10)] == pytest.approx([1.0, 0.505, 0.01])
    clamped = CosineSchedule(1, steps=10, floor=0.2, floor_kind=CosineFloor.CLAMPED)
    assert [clamped.factor(step, 0.0) for step in (5, 10, 11)] == pytest.approx([0.5, 0.2, 0.2])
    both = CosineSchedule(1, steps=10, seconds=4.0)
    assert both.factor(1, 2.0) == pytest.approx(0.505)
    assert both.factor(5, 0.0) == pytest.approx(0.505)


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSchedule(3),
        LinearDecaySchedule(3, 7, 20, 0.5),
        CosineSchedule(3, steps=9, floor_kind=CosineFloor.CLAMPED),
    ],
)
def test_schedules_come_back_from_their_state(schedule: Any, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "schedule", {"schedule": schedule_to_state(schedule)})
    assert schedule_from_state(read_checkpoint(tmp_path / "schedule")["schedule"]) == schedule


def test_what_is_left_goes_by_the_nearer_limit() -> None:
    budget = Budget(steps=10, seconds=100.0)
    assert budget.remaining_s(0, 0.0, None) == 100.0
    assert budget.remaining_s(4, 20.0, 5.0) == pytest.approx(30.0)
    assert budget.remaining_s(4, 90.0, 5.0) == pytest.approx(10.0)
    assert Budget().remaining_s(3, 1.0, 0.3) is None
    assert budget.is_spent(3, 100.0)
    assert not budget.has_last_step(3)


def test_gradients_of_threads_are_those_of_the_whole_batch() -> None:
    torch.manual_seed(3)
    net = torch.nn.Linear(4, 1)
    rows = torch.rand(6, 4)

    def learn(copy: torch.nn.Linear, part: Tensor) -> dict[str, Tensor]:
        return {"loss": (copy(part) ** 2).mean()}

    parallel = ThreadedGradients(net, 2)
    losses = parallel(learn, [rows[:3], rows[3:]])
    parallel.close()
    assert net.weight.grad is not None
    got = net.weight.grad.clone()
    net.zero_grad()
    whole = learn(net, rows)["loss"]
    whole.backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(got, net.weight.grad)
    assert losses["loss"] == pytest.approx(float(whole.detach()), abs=1e-4)


class Line(TrainingTask):
    """Learns a line from random points; dropout draws from the global generator, the points from its own."""

    net: torch.nn.Sequential

    def __init__(self, *, chooses: bool = False) -> None:
        torch.manual_seed(5)
        super().__init__(torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 1)))
        self.generator = torch.Generator().manual_seed(6)
        self.validations: list[int] = []
        self.chooses = chooses  # type: ignore[misc]
        self.now: Callable[[], float] = float

    def gradients(self, step: int) -> dict[str, float]:
        self.done = step + 1
        points = torch.rand((8, 2), generator=self.generator)
        loss = ((self.net(points)[:, 0] - points.sum(1)) ** 2).mean()
        self.net.zero_grad()
        loss.backward()
        return {"square": float(loss.detach())}

    def validate(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        self.net.eval()
        return {"size": float(weights["0.weight"].norm())}

    def choice_score(self, figures: Mapping[str, float]) -> float:
        # The third validation is the best one.
        return -abs(len(self.validations) - 3.0)

    def validated(self, step: int, figures: Mapping[str, float], weights: Mapping[str, Tensor]) -> None:
        del figures, weights
        self.validations.append(step)

    def state(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.generator.set_state(state["generator"])


def trainer_of(task: Line, folder: Path | None, *, seconds: float | None = None) -> Trainer:
    """A trainer whose clock counts the steps."""
    task.done = 0
    return Trainer(
        task,
        torch.optim.AdamW(task.net.parameters(), lr=1e-2),
        CosineSchedule(2, steps=None if seconds else 12, seconds=seconds),
        TrainerSettings(
            1e-2, 1.0, AverageSettings(0.9), log=Interval(5), checkpoint=Interval(4), validation=Interval(3)
        ),
        folder=folder,
        clock=lambda: float(task.done),
    )


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert one == other


@pytest.mark.parametrize("seconds", [None, 12.0], ids=["by steps", "by time"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(tmp_path: Path, seconds: float | None) -> None:
    budget = Budget(steps=12) if seconds is None else Budget(seconds=seconds)
    whole = trainer_of(Line(), tmp_path / "whole", seconds=seconds)
    whole.run(budget)
    assert not trainer_of(Line(), tmp_path / "parts", seconds=seconds).run(Budget(steps=12, seconds=7.0))
    torch.manual_seed(99)
    torch.rand(3)
    rest = trainer_of(Line(), tmp_path / "parts", seconds=seconds)
    assert rest.resume()
    assert rest.step == 7
    # The clock of a new process begins anew.
    assert rest.spent_s == 7.0
    rest.task.done = rest.step  # type: ignore[attr-defined]
    rest.run(budget)
    ends = [read_checkpoint(tmp_path / name / CHECKPOINT_NAME) for name in ("whole", "parts")]
    assert_same(*ends)
    # The estimate of what is left alone goes by the call.
    logs = [
        [
            {key: value for key, value in json.loads(line).items() if key != "left_s"}
            for line in (tmp_path / name / LOG_NAME).read_text().splitlines()
        ]
        for name in ("whole", "parts")
    ]
    assert logs[0] == logs[1]


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole = trainer_of(Line(), tmp_path / "whole")
    whole.run(Budget(steps=12))

    class Killed(Line):
        def gradients(self, step: int) -> dict[str, float]:
            if step == 6:
                raise KeyboardInterrupt
            return super().gradients(step)

    with pytest.raises(KeyboardInterrupt):
        trainer_of(Killed(), tmp_path / "killed").run(Budget(steps=12))
    rest = trainer_of(Line(), tmp_path / "killed")
    rest.resume()
    assert rest.step == 4
    rest.run(Budget(steps=12))
    assert_same(dict(whole.average.weights), dict(rest.average.weights))


def test_the_best_weights_on_validation_are_kept_and_survive(tmp_path: Path) -> None:
    task = Line(chooses=True)
    trainer = trainer_of(task, tmp_path)
    trainer.run(Budget(steps=11))
    # Every third step, and where the run ends.
    assert task.validations == [3, 6, 9, 11]
    assert (trainer.best.step, trainer.best.score) == (11, 0.0)
    again = trainer_of(Line(chooses=True), tmp_path)
    again.resume()
    assert_same(again.best.weights, trainer.best.weights)
    assert again.best.step == 11
    # What was validated just before is not validated again.
    again.run(Budget(steps=11))
    assert again.task.validations == []  # type: ignore[attr-defined]
    entries = [json.loads(line) for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [3, 5, 6, 9, 10, 11]
    assert entries[-1]["best_step"] == 11
    assert entries[0]["left_s"] == 8


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of(Line(), None)
    assert trainer.run(Budget(steps=4))
    assert not trainer.resume()
    assert trainer.path() is None
    assert list(tmp_path.iterdir()) == []


def test_the_rate_follows_the_schedule() -> None:
    task = Line()
    trainer = trainer_of(task, None)
    trainer.run(Budget(steps=7))
    expected = 1e-2 * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * 6 / 12)))
    assert trainer.optimiser.param_groups[0]["lr"] == pytest.approx(expected)
