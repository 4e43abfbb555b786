"""The one place of fitted numbers: content, manifests, and the commands that make them again."""

from __future__ import annotations

import ast
import hashlib
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import typer
import typer.main
from typer.core import TyperGroup

from analysis.errors import WeightsError
from analysis.parameters.manifest import CONTENT_SUFFIX, MANIFEST_SUFFIX, Manifest, ParameterKind, read_manifest
from analysis.parameters.names import DESCRIPTIONS, ParameterSetName
from analysis.parameters.store import (
    PARAMETERS_FOLDER,
    load_parameters,
    parameter_names,
    parameters_status,
    verify_all,
    write_coefficients,
    write_parameters,
)
from station.cli import app

ANALYSIS = PARAMETERS_FOLDER.parents[1]
LARGEST_BYTES = 5_000_000
FITTED = ("fitted", "learnt", "learned", "tuned", "chosen on", "val split", "validation split")
NEUTRAL = (0.0, 1.0)
USAGE_ERROR = typer.BadParameter.__mro__[1]
NAMES = [name.value for name in ParameterSetName]


@dataclass(frozen=True)
class Costs:
    """Two fitted numbers and one that belongs elsewhere."""

    extra: float
    missing: float
    sharpness: float = 1.0


def manifest(name: str = "costs", **entries: object) -> Manifest:
    """A manifest of a fit that never was."""
    plain = Manifest(
        name=name,
        kind=ParameterKind.COEFFICIENTS,
        data={"cells": 3},
        split="val",
        command="karyoscan train assignment",
        settings={},
        metrics={},
        seed=1,
        steps=0,
    )
    return replace(plain, **entries)


def trees(*, without: tuple[str, ...]) -> list[tuple[Path, ast.Module]]:
    """Parsed sources of the analysis, rooms left out."""
    paths = [path for path in sorted(ANALYSIS.rglob("*.py")) if path.relative_to(ANALYSIS).parts[0] not in without]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def resolve(line: str) -> list[str]:
    """Parse a command line against the real one and return its commands' names; nothing is run."""
    program, *words = shlex.split(line)
    assert program == "karyoscan"
    command = typer.main.get_command(app)
    context, path = None, []
    while isinstance(command, TyperGroup):
        context = command.context_class(command, parent=context, info_name=command.name)
        name, following, words = command.resolve_command(context, words)
        assert name is not None
        assert following is not None
        path.append(name)
        command = following
    command.make_context(path[-1], list(words), parent=context)
    return path


