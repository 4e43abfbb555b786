from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.errors import DatasetError, ImageError
from analysis.karyogram_import.imported_folder import coco_dataset
from analysis.karyogram_import.importing import import_pair
from analysis.karyogram_import.layout_fit import ClassDefect, fit_layout
from analysis.karyogram_import.matching import MatchedCell, UnmatchedReason, assign_places, match_cell
from analysis.karyogram_import.pairs import KaryogramPair, pair_pictures
from analysis.karyogram_import.printed_labels import PrintedLabel, name_scores
from analysis.karyogram_import.registration import PlaceCandidate, Pose
from analysis.karyogram_import.sheet_layout import BUILT_IN_LAYOUTS, PRINTED_NAMES, LabelSide, SheetLayout
from analysis.karyogram_import.sheet_reading import PrintedKaryogram, SheetPicture, read_karyogram
from analysis.karyotyping.run_lengths import decode_run_lengths
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.grey_image import GreyImage
from tests.analysis.drawn_karyograms import DrawnCell, DrawnChromosome, SheetPrint, draw_cell, draw_sheet

WHOLE = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]
SMALL = ["1", "1", "6", "9", "14", "20"]


def read(chromosomes: tuple[DrawnChromosome, ...], style: SheetPrint | None = None) -> PrintedKaryogram:
    return read_karyogram(GreyImage(draw_sheet(chromosomes, style), "sheet"))


def classes(karyogram: PrintedKaryogram) -> list[str | None]:
    return [picture.class_name for picture in karyogram.pictures]


@pytest.fixture(scope="module")
def whole_cell() -> DrawnCell:
    return draw_cell(WHOLE)


@pytest.fixture(scope="module")
def small_cell() -> DrawnCell:
    return draw_cell(SMALL, seed=8)


@pytest.fixture(scope="module")
def matched(small_cell: DrawnCell) -> MatchedCell:
    karyogram = read(small_cell.chromosomes, SheetPrint(mirrored=frozenset({"6"})))
    return match_cell(karyogram, GreyImage(small_cell.metaphase, "metaphase"))


def iou(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(0, width) * max(0, height)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (box, other)]
    return common / (sum(areas) - common)


def test_every_chromosome_of_a_sheet_has_its_class(whole_cell: DrawnCell) -> None:
    karyogram = read(whole_cell.chromosomes, SheetPrint(headline="Case 12-345 46,XY"))
    assert classes(karyogram) == WHOLE
    assert karyogram.fitted.layout == BUILT_IN_LAYOUTS[0]
    assert karyogram.fitted.agreement == 1.0


@pytest.mark.parametrize("layout", BUILT_IN_LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_without_lines(layout: SheetLayout, whole_cell: DrawnCell) -> None:
    rows = tuple(tuple(name for name in row if name != "mar") for row in layout.rows)
    karyogram = read(whole_cell.chromosomes, SheetPrint(rows=rows, lines=False))
    assert sorted(str(name) for name in classes(karyogram)) == sorted(WHOLE)
    assert karyogram.fitted.layout == layout


def test_a_label_that_contradicts_its_place_gives_no_class(whole_cell: DrawnCell) -> None:
    karyogram = read(whole_cell.chromosomes, SheetPrint(misprinted=(("9", "X"),)))
    unclassed = [picture for picture in karyogram.pictures if picture.class_name is None]
    assert [picture.defect for picture in unclassed] == [ClassDefect.LABEL_DISAGREES] * 2
    named = [picture for picture in karyogram.pictures if picture.class_name is not None]
    assert [picture.class_name for picture in named] == [name for name in WHOLE if name != "9"]


def test_an_order_that_no_layout_has_gives_no_class(whole_cell: DrawnCell) -> None:
    rows = (
        ("5", "4", "3", "2", "1"),
        ("12", "11", "10", "9", "8", "7", "6"),
        ("18", "17", "16", "15", "14", "13"),
    )
    karyogram = read(whole_cell.chromosomes, SheetPrint(rows=rows))
    assert karyogram.fitted.layout is None
    assert {picture.defect for picture in karyogram.pictures} == {ClassDefect.NO_LAYOUT}
    own = SheetLayout(name="reversed", rows=rows)
    sheet = GreyImage(draw_sheet(whole_cell.chromosomes, SheetPrint(rows=rows)), "sheet")
    assert sorted(set(classes(read_karyogram(sheet, [own])))) == sorted(name for row in rows for name in row)


def test_a_chromosome_outside_of_all_places_is_unclassified(small_cell: DrawnCell) -> None:
    page = draw_sheet(small_cell.chromosomes)
    tray = small_cell.chromosomes[2].levels
    page[60 : 60 + tray.shape[0], 1000 : 1000 + tray.shape[1]] = np.minimum(255, tray.astype(int) + 5)
    karyogram = read_karyogram(GreyImage(page, "sheet"))
    assert len(karyogram.pictures) == len(SMALL) + 1
    assert karyogram.pictures[-1].defect is ClassDefect.OUTSIDE_PLACES


@pytest.mark.parametrize("name", PRINTED_NAMES)
@pytest.mark.parametrize("font", [cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_TRIPLEX])
def test_labels_of_other_fonts_are_read(name: str, font: int) -> None:
    page = np.zeros((60, 120), np.uint8)
    cv2.putText(page, name, (20, 40), font, 1.0, 255, 1, cv2.LINE_AA)
    rows, columns = np.flatnonzero(page.any(axis=1)), np.flatnonzero(page.any(axis=0))
    scores = name_scores(page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32))
    assert scores[name] >= max(scores.values()) - 0.07


