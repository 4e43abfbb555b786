from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.banding.ideogram import RESOLUTIONS
from analysis.karyogram.captions import Captions
from analysis.karyogram.layout import ROWS, lay_out
from analysis.karyogram.paint import paint
from analysis.karyogram.sheet_geometry import Box, KaryogramItem, KaryogramSheet, ReviewMark
from analysis.karyogram.sheet_settings import SHEET
from analysis.structures.classes import CLASS_NAMES, MARKER


def picture(height_px: int, width_px: int = 14, level: int = 80) -> np.ndarray:
    grey = np.full((height_px, width_px), 255, np.uint8)
    grey[1:-1, 2:-2] = level
    return grey


def normal_cell(centromere: float | None = 0.4) -> list[KaryogramItem]:
    names = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]
    return [
        KaryogramItem(
            picture(110 - 2 * k), name, centromere_px=None if centromere is None else centromere * (110 - 2 * k)
        )
        for k, name in enumerate(names)
    ]


def overlap(first: Box, second: Box) -> bool:
    return (
        first.x < second.right - 1e-6
        and second.x < first.right - 1e-6
        and first.y < second.bottom - 1e-6
        and second.y < first.bottom - 1e-6
    )


def rows_of(sheet: KaryogramSheet) -> dict[int, list[float]]:
    """Centromeres of the classed tiles of each row."""
    row_of = {name: k for k, row in enumerate(ROWS) for group in row for name in group} | {MARKER: len(ROWS)}
    rows: dict[int, list[float]] = {}
    for tile in sheet.tiles:
        if tile.item.class_name in row_of and tile.centromere_y is not None:
            rows.setdefault(row_of[tile.item.class_name], []).append(tile.centromere_y)
    return rows


cells = st.lists(
    st.builds(
        lambda height, width, name, share, mark, derivative: KaryogramItem(
            picture(height, width), name, mark, share * height, derivative, enlargement=2.0
        ),
        st.integers(4, 400),
        st.integers(4, 200),
        st.sampled_from([*CLASS_NAMES, MARKER, "?"]),
        st.floats(0, 1),
        st.sampled_from(list(ReviewMark)),
        st.booleans(),
    ),
    max_size=100,
)


@settings(max_examples=25, deadline=None)
@given(items=cells, ideograms=st.sampled_from([None, *RESOLUTIONS]))
def test_nothing_overlaps_nothing_is_lost_and_centromeres_stand_on_a_line(
    items: list[KaryogramItem], ideograms: int | None
) -> None:
    sheet = lay_out(items, Captions("46,XX", "cell"), ideograms=ideograms, notes={"5": "bands differ at 5q31"})
    assert sorted(tile.number for tile in sheet.tiles) == list(range(len(items)))
    boxes = [tile.box for tile in sheet.tiles] + [drawn.box for drawn in sheet.ideograms]
    for k, box in enumerate(boxes):
        assert box.x >= 0
        assert box.y >= 0
        assert box.right <= sheet.width
        assert box.bottom <= sheet.height
        assert not any(overlap(box, other) for other in boxes[:k])
    for line in rows_of(sheet).values():
        assert np.ptp(line) < 1e-6
    for word in sheet.texts:
        assert 0 <= word.x <= sheet.width
        assert 0 < word.y <= sheet.height
    for sign in sheet.marks:
        assert not any(box.x < sign.x < box.right and box.y < sign.y < box.bottom for box in boxes)


def test_painted_centromeres_are_on_the_line_to_a_pixel() -> None:
    rng = np.random.default_rng(3)
    items = []
    for name in CLASS_NAMES:
        height = int(rng.integers(60, 200))
        at = int(rng.integers(10, height - 10))
        grey = picture(height, 30, 200)
        grey[at, 2:-2] = 0
        items.append(KaryogramItem(grey, name, centromere_px=at + 0.5))
    sheet = lay_out(items)
    page = paint(sheet)[:, :, 0]
    for tile in sheet.tiles:
        middle = round(tile.box.x + tile.box.width / 2)
        column = page[round(tile.box.y) : round(tile.box.bottom), middle].astype(float)
        darkest = round(tile.box.y) + int(np.argmin(column))
        assert tile.centromere_y is not None
        assert abs(darkest + 0.5 - tile.centromere_y) <= 1.0


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_ideograms_stand_beside_their_pair_centromere_to_centromere(resolution: int) -> None:
    items = [KaryogramItem(picture(120), "1", centromere_px=58.0, length_px=130.0)] * 2
    sheet = lay_out([*items, KaryogramItem(picture(60), "21", centromere_px=20.0)], ideograms=resolution)
    assert [drawn.class_name for drawn in sheet.ideograms] == ["1", "21"]
    first, tiles = sheet.ideograms[0], [tile for tile in sheet.tiles if tile.item.class_name == "1"]
    assert tiles[0].centromere_y == pytest.approx(first.centromere_y)
    assert first.box.right < tiles[0].box.x
    assert first.box.height / tiles[0].box.height == pytest.approx(130 / 120)
    assert lay_out(items).ideograms == ()


