"""Figures on labelled data."""
