"""The cells of one case: which are counted, analysed and karyotyped, and what they show together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from analysis.case.clones import CaseClones, CaseOrigin, CellKaryotype, find_clones
from analysis.homologues.recurrence import CandidateClone, candidate_clones
from analysis.karyotyping.iscn import INCOMPLETE
from analysis.structures.band_reading import HomologueDifference
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.karyotype import Karyotype
from analysis.structures.review import ReviewFinding

NOT_USABLE: Final = frozenset({ReviewFinding.TOO_FEW, ReviewFinding.TOO_MANY, ReviewFinding.UNCLEAR_BANDS})


@dataclass(frozen=True, slots=True)
class CellQualitySettings:
    """How the quality of a cell is worked out, by which cells of a case are chosen.

    Attributes
    ----------
    well_banded
        Bands a haploid set from which on more of them make a cell no better: the level that guidelines ask for.
    unknown_bands
        Banding, over a well banded cell's, of one whose bands couldn't be counted.
    free_weight, cut_weight
        What a chromosome under another one, or a detection without certainty, takes off: half can still be read.
    band_weight
        What missing bands take off: such a cell can be counted, and analysed less well.
    """

    well_banded: float = 550.0
    unknown_bands: float = 0.7
    free_weight: float = 0.5
    cut_weight: float = 0.5
    band_weight: float = 0.4


_QUALITY: Final = CellQualitySettings()


class PictureKind(StrEnum):
    """What a further picture of a cell is."""

    FOCUS_PLANE = "focus plane"
    COPY = "copy or retake"


@dataclass(frozen=True, slots=True)
class FurtherPicture:
    """A picture of a cell beside the one that was karyotyped.

    Attributes
    ----------
    file
        Its name.
    kind
        What it is.
    """

    file: str
    kind: PictureKind


class CellRole(StrEnum):
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
    origin
        Constitutional or acquired.
    """

    counted: int = 20
    analysed: int = 5
    karyotyped: int = 2
    origin: CaseOrigin = CaseOrigin.CONSTITUTIONAL


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
        In [0, 1]; what cells are chosen by. It doesn't depend on the karyotype, so that abnormal cells are as
        likely to be chosen as normal ones.
    level
        What its proposal asks of a person.
    remark
        Why; empty where there is no reason.
    usable
        False where the cell can't be counted.
    role
        What it is used for.
    bands
        Bands a haploid set, as they were counted; None where they couldn't be.
    homologues
        How its homologues differ.
    edited
        Whether a person edited its proposal.
    further_pictures
        Other pictures of the same cell, which aren't counted, each with what it is.
    picture_remarks
        What was chosen or changed when its picture was read.
    """

    name: str
    iscn: str | None
    chromosomes: int
    unclassified: int
    quality: float
    level: str
    remark: str
    usable: bool
    role: CellRole = CellRole.SPARE
    bands: int | None = None
    homologues: tuple[HomologueDifference, ...] = ()
    edited: bool = False
    further_pictures: tuple[FurtherPicture, ...] = ()
    picture_remarks: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no chromosome is missing or without a class, so that a loss is one."""
        whole = self.iscn is not None and not self.iscn.endswith(INCOMPLETE)
        return self.usable and self.unclassified == 0 and whole

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
            "edited": self.edited,
            "picture_remarks": list(self.picture_remarks),
            "further_pictures": [
                {"file": picture.file, "kind": picture.kind.value} for picture in self.further_pictures
            ],
        }


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """A case: its cells, and what they show together.

    Attributes
    ----------
    name
        Of the case.
    origin
        How its string is written.
    cells
        Best first; excluded ones last.
    clones
        Of the cells that are counted and complete.
    """

    name: str
    origin: CaseOrigin
    cells: tuple[CaseCell, ...]
    clones: CaseClones

    def count(self, *roles: CellRole) -> int:
        """Cells of these roles."""
        return sum(cell.role in roles for cell in self.cells)

    @property
    def bands(self) -> int | None:
        """Median bands a haploid set of the cells analysed and laid out; None where none has any."""
        counts = [
            cell.bands
            for cell in self.cells
            if cell.bands is not None and cell.role in (CellRole.ANALYSED, CellRole.KARYOTYPED)
        ]
        return int(np.median(counts)) if counts else None

    @property
    def candidates(self) -> tuple[CandidateClone, ...]:
        """Pairs whose homologues differ at the same place in two cells or more: to be checked, never written."""
        return candidate_clones({cell.name: cell.homologues for cell in self.cells if cell.usable})

    @property
    def further_pictures(self) -> int:
        """Pictures that aren't counted because another one shows the same cell."""
        return sum(len(cell.further_pictures) for cell in self.cells)

    @property
    def edited(self) -> int:
        """Cells whose proposal a person edited."""
        return sum(cell.edited for cell in self.cells)

    @property
    def to_review(self) -> int:
        """Cells in use whose proposal a person must review."""
        return sum(cell.level == "must review" and cell.role is not CellRole.EXCLUDED for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "case": self.name,
            "origin": self.origin.value,
            # The key's former name, for those who read it.
            "nature": self.origin.value,
            "iscn": self.clones.text or None,
            "proposal": True,
            "mosaic": self.clones.mosaic,
            "counted": self.count(CellRole.COUNTED, CellRole.ANALYSED, CellRole.KARYOTYPED),
            "analysed": self.count(CellRole.ANALYSED, CellRole.KARYOTYPED),
            "karyotyped": self.count(CellRole.KARYOTYPED),
            "to_review": self.to_review,
            "edited": self.edited,
            "further_pictures": self.further_pictures,
            "bands": self.bands,
            "clones": [
                {"iscn": clone.text, "cells": list(clone.cells), "normal": clone.normal}
                for clone in self.clones.clones
            ],
            "single_cell_findings": [
                {"item": finding.item, "cells": list(finding.cells)} for finding in self.clones.nonclonal
            ],
            "candidate_clones": [candidate.to_json() for candidate in self.candidates],
            "cells": [cell.to_json() for cell in self.cells],
        }


