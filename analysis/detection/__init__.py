"""Chromosomes proposed as boxes by the detector."""
