"""Commands that classify and karyotype pictures: what they write and what they refuse."""

import json

import cv2
import numpy as np
import pytest

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
