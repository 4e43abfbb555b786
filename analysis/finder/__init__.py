"""Metaphases in a low-magnification field."""

from analysis.finder.candidate import Candidate, CellQuality
from analysis.finder.find import find_metaphases
from analysis.finder.finders import (
    FINDERS,
    FieldCandidates,
    FieldFinder,
    MetaphaseFinder,
    RuleFinder,
    finder_of,
    load_finder,
)
from analysis.finder.proposals import Proposals, crops_at, crops_of, propose
from analysis.finder.statistics import FieldStatistics

__all__ = [
    "FINDERS",
    "Candidate",
    "CellQuality",
    "FieldCandidates",
    "FieldFinder",
    "FieldStatistics",
    "MetaphaseFinder",
    "Proposals",
    "RuleFinder",
    "crops_at",
    "crops_of",
    "find_metaphases",
    "finder_of",
    "load_finder",
    "propose",
]
