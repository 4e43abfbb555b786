"""Tells when a slide is unlike those the finder learnt from; never stops anything."""

from __future__ import annotations

from collections.abc import Mapping

from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from analysis.finder.drift import LEAST_FIELDS, Drift, FieldReading, SlideReadings

KIND = "drift"
"""Kind of the events."""

EVERY_FIELDS = 50


class DriftAlarm:
    """Watches what the fields of a scan say about their slide.

    Each number that drifts is told once a run, in whatever sitting.

    Parameters
    ----------
    context
        The run, with what is usual.
    readings
        Of fields that earlier sittings searched, by index.
    """

    def __init__(self, context: RunContext, readings: Mapping[int, FieldReading]) -> None:
        self._context = context
        self._readings = SlideReadings(dict(readings))
        self._next = max(LEAST_FIELDS, len(readings))
        self._told: set[str] | None = None

    def take(self, index: int, reading: FieldReading | None) -> None:
        """Take in a field; every `EVERY_FIELDS` the slide is judged anew."""
        if reading is None:
            return
        self._readings.add(index, reading)
        if len(self._readings.fields) >= self._next:
            self._next += EVERY_FIELDS
            self.judge()

    def judge(self) -> None:
        """Tell what is unusual about the slide by now."""
        if not self._context.usual:
            return
        for drift in self._readings.drifts(self._context.usual):
            if drift.statistic not in self._known():
                self._known().add(drift.statistic)
                self._tell(drift)

    def _known(self) -> set[str]:
        if self._told is None:
            events = self._context.casebook.events(self._context.run_uid)
            self._told = {str(event.context.get("statistic")) for event in events if event.kind == KIND}
        return self._told

    def _tell(self, drift: Drift) -> None:
        self._context.note(
            EventLevel.WARNING,
            KIND,
            f"the slide is unlike those the finder learnt from: {drift}; its scores may be off",
            statistic=drift.statistic,
            found=drift.found,
            usual_low=drift.low,
            usual_high=drift.high,
            z=drift.z,
            fields=len(self._readings.fields),
        )
