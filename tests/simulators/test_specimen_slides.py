from __future__ import annotations

import math
import re
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.optics import TEN, SensorModel, Shot, SlideCamera
from simulators.specimen.banding import Banding, Contrast
from simulators.specimen.glass import GLASS_UM, LABEL_UM, MARKS_UM, Glass
from simulators.specimen.properties import slide_properties
from simulators.specimen.quality import CLINICAL, Quality, format_qualities, parse_qualities
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld

pytestmark = pytest.mark.usefixtures("drawn_anew")

AREA = (30_000.0, 9_000.0, 32_000.0, 10_500.0)
SENSOR = SensorModel(width_px=400, height_px=300)
ONE_OF_EACH = tuple((quality, 1.0) for quality in Quality)


def everything(seed: int) -> SlideSettings:
    return SlideSettings(
        seed=seed,
        cells=8,
        area_um=AREA,
        qualities=CLINICAL,
        coverslip=True,
        bubbles=12,
        precipitates_per_mm2=30.0,
        label="C-2026-00042",
        scratches=20,
        marks=True,
    )


def photograph(world: SlideWorld, x_um: float, y_um: float) -> np.ndarray:
    """A sharp picture through the 10x, about 3200 levels where the glass is empty."""
    return SlideCamera(world, SENSOR).expose(Shot(x_um, y_um, TEN, 0.0, 0.5, 8.0), 1).astype(np.float32)


boxes = st.tuples(
    st.floats(29_800.0, 31_000.0), st.floats(8_800.0, 9_800.0), st.floats(10.0, 600.0), st.floats(10.0, 600.0)
).map(lambda entry: (entry[0], entry[1], entry[0] + entry[2], entry[1] + entry[3]))


@given(seed=st.integers(0, 50), looked_at=st.lists(boxes, min_size=2, max_size=5))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_what_lies_there_does_not_depend_on_the_order_of_looking(
    seed: int, looked_at: list[tuple[float, float, float, float]]
) -> None:
    def seen(world: SlideWorld, box: tuple[float, float, float, float]) -> list[tuple[object, ...]]:
        return [(body.patch_key, body.x_um, body.y_um) for body in world.bodies_in(box)]

    one, other = SlideWorld(everything(seed)), SlideWorld(everything(seed))
    there = [seen(one, box) for box in looked_at]
    back = [seen(other, box) for box in reversed(looked_at)]
    assert there == back[::-1]
    # A small view shows what a large one does there, no more and no less.
    all_bodies = one.bodies_in((29_700.0, 8_700.0, 31_700.0, 10_500.0))
    for box, bodies in zip(looked_at, there, strict=True):
        expected = [(body.patch_key, body.x_um, body.y_um) for body in all_bodies if body.touches(box)]
        assert Counter(bodies) == Counter(expected)


@pytest.fixture(scope="module")
def mixed() -> SlideWorld:
    """A slide on which every quality occurs."""
    world = SlideWorld(SlideSettings(seed=6, cells=9, area_um=(30_000.0, 9_000.0, 33_000.0, 11_000.0),
                                     qualities=ONE_OF_EACH, karyotypes=(("47,XX,+21", 1.0),)))  # fmt: skip
    # Cells drawn last first, by looking at them, are those of the truth.
    for uid in reversed(world.cell_uids):
        next(
            body for body in world.bodies_in((29_000.0, 8_000.0, 34_000.0, 12_000.0)) if uid in body.patch_key
        ).render()
    return world


def test_truth_tells_what_became_of_each_cell(mixed: SlideWorld) -> None:
    truth = mixed.truth()
    assert {cell.quality for cell in truth} == set(Quality)
    for cell in truth:
        assert cell.quality is not None
        assert cell.iscn == "47,XX,+21"
        assert cell.analysable == (cell.quality is Quality.SPREAD)
        assert cell.is_metaphase == (cell.quality is not Quality.CLUMP)
        assert cell.is_complete == (cell.quality not in (Quality.INCOMPLETE, Quality.BURST))
        if cell.is_metaphase:
            assert len(cell.chromosomes) + len(cell.lost) == 47
        else:
            assert cell.chromosomes == ()


