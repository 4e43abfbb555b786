"""Two readings of a settings file differ by the values of their keys, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.errors import RigError
from scanner.model_comparison import changed_keys
from scanner.rig import Rig
from scanner.strict_yaml import load_strict

PATH = Path(__file__).parents[2] / "hardware_configs" / "simulated" / "rig.yaml"
TEXT = PATH.read_text(encoding="utf-8")


def read(text: str) -> Rig:
    return load_strict(Rig, PATH, lambda message, path, line: RigError(message, path=path, line=line), text=text)


@pytest.mark.parametrize("text", [f"# a remark\n{TEXT}\n\n", TEXT.replace("\n", "   # remark\n", 1)])
def test_comments_and_white_space_are_no_change(text):
    assert text != TEXT
    assert changed_keys(read(TEXT), read(text)) == ()


def test_a_value_is_named_by_its_key():
    rig = read(TEXT)
    objectives = [each.model_copy(update={"um_per_px": each.um_per_px * 2}) for each in rig.objectives]
    changed = rig.model_copy(update={"name": "other", "objectives": (objectives[0], *rig.objectives[1:])})
    assert changed_keys(rig, changed) == ("name", f"objectives.{rig.objectives[0].name}.um_per_px")


def test_an_entry_that_is_there_only_once_is_named():
    rig = read(TEXT)
    fewer = rig.model_copy(update={"objectives": rig.objectives[:-1]})
    assert changed_keys(rig, fewer) == (f"objectives.{rig.objectives[-1].name}",)
    assert changed_keys(fewer, rig) == (f"objectives.{rig.objectives[-1].name}",)


def test_a_default_that_is_written_out_is_no_change():
    rig = read(TEXT)
    assert changed_keys(rig, Rig.model_validate(rig.model_dump())) == ()
