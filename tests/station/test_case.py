"""A whole case: its files, its page, its PDF, and what is excluded."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from analysis.case.summary import CaseCell, CasePolicy, CellRole, summarise
from analysis.classification.classifier import Classifier
from analysis.karyotyping.pipeline import Karyotyper
from analysis.nets.embedding import EmbeddingNet
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation
from scanner.portable.file_names import file_stem
from station.case import CaseRun, run_case
from station.case_report import case_page, case_pdf
from station.cli import main
from station.commands.messages import say
from station.errors import UsageError


def cut(image):
    mask = np.ones((30, 9), np.bool_)
    return Segmentation(
        (Instance((5, 5, 14, 35), mask, 1.0, SegmentationRoute.SINGLE),),
        np.full(image.pixels.shape, 230, np.float32),
        np.zeros(image.pixels.shape, np.bool_),
    )


def karyotyper_of_one() -> Karyotyper:
    """Finds one chromosome on every picture; the classifier is untrained."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return Karyotyper(Classifier(EmbeddingNet(4)), cut)


def noise(seed: int) -> np.ndarray:
    """A picture like no other one, coarse enough to survive an export."""
    small = np.random.default_rng(seed).integers(60, 220, (30, 40)).astype(np.uint8)
    return cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC)


def case_folders(tmp_path: Path) -> tuple[Path, Path]:
    folder, out = tmp_path / "cells", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    return folder, out


