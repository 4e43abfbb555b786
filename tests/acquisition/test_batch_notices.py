"""Who hears of a night, and of what."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from acquisition.batch.notices import BatchNotices
from acquisition.batch.report import BatchReport, SlideReport, SlideStatus
from acquisition.batch.worklist import load_worklist
from acquisition.protocol import load_protocol
from scanner.errors import LoaderError

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PARKED = SlideReport("3", "KS-3", "case-3", SlideStatus.PARKED, "the gripper is jammed")
STRANGER = SlideReport("4", None, None, SlideStatus.PARKED, "no barcode that can be read")
DONE = SlideReport("1", "KS-1", "case-1", SlideStatus.FINISHED, "20 metaphases", "slot-1-KS-1", 20)


@pytest.fixture
def notices(tmp_path):
    """Two protocols: blood writes to blood.jsonl, marrow to marrow.jsonl, both to all.jsonl."""
    for name in ("blood", "marrow"):
        data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text())
        data["notify"] = [{"type": "file", "path": f"{name}.jsonl"}, {"type": "file", "path": "all.jsonl"}]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(data))
    rows = ["barcode,accession,protocol,priority", "KS-1,case-1,blood.yaml,", "KS-3,case-3,marrow.yaml,2"]
    (tmp_path / "night.csv").write_text("\n".join(rows))
    worklist = load_worklist(tmp_path / "night.csv")
    protocols = {entry.protocol: load_protocol(entry.protocol) for entry in worklist.entries}
    folder = tmp_path / "night"
    folder.mkdir()
    return BatchNotices(worklist, protocols, folder, now=lambda: NOON)


def heard(tmp_path, name):
    path = tmp_path / "night" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_of_a_parked_slide_its_own_protocol_tells(tmp_path, notices):
    notices.parked(PARKED)
    (notice,) = heard(tmp_path, "marrow")
    assert notice == {
        "occasion": "parked", "at": NOON.isoformat(), "batch": "night", "slot": "3", "slide": "KS-3",
        "accession": "case-3", "error": "the gripper is jammed", "status": "parked",
    }  # fmt: skip
    assert heard(tmp_path, "blood") == []


def test_of_a_slide_that_nobody_knows_everybody_hears_once(tmp_path, notices):
    notices.parked(STRANGER)
    assert [len(heard(tmp_path, name)) for name in ("blood", "marrow", "all")] == [1, 1, 1]


def test_of_an_urgent_slide_that_is_missing_its_protocol_hears_at_once(tmp_path, notices):
    for barcode, case in (("KS-1", "case-1"), ("KS-3", "case-3")):
        notices.missing(SlideReport(None, barcode, case, SlideStatus.MISSING, "no such label in the tray"))
    (notice,) = heard(tmp_path, "all")
    assert (notice["occasion"], notice["slide"], notice["priority"]) == ("attention", "KS-3", 2)
    assert heard(tmp_path, "blood") == []


@pytest.mark.parametrize(
    ("report", "occasion", "status"),
    [
        (BatchReport((DONE,)), "finished", "finished"),
        (BatchReport((DONE, PARKED)), "finished", "finished"),
        (BatchReport((DONE,), ended="slot 2: jam"), "failed", "ended_early"),
    ],
)
def test_of_the_end_everybody_hears_once_with_counts_and_reasons(tmp_path, notices, report, occasion, status):
    notices.ended(report, tmp_path / "night" / "batch.html", by_a_person=False)
    (notice,) = heard(tmp_path, "all")
    assert (notice["occasion"], notice["status"], notice["error"]) == (occasion, status, report.ended or None)
    assert notice["counts"]["finished"] == 1
    assert [slide["error"] for slide in notice["parked"]] == [s.reason for s in report.slides if s is PARKED]
    assert notice["report"].endswith("batch.html")


def test_whoever_ended_the_night_is_not_told_of_it(tmp_path, notices):
    notices.ended(BatchReport((DONE,), ended="stopped by a person"), None, by_a_person=True)
    assert heard(tmp_path, "all") == []


def test_what_could_not_be_told_is_kept(tmp_path, notices):
    (tmp_path / "night" / "all.jsonl").mkdir()
    notices.failed(LoaderError("jammed", device="Loader"))
    (fault,) = notices.failed_notices
    assert "no notice to all.jsonl" in fault
    assert "jammed" in heard(tmp_path, "blood")[0]["error"]
