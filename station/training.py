"""Trainers as the command line calls them."""

from __future__ import annotations

from pathlib import Path

from analysis.training.classifier import train_classifier as _train_classifier


def train_classifier(data: Path, out: Path, *, minutes: float, resume: bool) -> None:
    """Train the chromosome classifier and write weights with their manifest into the package."""
    _train_classifier(data, out, minutes=minutes, resume=resume)
