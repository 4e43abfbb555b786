"""Trainers of the shipped weights."""
