"""One self-contained page about a run."""

from __future__ import annotations

from station.report.page import build_report

__all__ = ["build_report"]
