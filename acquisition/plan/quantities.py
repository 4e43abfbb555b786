"""Factors between units, and what rounding alone may make of a number."""

from typing import Final

MS_PER_S: Final = 1000
S_PER_MIN: Final = 60
UM2_PER_MM2: Final = 1e6
BYTES_PER_GB: Final = 1e9

ROUNDING: Final = 1e-9
"""Relative error of some sums and products of doubles, with room; far below anything that is measured."""
