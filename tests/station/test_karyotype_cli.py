"""Commands that classify and karyotype pictures: what they write and what they refuse."""

import json

import cv2
import numpy as np
import pytest

from analysis.karyotyping.run_lengths import encode_run_lengths
from analysis.structures.instance import Instance, SegmentationRoute
from simulators.specimen.chromosome import upright_crop
from station.cli import main


@pytest.fixture
def call(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for name in ("1", "9", "21", "X"):
        od, _ = upright_crop(name, rng)
        picture = np.clip(np.rint(255.0 * 10.0**-od), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


def test_classify_writes_a_list_and_names_what_it_refuses(crops, tmp_path, call):
    (crops / "broken.jpg").write_bytes(b"not a picture")
    code, out, complaint = call("classify", crops, "--json", tmp_path / "classes.json")
    assert code == 1
    assert "broken.jpg" in complaint
    assert "4 classified, 1 refused" in out
    content = json.loads((tmp_path / "classes.json").read_text())
    assert [entry["file"] for entry in content] == ["1.png", "21.png", "9.png", "X.png"]
    assert set(content[0]) == {"file", "class", "probability", "top5", "flipped"}


def test_classify_refuses_a_bad_table_before_it_writes(crops, tmp_path, call):
    table = tmp_path / "cells.csv"
    table.write_text("file\n1.png\n")
    code, _, complaint = call("classify", crops, "--cells", table, "--json", tmp_path / "classes.json")
    assert code == 1
    assert "'cell' is missing" in complaint
    assert not (tmp_path / "classes.json").exists()


def test_an_edited_proposal_is_drawn_and_counted_anew(tmp_path, call):
    rng = np.random.default_rng(1)
    pixels = np.full((120, 120), 220, np.uint8)
    pixels[20:80, 30:44] = rng.integers(60, 140, (60, 1))
    cv2.imwrite(str(tmp_path / "cell.png"), pixels)
    instance = Instance((30, 20, 44, 80), np.ones((60, 14), np.bool_), 1.0, SegmentationRoute.SINGLE)
    proposal = {
        "image": str(tmp_path / "cell.png"),
        "width_px": 120,
        "height_px": 120,
        "iscn": "46,XX",
        "seconds": 1.0,
        "verdict": {"level": "auto", "reasons": []},
        "chromosomes": [
            {
                "id": 0,
                "class": "7",
                "probability": 0.9,
                "box_px": [30, 20, 44, 80],
                "mask": {
                    "size": [120, 120],
                    "counts": encode_run_lengths(instance.mask, instance.box_px, 120, 120),
                },
                "flipped": True,
                "overlaps": [],
            }
        ],
    }
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(proposal))
    code, out, _ = call("karyotype", "--edit", path, "--out", tmp_path / "out")
    assert code == 0
    assert "no ISCN: 1 chromosome, not one whole cell" in out
    content = json.loads((tmp_path / "out" / "cell.json").read_text())
    assert content["iscn"] is None
    kept = {"proposed": {"class": "7", "flipped": True}, "confirmed": False, "not_compared": None}
    kept |= {"score": 1.0, "route": "proposal", "extent_px": None, "edits": []}
    assert content["chromosomes"] == [proposal["chromosomes"][0] | kept]
    assert (tmp_path / "out" / "cell.karyogram.png").is_file()


def test_a_plane_is_taken_of_pictures_only(tmp_path, call):
    code, _, complaint = call("karyotype", "--edit", tmp_path / "p.json", "--plane", 2, "--out", tmp_path / "out")
    assert code == 1
    assert "--plane is for pictures" in complaint
