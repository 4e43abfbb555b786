"""Where a long piece of work reports to, and how long it still takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str], None]
"""Takes one line for whoever watches."""


def silent(_line: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When a training ends: at whichever limit comes first.

    Attributes
    ----------
    steps
        Number of the last step, counted from the very first; None for no limit.
    seconds
        Of the trainer's clock, earlier calls counted; None for no limit.
    """

    steps: int | None = None
    seconds: float | None = None

    def is_spent(self, step: int, spent_s: float) -> bool:
        """Whether a limit is reached.

        Parameters
        ----------
        step
            Steps done.
        spent_s
            Seconds spent.
        """
        return self.has_last_step(step) or (self.seconds is not None and spent_s >= self.seconds)

    def has_last_step(self, step: int) -> bool:
        """Whether the last step is done; never where steps have no limit."""
        return self.steps is not None and step >= self.steps

    def remaining_s(self, step: int, spent_s: float, step_s: float | None) -> float | None:
        """Seconds until the nearer limit; None where nothing says.

        Parameters
        ----------
        step
            Steps done.
        spent_s
            Seconds spent.
        step_s
            Mean seconds a step of late; None where none was made.
        """
        limits: list[float] = []
        if self.seconds is not None:
            limits.append(max(self.seconds - spent_s, 0.0))
        if self.steps is not None and step_s is not None:
            limits.append(max(self.steps - step, 0) * step_s)
        return min(limits, default=None)