def test_every_file_belongs_to_a_set_and_every_set_has_its_files() -> None:
    files = {path.name for path in PARAMETERS_FOLDER.iterdir()}
    assert files == {f"{name}{ending}" for name in NAMES for ending in (CONTENT_SUFFIX, MANIFEST_SUFFIX)}
    assert set(parameter_names()) == set(NAMES) == set(DESCRIPTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_set_is_what_its_manifest_says(name: str) -> None:
    path = PARAMETERS_FOLDER / f"{name}{CONTENT_SUFFIX}"
    manifest = read_manifest(name, PARAMETERS_FOLDER)
    assert manifest.name == name
    assert manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest.calibration_sha256 == manifest.calibration_digest()
    assert path.stat().st_size < LARGEST_BYTES
    assert manifest.description == DESCRIPTIONS[name]
    assert manifest.data
    assert all(count > 0 for count in manifest.data.values())
    assert manifest.split
    assert manifest.libraries
    assert len(manifest.date) == len("2026-01-01")
    assert (manifest.kind is ParameterKind.NET) == bool(manifest.net)
    arrays = load_parameters(name).arrays
    assert arrays
    assert all(np.isfinite(array).all() for array in arrays.values())
    for array_name, columns in manifest.columns.items():
        assert arrays[array_name].shape[-1] == len(columns)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_a_manifest_exists(name: str) -> None:
    commands = read_manifest(name, PARAMETERS_FOLDER).commands
    assert commands
    for line in commands:
        assert resolve(line)[0] == "train"


def test_a_command_that_does_not_exist_is_not_resolved() -> None:
    with pytest.raises(USAGE_ERROR, match="No such command"):
        resolve("karyoscan train nothing")
    with pytest.raises(USAGE_ERROR, match="No such option"):
        resolve("karyoscan train fusion --sorcery 3")


def test_no_default_outside_is_said_to_be_fitted() -> None:
    said = []
    for path, tree in trees(without=("parameters", "training")):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            summary = (ast.get_docstring(node) or "").split("\n\n")[0].lower()
            if not any(phrase in summary for phrase in FITTED):
                continue
            said += [
                f"{path.name}: {node.name}.{entry.target.id}"
                for entry in node.body
                if isinstance(entry, ast.AnnAssign)
                and isinstance(entry.target, ast.Name)
                and isinstance(entry.value, ast.Constant)
                and isinstance(entry.value.value, float)
                and entry.value.value not in NEUTRAL
            ]
    assert said == []


def test_nobody_else_opens_a_file_of_parameters() -> None:
    readers = []
    for path, tree in trees(without=("parameters",)):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("safetensors"):
                readers.append(path.name)
            if isinstance(node, ast.Constant) and node.value == "analysis.parameters":
                readers.append(path.name)
    assert readers == []


def test_coefficients_come_back_as_they_were(tmp_path: Path) -> None:
    write_coefficients(tmp_path, Costs(3.25, 1.0 / 3.0, sharpness=9.0), manifest())
    parameters = load_parameters("costs", tmp_path)
    assert parameters.coefficients(Costs) == Costs(3.25, 1.0 / 3.0)
    assert parameters.manifest.data == {"cells": 3}
    assert "numpy" in parameters.manifest.libraries


def test_arrays_of_another_shape_or_other_features_are_refused(tmp_path: Path) -> None:
    arrays = {"weights": np.arange(3.0), "bad": np.asarray([1.0, np.nan])}
    write_parameters(tmp_path, arrays, manifest(columns={"weights": ["a", "b", "c"]}))
    parameters = load_parameters("costs", tmp_path)
    assert parameters.array("weights", shape=(-1,), columns=("a", "b", "c")).tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(WeightsError, match="other features"):
        parameters.array("weights", columns=("a", "c", "b"))
    with pytest.raises(WeightsError, match=r"shape \(3,\) instead of \(4,\)"):
        parameters.array("weights", shape=(4,))
    with pytest.raises(WeightsError, match="aren't finite"):
        parameters.array("bad")
    with pytest.raises(WeightsError, match="'none' is missing"):
        parameters.scalar("none")
    with pytest.raises(WeightsError, match="other numbers"):
        parameters.coefficients(Costs)


def test_a_calibration_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    write_coefficients(tmp_path, Costs(1.0, 2.0), manifest(calibration={"temperature": 1.5}))
    path = tmp_path / "costs.json"
    content = json.loads(path.read_text())
    content["calibration"]["temperature"] = 1.6
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="calibration is damaged"):
        load_parameters("costs", tmp_path)


def test_a_manifest_of_the_first_format_is_read(tmp_path: Path) -> None:
    write_coefficients(tmp_path, Costs(1.0, 2.0), manifest(calibration={"temperature": 1.5}))
    path = tmp_path / "costs.json"
    content = json.loads(path.read_text())
    for name in ("kind", "description", "libraries", "calibration_sha256", "columns", "provenance"):
        del content[name]
    path.write_text(json.dumps({**content, "torch": "2.9"}))
    read = read_manifest("costs", tmp_path)
    assert read.kind is ParameterKind.NET
    assert read.libraries == {"torch": "2.9"}
    assert read.calibration == {"temperature": 1.5}


@pytest.mark.parametrize("entry", [{"seed": "many"}, {"data": {"cells": "three"}}, {"sha256": ""}, {"extra": 1}])
def test_a_manifest_with_wrong_entries_is_one_clear_line(tmp_path: Path, entry: dict[str, object]) -> None:
    write_coefficients(tmp_path, Costs(1.0, 2.0), manifest())
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entry}))
    with pytest.raises(WeightsError, match="manifest has") as caught:
        read_manifest("costs", tmp_path)
    assert "\n" not in str(caught.value)


def test_the_shipped_sets_are_verified_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    verify_all()
    write_coefficients(tmp_path, Costs(1.0, 2.0), manifest())
    verify_all(tmp_path)
    path = write_coefficients(tmp_path, Costs(1.0, 2.0), manifest("other"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"other: .*damaged") as caught:
        verify_all(tmp_path)
    assert "costs:" not in str(caught.value)
    assert [status.intact for status in parameters_status(tmp_path)] == [True, False]


def test_a_set_that_the_product_needs_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in PARAMETERS_FOLDER.iterdir():
        if path.stem != "fusion":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("analysis.parameters.store.PARAMETERS_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match="fusion"):
        verify_all(tmp_path)
