"""Metaphases in a low-magnification field."""
