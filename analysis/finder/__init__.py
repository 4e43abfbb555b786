"""Metaphases in a low-magnification field."""

from analysis.finder.candidate import Candidate, CellQuality
from analysis.finder.find import find_metaphases
from analysis.finder.proposals import Proposals, crops_at, crops_of, propose

__all__ = ["Candidate", "CellQuality", "Proposals", "crops_at", "crops_of", "find_metaphases", "propose"]
