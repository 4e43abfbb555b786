"""What carries oil is remembered beyond the process, and doubt is an error."""

import json

import pytest

from scanner.coordinates import SlidePoint
from scanner.errors import OilRecordError
from scanner.oil import OilLedger

HERE = SlidePoint(30_000.0, 12_000.0)


def test_oil_is_remembered_by_the_next_process(tmp_path):
    path = tmp_path / "state" / "oil.json"
    ledger = OilLedger(path)
    ledger.add_drop("1", HERE)
    ledger.touched("2")
    again = OilLedger(path)
    assert again.oiled_slides() == {"1", "2"}
    assert again.drops("1") == (HERE,)
    assert again.drops("2") == ()
    again.declare_clean("1")
    assert OilLedger(path).oiled_slides() == {"2"}


def test_a_drop_serves_its_surroundings():
    ledger = OilLedger()
    ledger.add_drop("1", HERE)
    assert ledger.has_drop("1", SlidePoint(31_000.0, 12_000.0), 1_000.0)
    assert not ledger.has_drop("1", SlidePoint(31_001.0, 12_000.0), 1_000.0)
    assert not ledger.has_drop("2", HERE, 1_000.0)


def test_a_retracted_drop_leaves_the_slide_suspect():
    ledger = OilLedger()
    ledger.add_drop("1", HERE)
    ledger.retract_drop("1", HERE)
    assert ledger.drops("1") == ()
    assert ledger.is_oiled("1")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"slides": {"1": [{"x_um": NaN, "y_um": 0}]}}', '{"oil": 1}']
)
def test_a_record_that_cannot_be_read_is_no_clean_slate(tmp_path, text):
    path = tmp_path / "oil.json"
    path.write_text(text)
    with pytest.raises(OilRecordError, match=r"oil\.json.*check the slides for oil"):
        OilLedger(path)


def test_what_cannot_be_written_is_not_oiled(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    ledger = OilLedger(tmp_path / "oil.json")
    ledger._path = blocked / "oil.json"
    with pytest.raises(OilRecordError, match="can't be written"):
        ledger.touched("1")
    assert not ledger.is_oiled("1")


def test_the_record_is_plain_json(tmp_path):
    path = tmp_path / "oil.json"
    OilLedger(path).add_drop("slot 3", HERE)
    assert json.loads(path.read_text())["slides"] == {"slot 3": [{"x_um": 30_000.0, "y_um": 12_000.0}]}
    assert [file.name for file in tmp_path.iterdir()] == ["oil.json"]