def test_every_chromosome_lies_in_its_cell_and_on_its_patch(mixed: SlideWorld) -> None:
    for cell in mixed.truth():
        body = next(body for body in mixed.bodies_in(_about(cell)) if cell.uid in body.patch_key)
        patch = body.render()
        half_um = patch.od.shape[1] * patch.um_per_px / 2.0
        assert cell.radius_um < half_um <= body.half_width_um
        for chromosome in cell.chromosomes:
            xmin, ymin, xmax, ymax = chromosome.box_um
            assert cell.slide_x_um - cell.radius_um - 0.2 < xmin < xmax < cell.slide_x_um + cell.radius_um + 0.2
            assert cell.slide_y_um - cell.radius_um - 0.2 < ymin < ymax < cell.slide_y_um + cell.radius_um + 0.2


def test_qualities_look_as_they_are_called(mixed: SlideWorld) -> None:
    cells = {cell.quality: cell for cell in mixed.truth()}
    patches = {
        quality: next(body for body in mixed.bodies_in(_about(cell)) if cell.uid in body.patch_key).render()
        for quality, cell in cells.items()
    }

    def depth(quality: Quality) -> float:
        od = patches[quality].od
        return float(np.median(od[od > 0.1]))

    assert cells[Quality.TIGHT].radius_um < 0.85 * cells[Quality.SPREAD].radius_um
    assert cells[Quality.BURST].radius_um > 1.2 * cells[Quality.SPREAD].radius_um
    assert depth(Quality.CLUMP) > 1.25 * depth(Quality.SPREAD)
    assert depth(Quality.BURST) < 0.75 * depth(Quality.SPREAD)
    # A nucleus covers more than chromosomes do.
    assert (patches[Quality.COVERED].od > 0.1).sum() > 1.15 * (patches[Quality.SPREAD].od > 0.1).sum()
    longest = {
        quality: max(
            np.hypot(c.box_um[2] - c.box_um[0], c.box_um[3] - c.box_um[1]) for c in cells[quality].chromosomes
        )
        for quality in (Quality.SPREAD, Quality.PROPHASE)
    }
    assert longest[Quality.PROPHASE] > 1.1 * longest[Quality.SPREAD]


def _about(cell: CellTruth) -> tuple[float, float, float, float]:
    x, y = cell.slide_x_um, cell.slide_y_um
    return x - 1.0, y - 1.0, x + 1.0, y + 1.0


def test_qualities_come_at_their_weights() -> None:
    area = (20_000.0, 2_000.0, 70_000.0, 24_000.0)
    world = SlideWorld(SlideSettings(seed=1, cells=500, area_um=area, qualities=CLINICAL))
    counts = Counter(site.quality for site in world._sites)
    for quality, weight in CLINICAL:
        assert counts[quality] / 500 == pytest.approx(weight, abs=0.07)


def test_qualities_as_text() -> None:
    assert parse_qualities("clinical") == CLINICAL
    assert parse_qualities(format_qualities(CLINICAL)) == CLINICAL
    assert parse_qualities("tight") == ((Quality.TIGHT, 1.0),)
    with pytest.raises(ValueError, match="qualities are spread, tight"):
        parse_qualities("excellent=1")


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_coverslip_and_bubbles_lie_where_they_can(seed: int) -> None:
    glass = Glass(seed, coverslip=True, bubbles=5, scratches=0, marks=False, label="A")
    slip = glass.coverslip
    assert slip is not None
    for x_um, y_um in slip.corners_um:
        assert LABEL_UM[2] < x_um < GLASS_UM[0]
        assert 0.0 < y_um < GLASS_UM[1]
        assert slip.depth_um(x_um, y_um) == pytest.approx(0.0, abs=1e-6)
    sides = [math.dist(slip.corners_um[n], slip.corners_um[(n + 1) % 4]) for n in range(4)]
    assert sides == pytest.approx([50_000.0, 22_000.0, 50_000.0, 22_000.0])
    for bubble in glass.bubbles:
        assert slip.depth_um(bubble.x_um, bubble.y_um) > bubble.radius_um


