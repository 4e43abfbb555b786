"""Any text becomes a part of a file name that every file system takes, and two texts keep two names."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.portable.file_names import MAX_NAME_BYTES, MAX_PART_BYTES, MAX_STEM_BYTES, file_name_part, file_stem

RESERVED = ["CON", "nul", "COM1", "lpt9", "Aux.tar", "con .x", "COM¹", "conout$"]
ODD = ["", ".", "..", "a.", "a ", "a/b", "a\\b", "a:b", "a\x00b", "uml_\udcfc", "a\nb", "\u202egnp", *RESERVED]
FORBIDDEN = set('<>:"/\\|?*')

texts = st.one_of(st.text(), st.text(st.characters()), st.text("aC.:/ONM1 \udcfc", max_size=300))


def is_portable(name: str) -> bool:
    device = name.partition(".")[0].rstrip(" ").casefold()
    return (
        bool(name)
        and len(name.encode()) <= MAX_NAME_BYTES
        and not FORBIDDEN & set(name)
        and all(ord(sign) >= 32 for sign in name)
        and name[-1] not in ". "
        and device not in {"con", "prn", "aux", "nul", "conin$", "conout$"}
        and not (device[:3] in {"com", "lpt"} and len(device) == 4 and device[3] in "0123456789¹²³")
        and PureWindowsPath(name).name == name
    )


@pytest.mark.parametrize("text", ["KS-1", "B1024_2", "Ångström"])
def test_what_is_fit_stays_as_it_is(text):
    assert file_name_part(text) == text
    assert file_stem(text) == text


@pytest.mark.parametrize("text", ["cell 7 (2)", "a.b.c", "17-0042, #3 [x63]"])
def test_a_stem_keeps_spaces_dots_and_signs(text):
    assert file_stem(text) == text


@pytest.mark.parametrize("text", ODD)
def test_what_is_not_fit_is_altered_and_named_by_a_digest(text):
    for name in (file_name_part(text), file_stem(text)):
        assert is_portable(name)
        assert name != text


@given(texts)
@example("CON")
@example("x" * 300)
@example("\N{GRINNING FACE}" * 100)
def test_any_text_gives_a_portable_name_of_bounded_length(text):
    part, stem = file_name_part(text), file_stem(text)
    assert is_portable(part)
    assert is_portable(f"slot-1-{part}")
    assert is_portable(stem)
    assert is_portable(f"{stem}.metaphase.png")
    assert len(part.encode()) <= MAX_PART_BYTES
    assert len(stem.encode()) <= MAX_STEM_BYTES


@given(texts)
def test_a_fit_name_is_its_own(text):
    assert file_stem(file_stem(text)) == file_stem(text)
    assert file_name_part(file_name_part(text)) == file_name_part(text)


@given(st.lists(texts, unique=True, min_size=2, max_size=20))
def test_two_texts_keep_two_names(several):
    assert len({file_name_part(text) for text in several}) == len(several)
    assert len({file_stem(text) for text in several}) == len(several)


@given(texts)
def test_a_file_of_that_name_can_be_written(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("names", numbered=True)
    path = folder / f"{file_stem(text)}.metaphase.png"
    path.write_bytes(b"")
    assert [each.name for each in Path(folder).iterdir()] == [path.name]
