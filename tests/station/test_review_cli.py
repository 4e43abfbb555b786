"""The commands of a reviewer and of whoever wants a list: review, find, candidates.csv."""

import csv
import json
import re
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from acquisition.casebook import open_casebook
from acquisition.records import CandidateRecord, CandidateStatus, FieldRecord, FieldStatus, RunRecord, RunStatus
from analysis.errors import AnalysisError, WeightsError
from analysis.finder import Candidate, CellQuality, RuleFinder
from analysis.finder.drift import ReferenceStatistics
from station.cli import main
from station.commands.find import row
from station.report.candidate_table import COLUMNS, CandidateTable, read_candidates, write_candidates
from station.run import finders
from station.run.finders import choose_finder

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command; gives exit code, output and complaint."""

    def run(*arguments, columns=200):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def run_dir(tmp_path):
    with open_casebook(tmp_path / "casebook.sqlite") as book:
        book.begin_run(RunRecord("r", "s", "rig", "", "p", "", "0", NOON))
        book.record_field(
            "r",
            FieldRecord(0, 0, 0, 500.0, 500.0, 500.0, 500.0, 3.0, FieldStatus.DONE, NOON, 1.0, 1.0, 1.0, 1.0, 2),
        )
        book.record_candidates(
            "r",
            [
                CandidateRecord(
                    "cell-0001", 0, 1100.0, 100.0, 20.0, 0.953, 1, CandidateStatus.SELECTED, "finds/a.png",
                    rank_score=0.8, analysable=0.72346, spread=0.9, overlap=0.1, completeness=1.0, contrast=0.5,
                    chromosomes=45.6, crop="finds/a.crop.png",
                ),
                CandidateRecord("cell-0002", 0, 1300.0, 100.0, 20.0, 0.6, 2, CandidateStatus.NOT_SELECTED),
            ],
        )  # fmt: skip
        book.finish_run("r", RunStatus.COMPLETED, NOON)
    return tmp_path


def decisions(run_dir):
    with open_casebook(run_dir / "casebook.sqlite", create=False) as book:
        return [(d.candidate_uid, d.accepted, d.reviewer, d.reason) for d in book.decisions("r")]


def table(run_dir):
    with (run_dir / "candidates.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_names_are_whole_on_a_narrow_terminal(run_dir, call):
    with open_casebook(run_dir / "casebook.sqlite", create=False) as book:
        book.decide("r", "cell-0002", accepted=False, reviewer="kim", at=NOON, reason="a bubble and no cell")
    _, out, _ = call("review", run_dir, columns=80)
    assert all(word in out for word in ("cell-0001", "cell-0002", "rejected", "not selected"))


def test_a_run_is_listed_with_score_and_chance(run_dir, call):
    code, out, complaint = call("review", run_dir, "--json", run_dir / "list.json")
    assert (code, complaint) == (0, "")
    assert "cell-0001" in out
    assert "0.72" in out
    first, second = json.loads((run_dir / "list.json").read_text())
    assert tuple(first) == COLUMNS
    assert (first["analysable"], first["rank_score"], first["decision"]) == (0.7235, 0.8, None)
    assert (second["analysable"], second["status"]) == (None, "not_selected")
    assert decisions(run_dir) == []


def test_decisions_are_kept_shown_and_written_to_table_and_report(run_dir, call):
    assert call("review", run_dir, "--accept", "cell-0001", "--reject", "cell-0002", "--reviewer", "kim")[0] == 0
    code, out, _ = call(
        "review", run_dir, "--reject", "cell-0001", "--reviewer", "lee", "--reason", "burst", "--list"
    )
    assert (code, "0 accepted, 1 rejected" in out) == (0, True)
    assert decisions(run_dir) == [
        ("cell-0001", True, "kim", None),
        ("cell-0002", False, "kim", None),
        ("cell-0001", False, "lee", "burst"),
    ]
    first, second = table(run_dir)
    assert (first["decision"], first["reviewer"], first["reason"]) == ("rejected", "lee", "burst")
    assert (second["decision"], second["reviewer"]) == ("rejected", "kim")
    page = re.sub(r"<[^>]+>", "", (run_dir / "report.html").read_text())
    assert "rejected by lee" in page


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--accept", "cell-0009"), "cell-0009"),
        (("--accept", "cell-0001", "--reject", "cell-0001"), "at once"),
        (("--accept", "cell-0001", "--reject", "cell-7"), "cell-7"),
    ],
)
def test_what_can_not_be_decided_is_one_line_and_nothing_is_recorded(run_dir, call, arguments, word):
    code, _, complaint = call("review", run_dir, *arguments)
    assert (code, complaint.count("\n"), word in complaint) == (1, 1, True)
    assert decisions(run_dir) == []


def test_a_folder_without_a_run_is_refused(tmp_path, call):
    code, _, complaint = call("review", tmp_path)
    assert (code, complaint.count("\n")) == (1, 1)
    assert not (tmp_path / "casebook.sqlite").exists()


def test_a_run_without_candidates_has_a_table_of_headings(tmp_path):
    write_candidates(CandidateTable((), {}), tmp_path)
    assert (tmp_path / "candidates.csv").read_text().strip().split(",") == list(COLUMNS)


def test_text_of_a_reviewer_does_not_break_the_table(run_dir):
    with open_casebook(run_dir / "casebook.sqlite", create=False) as book:
        book.decide("r", "cell-0001", accepted=False, reviewer='a "b", c', at=NOON, reason="two\nlines, =1+1")
        write_candidates(read_candidates(book, "r"), run_dir)
    first = table(run_dir)[0]
    assert (first["reviewer"], first["reason"]) == ('a "b", c', "two\nlines, =1+1")


def test_a_candidate_is_told_with_all_that_the_finder_says():
    full = row(Candidate(1.234, 2.0, 30.0, 0.97, 0.81, CellQuality(0.9, 0.1, 1.0, 0.6, 45.5), 0.77))
    assert full == {
        "x_px": 1.23, "y_px": 2.0, "radius_px": 30.0, "score": 0.97, "analysable": 0.81, "rank": 0.77,
        "spread": 0.9, "overlap": 0.1, "completeness": 1.0, "contrast": 0.6, "chromosomes": 45.5,
    }  # fmt: skip
    plain = row(Candidate(1.0, 2.0, 30.0, 0.97))
    assert (plain["analysable"], plain["rank"], plain["chromosomes"]) == (None, 0.97, None)
    assert plain.keys() == full.keys()


def test_find_takes_the_finder_by_name(tmp_path, call):
    picture = tmp_path / "field.png"
    pixels = np.full((200, 260), 220, np.uint8)
    # A picture of one grey value is refused.
    pixels[0, 0] = 219
    cv2.imwrite(str(picture), pixels)
    code, out, complaint = call("find", picture, "--um-per-px", 0.645, "--model", "rules")
    assert (code, complaint) == (0, "")
    assert "Found by finder rules." in out
    code, _, complaint = call("find", picture, "--um-per-px", 0.645, "--model", "gpt")
    assert (code, complaint.count("\n"), "gpt" in complaint) == (1, 1, True)


def test_without_weights_the_rules_search_and_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(finders, "WEIGHTS_DIR", tmp_path)
    chosen = choose_finder("default")
    assert (chosen.name, chosen.finder, chosen.reference) == ("rules", RuleFinder(), {})
    assert str(chosen) == "finder rules, since the weights of finder default are not installed"
    assert choose_finder("rules").asked == "rules"
    with pytest.raises(AnalysisError, match="gpt"):
        choose_finder("gpt")


def test_a_finder_brings_what_is_usual_on_its_slides(monkeypatch, tmp_path):
    from analysis.finder import MetaphaseFinder
    from analysis.parameters.weights import Manifest

    drift = {"focus": {"mean": 0.4, "std": 0.1}}

    def manifest(name, folder):
        return Manifest(
            name=name,
            net="FinderNet",
            arguments={},
            data={},
            split="",
            command="",
            settings={},
            metrics={},
            seed=1,
            steps=0,
            sha256="ab" * 32,
            drift=drift,
        )

    (tmp_path / "finder.safetensors").touch()
    monkeypatch.setattr(finders, "WEIGHTS_DIR", tmp_path)
    monkeypatch.setattr(finders, "load_finder", lambda name: MetaphaseFinder("finder", tmp_path, "ab" * 32))
    monkeypatch.setattr(finders, "read_manifest", manifest)
    chosen = choose_finder("default")
    assert (chosen.name, chosen.reference) == ("default", {"focus": ReferenceStatistics(0.4, 0.1)})
    assert str(chosen) == "finder default, weights abababababab"
    drift["focus"] = {"mean": 0.4}
    with pytest.raises(WeightsError, match=r"drift\.focus"):
        choose_finder("default")
