"""What a frame tells of the camera that handed it over."""

import numpy as np
import pytest

from scanner.errors import FrameError
from scanner.repeated_frames import REMEMBERED_FRAMES, RepeatedFrameDetector

SHAPE = (256, 320)
FULL_SCALE = 4095


def picture(seed, level=3000.0, noise=50.0):
    rng = np.random.default_rng(seed)
    return np.clip(level + noise * rng.standard_normal(SHAPE), 0, FULL_SCALE).astype(np.uint16)


@pytest.fixture
def witness():
    return RepeatedFrameDetector("Camera", FULL_SCALE)


def test_pictures_of_one_place_are_believed_one_after_the_other(witness):
    for seed in range(2 * REMEMBERED_FRAMES):
        witness.check(picture(seed))


@pytest.mark.parametrize("back", range(1, REMEMBERED_FRAMES + 1))
def test_a_frame_that_was_handed_over_before_is_refused(witness, back):
    for seed in range(REMEMBERED_FRAMES):
        witness.check(picture(seed))
    with pytest.raises(FrameError, match="handed over before"):
        witness.check(picture(REMEMBERED_FRAMES - back))


def test_a_refused_frame_is_remembered_too(witness):
    witness.check(picture(0))
    torn = picture(1)
    torn[100:] = picture(0)[100:]
    for _ in range(2):
        with pytest.raises(FrameError, match="handed over before"):
            witness.check(torn)


@pytest.mark.parametrize("rows", [slice(0, 16), slice(120, 136), slice(200, None)])
def test_a_torn_part_is_found_wherever_it_lies_and_wherever_it_comes_from(witness, rows):
    witness.check(picture(0))
    torn = picture(1)
    torn[rows] = np.roll(picture(0), 16, axis=0)[rows]
    with pytest.raises(FrameError, match="torn frame"):
        witness.check(torn)


def test_a_broken_off_transfer_is_refused(witness):
    frame = picture(0)
    frame[180:] = 0
    with pytest.raises(FrameError, match="rows without a picture"):
        witness.check(frame)


def test_overexposed_rows_are_no_fault_of_the_transfer(witness):
    for seed in range(3):
        frame = picture(seed)
        frame[:40] = FULL_SCALE
        witness.check(frame)


def test_noise_is_no_picture_and_a_dim_noisy_picture_is(witness):
    witness.check(picture(0, level=400.0, noise=30.0))
    with pytest.raises(FrameError, match="noise and no picture"):
        witness.check(np.random.default_rng(0).integers(0, FULL_SCALE + 1, SHAPE, dtype=np.uint16))
