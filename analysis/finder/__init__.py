"""Metaphases in a low-magnification field."""

from analysis.finder.candidate import Candidate
from analysis.finder.find import find_metaphases

__all__ = ["Candidate", "find_metaphases"]
