"""Which finder a protocol means, and what the slides are like that it learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.errors import WeightsError
from analysis.finder import FieldFinder, MetaphaseFinder, load_finder
from analysis.finder.drift import ReferenceStatistics, reference_from_json
from analysis.parameters.weights import WEIGHTS_DIR, read_manifest

DEFAULT = "default"
RULES = "rules"
FINDER_WEIGHTS = "finder"


@dataclass(frozen=True, slots=True)
class ChosenFinder:
    """A finder and what is known of it.

    Attributes
    ----------
    asked
        Name in the protocol.
    name
        Name of the finder that searches.
    finder
        The finder.
    reference
        What the slides are like that it learnt from; empty where it learnt from none.
    sha256
        Of its weights; None where it has none.
    """

    asked: str
    name: str
    finder: FieldFinder
    reference: Mapping[str, ReferenceStatistics]
    sha256: str | None = None

    def __str__(self) -> str:
        weights = "" if self.sha256 is None else f", weights {self.sha256[:12]}"
        instead = (
            "" if self.asked == self.name else f", since the weights of finder {self.asked} are not installed"
        )
        return f"finder {self.name}{weights}{instead}"


def choose_finder(asked: str) -> ChosenFinder:
    """The finder that a protocol asks for.

    Parameters
    ----------
    asked
        One of `analysis.finder.FINDERS`.

    Raises
    ------
    AnalysisError
        There is no such finder.
    WeightsError
        Its weights are damaged.
    """
    name = asked if asked != DEFAULT or has_weights() else RULES
    finder = load_finder(name)
    if not isinstance(finder, MetaphaseFinder):
        return ChosenFinder(asked, name, finder, {})
    manifest = read_manifest(finder.weights, finder.folder)
    try:
        usual = reference_from_json(manifest.drift)
    except ValueError as error:
        raise WeightsError(
            f"the manifest is damaged: {error}", path=finder.folder / f"{finder.weights}.json"
        ) from error
    return ChosenFinder(asked, name, finder, usual, finder.sha256)


def has_weights() -> bool:
    """Whether the weights of the default finder are installed."""
    return (WEIGHTS_DIR / f"{FINDER_WEIGHTS}.safetensors").is_file()
