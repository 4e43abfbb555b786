"""Fields for the metaphase finder: real texture, composed layout."""

from analysis.training.synthesis.compose import compose_slides, interactions_table
from analysis.training.synthesis.rendered import rendered_fields
from analysis.training.synthesis.truth import (
    BRIGHTFIELD,
    DAPI,
    FLUORESCENCE,
    GBAND,
    HELD_OUT_STAIN,
    STAINS,
    ComposedField,
    ComposedMetaphase,
)

__all__ = [
    "BRIGHTFIELD",
    "DAPI",
    "FLUORESCENCE",
    "GBAND",
    "HELD_OUT_STAIN",
    "STAINS",
    "ComposedField",
    "ComposedMetaphase",
    "compose_slides",
    "interactions_table",
    "rendered_fields",
]
