"""Every path that a document of today names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("scanner", "acquisition", "analysis", "simulators", "station")
DOCUMENTS = [
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
    *sorted((ROOT / "docs" / "model-cards").glob("*.md")),
]

_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_PATH = re.compile(r"[\w.*{},-]+(/[\w.*{},-]*)*")
_ENDINGS = (".py", ".md", ".toml", ".html.j2", ".css", ".tsv")
_HISTORY = re.compile(r"\b(was|were|former|formerly|had|before)\b", re.IGNORECASE)
"""A line with one of these words may name what is gone."""
_OUTPUTS = re.compile(r"^(runs|training|finds|captures|karyograms|fields|landmarks|journal)/|^\.venv/")
"""Where the program writes, which a checkout doesn't hold."""


@dataclass(frozen=True)
class NamedPath:
    """A path as a document names it."""

    text: str
    line: int
    folders: tuple[Path, ...]
    """Where the line's other paths lie: "`scanner/microscope/`: ..., `stage.py`"."""

    def exists(self) -> bool:
        bases = (ROOT, *(ROOT / room for room in ROOMS), ROOT / "docs", *self.folders)
        return any(next(base.glob(self.text.rstrip("/")), None) is not None for base in bases)


def named_paths(text: str) -> Iterator[NamedPath]:
    text = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    page_folders = folders_of(text)
    for number, line in enumerate(text.splitlines(), 1):
        if _HISTORY.search(line):
            continue
        for path in paths_in(line):
            # A bare name stands for a file of a folder that the page names.
            yield NamedPath(path, number, page_folders if "/" not in path.rstrip("/") else folders_of(line))


def paths_in(line: str) -> Iterator[str]:
    for code in _CODE.findall(line):
        names_path = "/" in code or (code.endswith(_ENDINGS) and not code.startswith("."))
        if names_path and _PATH.fullmatch(code) and not _OUTPUTS.match(code):
            yield from braces(code)


def braces(path: str) -> Iterator[str]:
    """``a/{b,c}.py`` as ``a/b.py`` and ``a/c.py``."""
    group = re.search(r"\{([^{}]*)\}", path)
    if group is None:
        yield path
        return
    for part in group[1].split(","):
        yield from braces(path[: group.start()] + part + path[group.end() :])


def folders_of(text: str) -> tuple[Path, ...]:
    folders = set()
    for path in paths_in(text):
        for base in (ROOT, *(ROOT / room for room in ROOMS)):
            present = base / path
            if "*" not in path and "/" in path and present.exists():
                folders.add(present if present.is_dir() else present.parent)
    return tuple(sorted(folders))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_of_a_document_is_there(document):
    paths = named_paths(document.read_text(encoding="utf-8"))
    missing = [f"line {path.line}: {path.text}" for path in paths if not path.exists()]
    assert missing == []


def test_a_path_that_is_gone_is_noticed():
    text = "see `scanner/rig.py`, `scanner/gone.py`, `stillness.py` and\n`nowhere.py`; was `analysis/old.py`"
    assert [path.text for path in named_paths(text) if not path.exists()] == ["scanner/gone.py"]
    assert list(braces("analysis/{nets,selection}/x.py")) == ["analysis/nets/x.py", "analysis/selection/x.py"]


def test_the_architecture_names_every_room_and_folder_of_the_analysis():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = [path for path in (ROOT / "analysis").iterdir() if (path / "__init__.py").is_file()]
    assert [room for room in ROOMS if f"`{room}/`" not in text] == []
    assert [folder.name for folder in folders if f"analysis/{folder.name}/" not in text] == []


def test_every_decision_is_listed_with_its_title():
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert decisions
    for decision in decisions:
        number, title = re.fullmatch(
            r"# (\d+)\. (.+)", decision.read_text(encoding="utf-8").splitlines()[0]
        ).groups()
        assert int(number) == int(decision.name[:4])
        assert f"[{title}]({decision.name})" in index
