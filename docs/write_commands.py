"""Write ``docs/commands.md`` from the command line itself: ``python docs/write_commands.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Any

import typer.main

from station.cli import app

PAGE = Path(__file__).with_name("commands.md")

HEAD = """\
# Commands

Written by `python docs/write_commands.py` from the command line; `karyoscan COMMAND --help` says the same. What
the exit codes mean: [reference/exit-codes.md](reference/exit-codes.md).

"""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every command that is not hidden, with its path of names, groups before their commands."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


def page() -> str:
    """Compose the whole page."""
    root = typer.main.get_command(app)
    listed = list(commands(root))
    rows = [
        f"| [`{' '.join(path)}`](#karyoscan-{'-'.join(path)}) | {_short(command)} |" for path, command in listed
    ]
    table = "\n".join(("| command | does |", "|---|---|", *rows))
    return HEAD + table + "\n\n" + "\n".join(_section(path, command) for path, command in listed)


def _short(command: Any) -> str:
    return (command.help or "").strip().splitlines()[0]


def _section(path: tuple[str, ...], command: Any) -> str:
    name = " ".join(("karyoscan", *path))
    parts = [f"## {name}", "", (command.help or "").strip(), ""]
    if not hasattr(command, "commands"):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        usage = " ".join(_argument_usage(each) for each in arguments)
        options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
        parts += [f"`{' '.join(part for part in (name, usage, '[OPTIONS]' if options else '') if part)}`", ""]
        rows = [_row(each) for each in (*arguments, *options) if "--help" not in each.opts]
        if rows:
            parts += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    examples = example_lines(command)
    if examples:
        parts += ["```sh", *examples, "```", ""]
    return "\n".join(parts)


def example_lines(command: Any) -> list[str]:
    """The examples at the end of a command's help, as somebody would type them."""
    text = re.sub(r"\\\[", "[", command.epilog or "")
    return [line.strip() for line in text.splitlines() if line.startswith("karyoscan ")]


def _argument_usage(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    choices = _choices(parameter)
    meaning = (parameter.help or "").replace("|", "\\|")
    if choices:
        meaning += f" ({', '.join(choices)})"
    if getattr(parameter, "envvar", None):
        meaning += f"; else from `{parameter.envvar}`"
    return f"| {name} | {_default(parameter)} | {meaning} |"


def _choices(parameter: Any) -> list[str]:
    annotation = parameter.type_descriptor.annotation
    return [each.value for each in annotation] if isinstance(annotation, EnumType) else []


def _default(parameter: Any) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    if parameter.required:
        return "required"
    if value is None or value == "" or value is False or value == [] or "UNSET" in repr(value).upper():
        return ""
    return f"`{'yes' if value is True else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