def test_labels_that_are_missing_keep_the_order_of_their_row() -> None:
    def label(name: str, column: int, row: int) -> PrintedLabel:
        scores = dict.fromkeys(PRINTED_NAMES, 0.3) | {name: 0.9}
        return PrintedLabel((40 * column, 100 * row, 40 * column + 10, 100 * row + 12), scores)

    rows = [["1", "2", "3", "5"], ["6", "7", "8", "9", "10", "12"], ["13", "18"], ["19", "20", "21", "22", "X"]]
    labels = [label(name, column, row) for row, names in enumerate(rows) for column, name in enumerate(names)]
    fitted = fit_layout(labels, BUILT_IN_LAYOUTS)
    assert [place.class_name for place in fitted.places] == [name for names in rows for name in names]


def test_matched_chromosomes_lie_where_they_were_drawn(small_cell: DrawnCell, matched: MatchedCell) -> None:
    assert [each.reason for each in matched.pictures] == [None] * len(SMALL)
    assert matched.unexplained == ()
    assert matched.scale == pytest.approx(1 / 1.3, rel=0.02)
    for each, drawn in zip(matched.pictures, small_cell.chromosomes, strict=True):
        assert each.match is not None
        assert each.picture.class_name == drawn.class_name
        assert iou(each.match.box_px, drawn.box_px) > 0.85
        assert each.match.pose.mirrored == (drawn.class_name == "6")
        turn = each.match.pose.angle_deg + drawn.angle_deg
        if not each.match.pose.mirrored:
            assert abs(np.angle(np.exp(1j * np.deg2rad(turn)))) < 0.1


def test_what_is_on_one_picture_only_is_listed(small_cell: DrawnCell) -> None:
    foreign = draw_cell(["3"], seed=77).chromosomes
    shown = tuple(each for each in small_cell.chromosomes if each.class_name != "9")
    cell = match_cell(read((*shown, *foreign)), GreyImage(small_cell.metaphase, "metaphase"))
    assert {each.picture.class_name for each in cell.pictures if each.match is None} == {"3"}
    assert [each.reason for each in cell.pictures if each.match is None] == [UnmatchedReason.NOTHING_ALIKE]
    left_out = next(each for each in small_cell.chromosomes if each.class_name == "9")
    assert len(cell.unexplained) == 1
    assert iou(cell.unexplained[0].box_px, left_out.box_px) > 0.7


def test_a_karyogram_of_another_cell_matches_nothing(small_cell: DrawnCell) -> None:
    # Two of them resemble chromosomes of this cell so much that they would match by themselves.
    other = draw_cell(["6", "9", "11", "14"], seed=31)
    cell = match_cell(read(other.chromosomes), GreyImage(small_cell.metaphase, "metaphase"))
    assert [each.match for each in cell.pictures] == [None] * 4
    assert cell.unexplained == ()


def candidate(score: float, x_px: int) -> PlaceCandidate:
    return PlaceCandidate(
        Pose(x_px, 0.0, 0.0, 1.0, False), score, (x_px, 0, x_px + 10, 10), np.ones((10, 10), bool)
    )


def sheet_picture(number: int) -> SheetPicture:
    full = np.ones((10, 10), dtype=bool)
    return SheetPicture(number, (0, 0, 10, 10), np.zeros((10, 10), np.uint8), full, "1", None)


def test_places_are_given_once() -> None:
    pictures = [sheet_picture(0), sheet_picture(1)]
    first, second = [candidate(0.99, 0), candidate(0.975, 50)], [candidate(0.98, 1), candidate(0.5, 90)]
    matched = assign_places(pictures, [first, second])
    # Together, the second place of the first picture and the first of the second are the most.
    assert [each.reason for each in matched] == [UnmatchedReason.TAKEN, None]
    assert matched[1].match is second[0]


def test_two_places_alike_are_no_match() -> None:
    matched = assign_places([sheet_picture(0)], [[candidate(0.985, 0), candidate(0.98, 50)]])
    assert matched[0].reason is UnmatchedReason.AMBIGUOUS
    assert matched[0].match is None


