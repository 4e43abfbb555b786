from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.devices.framing import DamagedLineError, frame, unframe
from scanner.devices.label_camera import LabelCameraCode
from scanner.devices.loader import LoaderCode
from scanner.devices.oiler import OilerCode

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "serial"

BODIES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#*"), min_size=1)


def test_the_checksum_is_the_one_of_the_description():
    # Worked example of docs/reference/serial/framing.md, with the CRC computed bit by bit.
    line = "LOAD 17 #07"
    crc = 0xFFFF
    for byte in line.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    assert frame("LOAD 17", 7) == f"{line}*{crc:04X}"


@given(BODIES, st.integers(0, 255))
def test_what_is_framed_is_unframed(body, number):
    assert unframe(frame(body, number)) == (body, number)


@given(BODIES, st.integers(0, 255), st.data())
def test_no_other_character_passes_for_the_one_that_was_sent(body, number, data):
    line = frame(body, number)
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=line[place]))
    with pytest.raises(DamagedLineError):
        unframe(line[:place] + other + line[place + 1 :])


def test_the_lines_of_the_description_are_sound():
    lines = re.findall(r"^((?:LOAD|OK|ERR) .*?\*[0-9A-F]{4})", (DOCS / "framing.md").read_text(), re.MULTILINE)
    assert [unframe(line) for line in lines] == [("LOAD 17", 7), ("OK LOAD", 7), ("ERR LOAD 10", 7)]
    assert frame("ERR ? 2", 0) in (DOCS / "framing.md").read_text()


@pytest.mark.parametrize(
    ("page", "codes"), [("loader", LoaderCode), ("oiler", OilerCode), ("label-camera", LabelCameraCode)]
)
def test_every_code_stands_in_its_description(page, codes):
    rows = re.findall(r"^\| ([\d, ]+) \| ([A-Z_, ]+) \|", (DOCS / f"{page}.md").read_text(), re.MULTILINE)
    listed = {
        name: int(number)
        for numbers, names in rows
        for number, name in zip(numbers.split(", "), names.split(", "), strict=True)
    }
    assert listed == {code.name: code.value for code in codes}


@pytest.mark.parametrize("line", ["", "OK", "OK #07", "OK #07*", "OK #7*0000", "OK #07*00000", "#07*0000"])
def test_what_is_no_frame_is_refused(line):
    with pytest.raises(DamagedLineError):
        unframe(line)
