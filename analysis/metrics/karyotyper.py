"""What is scored: anything that proposes karyotypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.segmentation import UnselectedProposal


class ProposedChromosome(Protocol):
    """What is read of a karyotyped chromosome."""

    @property
    def class_name(self) -> str:
        """Class."""
        ...

    @property
    def instance(self) -> Instance:
        """Box and mask."""
        ...


class ProposedKaryotype(Protocol):
    """What is read of a karyotype."""

    @property
    def chromosomes(self) -> Sequence[ProposedChromosome]:
        """The chromosomes."""
        ...

    @property
    def left_out(self) -> Sequence[UnselectedProposal]:
        """What was proposed besides."""
        ...


class ProposesKaryotypes(Protocol):
    """What is evaluated."""

    def karyotype(self, image: GreyImage) -> ProposedKaryotype:
        """Propose a karyotype."""
        ...

    def classify_instances(self, image: GreyImage, instances: Sequence[Instance]) -> Sequence[ProposedChromosome]:
        """Classify given chromosomes jointly, in their order.

        Parameters
        ----------
        image
            The picture.
        instances
            Chromosomes with their masks.
        """
        ...
