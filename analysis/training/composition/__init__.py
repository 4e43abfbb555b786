"""Fields for the metaphase finder: real texture, composed layout."""

from analysis.training.composition.compose import compose_slides, interactions_table
from analysis.training.composition.preview import draw_field, write_contact_sheet
from analysis.training.composition.rendered import rendered_fields
from analysis.training.composition.truth import (
    BRIGHTFIELD,
    DAPI,
    FLUORESCENCE,
    GBAND,
    HELD_OUT_STAIN,
    STAINS,
    ComposedField,
    TrueCell,
)

__all__ = [
    "BRIGHTFIELD",
    "DAPI",
    "FLUORESCENCE",
    "GBAND",
    "HELD_OUT_STAIN",
    "STAINS",
    "ComposedField",
    "TrueCell",
    "compose_slides",
    "draw_field",
    "interactions_table",
    "rendered_fields",
    "write_contact_sheet",
]
