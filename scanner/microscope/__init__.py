"""The instrument, made safe: `Microscope`, and the parts that it is made of."""

from scanner.microscope.microscope import Microscope

__all__ = ["Microscope"]
