"""The command that edits the chromosomes of a proposal."""

import json

import cv2
import numpy as np
import pytest

from analysis.classification.classifier import Classifier
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.proposal_file import write_proposal
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation
from simulators.specimen.chromosome import ChromosomeAppearance, render_chromosome
from station.cli import main
from station.edited_proposals import is_edited_proposal

SIDE_PX = 190
NAMES = ("1", "2", "3", "4", "6", "7", "8", "9", "10", "11", "13", "14", "16", "17", "18", "20", "21", "22")


@pytest.fixture
def call(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def proposal(tmp_path):
    """Eighteen chromosomes side by side, and their proposal."""
    rng = np.random.default_rng(4)
    od = np.zeros((3 * SIDE_PX, 6 * SIDE_PX), np.float32)
    instances = []
    for k, name in enumerate(NAMES):
        body = render_chromosome(
            name,
            rng,
            um_per_px=0.1024,
            appearance=ChromosomeAppearance(),
            angle_deg=90.0,
            bend_deg=0.0,
        )
        row, column = divmod(k, 6)
        height, width = body.od.shape
        y, x = row * SIDE_PX + (SIDE_PX - height) // 2, column * SIDE_PX + (SIDE_PX - width) // 2
        od[y : y + height, x : x + width] += body.od
        xmin, ymin, xmax, ymax = body.box_px
        box_px = (x + xmin, y + ymin, x + xmax, y + ymax)
        mask = np.ascontiguousarray(body.mask[ymin:ymax, xmin:xmax])
        instances.append(Instance(box_px, mask, 0.95, SegmentationRoute.SINGLE))
    light = 210.0 * 10.0 ** -cv2.GaussianBlur(od, (0, 0), 0.9) + rng.normal(0, 1.5, od.shape)
    picture = tmp_path / "cell.png"
    cv2.imwrite(str(picture), np.clip(np.rint(light), 0, 255).astype(np.uint8))
    background = np.full(od.shape, 210.0, np.float32)
    segmentation = Segmentation(tuple(instances), background, np.zeros(od.shape, np.bool_))
    karyotype = Karyotyper(Classifier.load(), lambda _image: segmentation).karyotype(read_image(picture))
    write_proposal(karyotype, tmp_path / "cell.json")
    return tmp_path / "cell.json"


def edits(folder, *content):
    path = folder / "edits.json"
    path.write_text(json.dumps({"format": "karyoscan-edits", "edits": content}))
    return path


def test_edits_are_carried_out_recorded_and_undone(proposal, tmp_path, call):
    xmin, ymin, xmax, ymax = json.loads(proposal.read_text())["chromosomes"][1]["box_px"]
    middle = (ymin + ymax) / 2
    wanted = edits(
        tmp_path,
        {"operation": "separate", "chromosome": 1, "line_px": [[xmin - 4, middle], [xmax + 4, middle]]},
        {"operation": "delete", "chromosome": 5},
    )
    out = tmp_path / "out"
    code, said, _ = call(
        "refine", proposal, "--edits", wanted, "--out", out, "--author", "A. Weber", "--straighten"
    )
    assert code == 0
    assert "edit 0, separate: changed 18: " in said
    assert "edit 1, delete: changed none; removed 5" in said
    content = json.loads((out / "cell.json").read_text())
    assert [each["id"] for each in content["chromosomes"]] == [0, 2, 3, 4, *range(6, 20)]
    assert [each["author"] for each in content["cell_edits"]] == ["A. Weber"] * 2
    assert content["cell_edits"][0]["made_at"] is not None
    assert [each["id"] for each in content["superseded"]] == [1, 5]
    assert is_edited_proposal(out / "cell.json")
    assert (out / "cell.karyogram.png").is_file()

    (tmp_path / "cell.png").rename(out / "cell.png")
    code, _, _ = call("refine", out / "cell.json", "--undo", "2", "--out", tmp_path / "before")
    assert code == 0
    before = json.loads((tmp_path / "before" / "cell.json").read_text())
    first = json.loads(proposal.read_text())
    assert [each["mask"] for each in before["chromosomes"]] == [each["mask"] for each in first["chromosomes"]]
    assert [each["class"] for each in before["chromosomes"]] == [each["class"] for each in first["chromosomes"]]
    assert (before["cell_edits"], before["superseded"], before["edited"]) == ([], [], False)


def test_what_cannot_be_done_is_said_and_nothing_is_written(proposal, tmp_path, call):
    out = tmp_path / "out"
    wanted = edits(tmp_path, {"operation": "delete", "chromosome": 99})
    code, _, complaint = call("refine", proposal, "--edits", wanted, "--out", out)
    assert code == 1
    assert "delete: there is no chromosome 99 in this cell" in complaint
    code, _, complaint = call("refine", proposal, "--undo", "1", "--out", out)
    assert code == 1
    assert "1 edits can't be taken back of 0" in complaint
    code, _, complaint = call("refine", proposal, "--out", out)
    assert code == 1
    assert "--edits" in complaint
    assert not out.exists()


def test_the_schema_of_edits_is_printed(call):
    code, printed, _ = call("schema", "edits")
    assert code == 0
    assert {"SeparateByLine", "ResolveCrossing", "ChooseExplanation"} <= set(json.loads(printed)["$defs"])
