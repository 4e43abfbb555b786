import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from scanner.strict_yaml import load_strict
from scanner.yaml_core import YamlLimits, YamlTextError, parse_yaml

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abcö :#-\n'\"yesno0123"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcno", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcno", min_size=1), JSON_VALUES, max_size=4))
def test_json_is_read_as_json(data):
    assert parse_yaml(json.dumps(data)).data == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("020000", 20000),
        ("08", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("+12", 12),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("2026-11-30", "2026-11-30"),
        ("~", None),
        ("''", ""),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!str 0o17", "0o17"),
    ],
)
def test_plain_scalars_mean_what_the_core_schema_says(text, value):
    data = parse_yaml(f"key: {text}").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_a_key_is_a_word_whatever_it_looks_like():
    document = parse_yaml("on: [parked]\n1: x\nnull: y\n")
    assert document.data == {"on": ["parked"], "1": "x", "null": "y"}
    assert document.lines[("on",)] == 1
    assert document.lines[("1",)] == 2


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: &a\n  b: *a\n", 2, "an alias refers to what it is part of"),
        ("a: &a [*a]\n", 1, "an alias refers to what it is part of"),
        ("a: 1\nb: 2\na: 3\n", 3, "a: key given twice"),
        ("a:\n  b: 1\n  b: 1\n", 3, "a.b: key given twice"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tags aren't allowed"),
        ("a: !mine 3\n", 1, "tags aren't allowed"),
        ("? [a, b]\n: 1\n", 1, "a key that is no plain text"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: 1\nb: \x1b[31m\n", 2, "control character"),
        ('a: 1\nb: "\\e[31m"\n', 2, r"found the character '\x1b'"),
        ('a: 1\n"b\\ud800": 1\n', 2, r"found the character '\ud800'"),
        ("a: [1, 2\n", None, "not YAML"),
        ("a: " + "9" * 5000, 1, "a number of 5000 characters"),
        ("a: " + "[" * 60 + "]" * 60, 1, "nested more than 24 levels deep"),
        ("\n".join("  " * k + "a:" for k in range(60)), 25, "nested more than 24 levels deep"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text, line, message):
    with pytest.raises(YamlTextError) as caught:
        parse_yaml(text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    if line is not None:
        assert caught.value.line == line


def test_an_alias_bomb_is_refused_while_it_is_small():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    started_s = time.process_time()
    with pytest.raises(YamlTextError, match="once its aliases are followed"):
        parse_yaml("\n".join(levels))
    assert time.process_time() - started_s < 10.0


def test_aliases_that_only_repeat_are_followed():
    assert parse_yaml("a: &a {x: 1}\nb: *a\n").data == {"a": {"x": 1}, "b": {"x": 1}}


def test_merge_keys_are_no_part_of_the_core_schema():
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a}\n").data == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


def test_a_text_beyond_its_bytes_is_refused():
    with pytest.raises(YamlTextError, match="bytes"):
        parse_yaml("a: " + "x" * 100, YamlLimits(bytes_=50))


class _Count(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int
    size_um: float = 1.0


def _refusal(message, path, line):
    return ValueError(f"{path.name}:{line}: {message}")


@pytest.mark.parametrize("text", ["number: true", "number: '20'", "number: yes", "number: 1\nsize_um: false"])
def test_a_number_is_neither_a_boolean_nor_text(tmp_path, text):
    path = tmp_path / "count.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"count\.yaml:[12]: (number|size_um): found"):
        load_strict(_Count, path, _refusal)


def test_a_whole_number_is_a_length(tmp_path):
    path = tmp_path / "count.yaml"
    path.write_text("﻿number: 007\nsize_um: 3\n", encoding="utf-8")
    assert load_strict(_Count, path, _refusal) == _Count(number=7, size_um=3.0)


@pytest.mark.parametrize("kind", ["folder", "large", "utf16"])
def test_files_that_are_no_text_of_a_person_are_refused(tmp_path, kind):
    path = tmp_path / "count.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(b"# " + b"x" * 2_000_000)
    else:
        path.write_text("number: 1\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"not a regular file|more than|not UTF-8"):
        load_strict(_Count, path, _refusal)
