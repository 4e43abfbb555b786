"""Which chromosomes a cell has, and how ISCN writes it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from simulators.specimen.bands import ACROCENTRIC, CHROMOSOME_NAMES, Stain, bands_of
from simulators.specimen.structure import (
    Chromosome,
    deleted,
    duplicated,
    inverted,
    isochromosome,
    normal,
    robertsonian,
    translocated,
)

_AUTOSOMES = CHROMOSOME_NAMES[:22]
_SEX = ("X", "Y")

ABNORMAL: tuple[tuple[tuple[str, ...], str, float], ...] = (
    (("21",), "", 0.45),
    (("18",), "", 0.15),
    (("13",), "", 0.1),
    ((), "X", 0.1),
    ((), "XXY", 0.1),
    ((), "XYY", 0.05),
    ((), "XXX", 0.05),
)
"""Whole-chromosome aneuploidies: extra autosomes, sex chromosomes (empty: a normal pair), share among them."""


@dataclass(frozen=True, slots=True)
class SpecimenKaryotype:
    """The chromosomes of a person or clone.

    Attributes
    ----------
    iscn
        As ISCN writes it.
    chromosomes
        In the order of a karyogram, rearranged ones right of their normal homologue.
    """

    iscn: str
    chromosomes: tuple[Chromosome, ...]


class KaryotypeKind(StrEnum):
    """Kinds of karyotype to draw one from."""

    NORMAL = "normal"
    FEMALE = "female"
    MALE = "male"
    TRISOMY = "trisomy"
    MONOSOMY = "monosomy"
    SEX_ANEUPLOIDY = "sex_aneuploidy"
    TRANSLOCATION = "translocation"
    ROBERTSONIAN = "robertsonian"
    TERMINAL_DELETION = "terminal_deletion"
    INTERSTITIAL_DELETION = "interstitial_deletion"
    INVERSION = "inversion"


KaryotypeMixture = tuple[tuple[str, float], ...]
"""ISCN strings or values of `KaryotypeKind`, each with its weight; weights need not sum to 1."""


def chromosomes_of(*, sex: str = "XX", extra: Sequence[str] = (), missing: Sequence[str] = ()) -> tuple[str, ...]:
    """Chromosomes of a cell, in the order of a karyogram.

    Parameters
    ----------
    sex
        Its sex chromosomes, for instance ``"XX"``, ``"XY"``, ``"X"`` or ``"XXY"``.
    extra, missing
        Autosomes gained and lost.

    Raises
    ------
    ValueError
        A name isn't an autosome's, or more is missing than there is.
    """
    counts = Counter(dict.fromkeys(_AUTOSOMES, 2))
    for names, step in ((extra, 1), (missing, -1)):
        for name in names:
            if name not in _AUTOSOMES:
                raise ValueError(f"{name!r} is not an autosome")
            counts[name] += step
    counts.update(sex)
    if min(counts.values()) < 0:
        raise ValueError(f"more is missing than there is: {', '.join(missing)}")
    return tuple(name for name in CHROMOSOME_NAMES for _ in range(counts[name]))


def iscn_of(chromosomes: Sequence[str]) -> str:
    """ISCN string of a cell with whole-chromosome gains and losses only, such as ``47,XY,+21``."""
    counts = Counter(chromosomes)
    sex = "X" * counts["X"] + "Y" * counts["Y"]
    parts = [str(sum(counts.values())), sex or "?"]
    for name in _AUTOSOMES:
        difference = counts[name] - 2
        parts.extend([f"{'+' if difference > 0 else '-'}{name}"] * abs(difference))
    return ",".join(parts)


def karyotype_of(names: Sequence[str]) -> SpecimenKaryotype:
    """A karyotype of normal chromosomes, however many of each."""
    return SpecimenKaryotype(iscn_of(names), tuple(normal(name) for name in names))


def draw_chromosomes(rng: np.random.Generator, abnormal_fraction: float = 0.0) -> tuple[str, ...]:
    """Draw a cell: normal female or male, or with this probability one of `ABNORMAL`.

    Parameters
    ----------
    rng
        Source of the choice.
    abnormal_fraction
        Probability of an abnormal cell.
    """
    sex = "XX" if rng.random() < 0.5 else "XY"
    if rng.random() >= abnormal_fraction:
        return chromosomes_of(sex=sex)
    shares = np.array([share for _, _, share in ABNORMAL])
    extra, abnormal_sex, _ = ABNORMAL[int(rng.choice(len(ABNORMAL), p=shares / shares.sum()))]
    return chromosomes_of(sex=abnormal_sex or sex, extra=extra)


# -- reading ISCN ------------------------------------------------------------------------------------------

_BAND = r"[pq]\d+(?:\.\d+)?"
_NAME = r"\d+|X|Y"
_ITEMS = {
    "aneuploidy": re.compile(rf"[+-](?P<a>{_NAME})"),
    "t": re.compile(rf"t\((?P<a>{_NAME});(?P<b>{_NAME})\)\((?P<p>{_BAND});(?P<q>{_BAND})\)"),
    "whole arms": re.compile(rf"\+?(?P<word>rob|der)\((?P<a>{_NAME});(?P<b>{_NAME})\)\(q10;q10\)"),
    "der": re.compile(
        rf"\+?der\((?P<c>{_NAME})\)t\((?P<a>{_NAME});(?P<b>{_NAME})\)\((?P<p>{_BAND});(?P<q>{_BAND})\)"
    ),
    "i": re.compile(rf"\+?i\((?P<a>{_NAME})\)\((?P<arm>[pq])10\)"),
    "del": re.compile(rf"\+?del\((?P<a>{_NAME})\)\((?P<p>{_BAND})(?P<q>{_BAND})?\)"),
    "inv": re.compile(rf"\+?inv\((?P<a>{_NAME})\)\((?P<p>{_BAND})(?P<q>{_BAND})\)"),
    "dup": re.compile(rf"\+?dup\((?P<a>{_NAME})\)\((?P<p>{_BAND})(?P<q>{_BAND})\)"),
}


def parse_karyotype(iscn: str) -> SpecimenKaryotype:
    """Chromosomes that an ISCN string describes.

    Parameters
    ----------
    iscn
        One clone, for instance ``"46,XX,t(9;22)(q34;q11.2)"``. Understood are gains and losses, ``t``, ``rob``,
        ``der`` of a whole-arm or reciprocal translocation, ``del``, ``inv``, ``dup`` (in one arm) and ``i``.

    Raises
    ------
    ValueError
        Something isn't understood, a band doesn't exist, or the chromosome count isn't that of what is described.
    """
    text = iscn.replace(" ", "")
    parts = text.split(",")
    if len(parts) < 2 or not parts[0].isdigit() or not re.fullmatch(r"[XY]+", parts[1]):
        raise ValueError(f"karyotype {iscn!r}: starts with the count and the sex chromosomes, as in '46,XX'")
    counts = Counter(dict.fromkeys(_AUTOSOMES, 2))
    counts.update(parts[1])
    made: list[Chromosome] = []
    try:
        for item in parts[2:]:
            _add_item(item, counts, made)
    except ValueError as error:
        raise ValueError(f"karyotype {iscn!r}: {error}") from error
    lacking = [name for name, count in counts.items() if count < 0]
    if lacking:
        raise ValueError(f"karyotype {iscn!r}: takes more of chromosome {', '.join(lacking)} than there is")
    chromosomes = tuple(
        chromosome
        for name in CHROMOSOME_NAMES
        for chromosome in (*[normal(name)] * counts[name], *(entry for entry in made if entry.class_name == name))
    )
    if len(chromosomes) != int(parts[0]):
        raise ValueError(f"karyotype {iscn!r}: says {parts[0]} chromosomes and describes {len(chromosomes)}")
    return SpecimenKaryotype(text, chromosomes)


def _add_item(item: str, counts: Counter[str], made: list[Chromosome]) -> None:
    matches = ((kind, pattern.fullmatch(item)) for kind, pattern in _ITEMS.items())
    kind, found = next(((kind, match) for kind, match in matches if match is not None), ("", None))
    if found is None:
        raise ValueError(f"{item!r} is not understood")
    part = found.groupdict()
    names = [part[key] for key in ("a", "b", "c") if part.get(key)]
    unknown = [name for name in names if name not in CHROMOSOME_NAMES]
    if unknown:
        raise ValueError(f"there is no chromosome {unknown[0]}")
    if kind == "aneuploidy":
        if names[0] in _SEX:
            raise ValueError(f"{item!r}: sex chromosomes are told by the complement")
        counts[names[0]] += 1 if item[0] == "+" else -1
        return
    added = _made(kind, part)
    made.extend(added)
    if item[0] == "+":
        return
    replaced = {"t": [part["a"], part.get("b")], "whole arms": [part["a"], part.get("b")], "der": [part.get("c")]}
    for name in replaced.get(kind, [part["a"]]):
        # Rearranged sex chromosomes aren't in the complement, so there is none to replace.
        if name not in _SEX and name is not None:
            counts[name] -= 1


def _made(kind: str, part: dict[str, str]) -> tuple[Chromosome, ...]:
    first = part["a"]
    if kind == "t":
        return translocated(first, part["p"], part["b"], part["q"])
    if kind == "der":
        both = translocated(first, part["p"], part["b"], part["q"])
        if part["c"] not in (first, part["b"]):
            raise ValueError(f"der({part['c']}) doesn't come from t({first};{part['b']})")
        return (both[0] if part["c"] == first else both[1],)
    if kind == "whole arms":
        if not {first, part["b"]} <= ACROCENTRIC:
            raise ValueError(f"{part['word']}({first};{part['b']}): both must be acrocentric")
        return (robertsonian(first, part["b"], part["word"]),)
    if kind == "i":
        return (isochromosome(first, part["arm"]),)
    if kind == "del":
        return (deleted(first, part["p"], part.get("q")),)
    return ((inverted if kind == "inv" else duplicated)(first, part["p"], part["q"]),)


# -- drawing -----------------------------------------------------------------------------------------------

_TRANSLOCATIONS = (
    "t(9;22)(q34;q11.2)", "t(11;22)(q23;q11.2)", "t(8;21)(q22;q22)", "t(15;17)(q24;q21)", "t(4;11)(q21;q23)",
    "t(2;5)(p23;q35)", "t(8;14)(q24;q32)", "t(1;7)(p36;q22)",
)  # fmt: skip
_ROBERTSONIAN = ((13, 14), (14, 21), (13, 21), (14, 15), (13, 15), (15, 21), (14, 22))
_TERMINAL = ("del(5)(p15.2)", "del(4)(p16)", "del(18)(q21)", "del(18)(p11.2)", "del(13)(q32)", "del(9)(p22)")
_INTERSTITIAL = ("del(5)(q13q33)", "del(7)(q22q34)", "del(20)(q11.2q13.1)", "del(11)(q14q23)", "del(13)(q14q22)")
_INVERSIONS = ("inv(9)(p12q13)", "inv(3)(q21q26)", "inv(16)(p13q22)", "inv(2)(p11.2q13)", "inv(10)(p11.2q21)")
_RANDOM_SHARE = 0.5


def draw_karyotype(
    rng: np.random.Generator, abnormal_fraction: float = 0.0, mixture: KaryotypeMixture = ()
) -> SpecimenKaryotype:
    """Draw a karyotype.

    Parameters
    ----------
    rng
        Source of the choice.
    abnormal_fraction
        Share of whole-chromosome aneuploidies where there is no mixture.
    mixture
        What to draw from; see `check_mixture`.

    Raises
    ------
    ValueError
        An entry is neither a kind nor an ISCN string.
    """
    if not mixture:
        return karyotype_of(draw_chromosomes(rng, abnormal_fraction))
    weights = np.array([weight for _, weight in mixture], np.float64)
    wanted = mixture[int(rng.choice(len(mixture), p=weights / weights.sum()))][0]
    if wanted in tuple(KaryotypeKind):
        wanted = draw_iscn(KaryotypeKind(wanted), rng)
    return parse_karyotype(wanted)


def check_mixture(mixture: KaryotypeMixture) -> None:
    """Refuse a mixture with an entry that is neither a kind nor an ISCN string, or without weight.

    Raises
    ------
    ValueError
        What is wrong.
    """
    for entry, weight in mixture:
        if not weight >= 0.0:
            raise ValueError(f"karyotypes: weight of {entry!r} must not be negative, got {weight}")
        if entry in tuple(KaryotypeKind):
            continue
        if not entry[:1].isdigit():
            raise ValueError(
                f"karyotypes: {entry!r} is neither an ISCN string nor one of {', '.join(KaryotypeKind)}"
            )
        parse_karyotype(entry)
    if mixture and not sum(weight for _, weight in mixture) > 0.0:
        raise ValueError("karyotypes: at least one weight must be larger than 0")


def parse_mixture(text: str) -> KaryotypeMixture:
    """Read a mixture such as ``"normal=3; 47,XX,+21=1"``; the weight may be left out.

    Raises
    ------
    ValueError
        An entry can't be drawn or a weight is no number.
    """
    mixture = []
    # Breakpoints hold a semicolon too: only one outside of brackets divides entries.
    for part in re.split(r";(?![^()]*\))", text):
        if not part.strip():
            continue
        entry, _, weight = part.partition("=")
        try:
            mixture.append((entry.strip(), float(weight or 1.0)))
        except ValueError as error:
            raise ValueError(f"karyotypes: weight of {entry.strip()!r} is no number: {weight!r}") from error
    check_mixture(tuple(mixture))
    return tuple(mixture)


def format_mixture(mixture: KaryotypeMixture) -> str:
    """Write a mixture as `parse_mixture` reads it."""
    return "; ".join(f"{entry}={weight:g}" for entry, weight in mixture)


def draw_iscn(kind: KaryotypeKind, rng: np.random.Generator) -> str:
    """Draw one karyotype of a kind: a known one, or breaks drawn at random from the 400-band table.

    Parameters
    ----------
    kind
        Kind of karyotype.
    rng
        Source of the choice.
    """
    sex = "XX" if rng.random() < 0.5 else "XY"
    known = rng.random() >= _RANDOM_SHARE
    if kind in (KaryotypeKind.NORMAL, KaryotypeKind.FEMALE, KaryotypeKind.MALE):
        return {KaryotypeKind.FEMALE: "46,XX", KaryotypeKind.MALE: "46,XY"}.get(kind, f"46,{sex}")
    if kind is KaryotypeKind.TRISOMY:
        return f"47,{sex},+{_pick(rng, ('21', '18', '13', '8', '9', '22'))}"
    if kind is KaryotypeKind.MONOSOMY:
        return _pick(rng, ("45,X", f"45,{sex},-21", f"45,{sex},-7", f"45,{sex},-22"))
    if kind is KaryotypeKind.SEX_ANEUPLOIDY:
        return _pick(rng, ("45,X", "47,XXY", "47,XYY", "47,XXX", "48,XXYY", "46,X,i(X)(q10)"))
    if kind is KaryotypeKind.ROBERTSONIAN:
        first, second = _ROBERTSONIAN[int(rng.integers(len(_ROBERTSONIAN)))]
        return f"45,{sex},rob({first};{second})(q10;q10)"
    if kind is KaryotypeKind.TRANSLOCATION:
        return f"46,{sex},{_pick(rng, _TRANSLOCATIONS) if known else _random_translocation(rng)}"
    listed = {
        KaryotypeKind.TERMINAL_DELETION: _TERMINAL,
        KaryotypeKind.INTERSTITIAL_DELETION: _INTERSTITIAL,
        KaryotypeKind.INVERSION: _INVERSIONS,
    }[kind]
    return f"46,{sex},{_pick(rng, listed) if known else _random_within_one(kind, rng)}"


def _pick(rng: np.random.Generator, entries: Sequence[str]) -> str:
    return entries[int(rng.integers(len(entries)))]


def _breakable(name: str, arm: str) -> list[str]:
    """Bands of an arm that a break may lie in: euchromatic ones, from the centromere outwards."""
    if arm == "p" and name in ACROCENTRIC:
        return []
    inert = (Stain.CENTROMERE, Stain.VARIABLE, Stain.STALK)
    found = [arm + band.name for band in bands_of(name, 400) if band.arm == arm and band.stain not in inert]
    return found[::-1] if arm == "p" else found


def _random_translocation(rng: np.random.Generator) -> str:
    first, second = sorted(int(number) for number in rng.choice(np.arange(1, 23), 2, replace=False))
    bands = [_pick(rng, [*_breakable(str(name), "p"), *_breakable(str(name), "q")]) for name in (first, second)]
    return f"t({first};{second})({bands[0]};{bands[1]})"


def _random_within_one(kind: KaryotypeKind, rng: np.random.Generator) -> str:
    """A deletion or an inversion with random breaks in a chromosome whose long arm has bands enough to tell."""
    name = _pick(rng, ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13"))
    arm = _breakable(name, "q")
    first, second = sorted(int(number) for number in rng.choice(len(arm), 2, replace=False))
    if kind is KaryotypeKind.TERMINAL_DELETION:
        return f"del({name})({arm[max(second, 1)]})"
    word = "inv" if kind is KaryotypeKind.INVERSION else "del"
    return f"{word}({name})({arm[first]}{arm[second]})"
