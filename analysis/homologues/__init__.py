"""Homologues held against each other: pairs whose bands differ."""