def test_every_class_has_its_place_once() -> None:
    names = [name for row in ROWS for group in row for name in group]
    assert sorted(names) == sorted(CLASS_NAMES)


def test_derivatives_stand_right_and_markers_below_the_y() -> None:
    items = [
        KaryogramItem(picture(90), "7", centromere_px=30.0, derivative=True),
        KaryogramItem(picture(60), "7", centromere_px=30.0),
        KaryogramItem(picture(40), MARKER, centromere_px=20.0),
        KaryogramItem(picture(40), "Y", centromere_px=20.0),
    ]
    sheet = lay_out(items)
    tiles = {tile.number: tile.box for tile in sheet.tiles}
    assert tiles[1].x < tiles[0].x
    assert tiles[2].y > tiles[3].bottom
    assert tiles[2].x + tiles[2].width / 2 == pytest.approx(tiles[3].x + tiles[3].width / 2)
    label = {word.text: word for word in sheet.texts}
    assert label[MARKER].y > label["Y"].y
    assert label[MARKER].x == pytest.approx(label["Y"].x)


def test_where_something_has_no_class_the_place_of_markers_is_there_and_empty() -> None:
    assert MARKER not in {word.text for word in lay_out(normal_cell()).texts}
    odd = lay_out([*normal_cell(), KaryogramItem(picture(60), "?")])
    assert MARKER in {word.text for word in odd.texts}
    many = lay_out([*normal_cell(), *[KaryogramItem(picture(90, 60), MARKER, centromere_px=30.0)] * 12])
    unread = lay_out([KaryogramItem(picture(90, 60), name) for name in (*[MARKER] * 12, *"???")])
    marker, other = unread.tiles[0].box, unread.tiles[-1].box
    assert other.y > marker.bottom
    assert many.width >= SHEET.width_px


def test_the_longest_fills_its_row_and_one_odd_body_does_not_shrink_the_cell() -> None:
    items = normal_cell()
    heights = [tile.box.height for tile in lay_out(items).tiles]
    assert max(heights) == pytest.approx(SHEET.longest_px, rel=0.05)
    odd = lay_out([*items, KaryogramItem(picture(900), "?")])
    assert max(tile.box.height for tile in odd.tiles if tile.item.class_name == "1") == pytest.approx(max(heights))


def test_karyogram_is_white_paper_with_all_chromosomes() -> None:
    drawn = paint(lay_out(normal_cell(), Captions("46,XY", "a.png", "auto", "", "46 chromosomes")))
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] == SHEET.width_px
    assert (drawn == 255).mean() > 0.5
    empty = paint(lay_out([]))
    assert (drawn < 128).sum() > 5 * (empty < 128).sum()


def test_rows_stand_on_the_labels_where_a_centromere_is_not_known() -> None:
    sheet = lay_out(normal_cell(centromere=None))
    bottoms = [tile.box.bottom for tile in sheet.tiles if tile.item.class_name in ("6", "7", "12")]
    assert np.ptp(bottoms) < 1e-6


def test_marks_are_drawn_and_explained() -> None:
    items = normal_cell()
    marked = [
        KaryogramItem(items[0].picture, "1", ReviewMark.CHECK),
        KaryogramItem(items[0].picture, "1", ReviewMark.REVIEW),
    ]
    sheet = lay_out(marked)
    assert [sign.mark for sign in sheet.marks] == [ReviewMark.CHECK, ReviewMark.REVIEW] * 2
    assert {"check", "must review"} <= {word.text for word in sheet.texts}
    assert (np.ptp(paint(sheet).astype(int), axis=2) > 60).any()
    assert not (np.ptp(paint(lay_out(items)).astype(int), axis=2) > 0).any()


def test_notes_are_broken_into_lines_under_their_pair() -> None:
    note = "bands differ between the two at 5q31.1 and again at 5q33"
    plain, noted = lay_out(normal_cell()), lay_out(normal_cell(), notes={"5": note})
    words = [word.text for word in noted.texts if word not in plain.texts and word.text in note]
    assert " ".join(words) == note
    assert noted.height > plain.height


def test_classes_without_a_place_are_refused() -> None:
    with pytest.raises(ValueError, match="'23'"):
        lay_out([KaryogramItem(picture(40), "23")])
    with pytest.raises(ValueError, match="at 500 bands"):
        lay_out(normal_cell(), ideograms=500)
