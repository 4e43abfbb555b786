"""Figures of the code's structure: ``python tests/architecture/code_metrics.py [ROOT] [--list KIND]``.

One script measures every state of the project alike, so that a table of before and after means something.
It reads the sources as text and imports nothing of them.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("scanner", "acquisition", "analysis", "simulators", "station")
PLAIN_FLOATS = frozenset({0.0, 0.5, 1.0, 2.0})
"""Numbers that carry no choice: nothing, all, half, double."""
COMMANDS_FOLDER = "station/commands/"
"""Where the functions are that `typer` calls."""
LONG_FUNCTION = 60
MANY_TYPES = 4
"""A name with so many types is counted as one that tells nothing."""

_SHAPES = re.compile(r"\bshape\b|\bshaped\b|\((?:n|m|h|height\w*|rows?|count)\b[^)]*\)", re.IGNORECASE)
_PARAMETERS = re.compile(r"^\s*Parameters\n\s*-{4,}", re.MULTILINE)
_OPTION_ALIAS = re.compile(r"\w(Option|Argument)\b|^OutFolder$")
_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function or method as it stands in a file.

    Attributes
    ----------
    path, line, name
        Where it is; ``name`` with its class before a dot.
    node
        Its syntax tree.
    docstring
        Its own, or for ``__init__`` that of the class; empty where there is none.
    public
        Whether neither it, its class nor an enclosing function is private.
    """

    path: str
    line: int
    name: str
    node: _FunctionNode
    docstring: str
    public: bool

    @property
    def parameters(self) -> list[ast.arg]:
        """Parameters apart from ``self`` and ``cls``."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return [each for each in every if each.arg not in {"self", "cls"}]

    @property
    def is_command(self) -> bool:
        """Whether the command line documents its parameters itself, option by option.

        Options may be aliases of ``Annotated[..., typer.Option(...)]``, named ``...Option`` or ``...Argument``.
        """
        if any("typer" in ast.unparse(d) or ".command(" in ast.unparse(d) for d in self.node.decorator_list):
            return True
        texts = [ast.unparse(each.annotation) for each in self.parameters if each.annotation]
        if any("typer." in text for text in texts):
            return True
        return self.path.startswith(COMMANDS_FOLDER) and any(_OPTION_ALIAS.search(text) for text in texts)


def sources(root: Path) -> Iterator[tuple[str, ast.Module, str]]:
    """Give every product module below ``root``: its path, its syntax tree, its text."""
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield path.relative_to(root).as_posix(), ast.parse(text), text


def functions(path: str, tree: ast.Module) -> Iterator[Function]:
    """Give the functions and methods of a module, nested ones too."""

    def walk(node: ast.AST, prefix: str, public: bool, class_doc: str | None) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                seen = public and not child.name.startswith("_")
                yield from walk(child, f"{prefix}{child.name}.", seen, ast.get_docstring(child) or "")
            elif isinstance(child, _FunctionNode):
                is_init = child.name == "__init__"
                seen = public and (is_init or not child.name.startswith("_"))
                doc = ast.get_docstring(child) or ""
                if is_init and not doc:
                    doc = class_doc or ""
                yield Function(path, child.lineno, prefix + child.name, child, doc, seen)
                yield from walk(child, f"{prefix}{child.name}.", False, None)
            else:
                yield from walk(child, prefix, public, class_doc)

    yield from walk(tree, "", True, None)


def inline_floats(tree: ast.Module) -> list[tuple[int, float]]:
    """Give line and value of each float literal in a function's body that is none of `PLAIN_FLOATS`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, _FunctionNode):
            for statement in node.body:
                for leaf in ast.walk(statement):
                    is_number = isinstance(leaf, ast.Constant) and isinstance(leaf.value, float)
                    if is_number and leaf.value not in PLAIN_FLOATS:
                        found.add((leaf.lineno, leaf.col_offset, leaf.value))
    return [(line, value) for line, _, value in sorted(found)]


def _plain_type(annotation: ast.expr) -> str:
    text = ast.unparse(annotation).replace('"', "").replace("'", "")
    text = re.sub(r"\s*\|\s*None|None\s*\|\s*", "", text)
    return re.sub(r"^Annotated\[(.*?),.*\]$", r"\1", text)


