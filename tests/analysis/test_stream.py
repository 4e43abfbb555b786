"""The five-way stream on drawn rods: scenes, what is learned of them, nets, covering, and the segmenter."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.errors import DatasetError, ImageError, NoMetaphaseError
from analysis.evaluation.box_free.blob_classifier import BlobAnswer, BlobClassifier, BlobKind
from analysis.evaluation.box_free.segmenter import StreamSegmenter
from analysis.imaging.image_file import to_grey
from analysis.nets.layers import folded
from analysis.nets.mask_net import BlobNet, MaskNet
from analysis.parameters.store import load_parameters
from analysis.parameters.weights import load_weights, read_manifest
from analysis.segmentation.mask_net.input import (
    BLOB_PX,
    CROP_PX,
    MASK_NET_WIDTH_PX,
    blob_crop,
    box_channel,
    crop_at,
    mask_net_picture,
)
from analysis.segmentation.mask_net.mask_cover import CoverSettings, cover, load_cover_settings, ridge_points
from analysis.segmentation.mask_net.placement import assign_by_probability, at_mask_net_scale, probability_in
from analysis.segmentation.mask_net.predictor import MaskPredictor, PromptedMask
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import SegmentationRoute
from analysis.structures.region import Region, cropped
from analysis.training.engine.drawing import batch_source
from analysis.training.fits.mask_cover import (
    RANGES,
    SimulatedPile,
    cover_errors,
    fit_cover,
    simulated_piles,
    write_cover,
)
from analysis.training.masks.batches import DrawScenes, as_mask_batch, draw_batch
from analysis.training.masks.desk import SceneBody
from analysis.training.masks.examples import UNKNOWN, blob_examples, mask_examples
from analysis.training.masks.scene import Scene, SceneSettings, draw_scene
from analysis.training.masks.singles import FreeSingle, SingleBank, load_bank, singles_of_cell
from analysis.training.masks.trainer import StreamTrainSettings, train_stream
from analysis.training.masks.warp import ChromosomePose, warped

WIDTH_PX = 16
TINY = StreamTrainSettings(
    mask_width=4,
    blob_width=4,
    sources=("gband612",),
    scenes=2,
    prompts=2,
    warm_up_steps=1,
    checkpoint_steps=1,
    val_scenes=4,
    bfloat16=False,
)


def rod(length: int, cell: int = 0) -> FreeSingle:
    level = np.zeros((length + 8, WIDTH_PX + 8), np.uint8)
    level[4:-4, 4:-4] = 100
    return FreeSingle(level, level > 50, float(WIDTH_PX), cell)


BANK = SingleBank.of([rod(length, cell) for cell in range(3) for length in (30, 50, 70, 100)])


@pytest.mark.parametrize("bend_rad", [0.0, 0.8, -2.0])
def test_a_bent_chromosome_keeps_its_area_and_its_width(bend_rad: float) -> None:
    single = rod(100)
    patch = warped(single, ChromosomePose(width_px=16.0, angle_rad=0.6, bend_rad=bend_rad))
    assert patch is not None
    assert np.count_nonzero(patch.mask) == pytest.approx(np.count_nonzero(single.mask), rel=0.06)
    deepest = cv2.distanceTransform(patch.mask.astype(np.uint8), cv2.DIST_L2, 5).max()
    assert deepest == pytest.approx(8.0, abs=1.2)
    assert patch.level[patch.mask].mean() == pytest.approx(1.0, abs=0.08)


def test_a_pose_turns_and_scales() -> None:
    patch = warped(rod(100), ChromosomePose(width_px=8.0, angle_rad=0.0))
    assert patch is not None
    rows, columns = np.nonzero(patch.mask)
    assert np.ptp(columns) + 1 == pytest.approx(50, abs=2)
    assert np.ptp(rows) + 1 == pytest.approx(8, abs=2)


def test_scenes_depend_on_their_seed_alone() -> None:
    first, again, other = (draw_scene(BANK, np.random.default_rng(seed), SceneSettings()) for seed in (4, 4, 5))
    assert (first.level == again.level).all()
    assert first.level.shape != other.level.shape or (first.level != other.level).any()


def test_scenes_hold_touching_crossing_and_dirty_piles() -> None:
    shared = dirty = several = 0
    for seed in range(40):
        scene = draw_scene(BANK, np.random.default_rng(seed), SceneSettings())
        chromosomes = [scene.mask_of(body) for body in scene.bodies if body.is_chromosome]
        owners = np.sum(chromosomes, axis=0)
        shared += bool((owners > 1).any())
        several += len(chromosomes) > 1
        dirty += any(not body.is_chromosome for body in scene.bodies)
        assert np.median(scene.level[owners > 0]) == pytest.approx(1.0, abs=1e-3)
        assert scene.level.min() >= 0.0
    assert min(shared, dirty, several) > 8


def plain_scene(*bodies: SceneBody) -> Scene:
    level = np.zeros((160, 160), np.float32)
    scene = Scene(level, bodies)
    for body in bodies:
        level[scene.mask_of(body)] += 1.0
    return scene


def block(x: int, y: int, w: int, h: int, *, is_chromosome: bool = True) -> SceneBody:
    return SceneBody(x, y, np.ones((h, w), np.bool_), is_chromosome)


@pytest.mark.parametrize(
    ("bodies", "answers"),
    [
        ([block(60, 60, 9, 40)], (1.0, 0.0, UNKNOWN)),
        ([block(60, 60, 9, 40), block(50, 75, 40, 9)], (1.0, 1.0, UNKNOWN)),
        ([block(60, 60, 9, 40), block(69, 70, 20, 20, is_chromosome=False)], (0.0, UNKNOWN, 1.0)),
        ([block(60, 60, 20, 20, is_chromosome=False)], (0.0, UNKNOWN, 0.0)),
    ],
    ids=["single", "connected", "attached", "noise"],
)
def test_pieces_are_told_by_what_lies_in_them(bodies: list[SceneBody], answers: tuple[float, ...]) -> None:
    (found,) = blob_examples(plain_scene(*bodies))
    assert found.shown.shape == (2, BLOB_PX, BLOB_PX)
    assert tuple(found.answers) == answers


def test_prompts_ask_for_the_whole_of_a_crossing_chromosome() -> None:
    scene = plain_scene(block(70, 60, 9, 40), block(55, 75, 40, 9))
    for example in mask_examples(scene, np.random.default_rng(3), 20):
        by_box, by_point = example.prompted[1].any(), example.prompted[2].any()
        assert by_box != by_point
        assert np.count_nonzero(example.target) == 360
        if by_box:
            rows, columns = np.nonzero(example.prompted[1] > 0.5)
            asked = example.target[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert asked.sum() > 0.2 * 360
        else:
            assert example.target[CROP_PX // 2, CROP_PX // 2] == 1.0


def test_a_point_on_noise_asks_for_nothing() -> None:
    scene = plain_scene(block(60, 60, 30, 30, is_chromosome=False), block(100, 60, 9, 40))
    examples = list(mask_examples(scene, np.random.default_rng(1), 60))
    empty = [example for example in examples if not example.target.any()]
    assert 1 <= len(empty) <= 20
    assert all(example.prompted[2].any() for example in empty)


def test_crops_and_boxes_lie_where_they_should() -> None:
    level = np.zeros((80, 90), np.float32)
    level[10, 20] = 1.0
    crop, left, top = crop_at(level, 20.0, 10.0)
    assert crop[10 - top, 20 - left] == 1.0
    assert crop.sum() == 1.0
    drawn = box_channel(np.asarray([10.0, 20.5, 12.0, 24.0], np.float32))
    assert drawn.sum() == pytest.approx(2.0 * 3.5)
    assert drawn[20, 10] == pytest.approx(0.5)


def test_large_pieces_are_reduced_to_fit() -> None:
    level = np.ones((300, 300), np.float32)
    shown, extras = blob_crop(level, np.ones((200, 40), np.bool_), 20, 30)
    assert shown[1, 0].max() == 0.0
    assert shown[1].sum() == pytest.approx(200 * 40 * np.exp(extras[0]) ** 2, rel=0.05)


@pytest.mark.parametrize("scale", [0.53, 1.0, 1.4])
def test_masks_come_back_to_where_the_piece_is(scale: float) -> None:
    mask = np.zeros((200, 200), np.bool_)
    mask[60:110, 80:100] = True
    piece = cropped(mask)
    small = at_mask_net_scale(piece, scale)
    assert small is not None
    assert small.area_px == pytest.approx(piece.area_px * scale**2, rel=0.12)
    chance, left, top = crop_at(
        cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale), 90.0 * scale, 85.0 * scale
    )
    back = probability_in(piece, PromptedMask(left, top, chance, 1.0), scale) > 0.5
    assert np.count_nonzero(back ^ piece.mask) < 0.06 * piece.area_px


def test_what_no_mask_has_goes_to_the_nearest() -> None:
    piece = np.zeros((20, 60), np.bool_)
    piece[5:15, 5:55] = True
    left, right = np.zeros((20, 60), np.float32), np.zeros((20, 60), np.float32)
    left[5:15, 5:25], right[5:15, 35:55] = 0.9, 0.9
    near, far = assign_by_probability(piece, [left, right], reach_px=100.0)
    assert (near | far == piece).all()
    assert not (near & far).any()
    near, far = assign_by_probability(piece, [left, right], reach_px=2.0)
    assert np.count_nonzero(near | far) == pytest.approx(440, abs=25)


class Knowing:
    """Answers prompts with the drawn masks."""

    def __init__(self, masks: list[NDArray[np.bool_]]) -> None:
        self.masks = masks

    def _answer(self, mask: NDArray[np.bool_] | None, x: float, y: float) -> PromptedMask:
        chance = np.zeros((CROP_PX, CROP_PX), np.float32)
        _, left, top = crop_at(chance, x, y)
        if mask is not None:
            chance, left, top = crop_at(mask.astype(np.float32), x, y)
        return PromptedMask(left, top, chance, 0.9 if mask is not None else 0.1)

    def at_points(self, level: NDArray[np.float32], points: NDArray[np.float32]) -> list[PromptedMask]:
        return [self._answer(next((m for m in self.masks if m[int(y), int(x)]), None), x, y) for x, y in points]

    def at_boxes(self, level: NDArray[np.float32], boxes: NDArray[np.float32]) -> list[PromptedMask]:
        answers = []
        for box in boxes:
            drawn = np.zeros(level.shape, np.bool_)
            drawn[int(box[1]) : int(np.ceil(box[3])), int(box[0]) : int(np.ceil(box[2]))] = True
            best = max(self.masks, key=lambda m: (m & drawn).sum() / (m | drawn).sum())
            answers.append(self._answer(best, float(box[[0, 2]].mean()), float(box[[1, 3]].mean())))
        return answers


def crossing() -> tuple[NDArray[np.float32], list[NDArray[np.bool_]]]:
    masks = [np.zeros((120, 120), np.bool_) for _ in range(2)]
    masks[0][20:90, 50:59] = True
    masks[1][50:59, 20:100] = True
    return np.sum(masks, axis=0).astype(np.float32), masks


def test_a_crossing_is_covered_by_its_two_chromosomes() -> None:
    level, masks = crossing()
    piece = cropped(level > 0.0)
    found = cover(level, piece, Knowing(masks), load_cover_settings(), typical_area=6.0).masks
    assert len(found) == 2
    got = [probability_in(piece, answer, 1.0) > 0.5 for answer in found]
    assert sorted(np.count_nonzero(mask) for mask in got) == [630, 720]


def test_a_mask_over_two_chromosomes_is_not_taken_beside_theirs() -> None:
    level, masks = crossing()
    piece = cropped(level > 0.0)
    covering = cover(level, piece, Knowing([*masks, masks[0] | masks[1]]), load_cover_settings(), typical_area=6.0)
    assert len(covering.masks) == 2


def test_cover_settings_are_fitted_to_piles(tmp_path: Path) -> None:
    level, masks = crossing()
    pile = SimulatedPile(level, cropped(level > 0.0), np.stack(masks))
    start = load_cover_settings()
    assert cover_errors([pile], Knowing(masks), start) == 0.0
    nothing_is_large_enough = replace(start, least_area=100.0)
    assert cover_errors([pile], Knowing(masks), nothing_is_large_enough) == 1.0
    fitted = fit_cover([pile], Knowing(masks), nothing_is_large_enough, trials=12, seed=2)
    assert cover_errors([pile], Knowing(masks), fitted) == 0.0
    assert RANGES["least_area"][0] <= fitted.least_area <= RANGES["least_area"][1]
    write_cover(fitted, tmp_path, piles=1, errors=0.0, seed=2, command="karyoscan train cover")
    assert load_parameters("mask-cover", tmp_path).coefficients(CoverSettings) == fitted
    with pytest.raises(DatasetError, match="no pile"):
        fit_cover([], Knowing(masks), start, trials=1, seed=2)


def test_simulated_piles_hold_two_chromosomes_or_more(crop_set: Path, tmp_path: Path) -> None:
    bank = load_bank(crop_set, tmp_path / "cache", "train", sources=("gband612",))
    piles = list(simulated_piles(bank, 8, seed=1))
    assert piles
    for pile in piles:
        assert len(pile.masks) >= 2
        assert pile.masks.shape[1:] == pile.level.shape
        assert pile.masks.any(axis=0).sum() >= pile.piece.area_px


def test_points_lie_inside_and_apart() -> None:
    level, _ = crossing()
    points = ridge_points(cropped(level > 0.0), 1.3)
    assert len(points) >= 8
    assert all(level[int(y), int(x)] > 0.0 for x, y in points)
    away = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 1e3 * np.eye(len(points))
    assert away.min() >= 1.3 * MASK_NET_WIDTH_PX - 1e-3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (BlobAnswer(0.9, 0.2, 0.5), BlobKind.SINGLE),
        (BlobAnswer(0.9, 0.8, 0.5), BlobKind.CONNECTED),
        (BlobAnswer(0.2, 0.8, 0.9), BlobKind.ATTACHED),
        (BlobAnswer(0.2, 0.8, 0.1), BlobKind.NOISE),
    ],
)
def test_three_answers_are_four_ways(answer: BlobAnswer, kind: BlobKind) -> None:
    assert answer.kind is kind


def drawn_grey() -> NDArray[np.uint8]:
    """Draw twelve rods, two of them crossed, and a round scrap."""
    density = np.zeros((420, 520), np.float32)
    for k in range(10):
        x, y = 40 + 90 * (k % 5), 40 + 130 * (k // 5)
        density[y : y + 60, x : x + WIDTH_PX] += 0.4
    density[300:380, 150:166] += 0.4
    density[332:348, 110:210] += 0.4
    cv2.circle(density, (400, 340), 20, 0.4, -1)
    grey = 235.0 * 10.0 ** -cv2.GaussianBlur(density, (0, 0), 1.2)
    noise = np.random.default_rng(0).normal(0.0, 1.0, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def metaphase() -> GreyImage:
    return to_grey(drawn_grey(), "drawn")


class Judge:
    """Answers by size and shape, as only this scene needs it."""

    def __call__(self, level: NDArray[np.float32], pieces: list[Region]) -> list[BlobAnswer]:
        answers = []
        for piece in pieces:
            height, width = np.ptp(np.argwhere(piece.mask), axis=0) + 1
            if abs(height - width) <= 3:
                answers.append(BlobAnswer(0.1, 0.5, 0.1))
            else:
                answers.append(BlobAnswer(0.9, float(min(height, width) > 30), 0.5))
        return answers


class Upright(Knowing):
    """Answers for the crossing of the drawn metaphase, wherever it is asked."""

    def __init__(self) -> None:
        super().__init__([])

    def at_points(self, level: NDArray[np.float32], points: NDArray[np.float32]) -> list[PromptedMask]:
        self._draw(level)
        return super().at_points(level, points)

    def _draw(self, level: NDArray[np.float32]) -> None:
        scale = level.shape[1] / 520.0
        self.masks = [np.zeros(level.shape, np.bool_) for _ in range(2)]
        for mask, (y0, y1, x0, x1) in zip(self.masks, ((300, 380, 150, 166), (332, 348, 110, 210)), strict=True):
            mask[round(y0 * scale) : round(y1 * scale), round(x0 * scale) : round(x1 * scale)] = True


def test_the_stream_sends_each_piece_its_way() -> None:
    found = StreamSegmenter(Judge(), Upright())(metaphase())
    kinds = [entry.route for entry in found.instances]
    assert kinds.count(SegmentationRoute.BOX_FREE_SINGLE) == 10
    assert kinds.count(SegmentationRoute.BOX_FREE_CONNECTED) == 2
    assert len(kinds) == 12
    crossed = [entry for entry in found.instances if entry.route == SegmentationRoute.BOX_FREE_CONNECTED]
    areas = sorted(np.count_nonzero(entry.mask) for entry in crossed)
    assert areas == pytest.approx([80 * 16, 100 * 16], rel=0.15)
    assert crossed[0].overlaps
    assert crossed[1].overlaps


@pytest.mark.parametrize("kind", ["16 bit", "colour", "inverted", "with alpha"])
def test_any_kind_of_picture_gives_the_same_chromosomes(kind: str) -> None:
    grey = drawn_grey()
    array = {
        "16 bit": grey.astype(np.uint16) * 16,
        "colour": np.stack([np.full_like(grey, 230), grey, grey // 2 + 100], axis=2),
        "inverted": 255 - grey,
        "with alpha": np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=2),
    }[kind]
    image = to_grey(array, kind)
    assert image.inverted == (kind == "inverted")
    found = StreamSegmenter(Judge(), Upright())(image)
    assert len(found.instances) == 12


def test_a_tiny_picture_is_refused_with_the_reason() -> None:
    with pytest.raises(ImageError, match="too small"):
        to_grey(drawn_grey()[:40, :40], "tiny")


def test_without_chromosomes_the_stream_says_so() -> None:
    def noise(level: NDArray[np.float32], pieces: list[Region]) -> list[BlobAnswer]:
        return [BlobAnswer(0.0, 0.0, 0.0) for _ in pieces]

    with pytest.raises(NoMetaphaseError, match="no metaphase found"):
        StreamSegmenter(noise, Upright())(metaphase())


@pytest.mark.parametrize(("net", "most"), [(MaskNet(), 800_000), (BlobNet(), 150_000)], ids=["masks", "blobs"])
def test_nets_are_small(net: torch.nn.Module, most: int) -> None:
    assert sum(value.numel() for value in net.parameters()) < most


@pytest.mark.parametrize(("half", "close"), [(False, 1e-3), (True, 0.08)], ids=["folded", "halved"])
def test_folding_changes_no_answer(half: bool, close: float) -> None:
    torch.manual_seed(3)
    net = MaskNet(4)
    asked = torch.rand(3, 3, CROP_PX, CROP_PX)
    net(asked)
    net.eval()
    other = folded(net, half=half)
    with torch.inference_mode():
        first, second = net(asked), other(asked.to(torch.bfloat16 if half else torch.float32))
    assert torch.allclose(first.mask.sigmoid(), second.mask.sigmoid(), atol=close)
    assert torch.allclose(first.quality.sigmoid(), second.quality.sigmoid(), atol=close)


@pytest.fixture
def crop_set(tmp_path: Path) -> Path:
    """Make a gband612 set of drawn rods."""
    folder = tmp_path / "data" / "gband612"
    folder.mkdir(parents=True)
    rows = []
    with zipfile.ZipFile(folder / "crops.zip", "w") as archive:
        for number in range(12):
            picture = np.full((30 + 6 * number, 22), 255, np.uint8)
            picture[3:-3, 3:-3] = 110
            name = f"{number:05d}.png"
            archive.writestr(name, cv2.imencode(".png", picture)[1].tobytes())
            rows.append((name, number % 4, number % 4, "1", "train" if number % 4 else "val"))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", "case", "cell", "class", "split"])
    writer.writerows(rows)
    (folder / "crops.csv").write_text(table.getvalue(), encoding="utf-8")
    return tmp_path / "data"


def test_singles_are_gathered_once_and_read_again(crop_set: Path, tmp_path: Path) -> None:
    first = load_bank(crop_set, tmp_path / "cache", "train", sources=("gband612",))
    assert len(first) == 9
    assert [len(rows) for rows in first.by_cell] == [3, 3, 3]
    assert np.median(first.singles[0].level[first.singles[0].mask]) == pytest.approx(100, abs=6)
    (crop_set / "gband612" / "crops.zip").unlink()
    again = load_bank(crop_set, tmp_path / "cache", "train", sources=("gband612",))
    assert all((a.mask == b.mask).all() for a, b in zip(first.singles, again.singles, strict=True))


def test_a_laboratorys_own_crops_are_a_source(crop_set: Path, tmp_path: Path) -> None:
    (crop_set / "gband612").rename(crop_set / "ours")
    assert len(load_bank(crop_set, tmp_path, "train", sources=("ours",))) == 9
    with pytest.raises(DatasetError, match="no source"):
        load_bank(crop_set, tmp_path, "train", sources=("theirs",))


def test_nothing_is_trained_with_the_test_split(crop_set: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing is trained"):
        load_bank(crop_set, tmp_path / "cache", "test")


def test_what_is_far_too_long_is_no_single() -> None:
    long, usual = np.zeros((300, 30), np.float32), np.zeros((80, 30), np.float32)
    long[5:-5, 5:-5], usual[5:-5, 5:-5] = 0.4, 0.4
    made = singles_of_cell([long, usual, usual], [long > 0.2, usual > 0.2, usual > 0.2], 7)
    assert [single.level.shape for single in made] == [(80, 30), (80, 30)]
    assert made[0].width_px == pytest.approx(20.0, abs=3.0)


def test_training_taken_up_again_ends_as_it_would_have(crop_set: Path, tmp_path: Path) -> None:
    whole = train_stream(crop_set, tmp_path / "whole", steps=2, settings=TINY)
    assert whole.weights_paths is not None
    interrupted = train_stream(crop_set, tmp_path / "parts", steps=2, minutes=1e-9, settings=TINY)
    assert (interrupted.steps, interrupted.weights_paths) == (1, None)
    parts = train_stream(crop_set, tmp_path / "parts", steps=2, settings=TINY)
    assert parts.metrics == whole.metrics
    for name in ("stream-masks", "stream-blobs"):
        first, second = (load_weights(name, tmp_path / run) for run in ("whole", "parts"))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_batches_drawn_ahead_are_the_same() -> None:
    seeds = [((5, number), (5, number + 1)) for number in range(3)]
    here = [draw_batch(BANK, TINY.scene, 2, each) for each in seeds]
    with batch_source(DrawScenes(BANK, TINY.scene, 2), 1) as ahead:
        for each in seeds:
            ahead.ask(each)
        there = [as_mask_batch(ahead.take(each)) for each in seeds]
    for first, second in zip(here, there, strict=True):
        assert torch.equal(first.prompted, second.prompted)
        assert torch.equal(first.target, second.target)
        assert torch.equal(first.answers, second.answers)


def test_trained_weights_answer(crop_set: Path, tmp_path: Path) -> None:
    stopped = train_stream(crop_set, tmp_path / "run", steps=2, minutes=0.0, settings=TINY)
    assert stopped.weights_paths is None
    assert stopped.steps == 0
    lines: list[str] = []
    done = train_stream(crop_set, tmp_path / "run", steps=2, settings=TINY, progress=lines.append)
    assert done.steps == 2
    assert set(done.metrics) >= {"iou_by_box", "iou_by_point", "pure_right"}
    assert read_manifest("stream-masks", tmp_path / "run").settings["sources"] == ["gband612"]
    level = np.ones((60, 60), np.float32)
    (answer,) = MaskPredictor.load(tmp_path / "run").at_boxes(level, np.asarray([[10, 10, 20, 50]], np.float32))
    assert answer.probability.shape == (CROP_PX, CROP_PX)
    (told,) = BlobClassifier.load(tmp_path / "run")(level, [cropped(level > 0.5)])
    assert 0.0 <= told.pure <= 1.0
    more = train_stream(
        crop_set, tmp_path / "run", steps=2, settings=replace(TINY, checkpoint_steps=5), progress=lines.append
    )
    assert more.steps == 2


def test_the_stream_picture_has_chromosomes_of_one_width() -> None:
    picture = mask_net_picture(np.full((200, 300), 0.4, np.float32), 0.4, 18.0)
    assert picture.level.shape == (100, 150)
    assert picture.level == pytest.approx(np.ones((100, 150)))
    assert picture.scale == 0.5
