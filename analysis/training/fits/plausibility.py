"""Fitting the two scores of the segmentation: of being one chromosome, and of a split being right.

There are no masks for G-banded metaphases, only boxes. They suffice: a piece that reaches all four sides of a
box spans that chromosome, a piece that fits one box is that chromosome, and a split is right when every
chromosome the whole spanned is spanned by one of the parts and both parts span one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import grown_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng_for_training
from analysis.errors import AnalysisError, DatasetError
from analysis.imaging.foreground import find_foreground
from analysis.imaging.image_file import read_image
from analysis.imaging.working_image import make_working_image
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.segmentation.contours.features import (
    PIECE_FEATURES,
    SINGLE_FEATURES,
    SPLIT_FEATURES,
    single_features,
)
from analysis.segmentation.contours.plausibility import STANDARD_LIMIT, Perceptron, Plausibility
from analysis.segmentation.contours.segmenter import estimate_context
from analysis.segmentation.contours.settings import CONTOURS
from analysis.segmentation.contours.split_tree import (
    ContourContext,
    Piece,
    children,
    describe,
    features_of,
    proposals,
)
from analysis.segmentation.settings import SegmentationSettings
from analysis.structures.boxes import box_iou
from analysis.structures.instance import SegmentationRoute
from analysis.structures.region import Region, connected_regions
from analysis.training.fits.ridge import WRITTEN_DECIMALS

_SPAN_SHARE: Final = 0.13
_SPAN_PX: Final = 4.0
"""A piece spans a box when it comes this near to each side: share of the side, or px."""

_IS_ONE: Final = 0.72
_IS_NONE: Final = 0.55
"""Box overlap from which a piece is its chromosome, and below which it isn't; what lies between isn't learned
from."""

_CERTAINLY_ONE: Final = 0.8
_FITS_WELL: Final = 0.85
"""Box overlap from which a chromosome isn't taken apart further."""
_WRONG_FOLLOWED: Final = 0.1
"""Share of the pieces without a right split that are followed down a wrong one, as the segmentation will go
there too."""

_BOXLESS_SHARE: Final = 0.1
"""Share of the splits of pieces that span no box at all (dirt, fragments) that is kept as wrong ones."""

_MAX_DEPTH: Final = 20
_FIRST_ROUND_IMAGES: Final = 60
_HELD_OUT: Final = 9
"""One picture of so many is held out of the fit."""
_LEAST_SCALE: Final = 1e-6
_LEAST_CHANCE: Final = 1e-6
"""Keep a constant feature from dividing by nothing, and a certain error from costing infinitely much."""


@dataclass(frozen=True, slots=True)
class PerceptronFit:
    """How a perceptron is fitted.

    Attributes
    ----------
    hidden
        Tanh units.
    epochs
        Passes over the rows.
    weight_decay
        Of AdamW.
    batch, learning_rate
        Rows a step; the highest rate of the cycle.
    """

    hidden: int
    epochs: int
    weight_decay: float
    batch: int = 512
    learning_rate: float = 1e-2


_SINGLE_FIT: Final = PerceptronFit(hidden=16, epochs=40, weight_decay=1e-2)
_SPLIT_FIT: Final = PerceptronFit(hidden=24, epochs=20, weight_decay=0.3)
"""Splits have three times the features and most of their rows from a few piles: a stronger decay serves them."""


@dataclass(slots=True)
class _Samples:
    """Rows to fit on.

    Attributes
    ----------
    pieces, medians, is_one
        Piece features, the cell's median area, whether the piece is one chromosome.
    splits, is_right
        Split features and whether the split is right.
    """

    pieces: list[NDArray[np.float64]] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    is_one: list[bool] = field(default_factory=list)
    splits: list[NDArray[np.float64]] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)

    def extend(self, other: _Samples) -> None:
        """Add another's rows."""
        self.pieces.extend(other.pieces)
        self.medians.extend(other.medians)
        self.is_one.extend(other.is_one)
        self.splits.extend(other.splits)
        self.is_right.extend(other.is_right)


@dataclass(frozen=True, slots=True)
class FittedPlausibility:
    """Both scores and how well they do.

    Attributes
    ----------
    scores
        As fitted.
    data
        Pictures, pieces and splits that they were fitted to.
    metrics
        Cross entropy of both on a ninth of the pictures, which neither was fitted to.
    """

    scores: Plausibility
    data: dict[str, int]
    metrics: dict[str, float]


