"""A worklist is read strictly: file, line, what was found and what is allowed."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.batch.barcodes import near_misses
from acquisition.batch.worklist import load_worklist
from acquisition.errors import WorklistError


def write(folder: Path, text: str) -> Path:
    (folder / "blood.yaml").write_text("")
    path = folder / "night.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_most_urgent_slides_come_first_else_the_order_of_the_file(tmp_path):
    path = write(
        tmp_path,
        "barcode,accession,protocol,priority\nA,1,blood.yaml,\nB,2,blood.yaml,1\n\nC,3,blood.yaml,5\n",
    )
    worklist = load_worklist(path)
    assert [(entry.barcode, entry.priority, entry.line) for entry in worklist.entries] == [
        ("B", 1, 3),
        ("A", 5, 2),
        ("C", 5, 5),
    ]
    assert worklist.entries[0].protocol == tmp_path / "blood.yaml"
    assert worklist.find("C").accession == "3"
    assert worklist.find("D") is None


def test_spreadsheets_write_semicolons_marks_and_other_orders(tmp_path):
    path = write(tmp_path, "﻿Accession;Barcode;Protocol\r\n7;A;blood.yaml\r\n")
    assert load_worklist(path).entries[0].barcode == "A"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("barcode,accession\nA,1\n", 1, "wanted barcode, accession, protocol, priority"),
        ("barcode,accession,protocol,colour\n", 1, "colour"),
        ("barcode,barcode,accession,protocol\n", 1, "each once"),
        ("barcode,accession,protocol\nA,1\n", 2, "found 2 cells, the heading has 3"),
        ("barcode,accession,protocol\n,1,blood.yaml\n", 2, "barcode: empty"),
        ("barcode,accession,protocol\nA,,blood.yaml\n", 2, "accession: empty"),
        ("barcode,accession,protocol\nA,1,marrow.yaml\n", 2, "no such file marrow.yaml"),
        ("barcode,accession,protocol,priority\nA,1,blood.yaml,0\n", 2, "found '0', allowed 1"),
        ("barcode,accession,protocol,priority\nA,1,blood.yaml,soon\n", 2, "found 'soon'"),
        ("barcode,accession,protocol\nA,1,blood.yaml\nA,2,blood.yaml\n", 3, "stands in line 2 already"),
        ('barcode,accession,protocol\n"A,1,blood.yaml\n', 2, "no CSV"),
        ('barcode,accession,protocol\n"A\n1",1,blood.yaml\n', 3, "a cell of several lines"),
        ("barcode,accession,protocol\n007\u200b,1,blood.yaml\n", 2, r"invisible character '\\u200b'"),
        ("barcode,accession,protocol\nA\x1b[31m,1,blood.yaml\n", 2, r"control character '\\x1b'"),
        ("barcode,accession,protocol\n#N/A,1,blood.yaml\n", 2, "an error of the spreadsheet"),
        ("barcode,accession,protocol\n####,1,blood.yaml\n", 2, "an error of the spreadsheet"),
        ("barcode,accession,protocol\n=A1,1,blood.yaml\n", 2, "a formula or an error"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(WorklistError, match=words) as caught:
        load_worklist(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_protocol_goes_by_its_name_where_no_file_of_the_folder_does(tmp_path):
    packaged = tmp_path / "packaged.yaml"
    packaged.write_text("")
    named = {"quick": packaged, "blood.yaml": packaged}
    path = write(tmp_path, "barcode,accession,protocol\nA,1,quick\nB,2,blood.yaml\n")
    assert [entry.protocol.name for entry in load_worklist(path, named).entries] == ["packaged.yaml", "blood.yaml"]
    path = write(tmp_path, "barcode,accession,protocol\nA,1,quik\n")
    with pytest.raises(WorklistError, match=r"no such file quik .*none of the packaged ones: quick, blood\.yaml"):
        load_worklist(path, named)


@pytest.mark.parametrize("barcode", ["12.0", "1.5", "'007", "01.02.2024", "2024-01-02", "TRUE"])
def test_what_a_spreadsheet_may_have_made_of_a_barcode_is_named(tmp_path, barcode):
    worklist = load_worklist(write(tmp_path, f"barcode,accession,protocol\n{barcode},1,blood.yaml\n"))
    assert [entry.barcode for entry in worklist.entries] == [barcode]
    (warning,) = worklist.warnings
    assert warning.startswith(f"line 2: barcode {barcode} looks like what a spreadsheet makes")


def test_the_shipped_example_is_a_worklist():
    worklist = load_worklist(Path(__file__).parents[2] / "protocols" / "worklist_example.csv")
    assert [entry.barcode for entry in worklist.entries][:2] == ["M240120001", "A240122001"]
    assert worklist.warnings == ()


def test_a_worklist_that_is_not_there(tmp_path):
    with pytest.raises(WorklistError, match="can't be read"):
        load_worklist(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("content", "barcode"),
    [
        (b"sep=;\r\nbarcode;accession;protocol\r\n007;1;blood.yaml\r\n", "007"),
        ("barcode\taccession\tprotocol\n007\t1\tblood.yaml\n".encode("utf-16"), "007"),
        ("barcode,accession,protocol,,\n007,Müx,blood.yaml,,\n,,,,\n".encode("utf-8-sig"), "007"),
        (b"barcode;accession;protocol;priority\n007;1;blood.yaml;;\n", "007"),
        (b"sep=\t\nbarcode\taccession\tprotocol\n007\t1\tblood.yaml\n", "007"),
        (b'"sep=;"\r\nbarcode;accession;protocol\r\n007;1;blood.yaml\r\n', "007"),
        (b"sep=;,,\nbarcode;accession;protocol\n007;1;blood.yaml\n", "007"),
        (b"barcode,accession,protocol\r007,1,blood.yaml\r", "007"),
        (b"barcode,accession,protocol\n007,1,.\\blood.yaml\n", "007"),
    ],
)
def test_tables_are_read_as_spreadsheets_leave_them(tmp_path, content, barcode):
    path = write(tmp_path, "")
    path.write_bytes(content)
    (entry,) = load_worklist(path).entries
    assert (entry.barcode, entry.priority) == (barcode, 5)


def test_the_line_is_that_of_the_file_also_below_a_separator_line(tmp_path):
    path = write(tmp_path, "sep=;\nbarcode;accession;protocol\nA;1;marrow.yaml\n")
    with pytest.raises(WorklistError, match=r"no such file marrow\.yaml") as caught:
        load_worklist(path)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("barcode,accession,protocol\n7,Mü,blood.yaml\n".encode("cp1252"), 2, "save the table as 'CSV UTF-8'"),
        (b"barcode,accession,protocol\n7,\x1b[31m,blood.yaml\n", 2, "control character"),
        (b"barcode,accession,protocol\n7,\x00,blood.yaml\n", 2, "control character"),
        (b"barcode,accession,protocol\n1.23457E+11,1,blood.yaml\n", 2, "rounded"),
        (b"barcode;accession;protocol\n1,23457E+11;1;blood.yaml\n", 2, "column as text"),
        (b"barcode,accession,protocol\n7," + b"x" * 2000 + b",blood.yaml\n", 2, "a cell of more than"),
        (
            b"barcode,accession,protocol\n" + b"".join(b"%d,1,blood.yaml\n" % k for k in range(20_001)),
            20_001,
            "rows",
        ),
        (b"x" * 9_000_000, None, "bytes"),
    ],
)
def test_what_would_spoil_the_record_is_refused(tmp_path, content, line, words):
    path = write(tmp_path, "")
    path.write_bytes(content)
    with pytest.raises(WorklistError, match=words) as caught:
        load_worklist(path)
    assert caught.value.line == line


def test_a_folder_is_no_worklist(tmp_path):
    with pytest.raises(WorklistError, match="not a regular file"):
        load_worklist(tmp_path)


def test_barcodes_that_lost_their_zeros_are_named(tmp_path):
    path = write(
        tmp_path, "barcode,accession,protocol\n0012345,1,blood.yaml\n0012346,1,blood.yaml\n12347,2,blood.yaml\n"
    )
    (warning,) = load_worklist(path).warnings
    assert warning.startswith("line 4: barcode 12347 is shorter")


@pytest.mark.parametrize(
    ("label", "near"),
    [
        ("0012345", ("12345",)),
        ("ks-17", ("KS-17",)),
        ("KS-170042", ("KS-17O042",)),
        ("something else", ()),
    ],
)
def test_a_label_that_is_nearly_on_the_worklist_is_told(label, near):
    assert near_misses(label, ["12345", "KS-17", "KS-17O042", "99"]) == near


def test_a_rounded_number_is_near_to_what_it_was():
    assert near_misses("123457000123", ["1,23457E+11", "5"]) == ("1,23457E+11",)
    assert near_misses("123467000123", ["1,23457E+11", "5"]) == ()


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_a_worklist_or_refused(text):
    with TemporaryDirectory() as folder:
        path = write(Path(folder), text)
        with suppress(WorklistError):
            assert all(entry.barcode and entry.accession for entry in load_worklist(path).entries)
