from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scanner.calibration.session import Procedure
from scanner.coordinates import SlidePoint
from scanner.errors import ScannerError
from scanner.rig import load_rig
from station.cli import main
from station.instrument.calibrate import CalibrationRequest, run_calibration
from station.instrument.result_text import described
from station.instrument.rig_check import RigCheck, RigCheckState, check_rig

SIMULATED_RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated"


@pytest.fixture
def rig_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rig"
    shutil.copytree(SIMULATED_RIG, folder)
    return folder


def with_faults(folder: Path, faults: str) -> None:
    cfg = folder / "micro-manager.cfg"
    text = cfg.read_text()
    line = "#py Property,Hub,Clock,instant\n"
    assert line in text
    cfg.write_text(text.replace(line, f"{line}#py Property,Hub,Faults,{faults}\n"))


def states(check: RigCheck) -> dict[str, RigCheckState]:
    return {step.what: step.state for step in check.steps}


def test_an_instrument_in_order_passes_every_step(rig_folder: Path) -> None:
    steps = check_rig(rig_folder, home=True).steps
    assert {step.state for step in steps} == {RigCheckState.OK}, steps
    assert {"home", "stage x", "stage y", "focus", "light", "picture", "stillness", "safe state"} <= {
        step.what for step in steps
    }


def test_it_homes_where_the_rig_allows_it(rig_folder: Path) -> None:
    text = (rig_folder / "rig.yaml").read_text()
    (rig_folder / "rig.yaml").write_text(text.replace("stage:\n  x:", "stage:\n  homing: true\n  x:"))
    assert states(check_rig(rig_folder))["home"] is RigCheckState.OK


def test_it_homes_only_when_told(rig_folder: Path) -> None:
    assert "home" not in states(check_rig(rig_folder))


@pytest.mark.parametrize(
    ("faults", "step"),
    [
        ("move_short@XY", "stage x"),
        ("move_fails@XY", "stage x"),
        ("move_short@Zx*", "focus"),
        ("lamp_dead@Lampx*", "picture"),
        ("camera_raises@Camerax*", "picture"),
    ],
)
def test_a_fault_is_a_line_and_the_instrument_is_made_safe(rig_folder: Path, faults: str, step: str) -> None:
    with_faults(rig_folder, faults)
    found = states(check_rig(rig_folder))
    assert found[step] is RigCheckState.FAULT
    assert "safe state" in found


def test_a_rig_that_does_not_load_ends_there(rig_folder: Path) -> None:
    (rig_folder / "rig.yaml").write_text("version: 1\n")
    steps = check_rig(rig_folder).steps
    assert [step.state for step in steps] == [RigCheckState.FAULT]


def test_a_device_that_is_missing_is_named(rig_folder: Path) -> None:
    path = rig_folder / "rig.yaml"
    path.write_text(path.read_text().replace("stage: XY", "stage: Table"))
    steps = check_rig(rig_folder).steps
    assert steps[-1].state is RigCheckState.FAULT
    assert "Table" in steps[-1].detail


def test_the_command_ends_by_what_it_found(rig_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rig", "check", str(rig_folder)])
    assert ended.value.code == 0
    assert "stillness" in capsys.readouterr().out
    with_faults(rig_folder, "move_fails@XY")
    with pytest.raises(SystemExit) as ended:
        main(["rig", "check", str(rig_folder)])
    assert ended.value.code == 1


def test_calibration_from_the_command_line(rig_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (rig_folder / "rig.yaml").read_text()
    arguments = ["rig", "calibrate", str(rig_folder), "--what", "read-out", "--what", "motion"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--dry-run"])
    assert ended.value.code == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert (rig_folder / "rig.yaml").read_text() == before
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    rig, _ = load_rig(rig_folder)
    assert {entry.procedure for entry in rig.calibration} == {"read_out", "stage_motion"}


def test_unknown_procedures_and_half_places_are_refused(rig_folder: Path) -> None:
    for extra in (["--what", "everything"], ["--slide-x-um", "3000"]):
        with pytest.raises(SystemExit) as ended:
            main(["rig", "calibrate", str(rig_folder), *extra])
        assert ended.value.code == 1


def test_a_dead_lamp_writes_nothing(rig_folder: Path) -> None:
    with_faults(rig_folder, "lamp_dead@Lampx*")
    before = (rig_folder / "rig.yaml").read_text()
    request = CalibrationRequest(rig_folder, frozenset({Procedure.PIXELS}), SlidePoint(30_000.0, 11_500.0))
    with pytest.raises(ScannerError):
        run_calibration(request)
    assert (rig_folder / "rig.yaml").read_text() == before


def test_results_are_told_in_words(rig_folder: Path) -> None:
    told: list[str] = []
    request = CalibrationRequest(
        rig_folder, frozenset({Procedure.FIELD}), SlidePoint(30_000.0, 11_500.0), write=False
    )
    run_calibration(request, lambda result: told.append(" ".join(described(result))))
    assert len(told) == 1
    assert told[0].startswith("field 10x light 0.")


def test_loader_label_camera_and_oiler_are_part_of_the_check() -> None:
    folder = Path(__file__).parents[2] / "hardware_configs" / "simulated-feeder"
    steps = {step.what: step for step in check_rig(folder).steps}
    assert steps["slides"].state is RigCheckState.OK
    assert "77 slides, stage empty" in steps["slides"].detail
    assert "label camera" in steps["slides"].detail
