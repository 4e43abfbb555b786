"""What a frame itself tells of the camera: no two exposures share their noise."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from scanner.errors import FrameDefect, FrameError

# A ring buffer hands out one of its last frames again; none of ours is longer.
REMEMBERED_FRAMES = 4
# Every so many rows one is looked at: a torn part has to be higher than that to matter.
_ROW_STEP = 8
# Of these, as many as a median of the noise needs: the camera waits for the answer.
_NOISE_ROW_STEP = 8
# Rows are hashed four pixels at a time; what is left over at their end says nothing that the others don't.
_PX_PER_WORD = 4
_WEIGHTS_SEED = 64
# Neighbouring pixels of a picture differ by shot noise, a few percent; those of noise by as much as they hold.
NOISE_FRACTION = 0.2


class RepeatedFrameDetector:
    """Tells a picture from what a failing transfer makes of it, by the noise that no two exposures share.

    Parameters
    ----------
    camera
        Label of the camera.
    full_scale
        Largest grey level.

    Notes
    -----
    Rows are compared, not whole frames: a torn frame is one of which a part was seen before. A camera without
    noise, such as one that plays pictures from a file, is refused by its second frame.

    The first frame of a session has none before it with which to be compared.
    """

    def __init__(self, camera: str, full_scale: int) -> None:
        self._camera = camera
        self._full_scale = full_scale
        self._seen: deque[frozenset[int]] = deque(maxlen=REMEMBERED_FRAMES)
        self._weights: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def check(self, pixels: NDArray[np.uint16]) -> None:
        """Look at a frame that has just been read out.

        Parameters
        ----------
        pixels
            uint16, shape (h, w).

        Raises
        ------
        FrameError
            It, or a part of it, was handed over before; rows hold nothing; or it is noise.
        """
        rows = np.ascontiguousarray(pixels[_ROW_STEP // 2 :: _ROW_STEP])
        is_flat = rows.min(axis=1) == rows.max(axis=1)
        # Overexposed rows are flat as well; how many of them a picture may have is asked elsewhere.
        is_empty = is_flat & (rows[:, 0] < self._full_scale)
        digests = frozenset(self._digests(rows)[~is_flat].tolist())
        seen_before = len(digests.intersection(frozenset().union(*self._seen)))
        # Remembered also where it is refused: what was handed over once can be handed over again.
        self._seen.append(digests)
        if seen_before and seen_before == len(digests):
            raise self._fault(FrameDefect.REPEATED, "a frame that was handed over before")
        if seen_before:
            raise self._fault(
                FrameDefect.TORN, "torn frame: a part of it was handed over before", seen_before, len(rows)
            )
        if is_empty.any():
            raise self._fault(
                FrameDefect.EMPTY_ROWS, "broken frame: rows without a picture", int(is_empty.sum()), len(rows)
            )
        sample = rows[::_NOISE_ROW_STEP]
        steps = np.abs(np.diff(sample[:, ::2].astype(np.int32), axis=1))
        share = _middle(steps) / max(_middle(sample), 1.0)
        if share > NOISE_FRACTION:
            raise FrameError(
                "noise and no picture: neighbouring pixels have nothing in common",
                device=self._camera,
                defect=FrameDefect.NOISE,
                actual=share,
                allowed=f"steps up to {NOISE_FRACTION} of the grey level",
            )

    def _digests(self, rows: NDArray[np.uint16]) -> NDArray[np.uint64]:
        """Multilinear hash of every row: all rows at once, since the stage waits for the answer."""
        words = np.ascontiguousarray(rows[:, : rows.shape[1] // _PX_PER_WORD * _PX_PER_WORD]).view(np.uint64)
        if self._weights.size != words.shape[1]:
            drawn = np.random.default_rng(_WEIGHTS_SEED).integers(0, 2**64, words.shape[1], dtype=np.uint64)
            self._weights = np.bitwise_or(drawn, np.uint64(1))
        return np.asarray((words * self._weights).sum(axis=1, dtype=np.uint64))

    def _fault(
        self, defect: FrameDefect, message: str, rows: int | None = None, of_rows: int | None = None
    ) -> FrameError:
        return FrameError(
            message,
            device=self._camera,
            defect=defect,
            actual=None if rows is None else f"{rows} of {of_rows} rows compared",
        )


def _middle(values: NDArray[np.uint16] | NDArray[np.int32]) -> float:
    # The upper median: numpy's own takes a hundred times as long.
    flat = values.ravel()
    return float(np.partition(flat, flat.size // 2)[flat.size // 2])
