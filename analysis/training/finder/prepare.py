"""Compose slides and keep their labelled crops, a file a slide; what is there already is not made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from analysis.finder.drift import (
    FieldSummary,
    SlideSummary,
    current_names,
    reference_statistics_of,
    reference_to_json,
    summarise,
)
from analysis.finder.net_scores import ScoreCalibration, calibrated_scores
from analysis.nets.finder_net import FinderNet
from analysis.training.engine.progress import Progress, silent
from analysis.training.finder.crops import shard_of, with_quality
from analysis.training.finder.figures import outputs_of
from analysis.training.finder.table import FinderCropTable, Shard, joined, read_shard, write_shard
from analysis.training.synthesis import DAPI, GBAND, ComposedField
from analysis.training.synthesis.compose import FieldComposer
from analysis.training.synthesis.library import load_library
from analysis.training.synthesis.quality import QualityTable
from analysis.training.synthesis.rendered import rendered_fields
from simulators.specimen.banding import Banding

FIELDS_A_SLIDE: Final = 20
"""So many fields that a slide without a metaphase has five hard negatives on each."""

_RENDERED: Final = "rendered_"
_RENDERED_CELLS_A_FIELD: Final = 0.6
_SEED: Final = 71
"""Of the composed slides; the trainer's own seed changes nothing about them."""


@dataclass(frozen=True, slots=True)
class CropSource:
    """Slides of one stain and split.

    Attributes
    ----------
    split, stain
        Of the images that they are made of; ``"rendered_"`` and a banding for slides that are drawn.
    slides
        How many.
    """

    split: str
    stain: str
    slides: int

    @property
    def banding(self) -> str | None:
        """How the chromosomes of a drawn slide are banded; None for a slide of real images."""
        drawn = self.stain.startswith(_RENDERED)
        return self.stain.removeprefix(_RENDERED) if drawn else None


PARTS: Final = (
    CropSource("train", GBAND, 160),
    CropSource("train", DAPI, 40),
    CropSource("train", _RENDERED + Banding.G, 20),
    CropSource("train", _RENDERED + Banding.DAPI, 6),
    CropSource("val", GBAND, 32),
    CropSource("val", DAPI, 10),
    CropSource("val", _RENDERED + Banding.G, 4),
)
"""What the product's net is trained and chosen on. The held-out stain is in none."""


def prepare_crops(
    data_dir: Path,
    out_dir: Path,
    crop_sources: tuple[CropSource, ...] = PARTS,
    *,
    fields_a_slide: int = FIELDS_A_SLIDE,
    images: int | None = None,
    progress: Progress = silent,
) -> None:
    """Compose what is missing.

    Parameters
    ----------
    data_dir
        Data root.
    out_dir
        Gets ``crops/*.npz``, and the composition's own cut-outs. Keep it outside of a repository.
    crop_sources
        What is wanted. All advance together, so that a stopped preparation has some of each.
    fields_a_slide
        Fields composed of each slide.
    images
        Only so many images of every split, for trials.
    progress
        Called with one line a slide.

    Raises
    ------
    DatasetError
        The data isn't there.
    """
    composers: dict[CropSource, FieldComposer] = {}
    for part, slide in _in_turn(crop_sources):
        path = out_dir / "crops" / shard_name(part, slide)
        if path.is_file():
            continue
        if part.banding is None and part not in composers:
            library = load_library(data_dir, part.stain, part.split, work_dir=out_dir, limit=images)
            # Qualities are looked up when the crops are read: the table may grow in between.
            composers[part] = FieldComposer(library, {}, _SEED, fields_a_slide)
        shard = shard_of(_fields(part, slide, fields_a_slide, composers.get(part)))
        write_shard(path, shard)
        found, planted = int(shard.planted_proposed.sum()), shard.planted_proposed.size
        progress(f"{path.name}: {len(shard.table)} crops, {found} of {planted} metaphases proposed")


