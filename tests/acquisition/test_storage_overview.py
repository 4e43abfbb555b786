"""The overview: readable by others, every field where it belongs, whatever way the camera is turned."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorstore as ts
from yaozarrs import validate_zarr_store

from acquisition.errors import StorageError
from acquisition.storage.overview import EMPTY, LEVELS, Overview, OverviewGrid, overview_tile
from scanner.coordinates import CameraFrame, ObjectiveView, SlideFrame, SlidePoint, StagePoint

WIDTH_PX, HEIGHT_PX, UM_PER_PX = 272, 204, 3.2


def grid_of(frame):
    return OverviewGrid(1_000.0, 2_000.0, 301, 203, 8.0, 4095, frame, 700.0, 500.0)


def picture(view, frame, mark):
    """A field of empty slide with a black square of 80 um around a place of the slide."""
    pixels = np.full((HEIGHT_PX, WIDTH_PX), 4000, np.uint16)
    at = view.to_image(frame.to_stage(mark))
    half = round(40.0 / UM_PER_PX)
    row, column = round(at.y_px), round(at.x_px)
    pixels[row - half : row + half + 1, column - half : column + half + 1] = 0
    return pixels


@pytest.mark.parametrize(("camera_deg", "slide_deg"), [(0.0, 0.0), (3.0, 0.0), (0.0, -2.0), (180.0, 1.0)])
def test_a_place_of_the_slide_lies_where_the_overview_says(tmp_path, camera_deg, slide_deg):
    frame = SlideFrame(StagePoint(50.0, -30.0), rotation_deg=slide_deg)
    camera = CameraFrame(WIDTH_PX, HEIGHT_PX, UM_PER_PX, rotation_deg=camera_deg, flip_y=camera_deg > 100)
    grid = grid_of(frame)
    overview = Overview.create(tmp_path / "overview.zarr", grid)
    marks = []
    for centre, mark in (
        (SlidePoint(1_500.0, 2_400.0), SlidePoint(1_390.0, 2_480.0)),
        (SlidePoint(2_300.0, 2_900.0), SlidePoint(2_420.0, 2_850.0)),
    ):
        view = ObjectiveView(frame.to_stage(centre), camera)
        overview.write(overview_tile(grid, picture(view, frame, mark), view)).finish()
        marks.append(mark)
    whole = np.asarray(
        ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "overview.zarr" / "0")}})
        .result()
        .read()
        .result()
    )
    assert whole.shape == (203, 301)
    assert whole[0, 0] == EMPTY
    rows, columns = np.nonzero(whole < 100)
    seen = [
        (1_000.0 + 8.0 * (columns[near].mean() + 0.5), 2_000.0 + 8.0 * (rows[near].mean() + 0.5))
        for near in (columns < 120, columns >= 120)
    ]
    for (x_um, y_um), mark in zip(seen, marks, strict=True):
        assert x_um == pytest.approx(mark.x_um, abs=4.0)
        assert y_um == pytest.approx(mark.y_um, abs=4.0)


def test_others_read_it_and_every_size_shows_the_same(tmp_path):
    frame = SlideFrame()
    grid = grid_of(frame)
    path = tmp_path / "overview.zarr"
    overview = Overview.create(path, grid)
    camera = CameraFrame(WIDTH_PX, HEIGHT_PX, UM_PER_PX)
    view = ObjectiveView(StagePoint(1_500.0, 2_400.0), camera)
    pixels = np.tile(np.linspace(500, 4000, WIDTH_PX).astype(np.uint16), (HEIGHT_PX, 1))
    overview.write(overview_tile(grid, pixels, view)).finish()
    Overview.reopen(path, grid).build_pyramid()
    validate_zarr_store(path)
    levels = [
        np.asarray(
            ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / str(level))}})
            .result()
            .read()
            .result()
        )
        for level in range(LEVELS)
    ]
    assert [level.shape for level in levels] == [(203, 301), (102, 151), (51, 76), (26, 38)]
    means = [level.mean() for level in levels]
    assert means == pytest.approx([means[0]] * LEVELS, rel=0.02)


def test_a_folder_that_can_not_be_made_is_an_error_of_storage(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="no overview"):
        Overview.create(tmp_path / "file" / "overview.zarr", grid_of(SlideFrame()))
    with pytest.raises(StorageError, match="no overview"):
        Overview.reopen(tmp_path / "none.zarr", grid_of(SlideFrame()))


def test_a_disk_that_never_answers_is_named_when_the_smaller_sizes_are_made(tmp_path, monkeypatch):
    made = Overview.create(tmp_path / "overview.zarr", grid_of(SlideFrame()))
    _promise, never = ts.Promise.new()
    monkeypatch.setattr("acquisition.storage.overview.DEADLINE_S", 0.2)

    class Silent:
        """A level on a disk that takes requests and never answers."""

        shape = (203, 301)

        def __getitem__(self, _part):
            return SimpleNamespace(read=lambda: never)

    with pytest.raises(StorageError, match=r"smaller sizes: the disk gave no answer for 0\.2 s"):
        Overview(made.path, made.grid, [Silent(), Silent()]).build_pyramid()
