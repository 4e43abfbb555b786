"""A whole case: its files, its page, its PDF, and what is excluded."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from analysis.case.summary import CaseCell, CasePolicy, Role, summarise
from analysis.classification.classifier import Classifier
from analysis.karyotyping.pipeline import Karyotyper
from analysis.nets.embedding import EmbeddingNet
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation
from station.case import run_case
from station.case_report import case_page, case_pdf
from station.cli import main
from station.errors import UsageError


def test_page_and_pdf_show_the_case(tmp_path):
    cells = [
        CaseCell(
            f"c{n}", "47,XY,+21" if n < 3 else "46,XY", 47 - n // 3, 0, 0.9, "must review", "<b>", usable=True
        )
        for n in range(6)
    ]
    summary = summarise("A&B", cells, CasePolicy())
    picture = tmp_path / "c0.karyogram.png"
    cv2.imwrite(str(picture), np.full((300, 400), 200, np.uint8))
    page = case_page(summary, {"c0": picture.name})
    assert "mos 47,XY,+21[3]/46,XY[3]" in page
    assert "A&amp;B" in page
    assert "<b>" not in page
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

    def cut(image):
        mask = np.ones((30, 9), np.bool_)
        return Segmentation(
            (Instance((5, 5, 14, 35), mask, 1.0, SegmentationRoute.SINGLE),),
            np.full(image.pixels.shape, 230, np.float32),
            np.zeros(image.pixels.shape, np.bool_),
        )

    lines = []
    karyotyper = Karyotyper(Classifier(EmbeddingNet(4)), cut)
    summary = run_case(folder, out, karyotyper, replace(CasePolicy(), counted=3), name="N-1", tell=lines.append)
    assert [entry.role for entry in summary.cells] == [Role.EXCLUDED, Role.EXCLUDED]
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
        run_case(tmp_path / "gone", tmp_path, karyotyper, CasePolicy())
    with pytest.raises(UsageError, match="no picture"):
        run_case(tmp_path, tmp_path, karyotyper, CasePolicy())
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a\.json"):
        run_case(tmp_path, tmp_path, karyotyper, CasePolicy())


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
