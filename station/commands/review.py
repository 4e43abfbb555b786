"""The command ``karyoscan review``."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import CasebookError
from acquisition.records import RunStatus, RunSummary
from acquisition.storage import write_json_atomic
from acquisition.storage.run_folder import CASEBOOK_NAME
from station.errors import UsageError
from station.report.candidate_table import CandidateTable, read_candidates, word, write_candidates


def review(
    run_dir: Annotated[Path, typer.Argument(help="folder of a run")],
    accept: Annotated[
        list[str] | None, typer.Option(help="candidate that is a metaphase to be photographed")
    ] = None,
    reject: Annotated[list[str] | None, typer.Option(help="candidate that is not; repeat for several")] = None,
    reviewer: Annotated[
        str, typer.Option(help="who decides; default: the name of your account on this computer")
    ] = "",
    reason: Annotated[str | None, typer.Option(help="the reason, one line")] = None,
    show: Annotated[
        bool, typer.Option("--list", help="list the candidates; without a decision they are listed")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the list to this file")] = None,
) -> None:
    """Accept or reject finds: every word is kept, the last one counts, and a finder can be trained on them."""
    with open_casebook(run_dir / CASEBOOK_NAME, create=False) as casebook:
        run = _the_run(casebook)
        uid = run.record.uid
        accepted, rejected = accept or [], reject or []
        if accepted or rejected:
            _decide(casebook, uid, accepted, rejected, reviewer or _user(), reason)
        table = read_candidates(casebook, uid)
    if accepted or rejected:
        write_candidates(table, run_dir)
        if run.status is not RunStatus.RUNNING:
            from station.report import build_report

            build_report(run_dir)
        typer.echo(f"{len(accepted)} accepted, {len(rejected)} rejected")
    if json_file is not None:
        write_json_atomic(json_file, table.rows())
    if show or not (accepted or rejected):
        _list(table)


def _the_run(casebook: Casebook) -> RunSummary:
    runs = casebook.runs()
    if len(runs) != 1:
        raise CasebookError(f"{len(runs)} runs where one is expected", path=casebook.path)
    return runs[0]


def _decide(
    casebook: Casebook,
    run_uid: str,
    accepted: Sequence[str],
    rejected: Sequence[str],
    reviewer: str,
    reason: str | None,
) -> None:
    both = sorted(set(accepted) & set(rejected))
    if both:
        raise UsageError(f"{both[0]} can't be accepted and rejected at once")
    known = {candidate.uid for candidate in casebook.candidates(run_uid)}
    unknown = [uid for uid in (*accepted, *rejected) if uid not in known]
    if unknown:
        raise UsageError(f"the run has no candidate {unknown[0]!r}; karyoscan review --list shows those it has")
    at = datetime.now(UTC)
    for uids, is_accepted in ((accepted, True), (rejected, False)):
        for uid in dict.fromkeys(uids):
            casebook.decide(run_uid, uid, accepted=is_accepted, reviewer=reviewer, at=at, reason=reason)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError(
            "--reviewer: the name of the account can't be read; give the reviewer's name with --reviewer"
        ) from error


def _list(table: CandidateTable) -> None:
    # Names have to be read whole, since they are what a decision is given with.
    widest = max((len(candidate.uid) for candidate in table.candidates), default=0)
    shown = Table(
        "rank",
        Column("candidate", no_wrap=True, min_width=max(widest, len("candidate"))),
        "score",
        "analysable",
        Column("status", min_width=len("not selected")),
        Column("decision", min_width=len("accepted")),
        "by",
        "reason",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for candidate in table.candidates:
        decision = table.decisions.get(candidate.uid)
        said = ("", "", "") if decision is None else (word(decision), decision.reviewer, decision.reason or "")
        shown.add_row(
            str(candidate.rank),
            candidate.uid,
            f"{candidate.score:.2f}",
            "-" if candidate.analysable is None else f"{candidate.analysable:.2f}",
            candidate.status.value.replace("_", " "),
            *(escape(part) for part in said),
        )
    Console().print(shown)