def fit_plausibility(
    data_dir: Path,
    *,
    images: int = 300,
    seed: int = 7,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> FittedPlausibility:
    """Fit both scores on the train split of the Tseng set.

    A first round over a few images, that takes every cell for typical, teaches what a single chromosome looks
    like; with that the second round knows each cell's median area.

    Parameters
    ----------
    data_dir
        Folder of the set.
    images
        Number of train images used.
    seed
        Of the choice of images and of the fit.
    workers
        Processes that collect.
    progress
        Called with (images done, images in all).

    Raises
    ------
    DatasetError
        If the set isn't there, or its pictures hold too few pieces or splits to fit anything to.
    """
    rng = np.random.default_rng(seed)
    listed = load_tseng_for_training(data_dir, "train")
    chosen = [listed[k] for k in rng.permutation(len(listed))[:images]]
    first = _collect_all(chosen[:_FIRST_ROUND_IMAGES], know_nothing(), seed, workers, None)
    _require_both_kinds(first.is_one, "pieces", data_dir)
    single, _ = _fit_single(first, seed)
    known = Plausibility(single, know_nothing().split)
    held_out = max(1, len(chosen) // _HELD_OUT)
    test = _collect_all(chosen[:held_out], known, seed, workers, None)
    train = _collect_all(chosen[held_out:], known, seed, workers, progress)
    for samples in (test, train):
        _require_both_kinds(samples.is_one, "pieces", data_dir)
        _require_both_kinds(samples.is_right, "splits", data_dir)
    single, single_loss = _fit_single(train, seed, test)
    split, split_loss = _fit_split(train, single, seed, test)
    return FittedPlausibility(
        Plausibility(single, split),
        {"tseng pictures": len(chosen), "pieces": len(train.pieces), "splits": len(train.splits)},
        {"single_cross_entropy": single_loss, "split_cross_entropy": split_loss},
    )


def write_plausibility(fitted: FittedPlausibility, folder: Path, *, seed: int, command: str) -> Path:
    """Write the parameter set ``plausibility``.

    Parameters
    ----------
    fitted
        Of `fit_plausibility`.
    folder
        Gets content and manifest.
    seed
        Of the fit.
    command
        The command line that makes it again.

    Returns
    -------
    Path
        The content file.
    """
    arrays: dict[str, NDArray[np.float64]] = {}
    columns: dict[str, list[str]] = {}
    scores = (("single", fitted.scores.single, SINGLE_FEATURES), ("split", fitted.scores.split, SPLIT_FEATURES))
    for score, perceptron, features in scores:
        for entry in fields(perceptron):
            value = np.asarray(getattr(perceptron, entry.name), np.float64)
            arrays[f"{score}.{entry.name}"] = np.round(value, WRITTEN_DECIMALS)
        for name in ("mean", "scale", "hidden"):
            columns[f"{score}.{name}"] = list(features)
    manifest = Manifest(
        name=ParameterSetName.PLAUSIBILITY,
        kind=ParameterKind.NET,
        net=Perceptron.__name__,
        columns=columns,
        data=fitted.data,
        split="tseng train (by case); cross entropy on a ninth of the pictures held out",
        command=command,
        settings={"single": asdict(_SINGLE_FIT), "split": asdict(_SPLIT_FIT)},
        metrics=fitted.metrics,
        seed=seed,
        steps=0,
    )
    return write_parameters(folder, arrays, manifest)


def know_nothing() -> Plausibility:
    """Make scores that are a half whatever they see."""

    def half(count: int) -> Perceptron:
        return Perceptron(np.zeros(count), np.ones(count), np.zeros((1, count)), np.zeros(1), np.zeros(1), 0.0)

    return Plausibility(half(len(SINGLE_FEATURES)), half(len(SPLIT_FEATURES)))


def collect(tseng_image: TsengImage, plausibility: Plausibility, seed: int) -> _Samples:
    """Collect the rows of one image, pieces taken apart along right splits and some wrong ones.

    Parameters
    ----------
    tseng_image
        Picture and true boxes.
    plausibility
        Scores of the round before, which rank the splits.
    seed
        Of the wrong splits that are followed.
    """
    samples = _Samples()
    rng = np.random.default_rng([seed, int.from_bytes(tseng_image.name.encode()[-6:], "big")])
    try:
        working = make_working_image(read_image(tseng_image.path))
    except AnalysisError:
        return samples
    size = working.density.shape
    tight = grown_boxes(
        tseng_image.boxes_px.astype(np.float64), [-side for side in TSENG_PADDING_PX], (10**6, 10**6)
    )
    boxes = np.clip(tight * working.factor, 0.0, [size[1], size[0], size[1], size[0]])
    found = find_foreground(working.density, working.nuclei, working.width_px)
    pieces = connected_regions(found.mask, min_area_px=CONTOURS.min_piece * working.width_px**2)
    cell = estimate_context(pieces, working.density, working.width_px, SegmentationSettings(), plausibility)
    for piece in pieces:
        _take_apart(piece, cell, boxes, samples, rng)
    return samples


def _take_apart(
    piece: Region,
    context: ContourContext,
    boxes: NDArray[np.float64],
    samples: _Samples,
    rng: np.random.Generator,
) -> None:
    waiting = [(describe(piece, SegmentationRoute.SINGLE, context), 0)]
    while waiting:
        part, depth = waiting.pop()
        fit = _fit_to_boxes(part.region, boxes)
        spanned = _spanned(part.region, boxes)
        is_one = bool((fit >= _IS_ONE and len(spanned) <= 1) or fit >= _CERTAINLY_ONE)
        if fit >= _IS_ONE or fit <= _IS_NONE:
            samples.pieces.append(part.features)
            samples.medians.append(context.median_area)
            samples.is_one.append(is_one)
        if depth > _MAX_DEPTH or part.shape.area < 2.0 * context.min_area:
            continue
        right, every = _judge_splits(part, context, boxes, spanned, samples, rng)
        if right and not (is_one and fit > _FITS_WELL and len(spanned) == 1):
            best = max(right, key=lambda parts: sum(_fit_to_boxes(each.region, boxes) for each in parts))
            waiting.extend((child, depth + 1) for child in best)
        elif every and not right and rng.random() < _WRONG_FOLLOWED:
            waiting.extend((child, depth + 4) for child in every[int(rng.integers(len(every)))])


def _judge_splits(
    part: Piece,
    context: ContourContext,
    boxes: NDArray[np.float64],
    spanned: set[int],
    samples: _Samples,
    rng: np.random.Generator,
) -> tuple[list[tuple[Piece, Piece]], list[tuple[Piece, Piece]]]:
    right, every = [], []
    for split in proposals(part, context):
        parts = children(part, split, context)
        every.append(parts)
        first, second = (_spanned(each.region, boxes) & spanned for each in parts)
        whole = first | second == spanned
        is_right = whole and any(i != j for i in first for j in second)
        if spanned and whole and not is_right:
            # A crumb was cut off: neither right nor harmful.
            continue
        if not spanned and rng.random() >= _BOXLESS_SHARE:
            continue
        is_right = is_right and bool(spanned)
        samples.splits.append(features_of(part, split, parts, context))
        samples.is_right.append(is_right)
        if is_right:
            right.append(parts)
    return right, every


def _extent(region: Region) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.nonzero(region.mask)
    return rows + region.y0_px, columns + region.x0_px


def _fit_to_boxes(region: Region, boxes: NDArray[np.float64]) -> float:
    """Overlap of the piece's own box with the best true one."""
    rows, columns = _extent(region)
    own = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float64)
    return float(box_iou(own, boxes).max())


def _spanned(region: Region, boxes: NDArray[np.float64]) -> set[int]:
    """Indices of the boxes all four sides of which the piece reaches."""
    rows, columns = _extent(region)
    spanned = set()
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        inside = (columns >= np.floor(x0)) & (columns < x1) & (rows >= np.floor(y0)) & (rows < y1)
        if not inside.any():
            continue
        x_in, y_in = columns[inside], rows[inside]
        reach_x, reach_y = max(_SPAN_PX, _SPAN_SHARE * (x1 - x0)), max(_SPAN_PX, _SPAN_SHARE * (y1 - y0))
        if (
            x_in.min() - x0 <= reach_x
            and x1 - x_in.max() - 1 <= reach_x
            and y_in.min() - y0 <= reach_y
            and y1 - y_in.max() - 1 <= reach_y
        ):
            spanned.add(number)
    return spanned


def _collect_all(
    entries: Sequence[TsengImage],
    plausibility: Plausibility,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> _Samples:
    if workers == 1:
        parts: Iterator[_Samples] = (collect(entry, plausibility, seed) for entry in entries)
        return _joined(parts, len(entries), progress)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(collect, entry, plausibility, seed) for entry in entries]
        return _joined((job.result() for job in jobs), len(entries), progress)


def _joined(batches: Iterator[_Samples], total: int, progress: Callable[[int, int], None] | None) -> _Samples:
    samples = _Samples()
    for number, part in enumerate(batches, start=1):
        samples.extend(part)
        if progress is not None:
            progress(number, total)
    return samples


def _single_rows(samples: _Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows with the cell's median, and again with the typical one that serves before it is known."""
    rows = [single_features(row, median) for row, median in zip(samples.pieces, samples.medians, strict=True)]
    rows += [single_features(row, CONTOURS.typical_area) for row in samples.pieces]
    return np.stack(rows), np.asarray(samples.is_one * 2, np.float64)


def _split_rows(samples: _Samples, single: Perceptron) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows with the likenesses of the newly fitted score in place of those they were collected with."""
    rows = np.stack(samples.splits)
    count = len(PIECE_FEATURES)
    medians = rows[:, SPLIT_FEATURES.index("median_area")]
    for place in range(3):
        piece = rows[:, place * count : (place + 1) * count]
        likeness = single(np.column_stack([piece, piece[:, 0] / medians]))
        rows[:, SPLIT_FEATURES.index(("whole_single", "larger_single", "smaller_single")[place])] = likeness
    return rows, np.asarray(samples.is_right, np.float64)


def _fit_single(train: _Samples, seed: int, test: _Samples | None = None) -> tuple[Perceptron, float]:
    rows, truth = _single_rows(train)
    made = _fit(rows, truth, _SINGLE_FIT, seed)
    return made, _loss(made, *_single_rows(test)) if test is not None else float("nan")


def _fit_split(train: _Samples, single: Perceptron, seed: int, test: _Samples) -> tuple[Perceptron, float]:
    rows, truth = _split_rows(train, single)
    made = _fit(rows, truth, _SPLIT_FIT, seed)
    return made, _loss(made, *_split_rows(test, single))


def _fit(features: NDArray[np.float64], labels: NDArray[np.float64], fit: PerceptronFit, seed: int) -> Perceptron:
    """Fit a perceptron by AdamW (Loshchilov and Hutter 2019) with a one-cycle rate (Smith and Topin 2019)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean, scale = features.mean(axis=0), features.std(axis=0) + _LEAST_SCALE
    inputs = torch.tensor(((features - mean) / scale).clip(-STANDARD_LIMIT, STANDARD_LIMIT), dtype=torch.float32)
    targets = torch.tensor(labels, dtype=torch.float32)
    hidden = torch.nn.Linear(features.shape[1], fit.hidden)
    net = torch.nn.Sequential(hidden, torch.nn.Tanh(), torch.nn.Linear(fit.hidden, 1))
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=fit.weight_decay)
    steps = max(1, fit.epochs * len(features) // fit.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, fit.learning_rate, total_steps=steps + 1)
    for _ in range(steps):
        batch = torch.from_numpy(rng.integers(0, len(features), fit.batch))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(inputs[batch])[:, 0], targets[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rate.step()
    layers = [parameter.detach().numpy().astype(np.float64) for parameter in net.parameters()]
    return Perceptron(mean, scale, layers[0], layers[1], layers[2][0], float(layers[3][0]))


def _require_both_kinds(labels: Sequence[bool], what: str, data_dir: Path) -> None:
    if len(set(labels)) < 2:
        raise DatasetError(f"the pictures hold no right and wrong {what} to fit a score to", path=data_dir)


def _loss(score_net: Perceptron, features: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    chance = np.clip(score_net(features), _LEAST_CHANCE, 1.0 - _LEAST_CHANCE)
    return round(float(-np.mean(labels * np.log(chance) + (1.0 - labels) * np.log(1.0 - chance))), 4)
