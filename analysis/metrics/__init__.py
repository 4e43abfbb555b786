"""Figures that training and evaluation have in common: COCO, enumeration, interactions, curves and calibration."""
