"""Typed values that the stages of the analysis hand on to each other."""
