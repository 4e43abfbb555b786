"""Masks of single chromosomes in the picture's own px, predicted from boxes, points and strokes."""
