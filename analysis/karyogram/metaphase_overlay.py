"""The metaphase with every chromosome outlined and labelled: what belongs to what on the karyogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.karyogram.text import Bgr, draw_text_on_picture, text_size
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED

if TYPE_CHECKING:
    from analysis.structures.grey_image import GreyImage
    from analysis.structures.instance import Instance
    from analysis.structures.karyotype import KaryotypedChromosome
    from analysis.structures.unexplained import UnexplainedObject

LONG_SIDE_PX: Final = 1600
"""Smaller pictures are enlarged (three times at most), larger ones reduced."""
_MAX_ENLARGEMENT: Final = 3.0
_UNKNOWN: Final[Bgr] = (0, 90, 235)
"""Visible on chromosomes, on nuclei and on the slide alike; grey outlines are lost on what is dark."""
_LETTERS_PX: Final = 18
_SHIFT: Final = 4
_GOLDEN_ANGLE: Final = 0.381966
"""Part of the colour circle between two classes: the golden angle keeps neighbours in the karyogram far apart."""


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Where the label of a chromosome is put.

    Attributes
    ----------
    directions
        Directions from the chromosome's middle that are tried.
    gap_px
        From the chromosome's edge to the label.
    rim_px
        Added to the label's width and height, for its white rim.
    label_cost
        What a pixel of another label that is covered costs, over one of a chromosome: it would be unreadable.
    distance_cost
        What a px of distance from the chromosome's middle costs in covered pixels.
    outline_points
        Pixels of a mask that its edge is measured by, at most.
    """

    directions: int = 16
    gap_px: float = 3.0
    rim_px: int = 4
    label_cost: float = 3.0
    distance_cost: float = 0.2
    outline_points: int = 60


@dataclass(frozen=True, slots=True)
class UnexplainedSign:
    """How stain that no chromosome explains is shown.

    Attributes
    ----------
    colour
        BGR; of no class.
    dash_px
        Length of a dash and of a gap: no chromosome has a broken outline.
    line_px
        Thickness of the line.
    gap_px
        Between the object and its frame.
    written_from
        Probability of being a missed chromosome from which it is written beside the frame; below it is likelier a
        part of its neighbour.
    """

    colour: Bgr = (200, 0, 200)
    dash_px: float = 7.0
    line_px: int = 2
    gap_px: float = 5.0
    written_from: float = 0.1


_LABEL: Final = LabelSettings()
UNEXPLAINED_SIGN: Final = UnexplainedSign()


def class_colours() -> Mapping[str, Bgr]:
    """A colour a class, BGR, dark enough for a white page: neighbours in the karyogram differ clearly."""
    colours: dict[str, Bgr] = {UNCLASSIFIED: _UNKNOWN}
    for number, name in enumerate((*CLASS_NAMES, MARKER)):
        hue = round(180 * ((number * _GOLDEN_ANGLE) % 1.0)) % 180
        saturation, value = (235, 190) if number % 2 else (215, 225)
        pixel = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
        colours[name] = (int(pixel[0]), int(pixel[1]), int(pixel[2]))
    return MappingProxyType(colours)


def draw_metaphase(
    image: GreyImage,
    karyotyped: Sequence[KaryotypedChromosome],
    *,
    by_number: bool = False,
    unexplained: Sequence[UnexplainedObject] = (),
) -> NDArray[np.uint8]:
    """Draw outlines over a metaphase picture, coloured by class.

    Parameters
    ----------
    image
        The picture; fluorescence is shown dark on bright, as it is karyotyped.
    karyotyped
        The chromosomes on it.
    by_number
        Label with the chromosome's id instead of its class.
    unexplained
        Stain that no chromosome explains: framed by a broken line, with the probability that it is a chromosome's.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width, 3), BGR.
    """
    scale = min(LONG_SIDE_PX / max(image.height_px, image.width_px), _MAX_ENLARGEMENT)
    page = _paper(image, scale)
    colours = class_colours()
    unclassified = colours[UNCLASSIFIED]
    for entry in karyotyped:
        for line in outlines(entry.instance):
            points = np.round((line + 0.5) * scale * 2**_SHIFT).astype(np.int32)
            cv2.polylines(
                page, [points], True, colours.get(entry.class_name, unclassified), 2, cv2.LINE_AA, _SHIFT
            )
    labels = [str(entry.id) if by_number else entry.class_name for entry in karyotyped]
    places = label_places([entry.instance for entry in karyotyped], labels, scale, (page.shape[0], page.shape[1]))
    for entry, label, at in zip(karyotyped, labels, places, strict=True):
        draw_text_on_picture(page, label, at, _LETTERS_PX, colours.get(entry.class_name, unclassified))
    for each in unexplained:
        _draw_unexplained(page, each, scale)
    return page


def unexplained_label(unexplained: UnexplainedObject) -> str:
    """A question mark, and how likely it is a chromosome of its own where that is likely at all."""
    if unexplained.probability < UNEXPLAINED_SIGN.written_from:
        return "?"
    return f"? {100 * unexplained.probability:.0f} %"


