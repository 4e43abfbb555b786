"""Seeded specimens that know their own truth."""
