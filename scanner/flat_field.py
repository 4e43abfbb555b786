"""Flat field and dark taken off a picture: what the camera and the light put there, not the slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanner.calibration.record import load_reference_image
from scanner.errors import FrameDefect, FrameError, RigError
from scanner.frame import Frame
from scanner.rig import Rig

# Below this share of the mean light a pixel has seen too little to be corrected: noise would be blown up.
_LEAST_FLAT = 0.1


@dataclass(frozen=True, slots=True)
class FlatField:
    """Reference pictures of a rig, ready to be applied.

    Attributes
    ----------
    flats
        By objective: float32, shape (h, w), light over the field, mean 1.
    dark
        float32, shape (h, w), grey levels without light; None where it was not measured.
    full_scale
        Largest grey level of the camera.
    camera
        Label of the camera, for messages.
    """

    flats: Mapping[str, NDArray[np.float32]]
    dark: NDArray[np.float32] | None
    full_scale: int
    camera: str = "camera"

    @classmethod
    def of_rig(cls, rig: Rig, folder: Path) -> FlatField:
        """Read the pictures that a rig's calibration left beside it.

        Parameters
        ----------
        rig
            The rig.
        folder
            Where its ``rig.yaml`` stands.

        Raises
        ------
        RigError
            A picture is missing, another one, of another size than the camera's, or no light field.
        """
        shape = (rig.camera.height_px, rig.camera.width_px)
        flats = {}
        for objective in rig.objectives:
            if objective.flat_field is not None:
                flat = load_reference_image(folder, objective.flat_field)
                _check_shape(flat, shape, folder / objective.flat_field.file)
                if not (np.isfinite(flat).all() and float(flat.min()) >= _LEAST_FLAT):
                    raise RigError(
                        f"flat field of {objective.name} falls to {float(flat.min()):.3f} of its mean, "
                        f"allowed from {_LEAST_FLAT:g}",
                        path=folder / objective.flat_field.file,
                    )
                flats[objective.name] = flat
        dark = None
        if rig.camera.dark is not None:
            dark = load_reference_image(folder, rig.camera.dark)
            _check_shape(dark, shape, folder / rig.camera.dark.file)
        return cls(flats, dark, rig.camera.full_scale, rig.devices.camera)

    def covers(self, objective: str) -> bool:
        """Whether pictures through this objective can be corrected."""
        return objective in self.flats

    def correct(self, frame: Frame) -> Frame:
        """Take dark and flat field off: (raw - dark) / flat.

        A frame that has been corrected, or whose objective has no flat field, is returned as it is; its
        `Frame.corrected` says which. A clipped pixel stays clipped: how bright it was, nobody knows.

        Raises
        ------
        FrameError
            The frame is of another size than the references.
        """
        flat = self.flats.get(frame.objective)
        if frame.corrected or flat is None:
            return frame
        if frame.pixels.shape != flat.shape:
            raise FrameError(
                "flat field of another size",
                device=self.camera,
                defect=FrameDefect.WRONG_KIND,
                wanted=str(flat.shape),
                actual=str(frame.pixels.shape),
            )
        return replace(frame, pixels=self._divided(frame.pixels, flat), corrected=True)

    def _divided(self, pixels: NDArray[np.uint16], flat: NDArray[np.float32]) -> NDArray[np.uint16]:
        levels = pixels.astype(np.float32)
        if self.dark is not None:
            levels -= self.dark
        levels /= flat
        levels += np.float32(0.5)
        np.clip(levels, np.float32(0.0), np.float32(self.full_scale), out=levels)
        corrected = levels.astype(np.uint16)
        corrected[pixels >= self.full_scale] = self.full_scale
        return corrected


def _check_shape(picture: NDArray[np.float32], shape: tuple[int, int], path: Path) -> None:
    if picture.shape != shape:
        raise RigError(f"reference image has shape {picture.shape}, the camera {shape}", path=path)