def test_tiles_add_up_to_the_whole_without_seams() -> None:
    glass = Glass(3, coverslip=True, bubbles=1, scratches=0, marks=False, label="")
    bubble = glass.bubbles[0]
    left, top = (
        math.floor((bubble.x_um - bubble.radius_um) / 400) * 400 - 400,
        math.floor(bubble.y_um / 400) * 400 - 400,
    )
    total = np.zeros((1200, 1200))
    for row in range(3):
        for column in range(3):
            x0, y0 = left + 400.0 * column, top + 400.0 * row
            for tile in glass.tiles_in((x0, y0, x0 + 400.0, y0 + 400.0)):
                od = tile.render().od
                i, j = round(tile.y_um - tile.half_height_um - top), round(tile.x_um - tile.half_width_um - left)
                # Halves of the seams at the outer border are left out below.
                rows = slice(max(i, 0), min(i + od.shape[0], 1200))
                columns = slice(max(j, 0), min(j + od.shape[1], 1200))
                total[rows, columns] += od[rows.start - i : rows.stop - i, columns.start - j : columns.stop - j]
    places = np.arange(1200) + 0.5
    expected = bubble.od(left + places[None, :], top + places[:, None])
    inner = np.s_[10:-10, 10:-10]
    assert expected.max() > 1.0
    np.testing.assert_allclose(total[inner], expected[inner], atol=2e-3)


def test_nothing_is_seen_in_a_bubble_and_no_cell_lies_under_an_edge() -> None:
    for seed in range(6):
        world = SlideWorld(everything(seed))
        slip = world.coverslip
        assert slip is not None
        for bubble in world.bubbles:
            box = (bubble.x_um - 20.0, bubble.y_um - 20.0, bubble.x_um + 20.0, bubble.y_um + 20.0)
            centre = [body for body in world.bodies_in(box) if body.patch_key[0] != "glass"]
            reach = bubble.radius_um - 20.0 * math.sqrt(2.0)
            assert all(math.hypot(b.x_um - bubble.x_um, b.y_um - bubble.y_um) > reach for b in centre)
            for uid_body in world.bodies_in(AREA):
                if uid_body.patch_key[0] == "cell":
                    away = math.hypot(uid_body.x_um - bubble.x_um, uid_body.y_um - bubble.y_um)
                    assert away > bubble.radius_um + uid_body.half_width_um


def test_edges_bubbles_marks_and_label_show_in_pictures() -> None:
    bare = SlideSettings(
        cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0, coverslip=True, bubbles=2, marks=True, label="A"
    )
    world = SlideWorld(bare)
    slip = world.coverslip
    assert slip is not None
    (x0, y0), (x1, y1) = slip.corners_um[0], slip.corners_um[1]
    places = {
        "edge": ((x0 + x1) / 2.0, (y0 + y1) / 2.0),
        "bubble": (world.bubbles[0].x_um - world.bubbles[0].radius_um, world.bubbles[0].y_um),
        "mark": world.marks_um[0],
    }
    empty = photograph(world, 45_000.0, 13_000.0)
    assert np.ptp(empty) < 900.0
    for name, (x_um, y_um) in places.items():
        frame = photograph(world, x_um, y_um)
        assert frame.min() < 0.45 * empty.mean(), name
        if name != "mark":
            assert frame.max() > 1.12 * empty.mean(), name
    # The label's text is told; under the objective its paper is dark.
    assert world.label is not None
    assert world.label.text == "A"
    assert photograph(world, 9_000.0, 13_000.0).mean() < 0.15 * empty.mean()
    assert world.marks_um == MARKS_UM


def test_fluorescent_slides_are_bright_on_dark() -> None:
    world = SlideWorld(SlideSettings(seed=3, cells=1, area_um=AREA, banding=Banding.Q))
    assert world.contrast is Contrast.EMITS
    cell = world.truth()[0]
    bodies = world.bodies_in(
        (cell.slide_x_um - 400, cell.slide_y_um - 400, cell.slide_x_um + 400, cell.slide_y_um + 400)
    )
    patches = [body.render() for body in bodies]
    assert {patch.contrast for patch in patches} == {Contrast.EMITS}
    assert all(float(patch.od.min()) >= 0.0 for patch in patches)
    frame = photograph(world, cell.slide_x_um, cell.slide_y_um)
    assert np.median(frame) < 0.05 * 3200.0
    assert np.percentile(frame[100:200, 150:250], 90) > 0.1 * 3200.0


