"""What the finder made of a field, in the words of the run: judgements, and the crops that were judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.plan.candidates import Judgement
from acquisition.storage.atomic import write_png_atomic
from analysis.finder import Candidate, crops_at
from analysis.finder.flatten import flatten


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


def judgement_of(candidate: Candidate) -> Judgement | None:
    """What a finder thinks of a candidate; None where it only scores."""
    if candidate.analysable is None:
        return None
    quality = candidate.quality
    if quality is None:
        return Judgement(candidate.analysable, candidate.rank)
    return Judgement(
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
    """Keep what the finder had of each candidate: a reviewer's word on it is what a finder learns from.

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
