"""Decays of the learning rate that are branched off a run at a constant rate (warm-up, stable, decay).

The rate stays constant until somebody wants weights; then a decay takes it to nothing within a given number of
steps, from the last checkpoint (Hu et al. 2024). The next phase goes on from the decay's end, so that none of its
steps is lost (Wen et al. 2024).
"""

from __future__ import annotations

from typing import Final

from analysis.errors import DatasetError
from analysis.training.engine.checkpoint import read_checkpoint
from analysis.training.engine.schedule import ConstantSchedule, LinearDecaySchedule
from analysis.training.engine.trainer import CHECKPOINT_NAME, Trainer

_DECAY_NAME: Final = "decay.ckpt"


def begin_decay(
    trainer: Trainer, warm_up_steps: int, steps: int, start_factor: float, *, resume: bool
) -> LinearDecaySchedule:
    """Branch a decay off the stable checkpoint, or go on with an unfinished one that was branched off there.

    Parameters
    ----------
    trainer
        At its first step; takes the checkpoint up.
    warm_up_steps
        Of the constant schedule.
    steps
        How long the decay takes.
    start_factor
        Fraction of the constant rate that it begins with.
    resume
        Whether an unfinished decay of the same length is taken up.

    Raises
    ------
    DatasetError
        Where there is no checkpoint to branch off.
    """
    if not trainer.resume(CHECKPOINT_NAME):
        raise DatasetError("there is no checkpoint to branch a decay off", path=trainer.path(CHECKPOINT_NAME))
    branch = trainer.step
    trainer.checkpoint_name = _DECAY_NAME
    if resume and trainer.resume(keep_schedule=False):
        going = trainer.schedule
        if isinstance(going, LinearDecaySchedule) and (going.first_step, going.steps) == (branch, steps):
            return going
        trainer.resume(CHECKPOINT_NAME)
    decay = LinearDecaySchedule(warm_up_steps, branch, steps, start_factor)
    trainer.schedule, trainer.spent_s = decay, 0.0
    return decay


def continue_from_decay(trainer: Trainer, warm_up_steps: int) -> None:
    """Let what comes next go on from the end of a decay.

    Parameters
    ----------
    trainer
        At the end of the decay.
    warm_up_steps
        Of the constant schedule.
    """
    stable = trainer.path(CHECKPOINT_NAME)
    if stable is not None:
        trainer.spent_s += float(read_checkpoint(stable)["spent_s"])
    trainer.checkpoint_name = CHECKPOINT_NAME
    trainer.schedule = ConstantSchedule(warm_up_steps)
    trainer.save()
