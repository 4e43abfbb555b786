"""The 24 classes of human chromosomes."""

from __future__ import annotations

CLASS_NAMES: tuple[str, ...] = (*(str(number) for number in range(1, 23)), "X", "Y")
AUTOSOMES: tuple[str, ...] = CLASS_NAMES[:22]
SEX_CHROMOSOMES: tuple[str, ...] = CLASS_NAMES[22:]
UNCLASSIFIED = "?"
MARKER = "mar"
"""A chromosome of no known class, by a person's word; software never says it."""