def _fields(part: CropSource, slide: int, count: int, composer: FieldComposer | None) -> Iterator[ComposedField]:
    if composer is not None:
        return (composer.field(slide, number) for number in range(count))
    return rendered_fields(
        part.split,
        seed=_SEED,
        slides=1,
        first_slide=slide,
        fields_per_slide=count,
        banding=part.banding or Banding.G,
        cells_per_field=_RENDERED_CELLS_A_FIELD,
    )


def shard_name(part: CropSource, slide: int) -> str:
    """Name of a slide's file.

    Parameters
    ----------
    part
        Split and stain.
    slide
        Number of the slide.
    """
    return f"{part.split}-{part.stain}-{slide:04d}.npz"


def _in_turn(crop_sources: tuple[CropSource, ...]) -> Iterator[tuple[CropSource, int]]:
    """Slides of all parts, ordered by how far each part then is."""
    wanted = [
        ((slide + 0.5) / part.slides, number, slide)
        for number, part in enumerate(crop_sources)
        for slide in range(part.slides)
    ]
    for _, number, slide in sorted(wanted):
        yield crop_sources[number], slide


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was composed of one split.

    Attributes
    ----------
    table
        Crops of all slides.
    shards
        The slides without their crops: planted metaphases and statistics, by slide.
    """

    table: FinderCropTable
    shards: tuple[Shard, ...]

    @property
    def about(self) -> dict[str, int]:
        """Crops of every stain, and fields they are from."""
        stains, counts = np.unique(self.table.stain, return_counts=True)
        crops = {f"{stain} crops": int(count) for stain, count in zip(stains, counts, strict=True)}
        return crops | {"fields": sum(shard.field_count for shard in self.shards)}

    @property
    def proposal_recall(self) -> float:
        """Share of whole metaphases on which a proposal lies."""
        proposed = np.concatenate([shard.planted_proposed for shard in self.shards] or [np.zeros(0, np.bool_)])
        return float(proposed.mean()) if proposed.size else float("nan")


def read_prepared(out_dir: Path, split: str, quality: QualityTable) -> Prepared:
    """Read what was composed of a split, with what is known of its cells by now.

    Parameters
    ----------
    out_dir
        Where crops were prepared.
    split
        ``"train"`` or ``"val"``.
    quality
        How cells karyotype.

    Raises
    ------
    DatasetError
        A file is damaged.
    """
    shards = [read_shard(path) for path in sorted((out_dir / "crops").glob(f"{split}-*.npz"))]
    table = with_quality(joined([shard.table for shard in shards]), quality, presume=split == "train")
    none = np.zeros(0, np.int64)
    bare = [
        Shard(
            shard.table.at(none), shard.planted_kind, shard.planted_proposed, shard.field_count, shard.statistics
        )
        for shard in shards
    ]
    return Prepared(table, tuple(bare))


def drift_of(
    finder_net: FinderNet, calibration: ScoreCalibration, scored: FinderCropTable, slides: tuple[Shard, ...]
) -> dict[str, dict[str, float]]:
    """What is usual on the slides that the net was made with.

    Parameters
    ----------
    finder_net, calibration
        The net and what makes its logits probabilities.
    scored
        Crops of val: of what it was trained on the net is surer than it will ever be again.
    slides
        Whose fields' statistics count.
    """
    of_fields = reference_statistics_of(_summary(shard) for shard in slides)
    scores = calibrated_scores(outputs_of(finder_net, scored), calibration).metaphase
    by_slide = [
        summarise([FieldSummary({}, tuple(float(score) for score in scores[scored.slide == slide]))])
        for slide in np.unique(scored.slide)
    ]
    return reference_to_json(reference_statistics_of(by_slide) | of_fields)


def _summary(shard: Shard) -> dict[str, SlideSummary]:
    statistics = current_names(shard.statistics)
    names = sorted(statistics)
    readings = [
        FieldSummary({name: float(statistics[name][row]) for name in names if np.isfinite(statistics[name][row])})
        for row in range(shard.field_count)
    ]
    return summarise(readings) if readings else {}
