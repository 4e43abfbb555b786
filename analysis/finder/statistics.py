"""Statistics of a field's picture, whatever lies on it: they show a slide unlike those of the training set."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

from analysis.finder.proposals import Proposals

# An eighth of the rows is enough for a field, and costs an eighth.
_ROWS = 8
# Fewer pixels on thin bodies are no measure of the focus.
_MIN_BODY_PX = 100


@dataclass(frozen=True, slots=True)
class FieldStatistics:
    """A field's picture in a few numbers.

    Attributes
    ----------
    background
        Grey level of the background.
    noise_od
        Standard deviation of the empty background, in optical density.
    dark_fraction
        Fraction of the field on bodies, thin and large, in [0, 1].
    p95_od
        Optical density that a twentieth of the field exceeds.
    focus
        Brenner's measure on thin bodies: mean square of the difference between pixels two apart over their mean
        square, noise taken off; between 0 and about 2. None where there are too few bodies.
    """

    background: float
    noise_od: float
    dark_fraction: float
    p95_od: float
    focus: float | None

    def measured(self) -> dict[str, float]:
        """The numbers that could be measured, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def statistics_of(proposals: Proposals) -> FieldStatistics:
    """Sum up the picture that proposals were made of."""
    field, bodies = proposals.field, proposals.bodies
    dark = cv2.countNonZero(bodies.mask) + cv2.countNonZero(bodies.thick)
    return FieldStatistics(
        background=field.background,
        noise_od=field.noise_od,
        dark_fraction=dark / field.od.size,
        p95_od=float(np.percentile(field.od[::_ROWS, ::_ROWS], 95)),
        focus=_focus(proposals),
    )


def _focus(proposals: Proposals) -> float | None:
    od, mask = proposals.field.od[::_ROWS], proposals.bodies.mask[::_ROWS, 1:-1]
    rows, columns = np.nonzero(mask)
    if rows.size < _MIN_BODY_PX:
        return None
    step = od[rows, columns + 2] - od[rows, columns]
    middle = od[rows, columns + 1]
    noise = proposals.field.noise_od**2
    power = float(np.mean(middle**2)) - noise
    if power <= 0.0:
        return None
    return max(0.0, float(np.mean(step**2)) - 2 * noise) / power