def test_page_and_pdf_show_the_case(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    cells = [
        CaseCell(
            f"c{n}", "47,XY,+21" if n < 3 else "46,XY", 47 - n // 3, 0, 0.9, "must review", "<b>", usable=True
        )
        for n in range(6)
    ]
    cells[1] = replace(cells[1], picture_remarks=("plane 2 of 3, the sharpest",))
    summary = summarise("A&B", cells, CasePolicy())
    picture = tmp_path / "c0.karyogram.png"
    cv2.imwrite(str(picture), np.full((300, 400), 200, np.uint8))
    page = case_page(summary, {"c0": picture.name})
    assert "mos 47,XY,+21[3]/46,XY[3]" in page
    assert "A&amp;B" in page
    assert "<b>" not in page
    assert page.count("picture: plane 2 of 3, the sharpest") == 1
    assert 'src="c0.karyogram.png"' in page
    content = case_pdf(summary, {"c0": picture})
    assert content.startswith(b"%PDF-")
    assert content == case_pdf(summary, {"c0": picture})
    assert len(content) > 3000


def test_every_picture_is_a_cell_with_a_role_and_a_reason(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    folder, out = tmp_path / "cells", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.random.default_rng(1).integers(60, 220, (120, 120)).astype(np.uint8))
    (folder / "b.jpg").write_bytes(b"torn")
    (folder / "notes.txt").write_text("none")

    lines = []
    karyotyper = Karyotyper(Classifier(EmbeddingNet(4)), cut)
    run = CaseRun(folder, out, name="N-1")
    summary = run_case(run, karyotyper, replace(CasePolicy(), counted=3), lines.append)
    assert [entry.role for entry in summary.cells] == [CellRole.EXCLUDED, CellRole.EXCLUDED]
    assert sorted(path.name for path in out.iterdir()) == [
        "a.json", "a.karyogram.png", "a.metaphase.png", "a.pdf", "case.html", "case.json", "case.pdf",
    ]  # fmt: skip
    content = json.loads((out / "case.json").read_text())
    assert (content["case"], content["iscn"]) == ("N-1", None)
    assert {entry["name"]: bool(entry["remark"]) for entry in content["cells"]} == {"a": True, "b": True}
    assert len(lines) == 2


def test_folders_that_hold_no_case_are_refused(tmp_path):
    karyotyper = Karyotyper(Classifier(EmbeddingNet(4)))
    with pytest.raises(UsageError, match="no such folder"):
        run_case(CaseRun(tmp_path / "gone", tmp_path), karyotyper, CasePolicy())
    with pytest.raises(UsageError, match="no picture"):
        run_case(CaseRun(tmp_path, tmp_path), karyotyper, CasePolicy())
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a\.json"):
        run_case(CaseRun(tmp_path, tmp_path), karyotyper, CasePolicy())


def test_an_edited_cell_is_kept_and_counted_when_the_case_is_made_again(tmp_path):
    folder, out = case_folders(tmp_path)
    cv2.imwrite(str(folder / "a.png"), noise(1))
    run = CaseRun(folder, out)
    run_case(run, karyotyper_of_one(), CasePolicy())
    proposal = json.loads((out / "a.json").read_text())
    proposal["chromosomes"][0]["class"] = "7" if proposal["chromosomes"][0]["class"] != "7" else "8"
    edited = proposal["chromosomes"][0]["class"]
    (out / "a.json").write_text(json.dumps(proposal))
    lines: list[str] = []
    summary = run_case(run, karyotyper_of_one(), CasePolicy(), lines.append)
    assert summary.cells[0].edited
    assert "edited by a person" in lines[0]
    again = json.loads((out / "a.json").read_text())
    assert (again["edited"], again["chromosomes"][0]["class"]) == (True, edited)
    assert json.loads((out / "case.json").read_text())["edited"] == 1
    assert "edited by a person" in (out / "case.html").read_text()
    discarded = run_case(replace(run, discard_edits=True), karyotyper_of_one(), CasePolicy())
    assert not discarded.cells[0].edited
    assert json.loads((out / "a.json").read_text())["edited"] is False


def test_an_edit_that_cannot_be_read_is_never_overwritten(tmp_path):
    folder, out = case_folders(tmp_path)
    cv2.imwrite(str(folder / "a.png"), noise(1))
    (out / "a.json").write_text('{"chromosomes": [')
    summary = run_case(CaseRun(folder, out), karyotyper_of_one(), CasePolicy())
    assert (out / "a.json").read_text() == '{"chromosomes": ['
    assert summary.cells[0].role is CellRole.EXCLUDED
    assert "--discard-edits" in summary.cells[0].remark


def test_one_cell_is_counted_once_and_told(tmp_path):
    folder, out = case_folders(tmp_path)
    cv2.imwrite(str(folder / "a.png"), noise(1))
    cv2.imwrite(str(folder / "a.jpg"), noise(1), [cv2.IMWRITE_JPEG_QUALITY, 70])
    cv2.imwrite(str(folder / "b.png"), noise(2))
    lines: list[str] = []
    summary = run_case(CaseRun(folder, out), karyotyper_of_one(), CasePolicy(), lines.append)
    assert sorted(cell.name for cell in summary.cells) == ["a", "b"]
    assert summary.further_pictures == 1
    assert "a.jpg (copy or retake)" in lines[0]
    page = (out / "case.html").read_text()
    assert "not counted again: a.jpg" in page
    assert "1 more picture of the same cells" in page


def test_a_case_made_in_its_own_folder_leaves_its_drawings_out(tmp_path):
    folder = tmp_path / "cells"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), noise(1))
    for _ in range(2):
        lines: list[str] = []
        summary = run_case(CaseRun(folder, folder), karyotyper_of_one(), CasePolicy(), lines.append)
        assert [cell.name for cell in summary.cells] == ["a"]
    assert lines[0] == "left out, drawn by KaryoScan itself: a.karyogram.png, a.metaphase.png"


def test_one_picture_that_breaks_the_software_does_not_end_the_case(tmp_path):
    folder, out = case_folders(tmp_path)
    for name, seed in (("a", 1), ("b", 2)):
        cv2.imwrite(str(folder / f"{name}.png"), noise(seed))

    def cut_or_break(image):
        if image.source.endswith("a.png"):
            raise ZeroDivisionError("nothing to divide")
        return cut(image)

    summary = run_case(CaseRun(folder, out), Karyotyper(Classifier(EmbeddingNet(4)), cut_or_break), CasePolicy())
    remarks = {cell.name: cell.remark for cell in summary.cells}
    assert remarks["a"] == "unexpected ZeroDivisionError: nothing to divide"
    assert (out / "b.json").exists()


def test_reasons_name_files_without_their_folders(tmp_path):
    folder, out = case_folders(tmp_path)
    (folder / "b.jpg").write_bytes(b"torn")
    summary = run_case(CaseRun(folder, out), karyotyper_of_one(), CasePolicy())
    assert summary.cells[0].remark.startswith("b.jpg: ")
    assert str(tmp_path) not in (out / "case.html").read_text() + (out / "case.json").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse file names that aren't UTF-8")
