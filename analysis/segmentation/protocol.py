"""What every segmentation of an image offers."""

from __future__ import annotations

from typing import Protocol

from analysis.structures.grey_image import GreyImage
from analysis.structures.segmentation import Segmentation


class Segmenter(Protocol):
    """Anything that segments the chromosomes of an image."""

    def __call__(self, image: GreyImage) -> Segmentation:
        """Segment an image; raise `NoMetaphaseError` where there is nothing to segment."""
        ...
