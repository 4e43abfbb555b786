"""Trainers as the command line calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from analysis.parameters.weights import WEIGHTS_DIR
from analysis.training.classifier.trainer import train_classifier as _train_classifier
from analysis.training.detector.trainer import DetectorTrainSettings
from analysis.training.detector.trainer import train_detector as _train_detector


def train_classifier(
    data: Path, out: Path, *, minutes: float, resume: bool, seed: int, progress: Callable[[str], None]
) -> None:
    """Prepare crops, train, and write weights with their manifest to `out`.

    The product's own weights stay as they are: to ship new ones is a decision, made by copying both files to
    ``analysis/parameters/files``.

    Parameters
    ----------
    data, out
        Root of the data sets; folder for checkpoints, cache and weights.
    minutes
        Stop after this time.
    resume
        Go on from the last checkpoint.
    seed
        Seed of everything random.
    progress
        Called with a line about each step.
    """
    _train_classifier(data, out, minutes=minutes, resume=resume, seed=seed, progress=progress)
    progress(f"weights and manifest are in {out}; copy classifier*.* to {WEIGHTS_DIR} to ship them")


def train_detector(
    data: Path,
    out: Path,
    *,
    minutes: float,
    decay_steps: int | None,
    decay_from: float,
    resume: bool,
    seed: int,
    composed_fraction: float,
    composed_sources: tuple[str, ...],
    drawers: int,
    progress: Callable[[str], None],
) -> None:
    """Train the detector at a constant rate, or take the rate down from the last checkpoint and write weights.

    The product's own weights stay as they are, as with the classifier.

    Parameters
    ----------
    data, out
        Root of the data sets; folder for checkpoints, cache and weights.
    minutes
        Stop after this time in all.
    decay_steps
        Steps in which the learning rate goes down to nothing; None for a constant rate.
    decay_from
        Fraction of the rate that a decay begins with, 0 to 1.
    resume
        Go on from the last checkpoint.
    seed
        Seed of everything random.
    composed_fraction
        Fraction of the examples that show composed cells.
    composed_sources
        Folders of the data root with single chromosomes to compose of; none for the set that is the default.
    drawers
        Processes that compose cells ahead.
    progress
        Called with a line about each step.
    """
    settings = DetectorTrainSettings(seed=seed, composed_fraction=composed_fraction, drawers=drawers)
    if composed_sources:
        settings = replace(settings, composed_sources=composed_sources)
    result = _train_detector(
        data,
        out,
        minutes=minutes,
        decay_steps=decay_steps,
        decay_from=decay_from,
        resume=resume,
        settings=settings,
        progress=progress,
    )
    if result.weights_path is not None:
        progress(f"weights and manifest are in {out}; copy detector.* to {WEIGHTS_DIR} to ship them")
    elif decay_steps is None:
        progress(f"step {result.steps}; --decay-steps makes weights of it")
    else:
        progress(f"step {result.steps}: the decay isn't at its end; the same command continues it")
