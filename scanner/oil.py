"""What immersion oil has touched: remembered beyond the process, until a person says that it is gone."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scanner.coordinates import SlidePoint
from scanner.errors import OilRecordError
from scanner.portable.atomic_files import write_atomic

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OiledSlide:
    """Oil on one slide.

    Attributes
    ----------
    drops
        Where drops fell, in slide um; empty where only an oil objective has touched the slide.
    """

    drops: tuple[SlidePoint, ...] = ()


class _Drop(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x_um: Annotated[float, Field(allow_inf_nan=False)]
    y_um: Annotated[float, Field(allow_inf_nan=False)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    slides: dict[str, tuple[_Drop, ...]] = {}


class OilLedger:
    """Which slides carry oil, and where drops fell.

    Parameters
    ----------
    path
        File that keeps it; None where it may be forgotten with the process (a simulated instrument).

    Raises
    ------
    OilRecordError
        The file can't be read: nobody knows what carries oil.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._slides = {} if path is None else _read(path)

    def is_oiled(self, slide: str) -> bool:
        """Whether a slide has been touched by oil since it was last declared clean."""
        return slide in self._slides

    def oiled_slides(self) -> frozenset[str]:
        """All slides that carry oil."""
        return frozenset(self._slides)

    def drops(self, slide: str) -> tuple[SlidePoint, ...]:
        """Where drops fell on a slide, slide um."""
        found = self._slides.get(slide)
        return () if found is None else found.drops

    def has_drop(self, slide: str, at: SlidePoint, radius_um: float) -> bool:
        """Whether a drop fell within `radius_um` of a point.

        Parameters
        ----------
        slide
            Name of the slide.
        at
            Point on it.
        radius_um
            Distance within which a drop counts.
        """
        return any(at.distance_um(drop) <= radius_um for drop in self.drops(slide))

    def touched(self, slide: str) -> None:
        """An oil objective comes near a slide."""
        if slide not in self._slides:
            self._keep({**self._slides, slide: OiledSlide()})

    def add_drop(self, slide: str, at: SlidePoint) -> None:
        """A drop is about to fall.

        Parameters
        ----------
        slide
            Name of the slide.
        at
            Where it will fall.
        """
        self._keep({**self._slides, slide: OiledSlide((*self.drops(slide), at))})

    def retract_drop(self, slide: str, at: SlidePoint) -> None:
        """The dispenser's sensor says that the drop did not fall; the slide stays suspect.

        Parameters
        ----------
        slide
            Name of the slide.
        at
            Where it should have fallen.
        """
        drops = list(self.drops(slide))
        drops.remove(at)
        self._keep({**self._slides, slide: replace(self._slides[slide], drops=tuple(drops))})

    def declare_clean(self, slide: str) -> None:
        """A person says that a slide carries no oil."""
        if slide in self._slides:
            _log.info("slide %s declared clean", slide)
            self._keep({name: oil for name, oil in self._slides.items() if name != slide})

    def _keep(self, slides: dict[str, OiledSlide]) -> None:
        # Written before anything is done: what can't be remembered must not be oiled.
        if self._path is not None:
            _write(self._path, slides)
        self._slides = slides


def _read(path: Path) -> dict[str, OiledSlide]:
    try:
        data = _File.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise OilRecordError(
            "the record of oiled slides can't be read; check the slides for oil, then delete it", path=path
        ) from error
    return {
        name: OiledSlide(tuple(SlidePoint(drop.x_um, drop.y_um) for drop in drops))
        for name, drops in data.slides.items()
    }


def _write(path: Path, slides: dict[str, OiledSlide]) -> None:
    data = _File(
        slides={
            name: tuple(_Drop(x_um=drop.x_um, y_um=drop.y_um) for drop in oil.drops)
            for name, oil in slides.items()
        }
    )
    text = json.dumps(data.model_dump(mode="json"), indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as error:
        raise OilRecordError("the record of oiled slides can't be written", path=path) from error
