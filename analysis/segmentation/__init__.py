"""Chromosomes of a metaphase as separate masks."""
