"""Public names of the product, read from its sources: what each is called, and who uses it."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.code_metrics import functions, sources

TEXTS_THAT_NAME_CODE = ("*.cfg", "*.cfg.example", "*.yaml", "*.yaml.example", "*.j2", "*.mako", "*.toml")
"""Files beside the sources in which classes and functions of the product are named."""

BANNED_WORDS = frozenset(
    [
        "anatomy",
        "course",
        "doubt",
        "doubts",
        "found",
        "glance",
        "glances",
        "guess",
        "harvest",
        "known",
        "look",
        "looks",
        "mishap",
        "mishaps",
        "persistently",
        "reckoning",
        "securing",
        "seen",
        "share",
        "shares",
        "sight",
        "sitting",
        "stint",
        "stints",
        "stray",
        "strays",
        "studio",
        "tell",
        "tells",
        "told",
        "usual",
        "wear",
        "way",
        "ways",
        "weighed",
        "wish",
        "wishes",
        "witness",
        "worth",
    ]
)
"""Words that paint a picture instead of naming a thing: nobody searches for them (see docs/glossary.md)."""

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True)
class PublicName:
    """A public name.

    Attributes
    ----------
    kind
        "module", "class", "function", "method", "parameter", "field" or "constant".
    name
        The name itself.
    owner
        Class or function that it belongs to; empty at the top of a module.
    path, line
        Where it is defined.
    """

    kind: str
    name: str
    owner: str
    path: str
    line: int

    @property
    def words(self) -> list[str]:
        """The words it consists of, in lower case."""
        return [part.lower() for part in _PART.findall(self.name)]

    def __str__(self) -> str:
        inside = f" of {self.owner}" if self.owner else ""
        return f"{self.path}:{self.line}: {self.kind} {self.name}{inside}"


def public_names(root: Path) -> Iterator[PublicName]:
    """Give every public name of the product below ``root``."""
    for path, tree, _ in sources(root):
        stem = path.rsplit("/", 1)[-1].removesuffix(".py")
        if not stem.startswith("_"):
            yield PublicName("module", stem, "", path, 1)
        for function in functions(path, tree):
            if not function.public:
                continue
            owner, _, name = function.name.rpartition(".")
            if not name.startswith("__"):
                yield PublicName("method" if owner else "function", name, owner, path, function.line)
            for each in function.parameters:
                if not each.arg.startswith("_"):
                    yield PublicName("parameter", each.arg, function.name, path, each.lineno)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield PublicName("class", node.name, "", path, node.lineno)
                yield from _fields(path, node)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name) and not target.id.startswith("_"):
                        yield PublicName("constant", target.id, "", path, node.lineno)


def _fields(path: str, node: ast.ClassDef) -> Iterator[PublicName]:
    for item in node.body:
        targets = [item.target] if isinstance(item, ast.AnnAssign) else getattr(item, "targets", [])
        for target in targets:
            if isinstance(target, ast.Name) and not target.id.startswith("_"):
                yield PublicName("field", target.id, node.name, path, item.lineno)


def uses(root: Path) -> Counter[str]:
    """Count how often each identifier is used in the product, its data files, its examples and benchmarks."""
    count: Counter[str] = Counter()
    extra = [*sorted((root / "benchmarks").glob("*.py")), *sorted((root / "docs").rglob("*.py"))]
    trees = [tree for _, tree, _ in sources(root)] + [ast.parse(file.read_text("utf-8")) for file in extra]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                count[node.id] += 1
            elif isinstance(node, ast.Attribute):
                count[node.attr] += 1
            elif isinstance(node, ast.keyword) and node.arg:
                count[node.arg] += 1
            elif isinstance(node, ast.ImportFrom):
                count.update(alias.name for alias in node.names if alias.asname)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                count[node.value] += 1
    for pattern in TEXTS_THAT_NAME_CODE:
        for folder in ("hardware_configs", "station", "acquisition", "docs", "protocols"):
            for file in (root / folder).rglob(pattern):
                count.update(re.findall(r"\w+", file.read_text("utf-8")))
    count.update(re.findall(r"\w+", (root / "pyproject.toml").read_text("utf-8")))
    return count


def is_inherited(name: PublicName) -> bool:
    """Tell whether a method or class only fills in what a base class of another package asks for."""
    module = importlib.import_module(name.path.removesuffix(".py").replace("/", "."))
    owner = getattr(module, name.owner.split(".")[0], None)
    if not isinstance(owner, type):
        return False
    return any(name.name in vars(base) for base in owner.__mro__[1:] if base is not object)


def is_entry_point(root: Path, name: PublicName) -> bool:
    """Tell whether a framework calls a function: a command, a fixture, a hook, a validator."""
    if name.name.startswith("pytest_"):
        return True
    tree = ast.parse((root / name.path).read_text("utf-8"))
    return any(
        isinstance(node, ast.FunctionDef) and node.lineno == name.line and bool(node.decorator_list)
        for node in ast.walk(tree)
    )


def unused_names(root: Path) -> list[PublicName]:
    """Give classes, functions, methods and constants that no product code, example or benchmark uses."""
    used = uses(root)
    return [
        name
        for name in public_names(root)
        if name.kind in {"class", "function", "method", "constant"}
        and not used[name.name]
        and not is_entry_point(root, name)
        and not (name.kind == "method" and is_inherited(name))
    ]


def banned_names(root: Path) -> list[PublicName]:
    """Give public names with a word of `BANNED_WORDS` in them."""
    return [name for name in public_names(root) if BANNED_WORDS.intersection(name.words)]


def main() -> None:
    """Print what the tests of this folder would complain of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["banned", "unused"])
    parser.add_argument("--under", default="", help="only rows of this folder")
    options = parser.parse_args()
    root = Path(__file__).parents[2]
    names = banned_names(root) if options.kind == "banned" else unused_names(root)
    rows = [str(name) for name in names if name.path.startswith(options.under)]
    sys.stdout.write("\n".join(rows) + f"\n{len(rows)} rows\n")


if __name__ == "__main__":
    main()
