"""Features of proposals are finite whatever a detector proposes, and don't depend on the order of proposals."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.selection.features import FEATURE_NAMES, ProposalFeatures, compute_proposal_features
from analysis.selection.initial_selection import load_selection_settings, select_proposals
from analysis.selection.measurements import measure_proposals
from analysis.structures.box_proposals import BoxProposals

SIDE = 120


@st.composite
def cells(draw: st.DrawFn) -> tuple[BoxProposals, np.ndarray]:
    """Boxes anywhere, also beyond the border and without stain; the mask is blocks of stain."""
    count = draw(st.integers(0, 8))
    boxes = []
    for _ in range(count):
        x0, y0 = draw(st.integers(-20, SIDE)), draw(st.integers(-20, SIDE))
        boxes.append((x0, y0, x0 + draw(st.integers(0, 60)), y0 + draw(st.integers(0, 60))))
    chance = np.full((count, 24), 0.1 / 23, np.float32)
    for row in range(count):
        chance[row, draw(st.integers(0, 23))] = 0.9
    scores = np.asarray([0.05 + 0.9 * k / 8 for k in draw(st.permutations(range(count)))], np.float32)
    mask = np.zeros((SIDE, SIDE), np.bool_)
    for _ in range(draw(st.integers(0, 4))):
        x, y = draw(st.integers(0, SIDE - 10)), draw(st.integers(0, SIDE - 10))
        mask[y : y + 30, x : x + 12] = True
    return BoxProposals(np.asarray(boxes, np.float32).reshape(-1, 4), scores, chance), mask


def features_of(proposals: BoxProposals, mask: np.ndarray) -> ProposalFeatures:
    tight_px = proposals.boxes_px
    return compute_proposal_features(measure_proposals(proposals, tight_px, mask), tight_px, mask)


@given(cells(), st.data())
@settings(max_examples=60, deadline=None)
def test_features_are_finite(cell: tuple[BoxProposals, np.ndarray], data: st.DataObject) -> None:
    proposals, mask = cell
    features = features_of(proposals, mask)
    selected = np.asarray([data.draw(st.booleans()) for _ in range(len(proposals))], np.bool_)
    classes = features.measurements.classes.copy()
    classes[selected] = np.nan
    table = features.table(selected, classes)
    assert table.shape == (len(proposals), len(FEATURE_NAMES))
    assert np.isfinite(table).all()


@given(cells(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_features_and_selection_follow_the_proposals_when_those_are_reordered(
    cell: tuple[BoxProposals, np.ndarray], random: object
) -> None:
    proposals, mask = cell
    order = list(range(len(proposals)))
    random.shuffle(order)  # type: ignore[attr-defined]
    rows = np.asarray(order, np.intp)
    first, second = features_of(proposals, mask), features_of(proposals.take(rows), mask)
    everything = np.ones(len(proposals), np.bool_)
    np.testing.assert_allclose(
        first.table(everything, first.measurements.classes)[rows],
        second.table(everything, second.measurements.classes),
        atol=1e-9,
    )
    prices = load_selection_settings()
    chosen = select_proposals(first.measurements, prices)
    assert sorted(rows[select_proposals(second.measurements, prices)]) == sorted(chosen)
