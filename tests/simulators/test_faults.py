"""Faults as data: their grammar, their counting, and a catalogue that leaves none out."""

from pathlib import Path

import pytest

import acquisition.errors
import scanner.errors
from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError
from simulators.fault_catalogue import (
    CATALOGUE,
    DEVICE_FAULTS,
    SERIAL_FAULTS,
    STORAGE_FAULTS,
)
from simulators.fault_scenario import FaultScenario, parse_scenario
from simulators.faults import TwinFault, TwinFaultKind, TwinFaultPlan, parse_faults
from simulators.serial.faults import SerialFault, SerialFaultKind
from simulators.storage_faults import StorageFault, StorageFaultKind

ROOT = Path(__file__).parents[2]
KINDS = [*TwinFaultKind, *SerialFaultKind, *StorageFaultKind]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("move_fails@XY", TwinFault(TwinFaultKind.MOVE_FAILS, "XY")),
        ("move_fails@XY:3", TwinFault(TwinFaultKind.MOVE_FAILS, "XY", 3)),
        ("move_fails@XYx2", TwinFault(TwinFaultKind.MOVE_FAILS, "XY", 1, 2)),
        (" black_frame @ Camera : 2 x 4 ", TwinFault(TwinFaultKind.BLACK_FRAME, "Camera", 2, 4)),
        ("move_short@XY:5x*~0.05", TwinFault(TwinFaultKind.MOVE_SHORT, "XY", 5, None, 0.05)),
        ("move_short@XY ~1e-3", TwinFault(TwinFaultKind.MOVE_SHORT, "XY", 1, 1, 1e-3)),
    ],
)
def test_a_fault_is_read_from_text(text, fault):
    assert parse_faults(text) == (fault,)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "explode@XY",
        "move_fails",
        "move_fails@XY:0",
        "move_fails@XY:x0",
        "move_fails@XY:1~2",
        "@XY",
        "a b",
    ],
)
def test_what_can_not_be_read_is_refused_with_the_part_and_the_kinds(text):
    with pytest.raises(ValueError, match="fault") as caught:
        parse_faults(f"move_fails@XY; {text}")
    assert repr(text) in str(caught.value)
    assert "black_frame" in str(caught.value)


def test_each_fault_counts_for_itself_from_the_moment_it_was_added():
    plan = TwinFaultPlan((TwinFault(TwinFaultKind.MOVE_FAILS, "XY", 2),))
    assert [plan.strikes(TwinFaultKind.MOVE_FAILS, "XY") for _ in range(3)] == [False, True, False]
    again = TwinFault(TwinFaultKind.MOVE_FAILS, "XY", 2)
    plan.add(again, again)
    assert [plan.strikes(TwinFaultKind.MOVE_FAILS, "XY") for _ in range(3)] == [False, True, False]
    assert not plan.strikes(TwinFaultKind.MOVE_FAILS, "Z")
    plan.clear()
    assert plan.faults == ()


def test_the_kind_says_whose_fault_it_is():
    scenario = parse_scenario(
        "move_short@XY:3; mute@?pos:2x*; lost_steps@XY; serial.lost_steps@!moa; disk_full@captures/*; late x2;"
    )
    assert scenario == FaultScenario(
        (TwinFault(TwinFaultKind.MOVE_SHORT, "XY", 3), TwinFault(TwinFaultKind.LOST_STEPS, "XY")),
        (
            SerialFault(SerialFaultKind.MUTE, "?pos", 2, None),
            SerialFault(SerialFaultKind.LOST_STEPS, "!moa"),
            SerialFault(SerialFaultKind.LATE, "", 1, 2),
        ),
        (StorageFault(StorageFaultKind.DISK_FULL, "captures/*"),),
    )
    for text in ("deaf@?pos", "serial.move_short@XY", "disk_full@a:0"):
        with pytest.raises(ValueError, match="fault"):
            parse_scenario(text)


def test_only_what_shares_a_name_needs_a_prefix():
    names = [kind.value for kind in KINDS]
    assert {name for name in names if names.count(name) > 1} == {"lost_steps"}


def test_a_scenario_is_put_where_it_belongs_and_nowhere_else(bench):
    parse_scenario("move_fails@XY; lamp_dead@Lamp").apply(bench.core, 3)
    assert [fault.device for fault in bench.twin.faults.faults] == ["XY", "Lamp"]
    with pytest.raises(ValueError, match="no device 'Stage'; it has Camera"):
        parse_scenario("move_fails@Stage").apply(bench.core)
    with pytest.raises(ValueError, match="no serial controller"):
        parse_scenario("mute@?pos").apply(bench.core)
    with pytest.raises(DeviceNotReadyError, match="no digital twin"):
        parse_scenario("move_fails@XY").apply(ScanCore())


def test_the_catalogue_has_every_fault_once_with_an_error_that_exists():
    for entries, kinds in (
        (DEVICE_FAULTS, TwinFaultKind),
        (SERIAL_FAULTS, SerialFaultKind),
        (STORAGE_FAULTS, StorageFaultKind),
    ):
        assert [entry.kind for entry in entries] == list(dict.fromkeys(entry.kind for entry in entries))
        assert {entry.kind for entry in entries} == set(kinds)
    for entry in CATALOGUE:
        assert entry.what
        assert entry.answer
        assert not entry.error or hasattr(scanner.errors, entry.error) or hasattr(acquisition.errors, entry.error)


def as_markdown(entries):
    """The entries as a table, one a line."""
    lines = ["| fault | target | what goes wrong | what the instrument does | error |", "|---|---|---|---|---|"]
    lines += [
        f"| `{entry.kind}` | {entry.target} | {entry.what} | {entry.answer} | "
        f"{f'`{entry.error}`' if entry.error else 'none'} |"
        for entry in entries
    ]
    return "\n".join(lines) + "\n"


def test_the_document_is_the_catalogue():
    text = (ROOT / "docs" / "explanation" / "faults.md").read_text(encoding="utf-8")
    for entries in (DEVICE_FAULTS, SERIAL_FAULTS, STORAGE_FAULTS):
        assert as_markdown(entries) in text


def test_every_fault_is_named_by_a_test_of_the_instrument():
    tests = "".join(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path != Path(__file__)
    )
    for kind in KINDS:
        spoken = f"{type(kind).__name__}.{kind.name}", f"Kind.{kind.name}", f'"{kind.value}@'
        assert any(words in tests for words in spoken), f"no test of {kind}"
