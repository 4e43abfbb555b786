"""The cells of one case: which are counted, analysed and karyotyped, and what they show together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from analysis.case.clones import CaseClones, CellKaryotype, Nature, find_clones
from analysis.homologues.recurrence import CandidateClone, candidate_clones
from analysis.karyotyping.iscn import INCOMPLETE
from analysis.structures.band_reading import HomologueDifference
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.karyotype import Karyotype
from analysis.structures.review import ReviewFinding

NOT_USABLE: Final = frozenset({ReviewFinding.TOO_FEW, ReviewFinding.TOO_MANY, ReviewFinding.UNCLEAR_BANDS})
_WELL_BANDED: Final = 550.0
"""Bands a haploid set from which on more of them make a cell no better."""
_USUAL_BANDED: Final = 0.7
"""What a cell is worth whose bands couldn't be counted, of one that is well banded."""


class Role(StrEnum):
    """What a cell is used for; each includes those after it."""

    KARYOTYPED = "karyotyped"
    ANALYSED = "analysed"
    COUNTED = "counted"
    SPARE = "spare"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class CasePolicy:
    """How many cells are used, as laboratories' guidelines put it.

    Attributes
    ----------
    counted, analysed, karyotyped
        Cells counted, those of them analysed band by band, those of them laid out.
    nature
        Constitutional or acquired.
    """

    counted: int = 20
    analysed: int = 5
    karyotyped: int = 2
    nature: Nature = Nature.CONSTITUTIONAL


