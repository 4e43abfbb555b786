"""What a chromosome is made of: stretches of the normal ones, rearranged as ISCN describes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simulators.specimen.bands import bands_of


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a normal chromosome.

    Attributes
    ----------
    chromosome
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    start, stop
        ISCN coordinates (see `bands.Band`); the stretch lies the other way round where `start` is the larger.
    """

    chromosome: str
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Chromosome:
    """One chromosome of a cell.

    Attributes
    ----------
    class_name
        The normal chromosome whose centromere it has: its place in the karyogram. A Robertsonian chromosome counts
        as the first of the two that ISCN names.
    segments
        From the tip that is drawn up to the other one.
    designation
        ISCN's name for a chromosome that is no normal one, for instance ``"der(9)"``; None for a normal one.
    """

    class_name: str
    segments: tuple[Segment, ...]
    designation: str | None = None


@cache
def normal(name: str) -> Chromosome:
    """A normal chromosome.

    Raises
    ------
    ValueError
        There is no such chromosome.
    """
    return Chromosome(name, (Segment(name, 0.0, end_of(name)),))


def end_of(name: str) -> float:
    """Coordinate of the tip of the long arm."""
    return bands_of(name)[-1].stop


@cache
def centromere_of(name: str) -> float:
    """Coordinate at which the arms meet."""
    return next(band.start for band in bands_of(name) if band.arm == "q")


@cache
def breakpoint_of(name: str, band: str) -> float:
    """Coordinate of a break in a band: its middle; the centromere for ``p10`` and ``q10``.

    Parameters
    ----------
    name
        Chromosome.
    band
        Arm and band at any resolution, for instance ``"q34"`` or ``"q34.13"``.

    Raises
    ------
    ValueError
        The chromosome has no such band.
    """
    if band in ("p10", "q10"):
        return centromere_of(name)
    arm, number = band[:1], band[1:]
    finer = number if "." in number else f"{number}."
    inside = [
        entry
        for entry in bands_of(name)
        if entry.arm == arm and (entry.name == number or (number and entry.name.startswith(finer)))
    ]
    if not inside:
        raise ValueError(f"chromosome {name} has no band {band!r}")
    return (inside[0].start + inside[-1].stop) / 2.0


def translocated(first: str, first_band: str, second: str, second_band: str) -> tuple[Chromosome, Chromosome]:
    """Both derivatives of a reciprocal translocation: first's centromere, then second's.

    Parameters
    ----------
    first, second
        Names of the chromosomes.
    first_band, second_band
        Bands that break, such as ``"q34"``.

    Raises
    ------
    ValueError
        There is no such band, or a break lies in a centromere.
    """
    breaks = {first: first_band, second: second_band}
    if first == second or any(band.endswith("10") for band in (first_band, second_band)):
        raise ValueError(f"t({first};{second})({first_band};{second_band}) is no translocation that can be drawn")
    made = []
    for own, other in ((first, second), (second, first)):
        kept = _centric(own, breaks[own])
        # The foreign part, from the break to its tip.
        foreign = _acentric(other, breaks[other])
        if breaks[own].startswith("p"):
            segments = (Segment(other, foreign.stop, foreign.start), kept)
        else:
            segments = (kept, foreign)
        made.append(Chromosome(own, segments, f"der({own})"))
    return made[0], made[1]


def robertsonian(first: str, second: str, word: str = "rob") -> Chromosome:
    """Long arms of two chromosomes joined at the centromere, the shorter one up.

    Parameters
    ----------
    first, second
        Names of the chromosomes.
    word
        ISCN's word for it: ``"rob"`` or ``"der"``.
    """
    lengths = {name: end_of(name) - centromere_of(name) for name in (first, second)}
    upper, lower = (second, first) if lengths[second] <= lengths[first] else (first, second)
    segments = (
        Segment(upper, end_of(upper), centromere_of(upper)),
        Segment(lower, centromere_of(lower), end_of(lower)),
    )
    return Chromosome(first, segments, f"{word}({first};{second})")


def isochromosome(name: str, arm: str) -> Chromosome:
    """One arm twice, as each other's mirror image.

    Parameters
    ----------
    name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    arm
        ``"p"`` or ``"q"``.
    """
    middle = centromere_of(name)
    tip = end_of(name) if arm == "q" else 0.0
    return Chromosome(name, (Segment(name, tip, middle), Segment(name, middle, tip)), f"i({name})")


def deleted(name: str, band: str, second_band: str | None = None) -> Chromosome:
    """Terminal deletion beyond one band, or interstitial deletion between two of one arm.

    Parameters
    ----------
    name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    band
        Band that breaks.
    second_band
        Second band; None where everything beyond the first is lost.

    Raises
    ------
    ValueError
        There is no such band, or the deletion would take the centromere.
    """
    designation = f"del({name})"
    if second_band is None:
        return Chromosome(name, (_centric(name, band),), designation)
    low, high = sorted((breakpoint_of(name, band), breakpoint_of(name, second_band)))
    if low <= centromere_of(name) <= high or low == high:
        raise ValueError(f"del({name})({band}{second_band}) must lose a stretch of one arm")
    return Chromosome(name, (Segment(name, 0.0, low), Segment(name, high, end_of(name))), designation)


def inverted(name: str, band: str, second_band: str) -> Chromosome:
    """The stretch between two bands turned round.

    Parameters
    ----------
    name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    band, second_band
        Bands that break.
    """
    low, high = _stretch("inv", name, band, second_band)
    segments = (Segment(name, 0.0, low), Segment(name, high, low), Segment(name, high, end_of(name)))
    return Chromosome(name, segments, f"inv({name})")


def duplicated(name: str, band: str, second_band: str) -> Chromosome:
    """The stretch between two bands of one arm twice; inverted where the bands aren't named outwards.

    Parameters
    ----------
    name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    band, second_band
        Ends of the stretch.

    Raises
    ------
    ValueError
        The stretch holds the centromere.
    """
    low, high = _stretch("dup", name, band, second_band)
    if low <= centromere_of(name) <= high:
        raise ValueError(f"dup({name})({band}{second_band}) must lie in one arm")
    outwards = breakpoint_of(name, band) < breakpoint_of(name, second_band)
    direct = outwards == (band[0] == "q")
    again = Segment(name, low, high) if direct else Segment(name, high, low)
    segments = (Segment(name, 0.0, high), again, Segment(name, high, end_of(name)))
    if band[0] == "p":
        segments = (Segment(name, 0.0, low), again, Segment(name, low, end_of(name)))
    return Chromosome(name, segments, f"dup({name})")


def _stretch(word: str, name: str, band: str, second_band: str) -> tuple[float, float]:
    low, high = sorted((breakpoint_of(name, band), breakpoint_of(name, second_band)))
    if low == high:
        raise ValueError(f"{word}({name})({band}{second_band}): both breaks are the same")
    return low, high


def _centric(name: str, band: str) -> Segment:
    if band.endswith("10"):
        raise ValueError(f"a break at {name}{band} leaves no centromere that can be drawn")
    at = breakpoint_of(name, band)
    return Segment(name, 0.0, at) if band.startswith("q") else Segment(name, at, end_of(name))


def _acentric(name: str, band: str) -> Segment:
    """From the break to the tip."""
    at = breakpoint_of(name, band)
    return Segment(name, at, end_of(name)) if band.startswith("q") else Segment(name, at, 0.0)
