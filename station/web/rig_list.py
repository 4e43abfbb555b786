"""Instruments that the laboratory has: packaged ones, and those of its data folder."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from scanner.rig import RIG_FILE
from station.installation.packaged import PACKAGED_RIGS, rig_names
from station.web.problems import ProblemError


@dataclass(frozen=True, slots=True)
class RigList:
    """Rigs by their names; one of the laboratory comes before a packaged one of the same name.

    Attributes
    ----------
    folder
        Rigs of the laboratory, a folder each.
    """

    folder: Path

    def paths(self) -> dict[str, Path]:
        """Folders by name."""
        own = {path.parent.name: path.parent for path in sorted(self.folder.glob(f"*/{RIG_FILE}"))}
        return {name: PACKAGED_RIGS / name for name in rig_names()} | own

    def path(self, name: str) -> Path:
        """Folder of a rig.

        Raises
        ------
        ProblemError
            There is none of that name.
        """
        paths = self.paths()
        if name not in paths:
            raise ProblemError(
                HTTPStatus.NOT_FOUND, "no-such-rig", f"there is no rig {name}; there are {', '.join(paths)}"
            )
        return paths[name]
