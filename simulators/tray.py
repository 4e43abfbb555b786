"""Slides in a magazine: slot by slot the label and what the slide follows from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from scanner.barcode import BarcodeFormat
from simulators.specimen.slide import SlideSettings

FRAME_SLOTS = 8
FEEDER_SLOTS = 80


@dataclass(frozen=True, slots=True)
class TraySlide:
    """One slide.

    Attributes
    ----------
    label
        Text of its barcode.
    settings
        What its glass follows from.
    format
        How the barcode is printed.
    """

    label: str
    settings: SlideSettings
    format: BarcodeFormat = BarcodeFormat.DATA_MATRIX


@dataclass(frozen=True, slots=True)
class Tray:
    """A magazine as somebody filled it.

    Attributes
    ----------
    slots
        How many slots there are, counted from 1.
    slides
        Slide by slot; slots that are not named are empty.
    """

    slots: int
    slides: Mapping[int, TraySlide]

    def __post_init__(self) -> None:
        """Refuse slides beside the slots."""
        beside = [slot for slot in self.slides if not 1 <= slot <= self.slots]
        if self.slots < 1 or beside:
            raise ValueError(f"a tray has slots 1 .. {self.slots}, got slides in {beside}")
        object.__setattr__(self, "slides", MappingProxyType(dict(sorted(self.slides.items()))))


class Magazine(Protocol):
    """What knows the slides that the twin may see."""

    @property
    def tray(self) -> Tray:
        """The slides."""

    @property
    def label_in_view(self) -> TraySlide | None:
        """The slide whose label the label camera sees."""


def fill_tray(
    slots: int,
    like: SlideSettings,
    *,
    empty: Collection[int] = (),
    prefix: str = "KS",
    barcode_format: BarcodeFormat = BarcodeFormat.DATA_MATRIX,
) -> Tray:
    """A tray of slides that are alike in kind and differ in every cell.

    Parameters
    ----------
    slots
        How many slots there are.
    like
        What the slides have in common; its seed is the seed of the tray.
    empty
        Slots without a slide.
    prefix, barcode_format
        Labels are ``<prefix>-<seed>-<slot>``, as this barcode.
    """

    def slide(slot: int) -> TraySlide:
        label = f"{prefix}-{like.seed:04d}-{slot:03d}"
        # What stands on the glass, where the slides have labels there at all, is what the label camera sees.
        settings = replace(like, seed=like.seed * 1000 + slot, label=label if like.label else "")
        return TraySlide(label, settings, barcode_format)

    return Tray(slots, {slot: slide(slot) for slot in range(1, slots + 1) if slot not in empty})
