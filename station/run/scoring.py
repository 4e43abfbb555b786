"""A run held against a slide whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acquisition.records import CandidateRecord, CaptureRecord
from analysis.structures.boxes import box_iou, match
from scanner.coordinates import ImagePoint, ObjectiveView, SlidePoint, StagePoint
from scanner.rig import Rig

BoxUm = tuple[float, float, float, float]
Padding = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TrueChromosome:
    """A chromosome that lies on the slide; box in slide um (xmin, ymin, xmax, ymax)."""

    class_name: str
    box_um: BoxUm


@dataclass(frozen=True, slots=True)
class ScoredTrueCell:
    """A metaphase that lies on the slide."""

    uid: str
    where: SlidePoint
    radius_um: float
    iscn: str | None
    chromosomes: tuple[TrueChromosome, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of a run against the truth.

    Attributes
    ----------
    planted
        Metaphases on the scanned area.
    detected
        Of these, how many became a candidate.
    false_finds
        Candidates that are none of them.
    chromosomes_true
        Chromosomes of all planted metaphases, found or not.
    chromosomes_right
        Of these, how many were found on the capture (IoU >= 0.5) with the right class.
    matches
        (cell uid, candidate uid) of every cell found.
    """

    planted: int
    detected: int
    false_finds: int
    chromosomes_true: int
    chromosomes_right: int
    matches: tuple[tuple[str, str], ...]


def match_cells(
    true_cells: Sequence[ScoredTrueCell], candidates: Sequence[CandidateRecord]
) -> tuple[tuple[str, str], ...]:
    """Pairs of cell and candidate: each used once, centre within the cell's radius, nearest pairs first.

    Parameters
    ----------
    true_cells
        What lies on the scanned area.
    candidates
        From the casebook.
    """
    pairs = [
        (cell.where.distance_um(SlidePoint(candidate.slide_x_um, candidate.slide_y_um)), cell.uid, candidate.uid)
        for cell in true_cells
        for candidate in candidates
        if cell.where.distance_um(SlidePoint(candidate.slide_x_um, candidate.slide_y_um)) <= cell.radius_um
    ]
    matches: dict[str, str] = {}
    used: set[str] = set()
    for _, cell_uid, candidate_uid in sorted(pairs):
        if cell_uid not in matches and candidate_uid not in used:
            matches[cell_uid] = candidate_uid
            used.add(candidate_uid)
    return tuple(sorted(matches.items()))


def score_run(
    true_cells: Sequence[ScoredTrueCell],
    candidates: Sequence[CandidateRecord],
    captures: Sequence[CaptureRecord],
    proposals: Mapping[str, Mapping[str, Any]],
    rig: Rig,
    *,
    pad_px: Padding = (0.0, 0.0, 0.0, 0.0),
) -> Score:
    """Hold a run against the truth.

    Parameters
    ----------
    true_cells
        What lies on the scanned area.
    candidates, captures
        From the casebook.
    proposals
        Karyotype JSON by capture uid, for captures that have one.
    rig
        The rig that was used.
    pad_px
        Padding (left, top, right, bottom) of the true boxes against tight ones, px of the capture; proposals are
        padded alike.
    """
    matches = match_cells(true_cells, candidates)
    capture_of = {capture.candidate_uid: capture for capture in captures}
    candidate_of = dict(matches)
    right = 0
    for cell in true_cells:
        capture = capture_of.get(candidate_of.get(cell.uid, ""))
        if capture is not None and capture.uid in proposals:
            right += _right(cell, capture, proposals[capture.uid], rig, pad_px)
    return Score(
        planted=len(true_cells),
        detected=len(matches),
        false_finds=len(candidates) - len(matches),
        chromosomes_true=sum(len(cell.chromosomes) for cell in true_cells),
        chromosomes_right=right,
        matches=matches,
    )


def _right(
    true_cell: ScoredTrueCell, capture: CaptureRecord, proposal: Mapping[str, Any], rig: Rig, pad_px: Padding
) -> int:
    """Chromosomes of one cell that were cut out and classified rightly."""
    objective = rig.objective(capture.objective)
    view = ObjectiveView(
        StagePoint(capture.stage_x_um, capture.stage_y_um), rig.camera_frame(objective), objective.parcentric
    )
    seen = proposal["chromosomes"]
    if not seen or not true_cell.chromosomes:
        return 0
    truth = np.array([_to_image(chromosome.box_um, view, rig) for chromosome in true_cell.chromosomes])
    left, top, right, bottom = pad_px
    grown = np.array([-left, -top, right, bottom])
    boxes = np.array([entry["box_px"] for entry in seen], dtype=float) + grown
    pairs = match(box_iou(truth, boxes))
    return sum(seen[column]["class"] == true_cell.chromosomes[row].class_name for row, column in pairs)


def _to_image(box_um: BoxUm, view: ObjectiveView, rig: Rig) -> tuple[float, float, float, float]:
    corners: list[ImagePoint] = [
        view.to_image(rig.slide.frame.to_stage(SlidePoint(x_um, y_um)))
        for x_um in (box_um[0], box_um[2])
        for y_um in (box_um[1], box_um[3])
    ]
    xs, ys = [corner.x_px for corner in corners], [corner.y_px for corner in corners]
    # Points are pixel centres, boxes are edges: half a pixel lies between them.
    return min(xs) + 0.5, min(ys) + 0.5, max(xs) + 0.5, max(ys) + 0.5
