"""Read the classes printed on a sheet: each label is compared as a whole with templates of all names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.karyogram_import.settings import LABEL, SHEET, PrintedLabelSettings
from analysis.karyogram_import.sheet_layout import PRINTED_NAMES

BoxPx = tuple[int, int, int, int]
"""xmin, ymin, xmax, ymax in px, half open."""

_FACES: Final = (("uni", 400), ("uni", 700), ("sans", 400), ("sans", 700))
"""Outline fonts of OpenCV and their weights."""
_LINE_FONTS: Final = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_LINE_THICKNESS: Final = (2, 5)
_LINE_SCALE: Final = 2.0
_MARGIN_PX: Final = 20
"""Round a template that is being drawn; letters may reach below their base line."""


@dataclass(frozen=True, slots=True)
class PrintedLabel:
    """A label on a sheet and how well every name fits it.

    Attributes
    ----------
    box_px
        Of its letters.
    scores
        Name to correlation with its best template, less what a differing ratio of the sides costs.
    """

    box_px: BoxPx
    scores: Mapping[str, float]

    @property
    def reading(self) -> str:
        """The name that fits best."""
        return max(self.scores, key=lambda name: self.scores[name])

    @property
    def score(self) -> float:
        """How well it fits."""
        return self.scores[self.reading]

    @property
    def centre_x_px(self) -> float:
        """Middle of the label."""
        return (self.box_px[0] + self.box_px[2]) / 2.0

    @property
    def height_px(self) -> int:
        """Of its letters."""
        return self.box_px[3] - self.box_px[1]


def find_labels(
    levels: NDArray[np.uint8], paper: float, ink: NDArray[np.bool_], settings: PrintedLabelSettings = LABEL
) -> list[PrintedLabel]:
    """Find the labels of a sheet.

    Parameters
    ----------
    levels
        uint8, shape (h, w): the sheet, dark print on bright paper.
    paper
        Its grey level.
    ink
        bool, same shape: everything printed except lines.
    settings
        How labels are read.

    Returns
    -------
    list of PrintedLabel
        In no order; of one size of print, that of most labels that could be read.
    """
    dark = (levels < paper - SHEET.dark_levels) & ink
    body_boxes = _boxes(ink)
    labels = []
    for box in _words(dark):
        if not _is_isolated(box, body_boxes):
            continue
        xmin, ymin, xmax, ymax = box
        darkness = np.clip(paper - levels[ymin:ymax, xmin:xmax].astype(np.float32), 0.0, None)
        label = PrintedLabel(box, name_scores(darkness, settings))
        if label.score >= settings.min_score:
            labels.append(label)
    if not labels:
        return []
    heights = np.array([label.height_px for label in labels])
    tolerance = SHEET.label_size_tolerance
    near = [np.abs(heights - height) <= max(1.0, tolerance * height) for height in heights]
    mode = max(near, key=lambda alike: int(alike.sum()))
    return [label for label, alike in zip(labels, mode, strict=True) if alike]


def name_scores(darkness: NDArray[np.float32], settings: PrintedLabelSettings = LABEL) -> dict[str, float]:
    """Correlate a label with the templates of all names.

    Parameters
    ----------
    darkness
        float32, shape (h, w): 0 on paper; cropped to the label.
    settings
        How labels are read.

    Returns
    -------
    dict
        Name to score, at most 1.
    """
    picture = _normalised(darkness, settings)
    aspect = np.log(darkness.shape[1] / darkness.shape[0])
    scores = {}
    for name, templates in _templates(settings).items():
        scores[name] = max(
            float(np.dot(picture, template)) - settings.aspect_weight * abs(float(aspect) - template_aspect)
            for template, template_aspect in templates
        )
    return scores


@cache
def _templates(settings: PrintedLabelSettings) -> dict[str, list[tuple[NDArray[np.float32], float]]]:
    templates: dict[str, list[tuple[NDArray[np.float32], float]]] = {}
    for name in PRINTED_NAMES:
        templates[name] = [
            (_normalised(drawn, settings), float(np.log(drawn.shape[1] / drawn.shape[0])))
            for drawn in _drawings(name, settings.size_px)
        ]
    return templates


def _drawings(name: str, size_px: int) -> Iterator[NDArray[np.float32]]:
    for face, weight in _FACES:
        page = np.zeros((3 * size_px, 4 * size_px, 3), np.uint8)
        cv2.putText(page, name, (_MARGIN_PX, 2 * size_px), (255, 255, 255), cv2.FontFace(face), size_px, weight)
        yield _trimmed(page[..., 0])
    for font in _LINE_FONTS:
        for thickness in _LINE_THICKNESS:
            grey = np.zeros((3 * size_px, 4 * size_px), np.uint8)
            cv2.putText(grey, name, (_MARGIN_PX, 2 * size_px), font, _LINE_SCALE, 255, thickness, cv2.LINE_AA)
            yield _trimmed(grey)


def _trimmed(page: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(page.any(axis=1)), np.flatnonzero(page.any(axis=0))
    return page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)


def _normalised(darkness: NDArray[np.float32], settings: PrintedLabelSettings) -> NDArray[np.float32]:
    rows, columns = settings.shape
    picture = cv2.resize(darkness, (columns, rows), interpolation=cv2.INTER_AREA)
    # A little blur makes strokes of different weight and place alike.
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0).ravel()
    picture = picture - picture.mean()
    return np.asarray(picture / max(float(np.linalg.norm(picture)), 1.0), dtype=np.float32)


def _boxes(mask: NDArray[np.bool_]) -> list[BoxPx]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [(int(x), int(y), int(x + width), int(y + height)) for x, y, width, height, _ in stats[1:]]


def _words(dark: NDArray[np.bool_]) -> list[BoxPx]:
    """Letters of legible height that stand in one line beside each other, joined; longer runs are no labels."""
    low, high = (limit * dark.shape[0] for limit in SHEET.label_height)
    letters = sorted(box for box in _boxes(dark) if low <= box[3] - box[1] <= high)
    words: list[list[BoxPx]] = []
    for letter in letters:
        height = letter[3] - letter[1]
        for word in words:
            last = word[-1]
            step = max(1.0, SHEET.letter_step * height)
            beside = -1 <= letter[0] - last[2] <= max(2.0, SHEET.letter_gap * height)
            # "mar" has one height as well.
            if beside and abs(letter[1] - last[1]) <= step and abs(letter[3] - last[3]) <= step:
                word.append(letter)
                break
        else:
            words.append([letter])
    longest = max(len(name) for name in PRINTED_NAMES)
    return [_hull(word) for word in words if len(word) <= longest]


def _hull(boxes: list[BoxPx]) -> BoxPx:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _is_isolated(word: BoxPx, bodies: list[BoxPx]) -> bool:
    reach = SHEET.isolated * (word[3] - word[1])
    for body in bodies:
        touches = body[0] < word[2] and word[0] < body[2] and body[1] < word[3] and word[1] < body[3]
        beyond = max(word[0] - body[0], word[1] - body[1], body[2] - word[2], body[3] - word[3])
        if touches and beyond > reach:
            return False
    return True
