"""The audit trail: whatever is done to it afterwards is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from station.laboratory.audit import AuditDefectKind
from station.laboratory.casebook import LaboratoryCasebook
from station.laboratory.tables import APPEND_ONLY
from tests.station.laboratory.conftest import PROGRAM


def fill(casebook: LaboratoryCasebook, cases: int = 6) -> None:
    for number in range(cases):
        with casebook.write(PROGRAM) as work:
            work.cases.create(f"24-{number:04d}")


def tamper(casebook: LaboratoryCasebook, *statements: str) -> None:
    """Do what an administrator of the database could: change rows without their triggers, and put those back."""
    engine = casebook.engine
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            triggers = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entry'")
            ).all()
            for name, _ in triggers:
                connection.execute(text(f"DROP TRIGGER {name}"))
            for statement in statements:
                connection.execute(text(statement))
            for _, sql in triggers:
                connection.exec_driver_sql(sql)
        else:
            connection.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER ALL"))
            for statement in statements:
                connection.execute(text(statement))
            connection.execute(text("ALTER TABLE audit_entry ENABLE TRIGGER ALL"))


def kinds(casebook: LaboratoryCasebook) -> set[AuditDefectKind]:
    return {defect.kind for defect in casebook.verify_audit().defects}


def test_what_is_done_is_chained_and_anchored(casebook: LaboratoryCasebook) -> None:
    fill(casebook)
    verification = casebook.verify_audit()
    assert verification.defects == ()
    assert (verification.entries, verification.anchors, verification.unanchored) == (7, 7, 0)
    with casebook.read(PROGRAM) as work:
        entries = work.audit.entries()
    assert [entry.number for entry in entries] == list(range(1, 8))
    assert entries[3].after["accession"] == "24-0002"
    assert entries[3].previous == entries[2].digest


@pytest.mark.parametrize(
    ("name", "statements", "wanted"),
    [
        ("changed", ["UPDATE audit_entry SET actor = 'somebody else' WHERE number = 3"], AuditDefectKind.CHANGED),
        ("deleted", ["DELETE FROM audit_entry WHERE number = 3"], AuditDefectKind.MISSING),
        (
            "reordered",
            [
                "UPDATE audit_entry SET number = 99 WHERE number = 3",
                "UPDATE audit_entry SET number = 3 WHERE number = 4",
                "UPDATE audit_entry SET number = 4 WHERE number = 99",
            ],
            AuditDefectKind.UNCHAINED,
        ),
        ("cut off", ["DELETE FROM audit_entry WHERE number > 4"], AuditDefectKind.CUT_OFF),
        ("emptied", ["DELETE FROM audit_entry"], AuditDefectKind.CUT_OFF),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tampering_is_found(
    casebook: LaboratoryCasebook, name: str, statements: list[str], wanted: AuditDefectKind
) -> None:
    fill(casebook)
    tamper(casebook, *statements)
    assert wanted in kinds(casebook)


def test_an_end_that_is_cut_off_with_its_head_is_found_by_the_anchor(casebook: LaboratoryCasebook) -> None:
    fill(casebook)
    with casebook.read(PROGRAM) as work:
        kept = work.audit.entries()[3]
    tamper(
        casebook,
        "DELETE FROM audit_entry WHERE number > 4",
        f"UPDATE audit_head SET number = 4, digest = '{kept.digest}'",
    )
    assert kinds(casebook) == {AuditDefectKind.CUT_OFF}


def test_a_trail_that_is_written_anew_is_found_by_the_anchor(casebook: LaboratoryCasebook) -> None:
    from sqlalchemy.orm import Session

    from station.laboratory.audit import NO_ENTRY, entry_digest
    from station.laboratory.tables import AuditEntryRow

    fill(casebook)
    tamper(casebook, "UPDATE audit_entry SET actor = 'nobody' WHERE number = 3")
    previous, rewritten = NO_ENTRY, []
    with Session(casebook.engine) as session:
        for row in session.query(AuditEntryRow).order_by(AuditEntryRow.number):
            row.previous = previous
            row.digest = previous = entry_digest(row)
            rewritten.append((row.number, row.previous, row.digest))
        session.rollback()
    tamper(
        casebook,
        *(
            f"UPDATE audit_entry SET previous = '{before}', digest = '{digest}' WHERE number = {number}"
            for number, before, digest in rewritten
        ),
        f"UPDATE audit_head SET digest = '{previous}'",
    )
    assert kinds(casebook) == {AuditDefectKind.ANCHOR_DIFFERS}


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("what", ["UPDATE", "DELETE"])
def test_the_database_refuses_to_change_what_is_only_added(
    casebook: LaboratoryCasebook, table: str, what: str, full_tables: Callable[[LaboratoryCasebook], None]
) -> None:
    full_tables(casebook)
    statement = f"UPDATE {table} SET uid = uid" if what == "UPDATE" else f"DELETE FROM {table}"
    if table == "audit_entry":
        statement = statement.replace("uid = uid", "actor = 'me'")
    with pytest.raises(DBAPIError, match="never changed nor deleted"), casebook.engine.begin() as connection:
        connection.execute(text(statement))
    assert casebook.verify_audit().defects == ()


def test_a_trigger_that_was_removed_is_named(casebook: LaboratoryCasebook) -> None:
    with casebook.engine.begin() as connection:
        on = "" if casebook.engine.dialect.name == "sqlite" else " ON audit_entry"
        connection.execute(text(f"DROP TRIGGER audit_entry_no_update{on}"))
    assert kinds(casebook) == {AuditDefectKind.UNPROTECTED}


def test_the_anchor_file_itself_is_checked(sqlite_casebook: LaboratoryCasebook) -> None:
    fill(sqlite_casebook)
    path = sqlite_casebook.place.anchor.path
    whole = path.read_bytes()
    path.write_bytes(whole + b"8 abc")
    assert kinds(sqlite_casebook) == set(), "a last line that a power cut left is no defect"
    path.write_bytes(whole.replace(b"4 ", b"x ", 1))
    assert kinds(sqlite_casebook) == {AuditDefectKind.ANCHOR_DAMAGED}
    path.unlink()
    assert kinds(sqlite_casebook) == {AuditDefectKind.ANCHOR_MISSING}


def test_a_program_that_ended_before_the_anchor_is_told_from_tampering(
    sqlite_casebook: LaboratoryCasebook,
) -> None:
    fill(sqlite_casebook)
    path = sqlite_casebook.place.anchor.path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    verification = sqlite_casebook.verify_audit()
    assert (verification.unanchored, verification.defects) == (1, ())
