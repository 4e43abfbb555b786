"""The twin under the real core, for every test that wants an instrument."""

from __future__ import annotations

import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.barcode import Barcode, the_barcode
from scanner.core import ScanCore
from scanner.microscope import Microscope, slides
from scanner.rig import Rig, load_rig
from simulators.devices import twin_of
from simulators.specimen import slide
from simulators.twin import Twin

ROOT = Path(__file__).parents[1]
SIMULATED_RIG = ROOT / "hardware_configs" / "simulated"

# 1.6 x 1.2 mm: four fields at 10x.
SMALL_AREA_UM = (30_000.0, 11_000.0, 31_600.0, 12_200.0)


@dataclass
class Bench:
    """A simulated instrument with a small slide on it."""

    rig: Rig
    core: ScanCore
    twin: Twin
    microscope: Microscope


@pytest.fixture
def bench() -> Iterator[Bench]:
    rig, cfg = load_rig(SIMULATED_RIG)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, seed=5, cells=2, area_um=SMALL_AREA_UM)
    yield Bench(rig, core, twin, Microscope(core, rig))
    core.unloadAllDevices()


@pytest.fixture(autouse=True)
def _state_of_nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What instruments remember beyond a process stays out of the user's own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(autouse=True, scope="session")
def _labels_are_decoded_once() -> Iterator[None]:
    """The twin photographs a label the same way each time, and to look for its code takes a quarter second."""
    known: dict[tuple[tuple[int, ...], bytes], Barcode] = {}

    def look_up(picture: NDArray[np.uint8]) -> Barcode:
        key = (picture.shape, picture.tobytes())
        if key not in known:
            known[key] = the_barcode(picture)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slides, "the_barcode", look_up)
        yield


def _drawn_once(draw: Callable[..., Any], kept: int) -> Callable[..., Any]:
    """What draws something from a random state, remembering the last drawings: many tests lay the same slide."""
    known: OrderedDict[str, tuple[Any, dict[str, Any]]] = OrderedDict()

    def look_up(*arguments: Any, **keywords: Any) -> Any:
        rng = next(value for value in arguments if isinstance(value, np.random.Generator))
        others = [value for value in arguments if value is not rng]
        key = repr((rng.bit_generator.state, others, sorted(keywords.items())))
        if key in known:
            known.move_to_end(key)
        else:
            drawing = draw(*arguments, **keywords)
            # Shared from now on: whoever wanted to change it has to be told.
            drawing.od.setflags(write=False)
            known[key] = (drawing, rng.bit_generator.state)
            if len(known) > kept:
                known.popitem(last=False)
        drawing, rng.bit_generator.state = known[key]
        return drawing

    return look_up


@pytest.fixture(scope="session")
def _drawings() -> tuple[Callable[..., Any], Callable[..., Any]]:
    return _drawn_once(slide.render_metaphase, 60), _drawn_once(slide._DRAW["nucleus"], 200)


@pytest.fixture
def drawn_anew() -> None:
    """For tests of the drawing itself: nothing is remembered from another test."""


@pytest.fixture(autouse=True)
def _slides_are_drawn_once(
    request: pytest.FixtureRequest,
    _drawings: tuple[Callable[..., Any], Callable[..., Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cell takes a third of a second to draw, and its like is on the slide of every second test."""
    if "drawn_anew" not in request.fixturenames:
        metaphase, nucleus = _drawings
        monkeypatch.setattr(slide, "render_metaphase", metaphase)
        monkeypatch.setitem(slide._DRAW, "nucleus", nucleus)


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> None:
    """Programs that are started in the background ignore signals, and so do their children: not here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGQUIT", "SIGTERM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def data_root() -> Path:
    root = Path(os.environ.get("KARYOSCAN_DATA") or ROOT / ".." / "shared" / "data")
    if not (root / "README.md").is_file():
        pytest.skip(f"no real images at {root}; set KARYOSCAN_DATA")
    return root
