"""Segmentation by contours and scored splits, without a net."""