def test_a_low_score_is_no_match() -> None:
    matched = assign_places([sheet_picture(0)], [[candidate(0.93, 0), candidate(0.5, 50)]])
    assert matched[0].reason is UnmatchedReason.NOTHING_ALIKE
    assert matched[0].best_score == 0.93


def test_record_and_coco_have_the_same_masks(tmp_path: Path, small_cell: DrawnCell) -> None:
    pair = KaryogramPair("cell", tmp_path / "cell_A.png", tmp_path / "cell_K.png")
    cv2.imwrite(str(pair.metaphase), small_cell.metaphase)
    cv2.imwrite(str(pair.karyogram), draw_sheet(small_cell.chromosomes))
    imported = import_pair(pair)
    assert [each.class_name for each in imported.cell.usable] == SMALL
    assert set(imported.crops) == {each.crop for each in imported.cell.chromosomes}
    height, width = small_cell.metaphase.shape
    dataset = coco_dataset([imported.cell])
    assert [dataset["categories"][each["category_id"] - 1]["name"] for each in dataset["annotations"]] == SMALL
    for annotation, drawn in zip(dataset["annotations"], small_cell.chromosomes, strict=True):
        mask = decode_run_lengths(annotation["segmentation"]["counts"], height, width)
        window = mask[drawn.y_px : drawn.y_px + drawn.mask.shape[0], drawn.x_px : drawn.x_px + drawn.mask.shape[1]]
        assert annotation["area"] == mask.sum() == window.sum()
        assert (window & drawn.mask).sum() / (window | drawn.mask).sum() > 0.85


def test_sheet_without_chromosomes_is_refused() -> None:
    with pytest.raises(ImageError, match="sheet: there is no chromosome on it"):
        read(())


def test_pairs_orphans_and_other_names(tmp_path: Path) -> None:
    for name in ("1_A.png", "1_K.jpg", "2_A.png", "3_K.tif", "notes.png", "4_A.txt"):
        (tmp_path / name).touch()
    paired = pair_pictures(tmp_path)
    assert [(pair.name, pair.metaphase.name, pair.karyogram.name) for pair in paired.pairs] == [
        ("1", "1_A.png", "1_K.jpg")
    ]
    assert [path.name for path in paired.orphans] == ["2_A.png", "3_K.tif"]
    assert [path.name for path in paired.unnamed] == ["notes.png"]


def test_one_pattern_may_be_part_of_the_other(tmp_path: Path) -> None:
    for name in ("a.png", "a-kar.png"):
        (tmp_path / name).touch()
    paired = pair_pictures(tmp_path, metaphase_pattern="{cell}", karyogram_pattern="{cell}-kar")
    assert [pair.name for pair in paired.pairs] == ["a"]


@pytest.mark.parametrize(
    ("names", "patterns", "message"),
    [
        (["1_A.png"], {}, "no pair of pictures"),
        (["1_A.png", "1_A.jpg", "1_K.png"], {}, "are both {cell}_A of 1"),
        (["1_A.png", "1_K.png"], {"karyogram_pattern": "kary"}, "a name with {cell} in it once"),
        (["1_A.png", "1_K.png"], {"karyogram_pattern": "{cell}_A"}, "they must differ"),
    ],
)
def test_folders_that_are_refused(
    tmp_path: Path, names: list[str], patterns: dict[str, str], message: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=message):
        pair_pictures(tmp_path, **patterns)


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        pair_pictures(tmp_path / "gone")


def test_labels_above_their_chromosomes(small_cell: DrawnCell) -> None:
    page = np.ascontiguousarray(draw_sheet(small_cell.chromosomes, SheetPrint(lines=False)))
    # Every row's label moves above its chromosomes: labels of row n stand where those of row n - 1 stood.
    from tests.analysis.drawn_karyograms import ROW_PX, ROWS

    moved = np.full((page.shape[0] + 40, page.shape[1]), 255, np.uint8)
    for row in range(len(ROWS)):
        base = 40 + (row + 1) * ROW_PX - 45
        moved[base - 140 : base + 40] = page[base - 180 : base]
        moved[base - 175 : base - 145] = page[base : base + 30]
    layout = SheetLayout(name="above", rows=ROWS, labels=LabelSide.ABOVE)
    karyogram = read_karyogram(GreyImage(moved, "sheet"), [layout])
    assert sorted(set(map(str, classes(karyogram)))) == sorted(set(SMALL))


@pytest.mark.parametrize(
    "rows", [[["1", "1"]], [["1"], []], [["23"]], []], ids=["twice", "empty row", "no class", "no row"]
)
def test_layouts_that_are_refused(rows: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="rows"):
        SheetLayout.model_validate({"name": "bad", "rows": rows})
