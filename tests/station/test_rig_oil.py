"""``karyoscan rig oil``: what carries oil is listed, and declared clean by a person only."""

from pathlib import Path

from typer.testing import CliRunner

from scanner.coordinates import SlidePoint
from scanner.rig import load_rig
from station.cli import app
from station.compose import open_oil_ledger

RIG = Path(__file__).parents[2] / "hardware_configs" / "demo-camera"


def test_oil_is_listed_and_declared_clean() -> None:
    rig, _ = load_rig(RIG)
    ledger = open_oil_ledger(rig)
    ledger.add_drop("1", SlidePoint(1.0, 2.0))
    listed = CliRunner().invoke(app, ["rig", "oil", str(RIG)])
    assert listed.exit_code == 0
    assert "1" in listed.stdout
    assert CliRunner().invoke(app, ["rig", "oil", str(RIG), "--clean", "1"]).exit_code == 0
    assert open_oil_ledger(rig).oiled_slides() == frozenset()


def test_a_slide_without_oil_is_not_declared_clean() -> None:
    result = CliRunner().invoke(app, ["rig", "oil", str(RIG), "--clean", "7"])
    assert result.exit_code != 0
    assert "carries no oil" in f"{result.output}{result.exception}"
