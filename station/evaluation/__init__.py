"""Evaluation of the shipped analysis on labelled data."""
