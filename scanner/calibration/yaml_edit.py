"""Change single values of a YAML text and leave all else, comments too, as it stands."""

from __future__ import annotations

import yaml

KeyPath = tuple[str | int, ...]


class YamlEditError(ValueError):
    """The text has no place for the value."""


def set_value(text: str, key_path: KeyPath, rendered: str) -> str:
    """Replace or add one value.

    Parameters
    ----------
    text
        YAML with a mapping at its root.
    key_path
        Keys and list indices that lead to the value; all but the last must exist.
    rendered
        The value as YAML in flow style, on one line or within brackets.

    Returns
    -------
    str
        The new text.

    Raises
    ------
    YamlEditError
        The path leads nowhere, or to a value in block style.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    parent: yaml.Node | None = root
    for key in key_path[:-1]:
        parent = _child(parent, key)
    last = key_path[-1]
    if not isinstance(parent, yaml.MappingNode) or not isinstance(last, str):
        raise YamlEditError(f"{_dotted(key_path)}: the file has no such section to write it to")
    found = _child(parent, last)
    if found is None:
        return _added(text, parent, last, rendered)
    if isinstance(found, (yaml.MappingNode, yaml.SequenceNode)) and not found.flow_style:
        raise YamlEditError(f"{_dotted(key_path)}: write it in braces or brackets, on its key's line")
    start, end = found.start_mark.index, found.end_mark.index
    # A key without a value has an empty node right behind its colon.
    gap = " " if start == end and text[start - 1 : start] == ":" else ""
    return text[:start] + gap + rendered + text[end:]


def _child(node: yaml.Node | None, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            if key_node.value == key:
                return value_node  # type: ignore[no-any-return]
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key]  # type: ignore[no-any-return]
    return None


def _added(text: str, parent: yaml.MappingNode, key: str, rendered: str) -> str:
    if not parent.value:
        raise YamlEditError(f"{key}: its mapping is empty")
    if parent.flow_style:
        end = parent.value[-1][1].end_mark.index
        return f"{text[:end]}, {key}: {rendered}{text[end:]}"
    # Behind the line on which the last value truly ends: a block's own mark lies beyond trailing comments.
    end = text.find("\n", _last_index(parent))
    head, tail = (text + "\n", "") if end < 0 else (text[: end + 1], text[end + 1 :])
    indent = " " * parent.value[0][0].start_mark.column
    return f"{head}{indent}{key}: {rendered}\n{tail}"


def _last_index(node: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _last_index(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_index(node.value[-1])
    return int(node.end_mark.index)


def _dotted(key_path: KeyPath) -> str:
    return ".".join(str(part) for part in key_path)
