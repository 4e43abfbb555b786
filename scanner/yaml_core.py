"""YAML 1.2 with its core schema, read within limits.

PyYAML reads YAML 1.1, in which ``on``, ``no`` and ``yes`` are booleans, ``020000`` is 8192 and ``1:30`` is 90: a
protocol would say something else than the person who wrote it. Its parser is kept; what a plain scalar means is
decided by the core schema of YAML 1.2.2 (chapter 10.3). Files of people are small: what is larger, deeper or more
repetitive than any protocol or rig is refused before it is built up in memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

KeyPath = tuple[str | int, ...]
YamlValue = dict[str, "YamlValue"] | list["YamlValue"] | str | int | float | bool | None

_BOOLEAN: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_TEXT: Final = "tag:yaml.org,2002:str"
_PLAIN: Final = "plain"
_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class YamlLimits:
    """What a file written by a person never reaches.

    Attributes
    ----------
    bytes_
        Length of the file in UTF-8. The longest shipped rig has 4 kB; polygons of hand-drawn areas some ten.
    depth
        Mappings and sequences within each other. Protocols have five.
    nodes
        Values after aliases were followed, so that an alias bomb is refused while it is small.
    digits
        Of a number: more than any unit of a microscope needs, fewer than what Python refuses to convert (4,300).
    """

    bytes_: int = 1_000_000
    depth: int = 24
    nodes: int = 50_000
    digits: int = 40


class YamlTextError(ValueError):
    """A text that isn't acceptable YAML.

    Parameters
    ----------
    message
        What was found, and what is allowed.
    line
        Counted from 1; None where no line can be named.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A YAML document as plain data.

    Attributes
    ----------
    data
        Mappings with string keys, lists, strings, numbers, booleans and None.
    lines
        Line of every key and list entry, counted from 1.
    """

    data: YamlValue
    lines: dict[KeyPath, int]


def parse_yaml(text: str, limits: YamlLimits | None = None) -> YamlDocument:
    """Read one YAML document.

    Parameters
    ----------
    text
        The file's contents.
    limits
        How large it may be.

    Raises
    ------
    YamlTextError
        It isn't YAML, has a duplicate key, a key that is no plain text, a tag beyond the core schema, an alias of
        itself, more than one document, control characters, or exceeds the limits.
    """
    limits = limits or YamlLimits()
    size = len(text.encode("utf-8", errors="surrogatepass"))
    if size > limits.bytes_:
        raise YamlTextError(f"{size:,} bytes; {limits.bytes_:,} are the most")
    control = _UNWRITABLE.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise YamlTextError(f"found the control character {control.group()!r}, which no text file has", line)
    try:
        _refuse_oversized(text, limits)
        node = yaml.compose(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlTextError(
            f"not YAML: {error.problem or error.context}", mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise YamlTextError(f"not YAML: {error}") from error
    if node is None:
        return YamlDocument(None, {})
    builder = _Builder(limits)
    return YamlDocument(builder.build(node, ()), builder.lines)


def _refuse_oversized(text: str, limits: YamlLimits) -> None:
    """Walk the parser's events, of which each costs the same, before anything is composed."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader), start=1):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > limits.depth:
                raise YamlTextError(f"nested more than {limits.depth} levels deep", line)
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlTextError("a second document begins here; one file holds one", line)
        if isinstance(event, NodeEvent) and not isinstance(event, AliasEvent):
            tag = getattr(event, "tag", None)
            if tag is not None and tag not in ("!", _TEXT):
                raise YamlTextError(f"found the tag {tag!r}; tags aren't allowed here", line)
        if count > limits.nodes:
            raise YamlTextError(f"more than {limits.nodes:,} values", line)


class _PlainLoader(yaml.SafeLoader):
    """Composes nodes without deciding what a plain scalar means."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: object) -> str:
        """Mark plain scalars; whatever is quoted is text."""
        if kind is yaml.ScalarNode:
            return _PLAIN if isinstance(implicit, tuple) and implicit[0] else _TEXT
        return self.DEFAULT_SEQUENCE_TAG if kind is yaml.SequenceNode else self.DEFAULT_MAPPING_TAG


class _Builder:
    """Builds plain data of composed nodes, and remembers their lines."""

    def __init__(self, limits: YamlLimits) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._limits = limits
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, key_path: KeyPath) -> YamlValue:
        """Build a node and everything below it."""
        line = self.lines.setdefault(key_path, _line(node))
        self._count += 1
        if self._count > self._limits.nodes:
            raise YamlTextError(f"more than {self._limits.nodes:,} values once its aliases are followed", line)
        if len(key_path) > self._limits.depth:
            raise YamlTextError(f"nested more than {self._limits.depth} levels deep", line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        if id(node) in self._open:
            raise YamlTextError("an alias refers to what it is part of", line)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, key_path)
            return [self.build(child, (*key_path, index)) for index, child in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, key_path: KeyPath) -> dict[str, YamlValue]:
        data: dict[str, YamlValue] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlTextError("a key that is no plain text", line)
            key = _writable(key_node, line)
            child = (*key_path, key)
            if key in data:
                raise YamlTextError(f"{'.'.join(str(part) for part in child)}: key given twice", line)
            self.lines[child] = line
            data[key] = self.build(value_node, child)
        return data

    def _scalar(self, node: yaml.ScalarNode, line: int) -> str | int | float | bool | None:
        text = _writable(node, line)
        if node.tag != _PLAIN:
            return text
        if _BOOLEAN.fullmatch(text):
            return text.lower() == "true"
        if _NULL.fullmatch(text):
            return None
        is_integer = _INTEGER.fullmatch(text) is not None
        if not is_integer and _FLOAT.fullmatch(text) is None:
            return text
        if len(text) > self._limits.digits:
            raise YamlTextError(f"a number of {len(text)} characters; {self._limits.digits} are the most", line)
        if not is_integer:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)


def _writable(node: yaml.ScalarNode, line: int) -> str:
    """Text of a scalar; quoted ones may hold as an escape what no file holds as it is."""
    text = str(node.value)
    found = _UNWRITABLE.search(text)
    if found is not None:
        raise YamlTextError(f"found the character {found.group()!a}, which can't be shown", line)
    return text


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark is not None else 1
