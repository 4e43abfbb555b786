"""What the documents promise: links lead somewhere, commands are there, and the lessons can be followed."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from station.cli import app, main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LESSONS = sorted([*(DOCS / "tutorial").glob("*.md"), *(DOCS / "how-to").glob("*.md")])
README_LINES = 150
PICTURE_BYTES = 200_000

_BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment before it says."""

    kind: str
    text: str
    note: str

    @property
    def commands(self) -> list[list[str]]:
        return [shlex.split(line, comments=True) for line in self.text.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(found["kind"], found["text"], found["note"] or "") for found in _BLOCK.finditer(text)]


def pages() -> Iterator[Path]:
    yield from sorted(path for path in ROOT.glob("*.md"))
    yield from sorted(path for path in DOCS.rglob("*.md"))


def write_commands():
    spec = importlib.util.spec_from_file_location("write_commands", DOCS / "write_commands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse(arguments: list[str]) -> None:
    """Hold arguments against the command line without doing anything.

    Raises whatever the command line raises for an unknown command or option.
    """
    command, rest = typer.main.get_command(app), list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context("karyoscan", rest, resilient_parsing=True)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {each.split("=")[0] for each in rest if each.startswith("--")} <= known


class FinishedRuns:
    """Runs that a lesson has scanned, for those that begin with the very same command: it takes ten seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[tuple[str, ...], Path] = {}

    def keep(self, arguments: list[str], cwd: Path) -> None:
        if arguments[0] == "scan":
            kept = self._folder / str(len(self._kept))
            shutil.copytree(cwd / self._out(arguments), kept)
            self._kept[self._key(arguments)] = kept

    def repeat(self, arguments: list[str], cwd: Path) -> bool:
        kept = self._kept.get(self._key(arguments)) if arguments[0] == "scan" else None
        if kept is not None:
            shutil.copytree(kept, cwd / self._out(arguments))
        return kept is not None

    def _out(self, arguments: list[str]) -> str:
        return arguments[arguments.index("--out") + 1]

    def _key(self, arguments: list[str]) -> tuple[str, ...]:
        return tuple(each for each in arguments if each != self._out(arguments)) if "--out" in arguments else ()


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    return FinishedRuns(tmp_path_factory.mktemp("lessons"))


@pytest.mark.parametrize("page", list(pages()), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [found["target"].split("#")[0] for found in _LINK.finditer(text)]
    missing = [each for each in targets if each and "://" not in each and not (page.parent / each).exists()]
    assert missing == []


def test_the_page_of_commands_is_what_the_command_line_says():
    module = write_commands()
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/write_commands.py"


def test_every_command_has_examples_that_it_can_read():
    module = write_commands()
    for path, command in module.commands(typer.main.get_command(app)):
        if hasattr(command, "commands"):
            continue
        examples = module.example_lines(command)
        assert examples, f"{' '.join(path)} has no example"
        for line in examples:
            parse(shlex.split(line)[1:])


def test_the_readme_is_short_and_its_pictures_are_small():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES
    pictures = [DOCS.parent / each for each in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)]
    assert len(pictures) == 2
    assert all(picture.stat().st_size < PICTURE_BYTES for picture in pictures)


@pytest.mark.parametrize("page", LESSONS, ids=lambda path: path.stem)
def test_commands_of_the_lessons_are_read_by_the_command_line(page):
    for block in blocks(page):
        if block.kind == "sh":
            for name, *arguments in block.commands:
                assert name == "karyoscan", "other commands can't be tried here: say them in the text"
                parse(arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in LESSONS
        if any(each.kind == "sh" and not each.note.startswith("not run: ") for each in blocks(page))
    ],
    ids=lambda path: path.stem,
)
def test_the_lessons_can_be_followed(page, tmp_path, monkeypatch, capsys, finished_runs):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.note.startswith("file: "):
            (tmp_path / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
        if block.kind != "sh" or block.note.startswith("not run: "):
            continue
        for _, *arguments in block.commands:
            if finished_runs.repeat(arguments, tmp_path):
                continue
            with pytest.raises(SystemExit) as end:
                main(arguments)
            printed = capsys.readouterr()
            wanted = int(block.note.removeprefix("exit code: ")) if block.note.startswith("exit code: ") else 0
            assert (end.value.code or 0) == wanted, f"{' '.join(arguments)}\n{printed.out}\n{printed.err}"
            finished_runs.keep(arguments, tmp_path)


def test_the_types_of_the_glossary_are_there():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z]\w+)`", text))
    rooms = ("scanner", "acquisition", "analysis", "simulators", "station")
    source = "\n".join(
        path.read_text(encoding="utf-8") for room in rooms for path in sorted((ROOT / room).rglob("*.py"))
    )
    defined = set(re.findall(r"^class (\w+)", source, re.MULTILINE))
    assert len(named) > 50
    assert named - defined == set()
