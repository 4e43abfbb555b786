from __future__ import annotations

import numpy as np
import pytest

from analysis.karyogram.text import REPLACEMENT, draw_text, draw_text_on_picture, drawable, text_size

INK = (20, 20, 20)


def page_with(text: str, size_px: float = 26) -> np.ndarray:
    page = np.full((60, 300, 3), 255, np.uint8)
    draw_text(page, text, (10, 40), size_px, INK)
    return page


def test_words_stand_on_their_base_line_and_take_the_width_they_are_said_to() -> None:
    for size_px in (12, 15, 26):
        page = page_with("46,XY", size_px)
        rows, columns = np.nonzero(page[:, :, 0] < 200)
        width, height = text_size("46,XY", size_px)
        # The comma alone reaches below.
        assert 40 - 1.1 * size_px < rows.min() < 40
        assert rows.max() < 40 + 0.3 * size_px
        assert columns.max() + 1 == pytest.approx(10 + width, abs=4)
        assert height >= 0.6 * size_px


@pytest.mark.parametrize("text", ["ä", "ł", "ж", "α", "胞"])
def test_other_scripts_are_written_and_not_a_substitute(text: str) -> None:
    drawn = page_with(text)
    assert (drawn < 128).any()
    assert not any(np.array_equal(drawn, page_with(other)) for other in ("?", "\u4e00", "a", "l"))


def test_a_rim_makes_words_legible_on_anything_and_no_word_leaves_no_trace() -> None:
    dark = np.zeros((60, 120, 3), np.uint8)
    draw_text_on_picture(dark, "X", (20, 40), 26, INK)
    assert (dark == 255).any()
    assert dark[30:40, 20:40].min() <= 20
    empty = page_with("")
    assert (empty == 255).all()
    assert text_size("", 20) == (0, 0)


@pytest.mark.parametrize(
    "text", ["uml_\udcfc.jpg", "a\x00b", "a\nb", "\x1b[31m", "\u202egnp", "\ud83d", "\U000e0001"]
)
def test_any_string_can_be_drawn(text: str) -> None:
    assert REPLACEMENT in drawable(text)
    drawable(text).encode("utf-8")
    assert len(drawable(text)) == len(text)
    assert (page_with(text) < 128).any()
    assert text_size(text, 20) == text_size(drawable(text), 20)


def test_what_has_a_shape_stays_as_it_is() -> None:
    text = "46,XY,t(9;22) ąβЖ胞 – é\N{COMBINING ACUTE ACCENT}"
    assert drawable(text) == text
