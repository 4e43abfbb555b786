"""The pages that a rig check and a calibration leave: steps, states, pictures, old values beside new ones."""

from __future__ import annotations

import base64
import re
import shutil
import signal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from acquisition.errors import StorageError
from scanner.calibration.session import Procedure
from scanner.coordinates import SlidePoint, StagePoint
from scanner.errors import ScannerError
from scanner.microscope import Microscope
from scanner.rig import load_rig
from station.cli import main
from station.compose import Instrument, open_oil_ledger, rig_state_folder
from station.instrument.calibrate import CalibrationRequest, calibrate_instrument, run_calibration
from station.instrument.check_page import CHECK_PICTURE_NAME, CheckPicture, picture_facts, write_check_page
from station.instrument.result_folder import ResultKind, result_folder
from station.instrument.rig_check import RigCheck, RigCheckState, RigCheckStep, check_rig
from station.instrument.unproven import unproven_properties

RIGS = Path(__file__).parents[2] / "hardware_configs"
FIELD_WITH_CELLS = SlidePoint(28_359.0, 11_215.0)


class Page(HTMLParser):
    """Rows, pictures and addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.html = path.read_text(encoding="utf-8")
        self._cell = False
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data

    def row(self, first: str) -> list[str]:
        (row,) = (row for row in self.rows if row[0] == first)
        return row

    @property
    def pictures(self) -> list[np.ndarray]:
        decoded = []
        for source in self.sources:
            assert source.startswith("data:image/png;base64,"), "a page needs no other file"
            data = base64.b64decode(source.partition(",")[2])
            decoded.append(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)))
        return decoded


@pytest.fixture
def rig_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rig"
    shutil.copytree(RIGS / "simulated", folder)
    return folder


def with_faults(folder: Path, faults: str) -> None:
    cfg = folder / "micro-manager.cfg"
    line = "#py Property,Hub,Clock,instant\n"
    text = cfg.read_text()
    assert line in text
    cfg.write_text(text.replace(line, f"{line}#py Property,Hub,Faults,{faults}\n"))


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["rig", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_page_has_every_step_and_what_is_left_open(
    rig_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command("check", str(rig_folder), "--turret", "--out", str(out)) == 0
    assert f"Page: {out / 'check.html'}" in capsys.readouterr().out
    page = Page(out / "check.html")
    for step in ("devices", "focus down", "stage x", "stage y", "focus", "picture", "stillness", "safe state"):
        assert page.row(step)[1] == "ok"
    assert page.row("turret turns")[2] == "10x/0.45 -> 63x/1.4 oil -> 10x/0.45, focus down"
    for left_open, option in (
        ("handedness of the camera", "--what pixels"),
        ("labels of the turret", "--what pixels --oil"),
        ("parfocality", "--what offsets --oil"),
        ("evenness of the light", "--what field --oil"),
    ):
        _, state, why, how = page.row(left_open)
        assert state == "not assessed"
        assert why
        assert how.endswith(f"karyoscan rig calibrate {rig_folder} {option}")
    assert "by hand" in page.row("direction of the focus drive")[3]


def test_the_picture_is_kept_over_its_full_range_with_its_numbers(tmp_path: Path) -> None:
    check = check_rig(RIGS / "simulated")
    assert check.picture is not None
    page = Page(write_check_page(check, tmp_path))
    kept = np.asarray(cv2.imread(str(tmp_path / CHECK_PICTURE_NAME), cv2.IMREAD_UNCHANGED))
    assert kept.shape == check.picture.pixels.shape
    assert (kept.min(), kept.max()) == (0, 255)
    darkest = np.unravel_index(int(np.argmin(check.picture.pixels)), kept.shape)
    assert kept[darkest] == 0
    (embedded,) = page.pictures
    assert embedded.std() > 1.0
    assert page.row("Black in the picture")[1] == f"level {check.picture.pixels.min()}"
    assert page.row("White in the picture")[1] == f"level {check.picture.pixels.max()} of 4095"


def test_the_numbers_name_clipped_pixels_and_dark_corners() -> None:
    pixels = np.full((100, 200), 1000, np.uint16)
    pixels[:20, :40] = 500
    pixels[50, :20] = 4095
    facts = dict(picture_facts(CheckPicture(pixels, 5.0, 4095, "10x")))
    assert facts["At full scale"] == "0.100% of pixels"
    assert facts["Corners over centre (upper two, lower two)"] == "0.50, 1.00, 1.00, 1.00"


def test_a_fault_stands_in_the_page_and_an_earlier_picture_does_not(rig_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command("check", str(rig_folder), "--out", str(out)) == 0
    assert (out / CHECK_PICTURE_NAME).is_file()
    with_faults(rig_folder, "lamp_dead@Lampx*")
    assert command("check", str(rig_folder), "--out", str(out)) == 1
    page = Page(out / "check.html")
    assert page.row("picture")[1] == "fault"
    assert page.row("stillness")[1] == "not assessed"
    assert page.pictures == []
    assert "No picture could be taken" in page.html
    assert 'role="alert"' in page.html
    assert not (out / CHECK_PICTURE_NAME).exists()


def test_a_rig_that_does_not_load_has_a_page_where_one_was_asked_for(rig_folder: Path, tmp_path: Path) -> None:
    (rig_folder / "rig.yaml").write_text("version: 1\n")
    assert command("check", str(rig_folder), "--out", str(tmp_path / "out")) == 1
    assert Page(tmp_path / "out" / "check.html").row("rig file")[1] == "fault"


def test_names_and_labels_are_escaped(tmp_path: Path) -> None:
    label = "<script>alert('XY')</script> & Co"
    step = RigCheckStep("devices", RigCheckState.FAULT, f"{label} does not answer")
    page = Page(write_check_page(RigCheck(label, (step,)), tmp_path))
    assert page.row("devices")[2] == f"{label} does not answer"
    assert "script" not in page.tags
    assert "<script" not in page.html


def test_a_real_rig_keeps_its_page_in_its_state_folder_and_a_simulated_one_nowhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("check", str(RIGS / "demo-camera")) == 0, "not assessed is no fault"
    rig, _ = load_rig(RIGS / "demo-camera")
    page = rig_state_folder(rig) / "check" / "check.html"
    assert f"Page: {page}" in capsys.readouterr().out.replace("\n", "")
    assert Page(page).row("stillness")[1] == "not assessed"
    assert command("check", str(RIGS / "simulated")) == 0
    assert "Page:" not in capsys.readouterr().out
    assert [folder.name for folder in page.parents[2].iterdir()] == ["demo-camera"]


@pytest.mark.parametrize("subcommand", ["check", "calibrate"])
def test_a_folder_that_cannot_be_written_is_one_line(
    subcommand: str, rig_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert command(subcommand, str(rig_folder), "--out", str(tmp_path / "file" / "out")) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert re.search(r"file/out: the page can't be written there .*nothing was started; .*--out", line)
    assert output.out == ""


def test_the_state_folder_that_cannot_be_written_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    rig, _ = load_rig(RIGS / "demo-camera")
    with pytest.raises(StorageError, match="XDG_STATE_HOME"):
        result_folder(rig, None, ResultKind.CHECK)


def test_the_turret_turns_only_when_asked_and_a_stuck_one_is_a_fault(rig_folder: Path) -> None:
    with_faults(rig_folder, "turret_between@Objectivex*")
    assert "turret turns" not in {step.what for step in check_rig(rig_folder).steps}
    turned = {step.what: step for step in check_rig(rig_folder, turret=True).steps}
    assert turned["turret turns"].state is RigCheckState.FAULT
    assert turned["safe state"].state is RigCheckState.OK


def test_the_turret_is_not_turned_over_oil() -> None:
    rig, _ = load_rig(RIGS / "demo-camera")
    open_oil_ledger(rig).touched(rig.slide_at(StagePoint(0.0, 0.0)))
    turned = {step.what: step for step in check_rig(RIGS / "demo-camera", turret=True).steps}
    assert turned["turret turns"].state is RigCheckState.NOT_ASSESSED
    assert "oil" in turned["turret turns"].detail


def test_what_was_calibrated_is_named_with_its_date(rig_folder: Path) -> None:
    run_calibration(CalibrationRequest(rig_folder, frozenset({Procedure.FIELD}), FIELD_WITH_CELLS))
    rig, _ = load_rig(rig_folder)
    properties = {one.what: one for one in unproven_properties(rig, "rigs/room 3", turret_turned=False)}
    measured_at = rig.calibration[0].measured_at
    assert f"calibrated: 10x on {measured_at:%Y-%m-%d}" in properties["evenness of the light"].why
    assert "never calibrated" in properties["parfocality"].why
    assert "--turret" in properties["labels of the turret"].why
    assert properties["parfocality"].command == "karyoscan rig calibrate 'rigs/room 3' --what offsets --oil"


def test_a_calibration_shows_old_values_beside_new_ones_and_its_pictures(rig_folder: Path, tmp_path: Path) -> None:
    text = (rig_folder / "rig.yaml").read_text()
    assert text.count("um_per_px: 0.645") == 1
    (rig_folder / "rig.yaml").write_text(text.replace("um_per_px: 0.645", "um_per_px: 0.66"))
    request = CalibrationRequest(
        rig=rig_folder,
        what=frozenset({Procedure.PIXELS, Procedure.BACKLASH, Procedure.FIELD}),
        at=FIELD_WITH_CELLS,
        out=tmp_path,
    )
    outcome = run_calibration(request)
    assert outcome.page is not None
    page = Page(outcome.page)
    _, before, now, residual_before, residual = page.row("pixel geometry 10x")
    assert before.startswith("0.66000 um/px")
    assert now.startswith("0.64")
    assert residual_before == "never measured"
    assert residual.endswith("um, n = 8")
    assert page.row("field 10x")[1] == "none"
    files = sorted((tmp_path / "pictures").iterdir())
    # Flat field and dark; before the moves and after one an axis; both axes from below, each from above.
    assert len(files) == len(page.pictures) == 2 + 3 + 3
    for picture in page.pictures:
        assert picture.std() > 1.0
    again = Page(run_calibration(request).page or Path())
    assert again.row("field 10x")[1] == page.row("field 10x")[2]
    assert re.search(r"um, n = 8, \d{4}-\d\d-\d\d", again.row("pixel geometry 10x")[3])
    assert len(list((tmp_path / "pictures").iterdir())) == len(files)


def test_offsets_keep_the_structures_through_both_objectives(rig_folder: Path, tmp_path: Path) -> None:
    request = CalibrationRequest(
        rig=rig_folder,
        what=frozenset({Procedure.OFFSETS}),
        at=FIELD_WITH_CELLS,
        oil_allowed=True,
        write=False,
        out=tmp_path,
    )
    outcome = run_calibration(request)
    assert outcome.page is not None
    html = outcome.page.read_text(encoding="utf-8")
    for number in (1, 2):
        assert f"structure {number} through 10x" in html
        assert f"structure {number} through 63x" in html
    assert "Nothing was written to the rig" in html


def test_an_interrupted_calibration_leaves_a_page_and_a_safe_instrument(
    rig_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Instrument] = []

    def interrupted(microscope: Microscope, *_arguments: object) -> None:
        microscope.light(on=True)
        signal.raise_signal(signal.SIGTERM)

    def calibrating(instrument: Instrument, *arguments: Any) -> Any:
        opened.append(instrument)
        return calibrate_instrument(instrument, *arguments)

    monkeypatch.setattr("station.instrument.calibrate.calibrate", interrupted)
    monkeypatch.setattr("station.instrument.calibrate.calibrate_instrument", calibrating)
    request = CalibrationRequest(rig_folder, frozenset({Procedure.PIXELS}), FIELD_WITH_CELLS, out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_calibration(request)
    page = Page(tmp_path / "calibration.html")
    assert "interrupted" in page.html
    assert "Nothing was written to the rig" in page.html
    twin = opened[0].twin
    assert twin is not None
    assert not twin.lamp_open
    assert twin.focus_um() == pytest.approx(opened[0].rig.focus.down_um)


def test_a_refused_calibration_leaves_a_page_with_its_reason(rig_folder: Path, tmp_path: Path) -> None:
    with_faults(rig_folder, "lamp_dead@Lampx*")
    request = CalibrationRequest(rig_folder, frozenset({Procedure.PIXELS}), FIELD_WITH_CELLS, out=tmp_path)
    with pytest.raises(ScannerError) as refused:
        run_calibration(request)
    page = Page(tmp_path / "calibration.html")
    assert "Nothing was written to the rig" in page.html
    assert str(refused.value).partition(";")[0] in page.html
