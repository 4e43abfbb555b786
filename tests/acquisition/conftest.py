"""A run in a folder, in one session or several, with as little beside it as can be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acquisition.casebook import open_casebook
from acquisition.journal import JournalRecord, read_journal
from acquisition.protocol import Protocol
from acquisition.records import KaryotypeRecord, RunEvent, RunRecord, RunStatus
from acquisition.run.context import (
    LOCATOR_DEADLINE_S,
    RunContext,
    RunFinders,
    RunInstrument,
    RunStorage,
    SearchResources,
    end_at_once,
)
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from acquisition.run.slide_run import RunOutcome, SlideRun
from acquisition.storage import RunFolder
from analysis.finder import Candidate

AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}
"""Four fields at 10x."""


def small_protocol(*, number: int = 1, **more: Any) -> Protocol:
    return Protocol.model_validate(
        {
            "version": 1,
            "name": "test",
            "banding": "G",
            "tissue": "lymphocyte",
            "scan": {"objective": "10x", "area": AREA, "exposure_ms": 5, "focus": {"points": 1}},
            "capture": {"objective": "63x", "oil": "allowed", "number": number, "exposure_ms": 40},
        }
        | more
    )


def one_in_the_middle(pixels, um_per_px):
    """A finder that takes no time: one cell in each field, so that the counting is easy."""
    height, width = pixels.shape
    return [Candidate(width / 2, height / 2, 20.0 / um_per_px, 0.9)]


@dataclass
class Session:
    """How a session ended, and what it left."""

    outcome: RunOutcome | None
    status: RunStatus
    records: tuple[JournalRecord, ...]
    events: tuple[RunEvent, ...]
    karyotypes: tuple[KaryotypeRecord, ...]


class SmallRun:
    """Runs a small slide; a folder that holds a run is gone on with."""

    def __init__(self, bench: Any, root: Path) -> None:
        self._bench = bench
        self._root = root

    def __call__(
        self,
        name,
        *,
        protocol=None,
        finder=one_in_the_middle,
        locator=None,
        listener=None,
        control=None,
        slide="s",
        handoff=None,
        conclude=None,
        search=None,
        accession="",
        locator_deadline_s=LOCATOR_DEADLINE_S,
        end_process=end_at_once,
    ):
        path = self._root / name
        is_resumed = (path / "journal.log").exists()
        self._bench.microscope.resume()
        self._bench.microscope.slides.declare_clean()
        with (
            RunFolder.reopen(path) if is_resumed else RunFolder.create(path) as folder,
            open_casebook(folder.casebook) as casebook,
        ):
            if not is_resumed:
                casebook.begin_run(RunRecord("r", slide, "simulated", "", "test", "", "0", datetime.now(UTC)))
            context = RunContext(
                "r",
                slide,
                RunInstrument(self._bench.microscope),
                protocol or small_protocol(),
                RunStorage(folder, casebook),
                RunFinders(finder, locator, locator_deadline_s=locator_deadline_s),
                control or RunControl(),
                listener or SilentListener(),
                search or SearchResources(),
                accession,
                end_process,
            )
            run = SlideRun(context, handoff, conclude=conclude)
            outcome = run.resume() if is_resumed else run.run()
        session = self.left(name)
        session.outcome = outcome
        return session

    protocol = staticmethod(small_protocol)

    def left(self, name) -> Session:
        path = self._root / name
        with open_casebook(path / "casebook.sqlite") as casebook:
            return Session(
                None,
                casebook.run("r").status,
                read_journal(path / "journal.log"),
                casebook.events("r"),
                casebook.karyotypes("r"),
            )


@pytest.fixture
def run_in(bench: Any, tmp_path: Path) -> SmallRun:
    return SmallRun(bench, tmp_path)
