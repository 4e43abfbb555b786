"""Chromosomes straightened along their medial axes."""
