"""What the structure of the code has to keep; `code_metrics` and `public_names` print what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.architecture.code_metrics import LONG_FUNCTION, Metrics, functions, inline_floats, measure, sources
from tests.architecture.public_names import banned_names, unused_names

ROOT = Path(__file__).parents[2]

ROOMS_OF_PLAIN_NAMES = ("analysis/", "station/", "scanner/", "simulators/")
"""Acquisition has names left that casebooks and protocols hold."""

USERS_INTERFACE: dict[str, str] = {
    "anatomy": "the twin's configuration, by the name under which tests of other people set it",
}
"""Names with a banned word that are kept because users write them, with what they are."""

CALLED_FROM_OUTSIDE: dict[str, str] = {
    "take_landmark": "scripts that drive a stage without encoders, see docs/explanation/faults.md",
    "check_landmark": "scripts that drive a stage without encoders, see docs/explanation/faults.md",
    "set_binning": "the core, which calls a camera's setters by their names",
    "do_GET": "http.server, which finds it by its name",
    "clear_by_hand": "tests of scripts that drive a loader, see docs/how-to/testing-your-scripts.md",
}
"""Public code that nothing of the product uses, with who does."""


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return measure(ROOT)


def test_no_public_name_is_a_private_image() -> None:
    names = [name for name in banned_names(ROOT) if name.path.startswith(ROOMS_OF_PLAIN_NAMES)]
    assert [str(name) for name in names if name.name not in USERS_INTERFACE] == []


def test_nothing_public_is_reached_by_tests_alone() -> None:
    assert [str(name) for name in unused_names(ROOT) if name.name not in CALLED_FROM_OUTSIDE] == []


def test_no_two_public_classes_share_a_name(metrics: Metrics) -> None:
    assert metrics.lists["classes"] == []


def fraction(text: object) -> float:
    part, _, rest = str(text).partition(" of ")
    return int(part) / int(rest.split()[0])


def test_parameters_are_documented(metrics: Metrics) -> None:
    assert fraction(metrics.figures["functions of two or more parameters that tell them"]) >= 0.95


def test_shapes_of_arrays_are_documented(metrics: Metrics) -> None:
    assert fraction(metrics.figures["functions of arrays that tell shapes"]) >= 0.95


@pytest.mark.parametrize(
    ("folder", "most"),
    [
        ("analysis", 4.0),
        ("analysis/selection", 2.0),
        ("analysis/segmentation", 2.0),
        ("analysis/karyotyping", 2.0),
    ],
)
def test_numbers_with_a_meaning_have_a_name(folder: str, most: float) -> None:
    lines = count = 0
    for path, tree, text in sources(ROOT):
        if path.startswith(f"{folder}/"):
            lines += text.count("\n")
            count += len(inline_floats(tree))
    assert 1000 * count / lines <= most


def test_no_function_mixes_too_much() -> None:
    long = [
        f"{path}:{function.line}: {function.name}"
        for path, tree, _ in sources(ROOT)
        for function in functions(path, tree)
        if (function.node.end_lineno or 0) - function.line + 1 > LONG_FUNCTION
    ]
    assert long == []


def test_a_commit_is_checked_for_the_systems_of_make_test() -> None:
    platforms = re.search(r"^PLATFORMS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert platforms is not None
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    checked = [found[1] for entry in entries if (found := re.search(r"mypy --platform (\w+)", entry))]
    assert checked == platforms[1].split()
