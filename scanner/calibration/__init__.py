"""Procedures with which the instrument measures itself, and the writing of what they found."""
