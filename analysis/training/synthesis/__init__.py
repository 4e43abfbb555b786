"""Fields for the metaphase finder: real texture, composed layout."""

from analysis.training.synthesis.compose import compose_slides, interactions_table
from analysis.training.synthesis.preview import draw_field, write_contact_sheet
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
    "draw_field",
    "interactions_table",
    "rendered_fields",
    "write_contact_sheet",
]
