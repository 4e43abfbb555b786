"""The finders by name, and the one of two stages: proposals, then a net's score of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, WeightsError
from analysis.finder.candidate import Candidate, CellQuality
from analysis.finder.find import MIN_SCORE, propose_for_rules, score_by_rules
from analysis.finder.flatten import WORK_UM_PER_PX
from analysis.finder.proposals import Proposals, crops_of, propose
from analysis.finder.statistics import FieldStatistics, statistics_of

if TYPE_CHECKING:
    # Torch takes seconds to come up; whoever finds by rules, or only names a finder, needn't wait for it.
    from analysis.finder.net_scores import FinderScore, ScoreCalibration
    from analysis.nets.finder_net import FinderNet

RULES: Final = "rules"
DEFAULT: Final = "default"
FINDERS: Final = (RULES, DEFAULT)
"""Names of the finders that come with the product."""

_WEIGHTS: Final = "finder"

# Candidates are one cell's where their centres are nearer than this, or than this part of the larger one's radius.
_SAME_CELL_UM = 10.0
_SAME_CELL_RADII = 0.85


@dataclass(frozen=True, slots=True)
class FieldCandidates:
    """The candidates of a field.

    Attributes
    ----------
    candidates
        At or above the score asked for, the highest rank first.
    statistics
        The picture in a few numbers.
    scores
        Scores of everything that was scored, however low.
    """

    candidates: list[Candidate]
    statistics: FieldStatistics
    scores: tuple[float, ...]


class FieldFinder(Protocol):
    """Finds metaphases in fields; can be sent to other processes at little cost."""

    def __call__(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
    ) -> list[Candidate]:
        """Find metaphases, the highest rank first; see `search`."""

    def search(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
    ) -> FieldCandidates:
        """Find metaphases, and compute the field's statistics.

        Parameters
        ----------
        pixels
            uint8 or uint16, shape (height_px, width_px): one field, brightfield or fluorescence.
        um_per_px
            Size of a pixel on the specimen, 0.02 to 2 um.
        min_score
            Candidates below are left out; in [0, 1].

        Raises
        ------
        ImageError
            The image or the pixel size can't be used.
        WeightsError
            The finder's weights are missing, damaged or no longer those it was made with.
        """

    def prepare(self) -> None:
        """Load what the first search of a process would wait for.

        Raises
        ------
        WeightsError
            As `search`.
        """


@dataclass(frozen=True, slots=True)
class RuleFinder:
    """The baseline without a net, as `find_metaphases`."""

    def __call__(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
    ) -> list[Candidate]:
        """Find metaphases, the highest score first."""
        return self.search(pixels, um_per_px, min_score=min_score).candidates

    def search(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
    ) -> FieldCandidates:
        """Find metaphases, and compute the field's statistics.

        Parameters
        ----------
        pixels
            uint8 or uint16, shape (height_px, width_px): one field, brightfield or fluorescence.
        um_per_px
            Size of a pixel on the specimen, 0.02 to 2 um.
        min_score
            Candidates below are left out; in [0, 1].

        Raises
        ------
        ImageError
            The image or the pixel size can't be used.
        """
        proposals = propose_for_rules(pixels, um_per_px)
        return _field_candidates(score_by_rules(proposals), proposals, min_score)

    def prepare(self) -> None:
        """Nothing: rules need no loading."""


@dataclass(frozen=True, slots=True)
class MetaphaseFinder:
    """Proposals, each scored by the net on its crop.

    Holds the name of its weights and not the weights: it is sent to other processes with every field, and each of
    them loads the net once.

    Attributes
    ----------
    weights
        Name of the weights' files without their endings.
    folder
        Where they lie.
    sha256
        Of the weights; every process refuses to work with others.
    """

    weights: str
    folder: Path
    sha256: str

    def __call__(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
    ) -> list[Candidate]:
        """Find metaphases, the highest rank first."""
        return self.search(pixels, um_per_px, min_score=min_score).candidates

    def search(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float = MIN_SCORE
    ) -> FieldCandidates:
        """Find metaphases, and compute the field's statistics.

        Parameters
        ----------
        pixels
            uint8 or uint16, shape (height_px, width_px): one field, brightfield or fluorescence.
        um_per_px
            Size of a pixel on the specimen, 0.02 to 2 um.
        min_score
            Candidates below are left out; in [0, 1].

        Raises
        ------
        ImageError
            The image or the pixel size can't be used.
        WeightsError
            The weights are missing, damaged or no longer those it was made with.
        """
        proposals = propose(pixels, um_per_px)
        if not proposals.crowds:
            return _field_candidates([], proposals, min_score)
        net, calibration = _loaded(self.weights, self.folder, self.sha256)
        scored = _scored(net, calibration, proposals)
        return _field_candidates(
            suppress_same_cell(_candidates(scored, proposals), um_per_px), proposals, min_score
        )

    def prepare(self) -> None:
        """See `FieldFinder.prepare`."""
        _loaded(self.weights, self.folder, self.sha256)


def load_finder(name: str = DEFAULT) -> FieldFinder:
    """A finder of the product by its name.

    Parameters
    ----------
    name
        One of `FINDERS`.

    Raises
    ------
    AnalysisError
        There is no such finder.
    WeightsError
        Its weights are missing or damaged.
    """
    if name == RULES:
        return RuleFinder()
    if name == DEFAULT:
        return finder_of(_WEIGHTS)
    raise AnalysisError(f"there is no finder {name!r}; there are {', '.join(FINDERS)}")


def finder_of(weights_name: str, folder: Path | None = None) -> MetaphaseFinder:
    """The finder with a set of weights.

    Parameters
    ----------
    weights_name
        Name of the files without their endings.
    folder
        Where they lie; the product's own by default.

    Raises
    ------
    WeightsError
        Weights or manifest are missing or damaged.
    """
    from analysis.parameters.weights import WEIGHTS_DIR, read_manifest

    place = WEIGHTS_DIR if folder is None else folder
    finder = MetaphaseFinder(weights_name, place, read_manifest(weights_name, place).sha256)
    finder.prepare()
    return finder


def suppress_same_cell(candidates: list[Candidate], um_per_px: float) -> list[Candidate]:
    """Keep the best scored of candidates that lie on the same cell (greedy non-maximum suppression).

    Parameters
    ----------
    candidates
        Of one field.
    um_per_px
        Size of a pixel of their coordinates on the specimen.
    """
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        if not any(_is_same_cell(candidate, other, um_per_px) for other in kept):
            kept.append(candidate)
    return kept


def _is_same_cell(one: Candidate, other: Candidate, um_per_px: float) -> bool:
    reach_px = max(_SAME_CELL_UM / um_per_px, _SAME_CELL_RADII * max(one.radius_px, other.radius_px))
    return bool(np.hypot(one.x_px - other.x_px, one.y_px - other.y_px) < reach_px)


# Searches come with nothing but their task, so a process keeps the net here, under what names its content.
@lru_cache(maxsize=2)
def _loaded(weights_name: str, folder: Path, sha256: str) -> tuple[FinderNet, ScoreCalibration]:
    from analysis.finder.net_scores import load_net
    from analysis.parameters.weights import read_manifest

    if read_manifest(weights_name, folder).sha256 != sha256:
        raise WeightsError(
            "the weights are no longer those the finder was made with", path=folder / f"{weights_name}.json"
        )
    return load_net(weights_name, folder)


def _scored(finder_net: FinderNet, calibration: ScoreCalibration, proposals: Proposals) -> FinderScore:
    import torch

    from analysis.finder.net_scores import calibrated_scores, net_inputs

    field, crowds = proposals.field, proposals.crowds
    radii_um = np.array([crowd.radius_px * WORK_UM_PER_PX for crowd in crowds])
    inputs = net_inputs(crops_of(field, crowds), radii_um, np.full(len(crowds), field.noise_od))
    with _one_thread(), torch.inference_mode():
        return calibrated_scores(finder_net(*inputs), calibration)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Searches run side by side, one a core; threads of one search would wait for those of the other."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _candidates(finder_scores: FinderScore, proposals: Proposals) -> list[Candidate]:
    scale = proposals.field.scale
    candidates = []
    for number, crowd in enumerate(proposals.crowds):
        # Offsets count from the pixel that the crop is cut round.
        x_px = round(crowd.x_px) + float(finder_scores.dx_px[number])
        y_px = round(crowd.y_px) + float(finder_scores.dy_px[number])
        spread, overlap, completeness, contrast = (float(value) for value in finder_scores.quality[number])
        candidates.append(
            Candidate(
                (x_px + 0.5) * scale - 0.5,
                (y_px + 0.5) * scale - 0.5,
                float(finder_scores.radius_um[number]) / WORK_UM_PER_PX * scale,
                float(finder_scores.metaphase[number]),
                float(finder_scores.analysable[number]),
                CellQuality(spread, overlap, completeness, contrast, float(finder_scores.chromosomes[number])),
                float(finder_scores.rank[number]),
            )
        )
    return candidates


def _field_candidates(scored: list[Candidate], proposals: Proposals, min_score: float) -> FieldCandidates:
    good = [candidate for candidate in scored if candidate.score >= min_score]
    return FieldCandidates(
        sorted(good, key=lambda candidate: -candidate.rank),
        statistics_of(proposals),
        tuple(candidate.score for candidate in scored),
    )
