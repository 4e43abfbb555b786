"""Rigs and protocols that come with the software, found by their name from any folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scanner.rig import RIG_FILE
from station.errors import UsageError
from station.suggestions import nearest_name

PACKAGED_RIGS: Final = Path(__file__).parents[2] / "hardware_configs"
"""They lie beside the packages, in a checkout and in an installation."""
PACKAGED_PROTOCOLS: Final = Path(__file__).parents[2] / "protocols"


def rig_names() -> tuple[str, ...]:
    """Names of the packaged rigs."""
    return tuple(sorted(path.parent.name for path in PACKAGED_RIGS.glob(f"*/{RIG_FILE}")))


def protocol_names() -> tuple[str, ...]:
    """Names of the packaged protocols."""
    return tuple(sorted(path.stem for path in PACKAGED_PROTOCOLS.glob("*.yaml")))


def packaged_protocols() -> dict[str, Path]:
    """Files of the packaged protocols, by their names."""
    return {name: PACKAGED_PROTOCOLS / f"{name}.yaml" for name in protocol_names()}


def resolve_rig(given: Path) -> Path:
    """Folder of a rig: a path that exists, else the packaged rig of that name.

    Raises
    ------
    UsageError
        A plain name that is neither; a path that leads nowhere is left to the loader, which names it.
    """
    return _resolve(given, {name: PACKAGED_RIGS / name for name in rig_names()}, "rig")


def resolve_protocol(given: Path) -> Path:
    """File of a protocol: a path that exists, else the packaged protocol of that name.

    Raises
    ------
    UsageError
        As `resolve_rig`.
    """
    return _resolve(given, packaged_protocols(), "protocol")


def _resolve(given: Path, packaged: dict[str, Path], kind: str) -> Path:
    if given.exists() or len(given.parts) != 1 or given.suffix:
        return given
    if given.name in packaged:
        return packaged[given.name]
    nearest = nearest_name(given.name, packaged)
    suggestion = "" if nearest is None else f"; did you mean {nearest!r}?"
    raise UsageError(
        f"no {kind} {str(given)!r}: there is no such path here, and the packaged ones are {', '.join(packaged)}"
        f"{suggestion}"
    )
