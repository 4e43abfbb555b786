"""Piles of chromosomes, and the few best explanations of each."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.structures.instance import Instance


@dataclass(frozen=True, slots=True)
class PileExplanation:
    """One explanation of a pile: the chromosomes that its stain may be.

    Attributes
    ----------
    probability
        In [0, 1]: of this explanation.
    instances
        The chromosomes.
    """

    probability: float
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Pile:
    """Connected stain that may be explained in several ways.

    Attributes
    ----------
    explanations
        What the software proposed first, then the others from the likeliest on; two at least.
    """

    explanations: tuple[PileExplanation, ...]
