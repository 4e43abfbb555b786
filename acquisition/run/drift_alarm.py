"""Warns when a slide differs from those that the finder learnt from; never stops anything."""

from __future__ import annotations

from collections.abc import Mapping

from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from analysis.finder.drift import LEAST_FIELDS, Drift, FieldSummary, SlideSummaries

KIND = "drift"
"""Kind of the events."""

EVERY_FIELDS = 50


class DriftAlarm:
    """Watches what the fields of a scan say about their slide.

    Each statistic that drifts is reported once a run, in whatever session.

    Parameters
    ----------
    context
        The run, with the reference statistics.
    readings
        Of fields that earlier sessions searched, by index.
    """

    def __init__(self, context: RunContext, readings: Mapping[int, FieldSummary]) -> None:
        self._context = context
        self._readings = SlideSummaries(dict(readings))
        self._next = max(LEAST_FIELDS, len(readings))
        self._reported: set[str] | None = None

    def take(self, index: int, reading: FieldSummary | None) -> None:
        """Take in a field; every `EVERY_FIELDS` the slide is checked anew.

        Parameters
        ----------
        index
            Index of the field.
        reading
            What it says about the slide; None is passed over.
        """
        if reading is None:
            return
        self._readings.add(index, reading)
        if len(self._readings.fields) >= self._next:
            self._next += EVERY_FIELDS
            self.check()

    def check(self) -> None:
        """Report in what the slide differs from the reference by now."""
        if not self._context.finders.reference:
            return
        for drift in self._readings.drifts(self._context.finders.reference):
            if drift.statistic not in self._reported_statistics():
                self._reported_statistics().add(drift.statistic)
                self._report(drift)

    def _reported_statistics(self) -> set[str]:
        if self._reported is None:
            events = self._context.casebook.events(self._context.run_uid)
            self._reported = {str(event.context.get("statistic")) for event in events if event.kind == KIND}
        return self._reported

    def _report(self, drift: Drift) -> None:
        self._context.note(
            EventLevel.WARNING,
            KIND,
            f"the slide is unlike those the finder was trained on: {drift}; its scores may be wrong, "
            "check the candidates",
            statistic=drift.statistic,
            value=drift.value,
            reference_low=drift.low,
            reference_high=drift.high,
            z=drift.z,
            fields=len(self._readings.fields),
        )
