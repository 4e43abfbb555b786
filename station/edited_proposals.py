"""Proposals in a folder that a person edited, which mustn't be overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

CASE_STEM: Final = "case"
"""Of the files about the case itself."""


def edited_stems(folder: Path) -> frozenset[str]:
    """Stems of the proposals of a folder that a person edited, drawn anew since or not.

    A file that can't be read as JSON counts as edited: somebody's work may be in it.
    """
    return frozenset(
        path.stem for path in folder.glob("*.json") if path.stem != CASE_STEM and is_edited_proposal(path)
    )


def is_edited_proposal(path: Path) -> bool:
    """Whether a file is a proposal that a person edited; False where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(content, dict) and _is_edited(content)


def _is_edited(content: dict[str, Any]) -> bool:
    chromosomes = content.get("chromosomes")
    if not isinstance(chromosomes, list):
        return False
    deleted = content.get("proposed_objects", len(chromosomes)) != len(chromosomes)
    flagged = any(bool(content.get(key)) for key in ("edited", "complete", "cell_edits"))
    return flagged or deleted or any(_is_touched(entry) for entry in chromosomes)


def _is_touched(value: object) -> bool:
    if not isinstance(value, dict):
        return True
    proposed = value.get("proposed")
    before = proposed if isinstance(proposed, dict) else value
    changed = any(value.get(key) != before.get(key) for key in ("class", "flipped"))
    return changed or bool(value.get("confirmed")) or bool(value.get("edits"))
