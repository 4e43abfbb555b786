"""Slide settings by name and text or number, as a configuration file or a form sets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from simulators.specimen.banding import Banding
from simulators.specimen.karyotype import format_mixture, parse_mixture
from simulators.specimen.quality import format_qualities, parse_qualities
from simulators.specimen.slide import SlideSettings


@dataclass(frozen=True, slots=True)
class SlideProperty:
    """One setting.

    Attributes
    ----------
    name
        As a device property is called.
    kind
        ``str``, ``int`` or ``float``.
    get
        Value of the setting.
    put
        Settings with another value; raises ValueError where that can't be.
    limits
        Smallest and largest value; None: any.
    """

    name: str
    kind: type
    get: Callable[[SlideSettings], Any]
    put: Callable[[SlideSettings, Any], SlideSettings]
    limits: tuple[float, float] | None = None


def _number(name: str, field: str, kind: type, largest: float) -> SlideProperty:
    return SlideProperty(
        name,
        kind,
        lambda settings: getattr(settings, field),
        lambda settings, value: replace(settings, **{field: kind(value)}),
        (0.0, largest),
    )


def _text(name: str, field: str, read: Callable[[str], Any], write: Callable[[Any], str] = str) -> SlideProperty:
    return SlideProperty(
        name,
        str,
        lambda settings: write(getattr(settings, field)),
        lambda settings, value: replace(settings, **{field: read(str(value))}),
    )


def _put_coverslip(settings: SlideSettings, value: int) -> SlideSettings:
    """Without the coverslip its bubbles are gone too."""
    return replace(settings, coverslip=bool(value), bubbles=settings.bubbles if value else 0)


def slide_properties() -> tuple[SlideProperty, ...]:
    """Settings of a slide that have a name; ``Coverslip`` has to be set before ``Bubbles``.

    ``Qualities`` and ``Karyotypes`` are read by `quality.parse_qualities` and `karyotype.parse_mixture`. The lines
    of a Micro-Manager configuration are divided by commas, so ISCN strings can't stand there, kinds can.
    """
    return (
        _text("Qualities", "qualities", parse_qualities, format_qualities),
        _text("Karyotypes", "karyotypes", parse_mixture, format_mixture),
        _text("Banding", "banding", Banding),
        _text("Label", "label", str),
        SlideProperty("Coverslip", int, lambda s: int(s.coverslip), _put_coverslip, (0, 1)),
        SlideProperty(
            "Marks", int, lambda s: int(s.marks), lambda s, value: replace(s, marks=bool(value)), (0, 1)
        ),
        _number("Bubbles", "bubbles", int, 200),
        _number("Scratches", "scratches", int, 200),
        _number("NucleiPerMm2", "nuclei_per_mm2", float, 1_000.0),
        _number("SpecksPerMm2", "specks_per_mm2", float, 10_000.0),
        _number("PrecipitatesPerMm2", "precipitates_per_mm2", float, 1_000.0),
    )
