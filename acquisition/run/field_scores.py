"""What the finder made of a field: candidates with their scores, and the crops that were scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.plan.candidates import CandidateScore
from acquisition.storage.atomic import write_png_atomic
from analysis.finder import Candidate, crops_at
from analysis.finder.drift import FieldSummary, summarise_field
from analysis.finder.flatten import flatten

Finder = Callable[[NDArray[np.uint16], float], Sequence[Candidate]]
"""Pixels and um/px in, candidates out; one that has `analysis.finder.FieldFinder.search` sums the field up too."""


@dataclass(frozen=True, slots=True)
class Crops:
    """The crops of a field's candidates.

    Attributes
    ----------
    paths
        Relative to the run folder, in the order of the candidates.
    noise_od
        Noise of the field, optical density; None where there are no candidates.
    """

    paths: tuple[str, ...] = ()
    noise_od: float | None = None


@dataclass(frozen=True, slots=True)
class FieldSearchResult:
    """What a finder reported of a field.

    Attributes
    ----------
    candidates
        At or above the score asked for.
    reading
        What the field says about its slide; None where the finder doesn't sum fields up.
    """

    candidates: tuple[Candidate, ...]
    reading: FieldSummary | None = None


def search_image(
    finder: Finder, pixels: NDArray[np.uint16], um_per_px: float, *, min_score: float, full_scale: float
) -> FieldSearchResult:
    """Search a field.

    Parameters
    ----------
    finder
        Who searches.
    pixels
        uint16, shape (height_px, width_px).
    um_per_px
        Size of a pixel.
    min_score
        Candidates below are left out.
    full_scale
        The camera's largest grey level.

    Raises
    ------
    ValueError
        The finder gave a number that is none: it could neither be ranked nor recorded.
    AnalysisError
        As the finder's.
    """
    search = getattr(finder, "search", None)
    if search is None:
        result = FieldSearchResult(tuple(finder(pixels, um_per_px)))
    else:
        finds = search(pixels, um_per_px, min_score=min_score)
        result = FieldSearchResult(tuple(finds.candidates), summarise_field(finds, full_scale))
    for candidate in result.candidates:
        numbers = [candidate.x_px, candidate.y_px, candidate.radius_px, candidate.score, candidate.rank]
        assessment = candidate_score_of(candidate)
        if assessment is not None:
            numbers += [value for value in astuple(assessment) if value is not None]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"the finder gave a candidate with a number that is none: {candidate}")
    return FieldSearchResult(tuple(c for c in result.candidates if c.score >= min_score), result.reading)


def candidate_score_of(candidate: Candidate) -> CandidateScore | None:
    """A finder's assessment of a candidate; None where it only scores."""
    if candidate.analysable is None:
        return None
    quality = candidate.quality
    if quality is None:
        return CandidateScore(candidate.analysable, candidate.rank)
    return CandidateScore(
        candidate.analysable,
        candidate.rank,
        quality.spread,
        quality.overlap,
        quality.completeness,
        quality.contrast,
        quality.chromosomes,
    )


def write_crops(
    run_dir: Path, field_index: int, pixels: NDArray[np.uint16], um_per_px: float, candidates: Sequence[Candidate]
) -> Crops:
    """Keep what the finder had of each candidate: with a reviewer's decision a finder learns from it.

    Parameters
    ----------
    run_dir
        Folder of the run; the crops go to ``finds/`` beside the thumbnails.
    field_index
        Which field.
    pixels
        uint16, shape (height_px, width_px).
    um_per_px
        Size of a pixel.
    candidates
        In px of `pixels`.

    Raises
    ------
    StorageError
        A crop can't be written.
    """
    if not candidates:
        return Crops()
    field = flatten(pixels, um_per_px)
    # Centres of pixels: the work image's (0, 0) lies half a work pixel inside the given image.
    places = np.array([(c.x_px, c.y_px) for c in candidates], np.float32)
    crops = crops_at(field, (places + 0.5) / np.float32(field.scale) - np.float32(0.5))
    paths = []
    for number, crop in enumerate(crops):
        path = run_dir / "finds" / f"f{field_index:05d}-{number:02d}.crop.png"
        write_png_atomic(path, crop)
        paths.append(str(path.relative_to(run_dir)))
    return Crops(tuple(paths), field.noise_od)
