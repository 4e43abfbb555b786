"""Which points answer for which chromosome, and what a wrong answer costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from analysis.nets.detector_net import DetectorNet, DetectorOutput, boxes_at
from analysis.training.detector.data import NO_CLASS

POINTS_A_BOX: Final = 9
_IOU_POWER: Final = 6.0

_NO_AREA: Final = 1e-6
_NO_FIT: Final = 1e-12
_LAST_BIN: Final = 1e-3
"""Distances stay so far below the last bin that they lie between two."""

_BACKGROUND_WEIGHT: Final = 0.75
"""Of points without a chromosome, as in the varifocal loss of Zhang et al. (2021)."""


@dataclass(frozen=True, slots=True)
class DetectorLossWeights:
    """What the parts of the loss count."""

    overlap: float = 2.5
    offset: float = 1.0
    distribution: float = 0.4
    classes: float = 0.7
    label_smoothing: float = 0.05


class Target(NamedTuple):
    """What is on one image of a batch.

    Attributes
    ----------
    boxes
        float32, shape (n, 4), in input px.
    classes
        int64, shape (n,); nothing is learned about the class where it is `NO_CLASS`.
    ignored
        float32, shape (m, 4): nothing is learned about points in these boxes.
    """

    boxes: Tensor
    classes: Tensor
    ignored: Tensor


class PointAssignment(NamedTuple):
    """Points that answer for a box.

    Attributes
    ----------
    point, box
        int64, shape (k,): indices.
    goal
        float32, shape (k,): score they shall have, in [0, 1].
    """

    point: Tensor
    box: Tensor
    goal: Tensor


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (k, 4) one to one: shape (k,).

    Parameters
    ----------
    first
        Shape (n, 4).
    second
        Shape (n, 4), box by box.
    """
    return _overlap(first, second)[0]


def _overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and the generalised one (Rezatofighi et al. 2019)."""
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    iou = shared / union.clamp(min=_NO_AREA)
    outer_low, outer_high = torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:])
    outer = (outer_high - outer_low).clamp(min=0).prod(1)
    return iou, iou - (outer - union) / outer.clamp(min=_NO_AREA)


@torch.no_grad()
def points_inside(places: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs (box, point) of the points (points, 2) that lie in the boxes (n, 4), in the order of the boxes.

    Parameters
    ----------
    places
        Shape (p, 2).
    boxes
        Shape (n, 4).
    """
    x, y = places[:, 0].contiguous(), places[:, 1].contiguous()
    xmin, ymin, xmax, ymax = boxes[:, :, None].unbind(1)
    box, point = ((x > xmin) & (x < xmax) & (y > ymin) & (y < ymax)).nonzero(as_tuple=True)
    return box, point


@torch.no_grad()
def assign_points(
    detector_net: DetectorNet, places: Tensor, score: Tensor, borders: Tensor, boxes: Tensor
) -> PointAssignment:
    """Let every box be answered for by the points that do best already (TOOD, Feng et al. 2021).

    Parameters
    ----------
    detector_net
        Knows what its border logits mean.
    places
        Shape (points, 2).
    score, borders
        Logits of one image, shapes (points,) and (points, 4, 17).
    boxes
        Shape (n, 4), at least one.
    """
    box, point = points_inside(places, boxes)
    found = boxes_at(places[point], detector_net.expected(borders[point]))
    iou = box_iou(found, boxes[box])
    fit = score[point].sigmoid() * iou.pow(_IOU_POWER) + _NO_FIT
    counts = torch.bincount(box, minlength=len(boxes))
    first = counts.cumsum(0) - counts
    table = torch.zeros(len(boxes), max(int(counts.max()), POINTS_A_BOX))
    table[box, torch.arange(len(box)) - first[box]] = fit
    best, column = table.topk(POINTS_A_BOX, dim=1)
    row = torch.arange(len(boxes))[:, None].expand_as(column)[best > 0]
    pair = first[row] + column[best > 0]
    point, iou, fit = point[pair], iou[pair], fit[pair]
    # A point two boxes want goes to the one it fits better.
    strongest = torch.full((len(places),), -1.0).scatter_reduce(0, point, iou, "amax")
    own = iou >= strongest[point]
    point, row, iou, fit = point[own], row[own], iou[own], fit[own]
    most_fit = torch.zeros(len(boxes)).scatter_reduce(0, row, fit, "amax")
    most_iou = torch.zeros(len(boxes)).scatter_reduce(0, row, iou, "amax")
    return PointAssignment(point, row, fit / most_fit[row].clamp(min=_NO_FIT) * most_iou[row])