def types_by_name(path: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Give name and type of every annotated parameter and field."""
    for function in functions(path, tree):
        for each in function.parameters:
            if each.annotation is not None:
                yield each.arg, _plain_type(each.annotation)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id, _plain_type(field.annotation)


def public_classes(root: Path) -> dict[str, list[str]]:
    """Give the modules of each public class, by its name."""
    places = defaultdict(list)
    for path, tree, _ in sources(root):
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    return dict(places)


def lacks_parameters(function: Function) -> bool:
    """Tell whether a public function of two or more parameters has no ``Parameters`` section."""
    return not _PARAMETERS.search(function.docstring)


def has_parameters_to_tell(function: Function) -> bool:
    """Tell whether a function should have a ``Parameters`` section."""
    return function.public and len(function.parameters) >= 2 and not function.is_command


def has_arrays(function: Function) -> bool:
    """Tell whether a public function takes or returns arrays."""
    annotations = [each.annotation for each in function.parameters] + [function.node.returns]
    return function.public and any(
        a is not None and re.search(r"\bNDArray\b|\bTensor\b", ast.unparse(a)) for a in annotations
    )


def lacks_shapes(function: Function) -> bool:
    """Tell whether a function of arrays tells no shape."""
    return not _SHAPES.search(function.docstring)


def fan_out(path: str, tree: ast.Module) -> int:
    """Count the project's modules that a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in ROOMS}
    return len(found)


@dataclass(frozen=True)
class Metrics:
    """All figures of one state of the project."""

    figures: dict[str, object]
    lists: dict[str, list[str]]


def measure(root: Path) -> Metrics:
    """Measure the project below ``root``."""
    lines: Counter[str] = Counter()
    floats: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    outs: list[tuple[int, str]] = []
    names: dict[str, set[str]] = defaultdict(set)
    lists: dict[str, list[str]] = defaultdict(list)
    lengths: list[int] = []
    asked = told = arrays = shaped = 0
    for path, tree, text in sources(root):
        room = path.split("/")[0]
        lines[room] += text.count("\n")
        modules["/".join(path.split("/")[:-1])] += 1
        outs.append((fan_out(path, tree), path))
        for line, value in inline_floats(tree):
            floats[room] += 1
            lists["floats"].append(f"{path}:{line}: {value}")
        for name, kind in types_by_name(path, tree):
            names[name].add(kind)
        for function in functions(path, tree):
            length = (function.node.end_lineno or function.line) - function.line + 1
            lengths.append(length)
            if length > LONG_FUNCTION:
                lists["long"].append(f"{path}:{function.line}: {function.name} ({length} lines)")
            if has_parameters_to_tell(function):
                asked += 1
                told += not lacks_parameters(function)
                if lacks_parameters(function):
                    lists["parameters"].append(f"{path}:{function.line}: {function.name}")
            if has_arrays(function):
                arrays += 1
                shaped += not lacks_shapes(function)
                if lacks_shapes(function):
                    lists["shapes"].append(f"{path}:{function.line}: {function.name}")
    many = {name: kinds for name, kinds in names.items() if len(kinds) >= MANY_TYPES}
    for name, kinds in sorted(many.items(), key=lambda item: -len(item[1])):
        lists["names"].append(f"{name}: {len(kinds)} types: {', '.join(sorted(kinds))}")
    twice = {name: places for name, places in public_classes(root).items() if len(places) > 1}
    lists["classes"] = [f"{name}: {', '.join(places)}" for name, places in sorted(twice.items())]
    figures: dict[str, object] = {
        "lines": sum(lines.values()),
        "modules by folder": dict(sorted(modules.items())),
        "fan-out of the ten largest": [f"{path} {count}" for count, path in sorted(outs, reverse=True)[:10]],
        "inline floats per 1,000 lines": {
            room: round(1000 * floats[room] / max(lines[room], 1), 1) for room in ROOMS
        },
        "public class names used more than once": len(twice),
        f"names with {MANY_TYPES} or more types": len(many),
        "most types of one name": max((len(kinds) for kinds in names.values()), default=0),
        "functions of two or more parameters that tell them": _fraction(told, asked),
        "functions of arrays that tell shapes": _fraction(shaped, arrays),
        "median and 95th percentile of function length": [
            statistics.median(lengths),
            sorted(lengths)[int(0.95 * len(lengths))],
        ],
        f"functions above {LONG_FUNCTION} lines": len(lists["long"]),
    }
    return Metrics(figures, dict(lists))


def _fraction(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / max(whole, 1):.1f} %)"


def main() -> None:
    """Print the figures, or one of the lists behind them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path(__file__).parents[2])
    parser.add_argument("--list", choices=["floats", "parameters", "shapes", "long", "names", "classes"])
    parser.add_argument("--under", default="", help="only rows of this folder")
    options = parser.parse_args()
    metrics = measure(options.root)
    if options.list:
        rows = [row for row in metrics.lists.get(options.list, []) if row.startswith(options.under)]
        sys.stdout.write("\n".join(rows) + f"\n{len(rows)} rows\n")
    else:
        sys.stdout.write(json.dumps(metrics.figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