def cell_of(name: str, karyotype: Karyotype) -> CaseCell:
    """Take what a case needs from a karyotype proposal.

    Parameters
    ----------
    name
        Of the cell.
    karyotype
        The proposal, fresh or edited.
    """
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
        edited=karyotype.edited,
        picture_remarks=karyotype.image.remarks,
    )


def refused_cell(name: str, reason: str) -> CaseCell:
    """A picture that couldn't be karyotyped, as a cell that is excluded.

    Parameters
    ----------
    name
        Of the cell.
    reason
        Why, for people.
    """
    return CaseCell(name, None, 0, 0, 0.0, "must review", reason, usable=False, role=CellRole.EXCLUDED)


def summarise(name: str, case_cells: Sequence[CaseCell], policy: CasePolicy) -> CaseSummary:
    """Choose the cells of a case and bring them together.

    Parameters
    ----------
    name
        Of the case.
    case_cells
        All cells there are, in any order.
    policy
        How many are used, and how the case is written.
    """
    ordered = sorted(case_cells, key=lambda cell: (not cell.usable, not cell.complete, -cell.quality, cell.name))
    chosen = [replace(cell, role=_role(cell, place, policy)) for place, cell in enumerate(ordered)]
    karyotypes = [
        CellKaryotype.from_iscn(cell.name, cell.iscn)
        for cell in chosen
        if cell.role not in (CellRole.EXCLUDED, CellRole.SPARE) and cell.complete and cell.iscn is not None
    ]
    return CaseSummary(name, policy.origin, tuple(chosen), find_clones(karyotypes, policy.origin))


def _role(case_cell: CaseCell, place: int, policy: CasePolicy) -> CellRole:
    if not case_cell.usable:
        return CellRole.EXCLUDED
    if case_cell.complete and place < policy.karyotyped:
        return CellRole.KARYOTYPED
    if case_cell.complete and place < policy.analysed:
        return CellRole.ANALYSED
    return CellRole.COUNTED if place < policy.counted else CellRole.SPARE


def _quality(karyotype: Karyotype) -> float:
    entries = karyotype.chromosomes
    if not entries:
        return 0.0
    probabilities = [entry.probability for entry in entries if entry.class_name != UNCLASSIFIED]
    certainty = float(np.mean(probabilities or [0.0]))
    whole = float(np.mean([entry.class_name != UNCLASSIFIED for entry in entries]))
    free = float(np.mean([not entry.instance.overlaps for entry in entries]))
    cut = float(np.mean([entry.instance.score for entry in entries]))
    level = karyotype.bands.level
    banded = _QUALITY.unknown_bands if level is None else min(level.bands / _QUALITY.well_banded, 1.0)
    factors = (
        certainty,
        whole,
        1.0 - _QUALITY.free_weight + _QUALITY.free_weight * free,
        1.0 - _QUALITY.cut_weight + _QUALITY.cut_weight * cut,
        1.0 - _QUALITY.band_weight + _QUALITY.band_weight * banded,
    )
    return float(np.clip(np.prod(factors), 0.0, 1.0))
