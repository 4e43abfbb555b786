"""The casebook: every run, find, picture and proposal in one database."""

from __future__ import annotations

from acquisition.casebook.casebook import Casebook, open_casebook

__all__ = ["Casebook", "open_casebook"]
