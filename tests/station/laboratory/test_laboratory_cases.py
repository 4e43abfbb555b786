"""Cases, cells, reviews, signatures; two people at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.structures.review import ReviewLevel
from station.laboratory.casebook import LaboratoryCasebook, UnitOfWork
from station.laboratory.cases import CaseChanges
from station.laboratory.errors import (
    CaseSignedError,
    ConflictError,
    DuplicateRecordError,
    InvalidRecordError,
    MissingRecordError,
    PermissionDeniedError,
)
from station.laboratory.permissions import AccountRole
from station.laboratory.records import (
    CaseQuery,
    CaseStatus,
    EditAction,
    ProposalDraft,
    ReviewRole,
    SignatureMeaning,
)
from tests.station.laboratory.conftest import PROGRAM, Opener, add_user, case_with_cell


def test_a_case_has_specimens_and_slides(casebook: LaboratoryCasebook) -> None:
    with casebook.write(PROGRAM) as work:
        case = work.cases.create(" 24-0117 ", indication="recurrent miscarriage")
        specimen = work.cases.add_specimen(
            case.uid, "peripheral blood", received_at=datetime(2026, 1, 2, tzinfo=UTC)
        )
        slide = work.cases.add_slide(case.uid, "B1", specimen_uid=specimen.uid)
    with casebook.read(PROGRAM) as work:
        assert work.cases.named("24-0117") == case
        assert work.cases.specimens(case.uid) == (specimen,)
        assert work.cases.slides(case.uid) == (slide,)
        assert work.cases.slide_with_barcode("B1") == slide
        overview = work.cases.overview(case.uid)
    assert (overview.barcodes, overview.runs, overview.cells) == (("B1",), 0, 0)


def test_accessions_and_barcodes_are_unique(casebook: LaboratoryCasebook) -> None:
    with casebook.write(PROGRAM) as work:
        one, two = work.cases.create("24-0117"), work.cases.create("24-0118")
        work.cases.add_slide(one.uid, "B1")
    for attempt in (
        lambda work: work.cases.create("24-0117"),
        lambda work: work.cases.add_slide(two.uid, "B1"),
        lambda work: work.cases.change(two.uid, 1, CaseChanges(accession="24-0117")),
    ):
        with pytest.raises(DuplicateRecordError), casebook.write(PROGRAM) as work:
            attempt(work)


@pytest.mark.parametrize("accession", ["", "  ", "a\nb", "x" * 201])
def test_an_accession_is_a_name(casebook: LaboratoryCasebook, accession: str) -> None:
    with pytest.raises(InvalidRecordError), casebook.write(PROGRAM) as work:
        work.cases.create(accession)
    with casebook.read(PROGRAM) as work, pytest.raises(MissingRecordError):
        work.cases.named(accession)


def _create_twice(work: UnitOfWork) -> None:
    work.cases.create("24-0117")
    work.cases.create("24-0117")


def test_what_raises_leaves_nothing(casebook: LaboratoryCasebook) -> None:
    with pytest.raises(DuplicateRecordError), casebook.write(PROGRAM) as work:
        _create_twice(work)
    with casebook.read(PROGRAM) as work:
        assert work.cases.search(CaseQuery()).total == 0
    assert casebook.verify_audit().entries == 1


def test_the_second_of_two_writers_is_shown_the_difference(casebook: LaboratoryCasebook) -> None:
    one = add_user(casebook, "one", AccountRole.CYTOGENETICIST)
    two = add_user(casebook, "two", AccountRole.CYTOGENETICIST)
    with casebook.write(PROGRAM) as work:
        case = work.cases.create("24-0117", remark="old")
    with casebook.write(one.actor()) as work:
        work.cases.change(case.uid, 1, CaseChanges(remark="new", iscn="46,XX"))
    mine = CaseChanges(remark="mine", indication="mine too")
    with (
        pytest.raises(ConflictError, match="changed by one since") as conflict,
        casebook.write(two.actor()) as work,
    ):
        work.cases.change(case.uid, 1, mine)
    assert {row["field"] for row in conflict.value.as_table()} == {"remark", "iscn", "indication"}
    differences = {each.field: each for each in conflict.value.differences}
    assert set(differences) == {"remark", "iscn", "indication"}
    remark = differences["remark"]
    assert (remark.before, remark.present, remark.wanted, remark.changed_by) == ("old", "new", "mine", "one")
    assert differences["iscn"].wanted == differences["iscn"].before == ""
    assert differences["indication"].changed_by == ""
    assert (conflict.value.expected_version, conflict.value.present_version) == (1, 2)
    with casebook.write(two.actor()) as work:
        assert work.cases.change(case.uid, 2, CaseChanges(remark="mine")).version == 3


def test_of_many_writers_at_once_one_wins_each_time(opener: Opener) -> None:
    with opener() as casebook:
        with casebook.write(PROGRAM) as work:
            case = work.cases.create("24-0117")
        outcomes: list[str] = []
        start = threading.Barrier(6)

        def change(name: str) -> None:
            start.wait()
            for attempt in range(5):
                try:
                    with casebook.write(PROGRAM) as work:
                        work.cases.change(case.uid, attempt + 1, CaseChanges(remark=f"{name} {attempt}"))
                    outcomes.append("written")
                except ConflictError:
                    outcomes.append("conflict")

        threads = [threading.Thread(target=change, args=(f"writer {number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with casebook.read(PROGRAM) as work:
            version = work.cases.get(case.uid).version
        assert len(outcomes) == 30
        assert outcomes.count("written") == version - 1 >= 1
        assert casebook.verify_audit().defects == ()


def test_roles_of_cells(casebook: LaboratoryCasebook) -> None:
    reader = add_user(casebook, "reader", AccountRole.CYTOGENETICIST)
    case_uid, cell_uid = case_with_cell(casebook)
    with casebook.write(reader.actor()) as work:
        cell = work.cells.review(cell_uid, 1, role=ReviewRole.ANALYSED, note="nice")
    assert (cell.role, cell.note, cell.version) == (ReviewRole.ANALYSED, "nice", 2)
    with casebook.write(reader.actor()) as work:
        cell = work.cells.review(cell_uid, 2, role=ReviewRole.EXCLUDED, exclusion_reason="overlaps")
    for bad in ({"role": ReviewRole.EXCLUDED}, {"role": ReviewRole.COUNTED, "exclusion_reason": "x"}):
        with pytest.raises(InvalidRecordError), casebook.write(reader.actor()) as work:
            work.cells.review(cell_uid, 3, **bad)
    with pytest.raises(ConflictError), casebook.write(reader.actor()) as work:
        work.cells.review(cell_uid, 1, role=ReviewRole.COUNTED)
    with casebook.read(PROGRAM) as work:
        assert work.cells.of_case(case_uid) == (cell,)
        assert work.cells.of_case(case_uid, roles=frozenset({ReviewRole.COUNTED})) == ()
        assert work.cases.overview(case_uid).by_role == {ReviewRole.EXCLUDED: 1}


def test_edits_are_added_and_no_proposal_is_overwritten(casebook: LaboratoryCasebook) -> None:
    reader = add_user(casebook, "reader", AccountRole.CYTOGENETICIST)
    _, cell_uid = case_with_cell(casebook)
    texts = [f'{{"version": {number}}}'.encode() for number in range(3)]
    with casebook.write(reader.actor()) as work:
        cell, first = work.cells.edit(
            cell_uid,
            1,
            ProposalDraft(texts[0], "45,X", 45, ReviewLevel.CHECK),
            operation="join",
            content={"operation": "join", "chromosomes": [3, 4]},
        )
        cell, second = work.cells.edit(
            cell_uid, 2, ProposalDraft(texts[1], "46,XX", 46, None), action=EditAction.UNDO
        )
    with pytest.raises(ConflictError), casebook.write(reader.actor()) as work:
        work.cells.edit(cell_uid, 2, ProposalDraft(texts[2], None, None, None))
    with casebook.read(PROGRAM) as work:
        assert work.cells.edits(cell_uid) == (first, second)
        assert [each.number for each in work.cells.proposals(cell_uid)] == [1, 2]
        assert work.cells.proposal_content(cell_uid, 1) == texts[0]
        assert work.cells.proposal_content(cell_uid, 2) == texts[1]
        with pytest.raises(MissingRecordError):
            work.cells.proposal_content(cell_uid, 3)
    assert (first.base_number, first.result_number, second.base_number, second.result_number) == (0, 1, 1, 2)
    assert (cell.iscn, cell.proposal_number, first.author) == ("46,XX", 2, "reader")


def test_a_signature_locks_and_an_amendment_unlocks(casebook: LaboratoryCasebook) -> None:
    reader = add_user(casebook, "reader", AccountRole.CYTOGENETICIST)
    chief = add_user(casebook, "chief", AccountRole.SUPERVISOR)
    case_uid, cell_uid = case_with_cell(casebook)
    with casebook.write(reader.actor()) as work:
        work.signatures.sign(case_uid, 1, reader, SignatureMeaning.ANALYSED)
    with pytest.raises(PermissionDeniedError), casebook.write(reader.actor()) as work:
        work.signatures.sign(case_uid, 1, reader, SignatureMeaning.APPROVED)
    with pytest.raises(InvalidRecordError), casebook.write(chief.actor()) as work:
        work.signatures.sign(case_uid, 1, reader, SignatureMeaning.APPROVED)
    with casebook.write(chief.actor()) as work:
        approval = work.signatures.sign(case_uid, 1, chief, SignatureMeaning.APPROVED)
    attempts = (
        lambda work: work.cases.change(case_uid, 2, CaseChanges(remark="x")),
        lambda work: work.cases.add_slide(case_uid, "B9"),
        lambda work: work.cells.review(cell_uid, 1, role=ReviewRole.COUNTED),
        lambda work: work.cells.edit(cell_uid, 1, ProposalDraft(b"", None, None, None)),
        lambda work: work.signatures.sign(case_uid, 2, chief, SignatureMeaning.REVIEWED),
    )
    for attempt in attempts:
        with pytest.raises(CaseSignedError), casebook.write(chief.actor()) as work:
            attempt(work)
    with casebook.read(PROGRAM) as work:
        assert work.signatures.content_sha256(case_uid) == approval.content_sha256
    with casebook.write(chief.actor()) as work:
        assert work.signatures.amend(case_uid, 2, "typing error").status is CaseStatus.AMENDING
        work.cells.review(cell_uid, 1, role=ReviewRole.COUNTED)
    with casebook.read(PROGRAM) as work:
        assert work.signatures.content_sha256(case_uid) != approval.content_sha256
        assert [each.meaning for each in work.signatures.of_case(case_uid)] == [
            SignatureMeaning.ANALYSED,
            SignatureMeaning.APPROVED,
        ]


def test_search(casebook: LaboratoryCasebook) -> None:
    reader = add_user(casebook, "reader", AccountRole.CYTOGENETICIST)
    case_uid, cell_uid = case_with_cell(casebook, "24-0117")
    with casebook.write(PROGRAM) as work:
        work.cases.add_slide(case_uid, "KS_77%")
        other = work.cases.create("24-0999")
        work.cases.change(other.uid, 1, CaseChanges(iscn="47,XX,+21", status=CaseStatus.IN_REVIEW))
    with casebook.write(reader.actor()) as work:
        work.cells.edit(cell_uid, 1, ProposalDraft(b"{}", "45,X", 45, None))

    def accessions(query: CaseQuery) -> list[str]:
        with casebook.read(PROGRAM) as work:
            return [each.case.accession for each in work.cases.search(query).cases]

    assert accessions(CaseQuery()) == ["24-0117", "24-0999"], "the last changed first"
    assert accessions(CaseQuery(text="0117")) == ["24-0117"]
    assert accessions(CaseQuery(text="ks_7")) == ["24-0117"]
    assert accessions(CaseQuery(barcode="%")) == ["24-0117"], "a per cent sign is a letter"
    assert accessions(CaseQuery(barcode="K__7")) == []
    assert accessions(CaseQuery(iscn="45,x")) == ["24-0117"]
    assert accessions(CaseQuery(iscn="+21")) == ["24-0999"]
    assert accessions(CaseQuery(user="reader")) == ["24-0117"]
    assert accessions(CaseQuery(status=frozenset({CaseStatus.IN_REVIEW}))) == ["24-0999"]
    assert accessions(CaseQuery(until=datetime(2020, 1, 1, tzinfo=UTC))) == []
    with casebook.read(PROGRAM) as work:
        part = work.cases.search(CaseQuery(limit=1, offset=1))
    assert ([each.case.accession for each in part.cases], part.total) == (["24-0999"], 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=40))
def test_any_text_is_stored_as_it_is_and_found_again(sqlite_casebook: LaboratoryCasebook, text: str) -> None:
    accession = text.strip()
    with sqlite_casebook.read(PROGRAM) as work:
        taken = work.cases.with_accession(accession) if accession.isprintable() else None
    if not accession or not accession.isprintable() or taken is not None:
        return
    with sqlite_casebook.write(PROGRAM) as work:
        case = work.cases.create(text, remark=text)
    with sqlite_casebook.read(PROGRAM) as work:
        assert work.cases.get(case.uid).accession == accession
        assert work.cases.get(case.uid).remark == text
        assert work.cases.named(accession) == case
