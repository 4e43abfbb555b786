"""What the laboratory's casebook costs: ``python benchmarks/casebook.py [--folder DIR] [--json FILE]``.

Each operation that people wait for is timed on a casebook with its audit trail, on the disk of `--folder`; the
second column is the 95th percentile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from station.laboratory.accounts import UserDraft
from station.laboratory.casebook import LaboratoryCasebook, open_laboratory_casebook
from station.laboratory.cases import CaseChanges
from station.laboratory.errors import ConflictError
from station.laboratory.permissions import AccountRole, Actor
from station.laboratory.records import CaseQuery, SignatureMeaning

PROGRAM: Final = Actor.program("benchmark")
PASSWORD: Final = "a password of the benchmark"
REPEATS: Final = 30


def timed(figures: dict[str, list[float]], name: str, call: Callable[[], object], repeats: int = REPEATS) -> None:
    times_ms = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        call()
        times_ms.append(1000 * (time.perf_counter() - start_s))
    figures[name] = [float(np.median(times_ms)), float(np.percentile(times_ms, 95))]


def people(casebook: LaboratoryCasebook, figures: dict[str, list[float]]) -> None:
    """Log in, look up a session, change passwords, as a morning does."""
    accounts = casebook.accounts
    token = accounts.issue_setup_token().token
    admin = accounts.create_first_administrator(token, "admin", "Administrator", PASSWORD)
    chief = accounts.create_user(
        admin.actor(), UserDraft("chief", "Chief", frozenset({AccountRole.SUPERVISOR})), PASSWORD
    )
    timed(figures, "log in", lambda: accounts.log_out(accounts.log_in("chief", PASSWORD)[1]), 5)
    _, session_token = accounts.log_in("chief", PASSWORD)
    timed(figures, "session of a request", lambda: accounts.session_of(session_token))
    accounts.change_password(chief.uid, PASSWORD, PASSWORD + "!")
    accounts.set_password_by_token(accounts.issue_reset_token(admin.actor(), chief.uid).token, PASSWORD)
    api = accounts.issue_api_token(admin.actor(), chief.uid, "benchmark")
    accounts.revoke_token(admin.actor(), api.token_uid)


def reviews(casebook: LaboratoryCasebook, figures: dict[str, list[float]]) -> None:
    """A case from its making to its amendment."""
    chief = casebook.accounts.user_named("chief")
    actor = chief.actor()
    with casebook.write(actor) as work:
        case = work.cases.create("benchmark")
        specimen = work.cases.add_specimen(case.uid, "blood")
        work.cases.add_slide(case.uid, "benchmark-1", specimen_uid=specimen.uid)

    def change() -> None:
        with casebook.write(actor) as work:
            present = work.cases.get(case.uid)
            work.cases.change(case.uid, present.version, CaseChanges(remark=f"{present.version}"))

    timed(figures, "change of a case", change)

    def conflict() -> None:
        try:
            with casebook.write(actor) as work:
                work.cases.change(case.uid, 1, CaseChanges(remark="mine"))
        except ConflictError as error:
            error.as_table()

    timed(figures, "conflict after 30 changes", conflict)
    with casebook.write(actor) as work:
        work.cases.record_viewed(case.uid)
        version = work.cases.get(case.uid).version
        work.signatures.sign(case.uid, version, chief, SignatureMeaning.APPROVED)
        work.signatures.amend(case.uid, version + 1, "benchmark")


def queries(casebook: LaboratoryCasebook, figures: dict[str, list[float]]) -> None:
    """What pages ask for."""

    def search(query: CaseQuery) -> Callable[[], object]:
        def call() -> object:
            with casebook.read(PROGRAM) as work:
                return work.cases.search(query)

        return call

    timed(figures, "newest 50 cases", search(CaseQuery()))
    timed(figures, "search for a text", search(CaseQuery(text="+21")))
    timed(figures, "cases of a user", search(CaseQuery(user="chief")))

    def slide() -> object:
        with casebook.read(PROGRAM) as work:
            return work.cases.slide_with_barcode("benchmark-1")

    timed(figures, "slide of a barcode", slide)

    def recent() -> object:
        with casebook.read(PROGRAM) as work:
            return work.runs.recent()

    timed(figures, "newest 50 runs", recent)


def galleries(casebook: LaboratoryCasebook, figures: dict[str, list[float]]) -> None:
    """Cells of the newest run, their proposals, and the run given to a case and taken back."""
    with casebook.read(PROGRAM) as work:
        runs = work.runs.recent(limit=1)
    for run in runs:

        def cells(run_uid: str = run.uid) -> object:
            with casebook.read(PROGRAM) as work:
                return work.cells.of_run(run_uid)

        timed(figures, "cells of a run", cells)
        with casebook.read(PROGRAM) as work:
            (first, *_) = work.cells.of_run(run.uid)
            if first.proposal_number:
                work.cells.proposal_content(first.uid, first.proposal_number)
        with casebook.write(PROGRAM) as work:
            taken = work.runs.assign_case(run.uid, run.version, None)
            work.runs.assign_case(run.uid, taken.version, run.case_uid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the casebook is made; default: a temporary folder")
    parser.add_argument("--database", help="postgresql:// URL; default: SQLite")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_laboratory_casebook(options.folder or Path(scratch), options.database, create=True) as casebook,
    ):
        people(casebook, figures)
        reviews(casebook, figures)
        queries(casebook, figures)
        galleries(casebook, figures)
        timed(figures, "verification of the audit trail", casebook.verify_audit, 3)
    for name, (median_ms, p95_ms) in figures.items():
        print(f"{name:34}{median_ms:10.1f} ms{p95_ms:10.1f} ms")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
