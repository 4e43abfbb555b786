"""Trainers as the command line calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from analysis.models.weights import WEIGHTS_DIR
from analysis.training.classifier import train_classifier as _train_classifier


def train_classifier(
    data: Path, out: Path, *, minutes: float, resume: bool, seed: int, tell: Callable[[str], None]
) -> None:
    """Prepare crops, train, and write weights with their manifest to `out`.

    The product's own weights stay as they are: to ship new ones is a decision, made by copying both files to
    ``analysis/models/weights``.
    """
    _train_classifier(data, out, minutes=minutes, resume=resume, seed=seed, progress=tell)
    tell(f"weights and manifest are in {out}; copy classifier.* to {WEIGHTS_DIR} to ship them")