def detector_loss(
    detector_net: DetectorNet,
    places: Tensor,
    output: DetectorOutput,
    targets: list[Target],
    loss_weights: DetectorLossWeights,
) -> dict[str, Tensor]:
    """Parts of the loss of a batch, weighted: ``score, overlap, offset, distribution, classes``.

    Parameters
    ----------
    detector_net
        Whose outputs they are.
    places
        Shape (p, 2): points that the net speaks of.
    output
        Of a batch.
    targets
        One a picture.
    loss_weights
        Of the parts.
    """
    goals = torch.zeros_like(output.score)
    counted = torch.ones_like(output.score)
    image, point, box, label, goal = [], [], [], [], []
    for k, target in enumerate(targets):
        if len(target.ignored):
            counted[k, points_inside(places, target.ignored)[1]] = 0.0
        if not len(target.boxes):
            continue
        chosen = assign_points(
            detector_net, places, output.score[k].detach(), output.borders[k].detach(), target.boxes
        )
        goals[k, chosen.point], counted[k, chosen.point] = chosen.goal, 1.0
        image.append(torch.full_like(chosen.point, k))
        point.append(chosen.point)
        box.append(target.boxes[chosen.box])
        label.append(target.classes[chosen.box])
        goal.append(chosen.goal)
    parts = {"score": _score_loss(output.score, goals, counted)}
    if image:
        where = (torch.cat(image), torch.cat(point))
        share = torch.cat(goal) / torch.cat(goal).sum().clamp(min=1.0)
        parts["score"] = parts["score"] / torch.cat(goal).sum().clamp(min=1.0)
        logits = output.borders[where].float()
        parts |= _border_losses(detector_net, places[where[1]], logits, torch.cat(box), share, loss_weights)
        entropy = functional.cross_entropy(
            output.classes[where],
            torch.cat(label),
            reduction="none",
            label_smoothing=loss_weights.label_smoothing,
            ignore_index=NO_CLASS,
        )
        parts["classes"] = loss_weights.classes * (entropy * share).sum()
    return parts


def _score_loss(score: Tensor, goals: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy of the score, slide that is told already weighted down (varifocal loss, Zhang et al. 2021)."""
    chance = score.detach().sigmoid()
    weight = torch.where(goals > 0, goals, _BACKGROUND_WEIGHT * chance.square()) * counted
    return (functional.binary_cross_entropy_with_logits(score, goals, reduction="none") * weight).sum()


def _border_losses(
    detector_net: DetectorNet,
    places: Tensor,
    logits: Tensor,
    boxes: Tensor,
    share: Tensor,
    loss_weights: DetectorLossWeights,
) -> dict[str, Tensor]:
    found = boxes_at(places, detector_net.expected(logits))
    _, generalised = _overlap(found, boxes)
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    wanted = torch.cat([places - boxes[:, :2], boxes[:, 2:] - places], dim=1)
    return {
        "overlap": loss_weights.overlap * ((1.0 - generalised) * share).sum(),
        "offset": loss_weights.offset * (((found - boxes).abs() / size).mean(1) * share).sum(),
        "distribution": loss_weights.distribution
        * (_distribution(detector_net.distances, logits, wanted) * share).sum(),
    }


def _distribution(distances: Tensor, logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy with the two distances next to the wanted one, by nearness; mean over the sides: (k,)."""
    last = len(distances) - 1
    wanted = wanted.clamp(float(distances[0]), float(distances[last]) - _LAST_BIN)
    upper = torch.bucketize(wanted, distances, right=True).clamp(1, last)
    low, high = distances[upper - 1], distances[upper]
    share = (wanted - low) / (high - low)
    log_chance = functional.log_softmax(logits, dim=-1)
    at_low = log_chance.gather(-1, (upper - 1)[..., None])[..., 0]
    at_high = log_chance.gather(-1, upper[..., None])[..., 0]
    return -((1.0 - share) * at_low + share * at_high).mean(1)