def test_banding_changes_no_truth() -> None:
    cells = [
        SlideWorld(SlideSettings(seed=3, cells=1, area_um=AREA, banding=banding)).truth()[0]
        for banding in (Banding.G, Banding.Q)
    ]
    assert cells[0] == cells[1]


def test_empty_and_dirty_slides() -> None:
    empty = SlideWorld(SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0))
    assert empty.truth() == ()
    assert empty.bodies_in((0.0, 0.0, *GLASS_UM)) == []
    dirt = SlideWorld(SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=900.0, precipitates_per_mm2=120.0))
    assert dirt.truth() == ()
    kinds = Counter(body.patch_key[0] for body in dirt.bodies_in((30_000.0, 9_000.0, 31_000.0, 10_000.0)))
    assert set(kinds) == {"speck", "precipitate"}
    assert kinds["precipitate"] > 60
    assert photograph(dirt, 30_500.0, 9_500.0).min() < 1200.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"specks_per_mm2": float("nan")}, "specks_per_mm2 must not be negative, got nan"),
        ({"abnormal_fraction": 1.5}, r"abnormal_fraction must lie in 0 \.\. 1"),
        ({"picture_um_per_px": 0.0}, "picture_um_per_px must be larger than 0"),
        ({"bubbles": 2}, "under a coverslip only"),
        ({"qualities": ()}, "qualities need weights"),
        ({"qualities": (("superb", 1.0),)}, "qualities: 'superb' is none of spread, tight"),
        ({"banding": "C"}, "banding: 'C' is none of G, R, Q, DAPI"),
        ({"qualities": ((Quality.TIGHT, -1.0), (Quality.SPREAD, 2.0))}, "qualities need weights"),
        ({"karyotypes": (("46,XX,+21", 1.0),)}, "says 46 chromosomes and describes 47"),
        ({"label": "line\nbreak"}, "printable ASCII"),
        ({"label": "A", "area_um": (1_000.0, 9_000.0, 4_000.0, 11_000.0)}, "must lie beside the label"),
        ({"area_um": (float("nan"), 0.0, 1.0, 1.0)}, "must lie on the glass"),
        ({"tilt_um": float("inf")}, "tilt_um must be a number"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlideSettings(**change)


def test_settings_have_names_and_survive_as_text() -> None:
    changed = everything(3)
    copied = SlideSettings(seed=3, cells=8, area_um=AREA)
    for entry in slide_properties():
        value = entry.get(changed)
        assert isinstance(value, entry.kind)
        copied = entry.put(copied, value)
    assert copied == changed
    names = {entry.name: entry for entry in slide_properties()}
    assert not names["Coverslip"].put(changed, 0).bubbles
    assert names["Banding"].put(changed, "DAPI").banding is Banding.DAPI
    with pytest.raises(ValueError, match="is not a valid Banding"):
        names["Banding"].put(changed, "C")


def test_settings_are_properties_of_the_twins_hub(bench) -> None:
    for name, value in (("Coverslip", "1"), ("Bubbles", "2"), ("Banding", "R"), ("Qualities", "tight=1"),
                        ("Karyotypes", "46,XX,t(9;22)(q34;q11.2)=1"), ("Label", "C-1")):  # fmt: skip
        bench.core.setProperty("Hub", name, value)
    chosen = bench.twin.settings
    assert (chosen.coverslip, chosen.bubbles, chosen.banding, chosen.label) == (True, 2, Banding.R, "C-1")
    assert chosen.qualities == ((Quality.TIGHT, 1.0),)
    assert chosen.karyotypes == (("46,XX,t(9;22)(q34;q11.2)", 1.0),)
    assert bench.core.getProperty("Hub", "Qualities") == "tight=1"


def test_names_do_for_enumerations() -> None:
    assert SlideSettings(banding="Q", qualities=(("tight", 2),)) == SlideSettings(
        banding=Banding.Q, qualities=((Quality.TIGHT, 2.0),)
    )


def test_the_example_in_the_docs_runs(capsys, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "slide-world.md"
    examples = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 1
    example = tmp_path / "example.py"
    example.write_text(examples[0], encoding="utf-8")
    runpy.run_path(str(example))
    assert len(capsys.readouterr().out.splitlines()) == 3
