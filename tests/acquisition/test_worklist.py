"""A worklist is read strictly: file, line, what was found and what is allowed."""

from pathlib import Path

import pytest

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
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(WorklistError, match=words) as caught:
        load_worklist(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_worklist_that_is_not_there(tmp_path):
    with pytest.raises(WorklistError, match="can't be read"):
        load_worklist(tmp_path / "none.csv")
