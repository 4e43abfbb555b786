"""Nothing is installed that nothing needs, and every licence is known."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNNEEDED = re.search(r"^UNNEEDED := (.*(?:\\\n.*)*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
ROOMS = ("scanner", "acquisition", "analysis", "simulators", "station")


def direct_dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [re.split(r"[\[<>=~! ]", entry)[0].lower() for entry in project["dependencies"]]


def test_the_program_runs_without_what_only_remote_stores_need() -> None:
    assert UNNEEDED is not None
    names = UNNEEDED.group(1).replace("\\", " ").split()
    assert "s3fs" in names
    code = (
        "import sys, importlib, pkgutil\n"
        f"sys.modules.update(dict.fromkeys({names!r}))\n"
        "import station.cli\n"
        f"for room in {ROOMS!r}:\n"
        "    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, room + '.'):\n"
        "        if not module.name.endswith(('migrations.env', '.peer')):\n"
        "            importlib.import_module(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", direct_dependencies())
def test_the_licence_of_every_dependency_is_told(name: str) -> None:
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text("utf-8")
    row = re.search(rf"^\| {re.escape(name)} \| (\S.*) \| \S.* \|$", page, re.MULTILINE)
    assert row is not None, f"docs/reference/dependencies.md has no row for {name}"


def test_no_row_is_left_of_a_dependency_that_is_gone() -> None:
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z0-9-]+) \| \S", page, re.MULTILINE)
    assert [row for row in rows if row not in {"package", *direct_dependencies()}] == []
