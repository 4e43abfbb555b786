"""The finder's trainer as the command line calls it, and how reviewers' decisions reach it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acquisition.review import reviewed_finds
from analysis.parameters.weights import WEIGHTS_DIR
from analysis.training.finder.prepare import PARTS, CropSource, drift_of, prepare_crops, read_prepared
from analysis.training.finder.reviewed import ReviewedCrop, reviewed_tables
from analysis.training.finder.trainer import FinderData, FinderTrainSettings
from analysis.training.finder.trainer import train_finder as _train_finder
from analysis.training.synthesis.compose import QUALITY_FILE
from analysis.training.synthesis.quality import read_quality
from station.errors import UsageError

FINE_TUNING_EPOCHS: Final = 3.0
FINE_TUNING_RATE: Final = 4e-4


@dataclass(frozen=True, slots=True)
class FinderTraining:
    """What the command was asked for.

    Attributes
    ----------
    data, out
        Data root; folder for crops, checkpoints, log and weights.
    minutes, resume, seed
        Time in all, whether to go on from the checkpoint, seed of everything random.
    casebook
        Folder of a run with reviewers' decisions; None for a training from nothing.
    parts
        Slides to compose.
    prepare_only
        Compose and cut crops, train nothing.
    settings
        How to train; None for the product's way.
    start
        Folder of the weights that decisions are mixed into.
    """

    data: Path
    out: Path
    minutes: float
    resume: bool = True
    seed: int = 20
    casebook: Path | None = None
    parts: tuple[CropSource, ...] = PARTS
    prepare_only: bool = False
    settings: FinderTrainSettings | None = None
    start: Path = WEIGHTS_DIR


def train_finder(asked: FinderTraining, progress: Callable[[str], None]) -> None:
    """Compose what is missing, train, and write weights with their manifest to the folder asked for.

    With a casebook the training begins from the shipped weights and mixes the reviewed crops in. The product's own
    weights stay as they are.

    Parameters
    ----------
    asked
        What the command was asked for.
    progress
        Called with a line about each step.

    Raises
    ------
    UsageError
        The weights would be written over the shipped ones, or the casebook holds no decision with a crop.
    DatasetError
        The data isn't there.
    """
    if asked.out.resolve() == WEIGHTS_DIR.resolve():
        raise UsageError(f"--out: found {asked.out}; the shipped weights are never written over")
    reviewed, held_back = None, None
    if asked.casebook is not None:
        crops = [
            ReviewedCrop(find.crop, find.radius_um, find.noise_od, find.accepted, slide=find.run_uid)
            for find in reviewed_finds(asked.casebook)
        ]
        if not crops:
            raise UsageError(
                f"--from-casebook: {asked.casebook} holds no decision on a candidate whose crop was kept"
            )
        reviewed, held_back = reviewed_tables(crops)
        progress(f"{len(reviewed)} decisions to train on, {len(held_back)} held back for evaluation")
    prepare_crops(asked.data, asked.out, asked.parts, progress=progress)
    if asked.prepare_only:
        return
    quality = read_quality(asked.out / QUALITY_FILE)
    train, val = (read_prepared(asked.out, split, quality) for split in ("train", "val"))
    progress(f"proposal recall {train.proposal_recall:.4f} on train, {val.proposal_recall:.4f} on val")
    about = train.about | ({} if reviewed is None else {"reviewed": len(reviewed)})
    fine = asked.casebook is not None
    _train_finder(
        FinderData(train.table, val.table, reviewed, held_back, about),
        asked.out / "reviewed" if fine else asked.out,
        minutes=asked.minutes,
        resume=asked.resume,
        start_folder=asked.start if fine else None,
        command="karyoscan train finder" + (" --from-casebook" if fine else ""),
        drift=lambda net, calibration: drift_of(net, calibration, val.table, (*train.shards, *val.shards)),
        settings=asked.settings or _settings(asked, fine=fine),
        progress=progress,
    )
    progress(f"weights and manifest are in {asked.out / 'reviewed' if fine else asked.out}")


def _settings(asked: FinderTraining, *, fine: bool) -> FinderTrainSettings:
    if fine:
        return FinderTrainSettings(
            seed=asked.seed, epochs=FINE_TUNING_EPOCHS, learning_rate=FINE_TUNING_RATE, validate_steps=100
        )
    return FinderTrainSettings(seed=asked.seed)
