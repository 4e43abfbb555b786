import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.assignment.oversize import OVERSIZE, oversize_ratio
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.relative_length import RELATIVE_LENGTH

CELL = [name for name in CLASS_NAMES if name != "Y"] * 2


def areas_of(classes, scale=200.0):
    return np.array([scale * RELATIVE_LENGTH[name] for name in classes])


def test_every_class_has_a_length():
    assert set(RELATIVE_LENGTH) == set(CLASS_NAMES)
    assert sum(RELATIVE_LENGTH[str(k)] for k in range(1, 23)) == pytest.approx(100, abs=0.5)


@given(st.floats(20, 5000))
def test_scale_does_not_matter(scale):
    assert oversize_ratio(areas_of(CELL, scale), CELL) == pytest.approx(np.ones(len(CELL)))


@given(st.integers(0, 45), st.floats(1.8, 5))
def test_two_chromosomes_that_pass_as_one_stand_out_alone(which, factor):
    areas = areas_of(CELL)
    areas[which] *= factor
    assert np.flatnonzero(oversize_ratio(areas, CELL) > OVERSIZE).tolist() == [which]


def test_what_has_no_class_or_no_company_is_not_judged():
    assert oversize_ratio(np.array([1.0, 900.0]), ["?", "1"]).tolist() == [1.0, 1.0]
    areas = np.append(areas_of(CELL), 1e6)
    assert oversize_ratio(areas, [*CELL, "?"])[-1] == 1.0
    assert oversize_ratio(np.zeros(0), []).size == 0
