"""A process that is killed, a disk that is full: what was acknowledged is there, what wasn't is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event

from station.laboratory.casebook import LaboratoryCasebook
from station.laboratory.cases import CaseChanges
from station.laboratory.errors import CasebookFullError
from station.laboratory.records import CaseQuery
from tests.station.laboratory.conftest import PROGRAM, Opener

WRITER = """
import sys
from pathlib import Path
from station.laboratory.casebook import open_laboratory_casebook
from station.laboratory.permissions import Actor

with open_laboratory_casebook(Path(sys.argv[1]), sys.argv[2] or None) as casebook:
    for number in range(10_000):
        with casebook.write(Actor.program("writer")) as work:
            case = work.cases.create(f"{sys.argv[3]}-{number}")
            work.cases.add_slide(case.uid, f"slide {sys.argv[3]}-{number}")
        print(case.accession, flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_that_it_acknowledged(
    opener: Opener, server_url: str | None
) -> None:
    with opener() as casebook:
        folder = casebook.folder
        acknowledged: list[str] = []
        for kill in range(3):
            command = [sys.executable, "-c", WRITER, str(folder), server_url or "", f"kill{kill}"]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
            ) as writer:
                assert writer.stdout is not None
                acknowledged += [writer.stdout.readline().strip() for _ in range(3 + 5 * kill)]
                writer.kill()
                # What it printed between the last line read and its end was acknowledged, too.
                *whole, _ = writer.stdout.read().split("\n")
                acknowledged += whole
            with casebook.read(PROGRAM) as work:
                for accession in acknowledged:
                    case = work.cases.named(accession)
                    assert len(work.cases.slides(case.uid)) == 1
                total = work.cases.search(CaseQuery()).total
            assert len(acknowledged) <= total <= len(acknowledged) + kill + 1
            assert casebook.verify_audit().defects == ()


def test_a_full_disk_is_named_and_nothing_is_changed(sqlite_casebook: LaboratoryCasebook) -> None:
    with sqlite_casebook.write(PROGRAM) as work:
        case = work.cases.create("24-0117")

    def leave_no_room(connection, _record) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 1}")

    engine = sqlite_casebook.engine
    engine.dispose()
    event.listen(engine, "connect", leave_no_room)
    with pytest.raises(CasebookFullError, match="no room on the disk"), sqlite_casebook.write(PROGRAM) as work:
        work.cases.change(case.uid, 1, CaseChanges(remark="x" * 100_000))
    event.remove(engine, "connect", leave_no_room)
    engine.dispose()
    with sqlite_casebook.write(PROGRAM) as work:
        assert work.cases.get(case.uid) == case
        work.cases.change(case.uid, 1, CaseChanges(remark="y"))
    assert sqlite_casebook.verify_audit().defects == ()
