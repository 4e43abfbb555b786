"""Fit how masks of a pile are weighed against one another, on simulated piles whose true masks are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import DatasetError
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_coefficients
from analysis.segmentation.mask_net.input import MASK_NET_WIDTH_PX
from analysis.segmentation.mask_net.mask_cover import CoverSettings, cover
from analysis.segmentation.mask_net.predictor import MaskPredictor, PromptedMask
from analysis.structures.boxes import match
from analysis.structures.region import Region, connected_regions
from analysis.training.masks.scene import Scene, SceneSettings, draw_scene
from analysis.training.masks.singles import SingleBank

RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "spacing": (0.8, 1.6),
        "same": (0.4, 0.7),
        "least_quality": (0.4, 0.7),
        "quality_gain": (1.0, 3.0),
        "area_power": (0.0, 1.5),
        "free_overlap": (0.05, 0.3),
        "overlap_price": (1.5, 5.0),
        "least_area": (0.6, 1.2),
    }
)
"""Where settings are searched: wider than what one of them moves the errors by."""

_LEAST_GAIN: Final = 0.01
"""Errors a chromosome saved, below which another setting is chance: two of some 200 chromosomes."""
_CHANGED: Final = 3
"""Settings drawn anew in a trial; with all of them at once nearly every trial is worse."""
_INSIDE: Final = 0.5
"""Fraction of a chromosome's mask that must lie in a pile, for it to be one of the pile's."""
_DECIMALS: Final = 2


@dataclass(frozen=True, slots=True)
class SimulatedPile:
    """Chromosomes in one piece, with their true masks.

    Attributes
    ----------
    level
        float32, shape (h, w): the simulated picture, density over the typical stain.
    piece
        The pile in its px.
    masks
        bool, shape (n, h, w): whole masks of its n chromosomes, at least two.
    """

    level: NDArray[np.float32]
    piece: Region
    masks: NDArray[np.bool_]


def simulated_piles(bank: SingleBank, count: int, *, seed: int) -> Iterator[SimulatedPile]:
    """Draw piles.

    Parameters
    ----------
    bank
        Single chromosomes.
    count
        Scenes drawn; most hold one pile.
    seed
        Of the scenes.
    """
    for number in range(count):
        scene = draw_scene(bank, np.random.default_rng((seed, number)), SceneSettings())
        yield from _piles_of(scene)


def fit_cover(
    piles: Sequence[SimulatedPile],
    predictor: MaskPredictor,
    initial_settings: CoverSettings,
    *,
    trials: int,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> CoverSettings:
    """Search settings of fewer errors by random changes of the best ones (Bergstra and Bengio, JMLR 13, 2012).

    Parameters
    ----------
    piles
        Simulated piles.
    predictor
        The trained mask net.
    initial_settings
        Where the search begins.
    trials
        Settings tried.
    seed
        Of the search.
    progress
        Called with (trials done, least errors a chromosome).

    Raises
    ------
    DatasetError
        Where there is no pile.
    """
    if not piles:
        raise DatasetError("no pile came of the scenes")
    rng = np.random.default_rng(seed)
    best, least = initial_settings, cover_errors(piles, predictor, initial_settings)
    for number in range(trials):
        names = rng.choice(sorted(RANGES), _CHANGED, replace=False)
        drawn: dict[str, Any] = {
            str(name): round(float(rng.uniform(*RANGES[str(name)])), _DECIMALS) for name in names
        }
        trial = replace(best, **drawn)
        errors = cover_errors(piles, predictor, trial)
        if errors < least - _LEAST_GAIN:
            best, least = trial, errors
        if progress is not None:
            progress(number + 1, least)
    return best


def cover_errors(piles: Sequence[SimulatedPile], predictor: MaskPredictor, settings: CoverSettings) -> float:
    """False and missed chromosomes, over all true ones.

    Parameters
    ----------
    piles
        Simulated piles.
    predictor
        The trained mask net.
    settings
        How masks are weighed.
    """
    wrong, total = 0, 0
    for pile in piles:
        areas = pile.masks.sum(axis=(1, 2))
        typical = float(np.median(areas)) / MASK_NET_WIDTH_PX**2
        answers = cover(pile.level, pile.piece, predictor, settings, typical_area=typical).masks
        proposed = np.asarray([_in_scene(answer, pile.level.shape) for answer in answers], np.bool_)
        matched = len(match(_mask_iou(pile.masks, proposed.reshape(-1, *pile.level.shape))))
        wrong += len(pile.masks) + len(answers) - 2 * matched
        total += len(pile.masks)
    return wrong / total


def write_cover(
    settings: CoverSettings, folder: Path, *, piles: int, errors: float, seed: int, command: str
) -> Path:
    """Write the parameter set ``mask-cover``.

    Parameters
    ----------
    settings
        As fitted.
    folder
        Gets content and manifest.
    piles
        How many they were fitted to.
    errors
        Errors a chromosome on these piles.
    seed
        Of piles and search.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.MASK_COVER,
        kind=ParameterKind.COEFFICIENTS,
        data={"simulated piles": piles},
        split="simulated piles of gband612 val (by case); figures of the same piles",
        command=command,
        settings={name: list(limits) for name, limits in RANGES.items()},
        metrics={"errors_per_chromosome": round(errors, 4)},
        seed=seed,
        steps=0,
    )
    return write_coefficients(folder, settings, manifest)


def _piles_of(scene: Scene) -> Iterator[SimulatedPile]:
    bodies = [scene.mask_of(body) for body in scene.bodies if body.is_chromosome]
    if not bodies:
        return
    masks = np.stack(bodies)
    for piece in connected_regions(np.asarray(masks.any(axis=0), np.bool_), min_area_px=MASK_NET_WIDTH_PX**2):
        own = np.zeros(scene.level.shape, np.bool_)
        rows, columns = np.nonzero(piece.mask)
        own[rows + piece.y0_px, columns + piece.x0_px] = True
        inside = (masks & own).sum(axis=(1, 2)) > _INSIDE * np.maximum(masks.sum(axis=(1, 2)), 1)
        if np.count_nonzero(inside) > 1:
            yield SimulatedPile(scene.level, piece, masks[inside])


def _in_scene(answer: PromptedMask, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The answer's mask in the frame of the scene, bool."""
    out = np.zeros(shape, np.bool_)
    rows, columns = np.nonzero(answer.probability > 0.5)
    rows, columns = rows + answer.y0_px, columns + answer.x0_px
    kept = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    out[rows[kept], columns[kept]] = True
    return out


def _mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of masks, shape (n, m)."""
    one = first.reshape(len(first), -1).astype(np.float32)
    two = second.reshape(len(second), one.shape[1]).astype(np.float32)
    shared = (one @ two.T).astype(np.float64)
    union = one.sum(axis=1)[:, None] + two.sum(axis=1)[None] - shared
    return np.asarray(shared / np.maximum(union, 1.0), np.float64)
