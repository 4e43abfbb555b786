"""Non-maximum suppression of boxes: what is kept doesn't overlap, in whatever order equals come."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.detection.non_maximum_suppression import suppress_overlapping
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou


def proposals_of(boxes: list[tuple[int, int, int, int]], scores: list[float]) -> BoxProposals:
    order = np.argsort(-np.asarray(scores), kind="stable")
    made = np.asarray(boxes, np.float32).reshape(-1, 4)
    classes = np.full((len(boxes), 24), 1.0 / 24.0, np.float32)
    return BoxProposals(made[order], np.asarray(scores, np.float32)[order], classes[order])


@st.composite
def proposals(draw: st.DrawFn) -> BoxProposals:
    count = draw(st.integers(0, 12))
    boxes = []
    for _ in range(count):
        x0, y0 = draw(st.integers(0, 60)), draw(st.integers(0, 60))
        boxes.append((x0, y0, x0 + draw(st.integers(1, 50)), y0 + draw(st.integers(1, 50))))
    # Scores all differ, so that the order of the kept ones is a property of the proposals.
    scores = draw(st.permutations([0.01 * (k + 1) for k in range(count)]))
    return proposals_of(boxes, list(scores))


@given(proposals(), st.sampled_from([0.0, 0.3, 0.7]))
@settings(max_examples=100, deadline=None)
def test_kept_proposals_do_not_overlap_and_are_kept_again(given_proposals: BoxProposals, iou: float) -> None:
    kept = suppress_overlapping(given_proposals, iou=iou)
    overlap = box_iou(kept.boxes_px, kept.boxes_px)
    np.fill_diagonal(overlap, 0.0)
    assert (overlap <= iou + 1e-6).all()
    again = suppress_overlapping(kept, iou=iou)
    np.testing.assert_array_equal(again.boxes_px, kept.boxes_px)


@given(proposals(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_proposals_came_does_not_matter(given_proposals: BoxProposals, random: object) -> None:
    order = list(range(len(given_proposals)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = proposals_of(
        [tuple(int(side) for side in given_proposals.boxes_px[k]) for k in order],
        [float(given_proposals.score[k]) for k in order],
    )
    first = suppress_overlapping(given_proposals, iou=0.5)
    second = suppress_overlapping(shuffled, iou=0.5)
    np.testing.assert_array_equal(first.boxes_px, second.boxes_px)
    np.testing.assert_array_equal(first.score, second.score)


def test_every_dropped_proposal_overlaps_a_better_one_that_is_kept() -> None:
    made = proposals_of([(0, 0, 10, 10), (1, 0, 11, 10), (30, 0, 40, 10), (0, 0, 10, 4)], [0.9, 0.8, 0.7, 0.6])
    kept = suppress_overlapping(made, iou=0.5)
    assert kept.score.tolist() == np.asarray([0.9, 0.7, 0.6], np.float32).tolist()