def _draw_unexplained(page: NDArray[np.uint8], unexplained: UnexplainedObject, scale: float) -> None:
    """Frame an object by a broken line, its probability above it."""
    xmin, ymin, xmax, ymax = unexplained.box_px
    low = np.array([xmin, ymin]) * scale - UNEXPLAINED_SIGN.gap_px
    high = np.array([xmax, ymax]) * scale + UNEXPLAINED_SIGN.gap_px
    corners = [low, np.array([high[0], low[1]]), high, np.array([low[0], high[1]])]
    for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = float(np.hypot(*(end - start)))
        steps = max(1, round(length / (2 * UNEXPLAINED_SIGN.dash_px)))
        for number in range(steps):
            first = start + (end - start) * (number / steps)
            last = start + (end - start) * ((number + 0.5) / steps)
            points = [(round(float(x)), round(float(y))) for x, y in (first, last)]
            cv2.line(page, points[0], points[1], UNEXPLAINED_SIGN.colour, UNEXPLAINED_SIGN.line_px, cv2.LINE_AA)
    text = unexplained_label(unexplained)
    width, height = text_size(text, _LETTERS_PX)
    x = int(np.clip(low[0], 0, max(0, page.shape[1] - width)))
    y = int(low[1]) - 2
    # Above the frame, or below it at the upper edge of the picture.
    y = y if y > height else min(page.shape[0] - 2, int(high[1]) + height + 2)
    draw_text_on_picture(page, text, (x, y), _LETTERS_PX, UNEXPLAINED_SIGN.colour)


def outlines(instance: Instance) -> list[NDArray[np.float64]]:
    """Outlines of a mask in px of the image: each float64, shape (n, 2), x and y of pixel centres."""
    lines, _ = cv2.findContours(instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corner = np.array(instance.box_px[:2], dtype=np.float64)
    return [line[:, 0, :].astype(np.float64) + corner for line in lines]


def label_places(
    instances: Sequence[Instance], labels: Sequence[str], scale: float, size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Places for labels beside their chromosomes, where least of other chromosomes and labels is covered.

    Parameters
    ----------
    instances
        The chromosomes.
    labels
        Their texts.
    scale
        Px of the page a px of the image.
    size
        Height and width of the page.

    Returns
    -------
    list of (int, int)
        Lower left corners, x and y in px of the page.
    """
    taken = np.zeros(size, np.uint8)
    for entry in instances:
        x0, y0, x1, y1 = (round(value * scale) for value in entry.box_px)
        mask = cv2.resize(
            entry.mask.astype(np.uint8), (max(1, x1 - x0), max(1, y1 - y0)), interpolation=cv2.INTER_NEAREST
        )
        window = taken[y0:y1, x0:x1]
        np.maximum(window, mask[: window.shape[0], : window.shape[1]], out=window)
    places = []
    for entry, label in zip(instances, labels, strict=True):
        width, height = text_size(label, _LETTERS_PX)
        x, y = _free_place(taken, entry, scale, (width + _LABEL.rim_px, height + _LABEL.rim_px))
        taken[max(0, y - height - _LABEL.rim_px) : y, x : x + width + _LABEL.rim_px] = 2
        places.append((x + 2, y - 2))
    return places


def _free_place(
    taken: NDArray[np.uint8], instance: Instance, scale: float, size: tuple[int, int]
) -> tuple[int, int]:
    """Lower left corner of a label of (width, height): the least covered of places round the chromosome."""
    width, height = size
    rows, columns = np.nonzero(instance.mask)
    away = 0.5 * np.hypot(width, height) + _LABEL.gap_px
    tips = np.stack([columns, rows], axis=1)[:: max(1, len(rows) // _LABEL.outline_points)] * scale
    corner = np.array(instance.box_px[:2]) * scale
    middle = tips.mean(axis=0)
    best, least = (0, 0), np.inf
    for turn in np.linspace(0.0, 2.0 * np.pi, _LABEL.directions, endpoint=False) - np.pi / 2.0:
        direction = np.array([np.cos(turn), np.sin(turn)])
        along = (tips - middle) @ direction
        across = np.abs((tips - middle) @ np.array([-direction[1], direction[0]]))
        near = across < 0.5 * max(width, height)
        edge = float(along[near].max()) if near.any() else 0.0
        centre = corner + middle + direction * (edge + away)
        x = int(np.clip(centre[0] - width / 2, 0, max(0, taken.shape[1] - width)))
        y = int(np.clip(centre[1] + height / 2, height, max(height, taken.shape[0])))
        window = taken[y - height : y, x : x + width]
        cost = float((window == 1).sum() + _LABEL.label_cost * (window == 2).sum()) + _LABEL.distance_cost * edge
        if cost < least:
            best, least = (x, y), cost
    return best


def _paper(image: GreyImage, scale: float) -> NDArray[np.uint8]:
    size = (max(1, round(image.width_px * scale)), max(1, round(image.height_px * scale)))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    grey = cv2.resize(image.pixels, size, interpolation=method)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
