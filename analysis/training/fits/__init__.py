"""Fits of small models and statistics on labelled cells."""
