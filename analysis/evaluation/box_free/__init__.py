"""Segmentation by the five-way stream, which no drawn box was used for."""
