"""Banding techniques: which bands are dark or bright, and whether the specimen absorbs light or emits it."""

from __future__ import annotations

from enum import StrEnum

from simulators.specimen.bands import ACROCENTRIC, Band, Stain


class Contrast(StrEnum):
    """How a specimen shows.

    ``ABSORBS``: a patch is optical density (decadic); transmittances multiply, the empty glass is bright.
    ``EMITS``: a patch is emitted light, 1 being as bright as empty glass in transmitted light at equal exposure;
    emissions add, the empty glass is dark.
    """

    ABSORBS = "absorbs"
    EMITS = "emits"


class Banding(StrEnum):
    """How a slide is banded."""

    G = "G"
    R = "R"
    Q = "Q"
    DAPI = "DAPI"

    @property
    def contrast(self) -> Contrast:
        """Q and DAPI are fluorescent."""
        return Contrast.EMITS if self in (Banding.Q, Banding.DAPI) else Contrast.ABSORBS


CENTROMERE_DENSITY = 0.5
VARIABLE_DENSITY = 0.55
STALK_DENSITY = 0.1
SHORT_ARM_DENSITY = 0.28

BandKey = tuple[str, str, str]
"""Chromosome, arm and band."""

_G_DENSITY: dict[BandKey, float] = {
    ("1", "q", "12"): 0.85,
    ("3", "q", "11.2"): 0.9,
    ("6", "p", "11.1"): 0.2,
    ("6", "q", "11.1"): 0.6,
    ("9", "q", "12"): 0.15,
    ("16", "p", "11.1"): 0.25,
    ("16", "q", "11.1"): 0.45,
    ("16", "q", "11.2"): 0.95,
    ("19", "p", "12"): 0.95,
    ("19", "p", "11"): 0.9,
    ("19", "q", "11"): 0.5,
    ("19", "q", "12"): 0.4,
    ("20", "p", "11.1"): 0.55,
    ("20", "q", "11.1"): 0.95,
    ("22", "p", "11.1"): 0.45,
    ("22", "q", "11.1"): 0.9,
    ("Y", "q", "12"): 0.75,
}
"""Bands of which the table doesn't say how they stain under G-banding."""

_HETEROCHROMATIN: frozenset[BandKey] = frozenset(
    {("1", "q", "12"), ("9", "q", "12"), ("16", "q", "11.2"), ("Y", "q", "12")}
)

_Q_DENSITY: dict[BandKey, float] = {
    ("1", "q", "12"): 0.15,
    ("3", "q", "11.2"): 1.25,
    ("4", "q", "11"): 1.0,
    ("9", "q", "12"): 0.05,
    ("16", "q", "11.2"): 0.1,
    ("Y", "q", "12"): 2.2,
}
"""Quinacrine: the long arm of Y is brilliant, the blocks of 1, 9 and 16 are dull."""

_DAPI_DENSITY: dict[BandKey, float] = {
    ("1", "q", "12"): 1.3,
    ("9", "q", "12"): 1.5,
    ("16", "q", "11.2"): 1.4,
    ("Y", "q", "12"): 1.5,
    ("15", "p", "11.2"): 1.2,
}
"""DAPI: blocks rich in adenine and thymine shine."""


_DAPI_PALEST, _DAPI_SPAN = 0.25, 0.6
"""DAPI follows G-banding, with less contrast."""
_REVERSE_HETEROCHROMATIN, _REVERSE_CENTROMERE, _REVERSE_SHORT_ARM = 0.15, 0.35, 0.4
"""R-banding of what isn't simply the reverse of G."""
_REVERSE_GAMMA = 1.5
"""Exponent that makes R's tips the darkest."""


def band_density(chromosome: str, band: Band, banding: Banding) -> float:
    """Darkness of a band, or its brightness where the stain is fluorescent.

    Parameters
    ----------
    chromosome
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    band
        From the 850-band table.
    banding
        Technique.

    Returns
    -------
    float
        0 for the palest band, 1 for a fully stained one; more where a fluorescent band outshines all others.
    """
    key = (chromosome, band.arm, band.name)
    giemsa = _giemsa(chromosome, band)
    if banding is Banding.G:
        return giemsa
    if banding is Banding.Q:
        return _Q_DENSITY.get(key, giemsa)
    if banding is Banding.DAPI:
        return _DAPI_DENSITY.get(key, _DAPI_PALEST + _DAPI_SPAN * giemsa)
    return _reverse(key, band, giemsa)


def _reverse(key: BandKey, band: Band, giemsa: float) -> float:
    """Light where G is dark, and dark at the tips; constitutive heterochromatin is pale."""
    if key in _HETEROCHROMATIN or band.stain is Stain.STALK:
        return _REVERSE_HETEROCHROMATIN
    if band.stain is Stain.CENTROMERE:
        return _REVERSE_CENTROMERE
    if key[0] in ACROCENTRIC and band.arm == "p":
        return _REVERSE_SHORT_ARM
    return float((1.0 - giemsa) ** _REVERSE_GAMMA)


def _giemsa(chromosome: str, band: Band) -> float:
    listed = _G_DENSITY.get((chromosome, band.arm, band.name))
    if listed is not None:
        return listed
    if chromosome in ACROCENTRIC and band.arm == "p":
        return STALK_DENSITY if band.stain is Stain.STALK else SHORT_ARM_DENSITY
    kinds = {
        Stain.CENTROMERE: CENTROMERE_DENSITY,
        Stain.VARIABLE: VARIABLE_DENSITY,
        Stain.STALK: STALK_DENSITY,
    }
    return kinds.get(band.stain, band.density)