@dataclass(frozen=True, slots=True)
class CaseCell:
    """One cell of a case.

    Attributes
    ----------
    name
        Of the cell.
    iscn
        Its ISCN string; None without.
    chromosomes
        Objects with a class.
    unclassified
        Objects without.
    quality
        In [0, 1]; what cells are chosen by. It never looks at what the karyotype is, so that abnormal cells are as
        likely to be chosen as normal ones.
    level
        What its proposal asks of a person.
    remark
        Why, in words; empty where nothing is to be said.
    usable
        False where the cell can't be counted.
    role
        What it is used for.
    bands
        Bands a haploid set, as they were counted; None where they couldn't be.
    homologues
        How its homologues differ.
    """

    name: str
    iscn: str | None
    chromosomes: int
    unclassified: int
    quality: float
    level: str
    remark: str
    usable: bool
    role: Role = Role.SPARE
    bands: int | None = None
    homologues: tuple[HomologueDifference, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every chromosome was found and has a class, so that a loss is one."""
        told = self.iscn is not None and not self.iscn.endswith(INCOMPLETE)
        return self.usable and self.unclassified == 0 and told

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "role": self.role.value,
            "iscn": self.iscn,
            "chromosomes": self.chromosomes,
            "unclassified": self.unclassified,
            "quality": round(self.quality, 3),
            "bands": self.bands,
            "verdict": self.level,
            "remark": self.remark,
        }


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """A case: its cells, and what they show together.

    Attributes
    ----------
    name
        Of the case.
    nature
        How its string is written.
    cells
        Best first; excluded ones last.
    clones
        Of the cells that are counted and complete.
    """

    name: str
    nature: Nature
    cells: tuple[CaseCell, ...]
    clones: CaseClones

    def count(self, *roles: Role) -> int:
        """Cells of these roles."""
        return sum(cell.role in roles for cell in self.cells)

    @property
    def bands(self) -> int | None:
        """Median bands a haploid set of the cells analysed and laid out; None where there are none to be told."""
        told = [
            cell.bands
            for cell in self.cells
            if cell.bands is not None and cell.role in (Role.ANALYSED, Role.KARYOTYPED)
        ]
        return int(np.median(told)) if told else None

    @property
    def candidates(self) -> tuple[CandidateClone, ...]:
        """Pairs whose homologues differ at the same place in two cells or more: to be checked, never written."""
        return candidate_clones({cell.name: cell.homologues for cell in self.cells if cell.usable})

    @property
    def to_review(self) -> int:
        """Cells in use whose proposal a person must review."""
        return sum(cell.level == "must review" and cell.role is not Role.EXCLUDED for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "case": self.name,
            "nature": self.nature.value,
            "iscn": self.clones.text or None,
            "proposal": True,
            "mosaic": self.clones.mosaic,
            "counted": self.count(Role.COUNTED, Role.ANALYSED, Role.KARYOTYPED),
            "analysed": self.count(Role.ANALYSED, Role.KARYOTYPED),
            "karyotyped": self.count(Role.KARYOTYPED),
            "to_review": self.to_review,
            "bands": self.bands,
            "clones": [
                {"iscn": clone.text, "cells": list(clone.cells), "normal": clone.normal}
                for clone in self.clones.clones
            ],
            "single_cell_findings": [
                {"item": finding.item, "cells": list(finding.cells)} for finding in self.clones.single
            ],
            "candidate_clones": [candidate.to_json() for candidate in self.candidates],
            "cells": [cell.to_json() for cell in self.cells],
        }


def cell_of(name: str, karyotype: Karyotype) -> CaseCell:
    """Take what a case needs to know from a karyotype proposal."""
    classed = [entry for entry in karyotype.chromosomes if entry.class_name != UNCLASSIFIED]
    left_out = len(karyotype.chromosomes) - len(classed)
    findings = {reason.finding for reason in karyotype.verdict.reasons}
    return CaseCell(
        name=name,
        iscn=karyotype.iscn.text,
        chromosomes=len(classed),
        unclassified=left_out,
        quality=_quality(karyotype),
        level=karyotype.verdict.level.value,
        remark=karyotype.remark or karyotype.iscn.reason,
        usable=karyotype.iscn.text is not None and karyotype.verdict.readable and not findings & NOT_USABLE,
        bands=None if karyotype.bands.level is None else karyotype.bands.level.bands,
        homologues=karyotype.bands.homologues,
    )


def refused_cell(name: str, reason: str) -> CaseCell:
    """A picture that couldn't be karyotyped."""
    return CaseCell(name, None, 0, 0, 0.0, "must review", reason, usable=False, role=Role.EXCLUDED)


def summarise(name: str, cells: Sequence[CaseCell], policy: CasePolicy) -> CaseSummary:
    """Choose the cells of a case and bring them together.

    Parameters
    ----------
    name
        Of the case.
    cells
        All cells there are, in any order.
    policy
        How many are used, and how the case is written.
    """
    ordered = sorted(cells, key=lambda cell: (not cell.usable, not cell.complete, -cell.quality, cell.name))
    chosen = [replace(cell, role=_role(cell, place, policy)) for place, cell in enumerate(ordered)]
    karyotypes = [
        CellKaryotype.from_iscn(cell.name, cell.iscn)
        for cell in chosen
        if cell.role not in (Role.EXCLUDED, Role.SPARE) and cell.complete and cell.iscn is not None
    ]
    return CaseSummary(name, policy.nature, tuple(chosen), find_clones(karyotypes, policy.nature))


def _role(cell: CaseCell, place: int, policy: CasePolicy) -> Role:
    if not cell.usable:
        return Role.EXCLUDED
    if cell.complete and place < policy.karyotyped:
        return Role.KARYOTYPED
    if cell.complete and place < policy.analysed:
        return Role.ANALYSED
    return Role.COUNTED if place < policy.counted else Role.SPARE


def _quality(karyotype: Karyotype) -> float:
    entries = karyotype.chromosomes
    if not entries:
        return 0.0
    sure = [entry.probability for entry in entries if entry.class_name != UNCLASSIFIED]
    certainty = float(np.mean(sure or [0.0]))
    whole = float(np.mean([entry.class_name != UNCLASSIFIED for entry in entries]))
    free = float(np.mean([not entry.instance.overlaps for entry in entries]))
    cut = float(np.mean([entry.instance.score for entry in entries]))
    level = karyotype.bands.level
    banded = _USUAL_BANDED if level is None else min(level.bands / _WELL_BANDED, 1.0)
    # A chromosome under another one can be read in part: half of what a free one is worth.
    worth = certainty * whole * (0.5 + 0.5 * free) * (0.5 + 0.5 * cut) * (0.6 + 0.4 * banded)
    return float(np.clip(worth, 0.0, 1.0))