def test_a_file_name_that_is_not_utf8_is_written_with_a_substitute(tmp_path):
    folder, out = case_folders(tmp_path)
    done, content = cv2.imencode(".png", noise(1))
    assert done
    (Path(os.fsdecode(os.fsencode(folder) + b"/uml_\xfc.png"))).write_bytes(content.tobytes())
    Path(os.fsdecode(os.fsencode(folder) + b"/\xfc.png")).write_bytes(content.tobytes())
    lines: list[str] = []
    run_case(CaseRun(folder, out), karyotyper_of_one(), CasePolicy(), lines.append)
    "".join(lines).encode("utf-8")
    page = (out / "case.html").read_text(encoding="utf-8")
    assert "uml_\N{REPLACEMENT CHARACTER}" in page
    stem = file_stem("uml_\udcfc")
    assert f'href="{stem}.karyogram.png"' in page
    assert json.loads((out / "case.json").read_text(encoding="utf-8"))["cells"][0]["name"].startswith("uml_")
    assert (out / f"{stem}.pdf").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses such names itself")
@pytest.mark.parametrize("stem", ["x" * 240, "a:b", "CON", "nul.1", "ends ."])
def test_results_of_odd_names_have_names_that_every_system_takes(tmp_path, stem):
    folder, out = case_folders(tmp_path)
    cv2.imwrite(str(folder / f"{stem}.png"), noise(1))
    for _ in range(2):
        summary = run_case(CaseRun(folder, out), karyotyper_of_one(), CasePolicy())
    assert [cell.name for cell in summary.cells] == [stem]
    name = file_stem(stem)
    assert name != stem
    written = {f"{name}.{ending}" for ending in ("json", "karyogram.png", "metaphase.png", "pdf")}
    assert {path.name for path in out.iterdir()} == written | {"case.json", "case.html", "case.pdf"}


def test_results_beside_the_pictures_are_no_cells_of_the_case(tmp_path):
    folder, _ = case_folders(tmp_path)
    cv2.imwrite(str(folder / "a.png"), noise(1))
    names = []
    for _ in range(2):
        summary = run_case(CaseRun(folder, folder), karyotyper_of_one(), CasePolicy())
        names.append([cell.name for cell in summary.cells])
    assert names == [["a"], ["a"]]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["case.png"], "called as the case's own"),
        (["a.png", "a.metaphase.png"], "would be replaced by a result of a.png"),
    ],
)
def test_a_result_never_takes_the_place_of_a_picture_or_of_the_case(tmp_path, names, words):
    folder, _ = case_folders(tmp_path)
    for seed, name in enumerate(names):
        cv2.imwrite(str(folder / name), noise(seed))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UsageError, match=words):
        run_case(CaseRun(folder, folder), karyotyper_of_one(), CasePolicy())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_drawing_of_our_own_is_refused_as_a_picture(tmp_path, monkeypatch, capsys):
    for name in ("a.karyogram.png", "a.metaphase.png"):
        cv2.imwrite(str(tmp_path / name), noise(1))
    monkeypatch.setattr("analysis.karyotyping.pipeline.load_karyotyper", lambda **_: karyotyper_of_one())
    with pytest.raises(SystemExit) as caught:
        main(["karyotype", str(tmp_path / "a.karyogram.png"), "--out", str(tmp_path / "out")])
    assert caught.value.code == 1
    assert "was drawn by KaryoScan" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_line_with_odd_bytes_reaches_the_terminal(capsys):
    say("uml_\udcfc\x1b[31m.jpg:  46,XX")
    assert capsys.readouterr().out == "uml_??[31m.jpg:  46,XX\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["a.png", "--cells", "."], ["--cells", ".", "--analysed", "30"]],
    ids=["nothing", "both", "more analysed than counted"],
)
def test_contradicting_options_are_refused(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["karyotype", *arguments, "--out", str(tmp_path / "out")])
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("karyoscan: ")
    assert not (tmp_path / "out").exists()
