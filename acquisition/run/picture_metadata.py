"""What is written into a stored picture, from the exposure that made it."""

from __future__ import annotations

from acquisition.run.context import RunContext
from acquisition.storage import CaptureMetadata, Modality, ObjectiveMetadata
from acquisition.storage.capture_metadata import Immersion
from scanner.frame import Exposure, Frame
from scanner.rig import Objective


def picture_metadata(
    context: RunContext, uid: str, candidate_uid: str, taken: Exposure | Frame
) -> CaptureMetadata:
    """Metadata of a picture.

    Parameters
    ----------
    context
        The run.
    uid, candidate_uid
        Identity of the picture and its cell; empty where there is none.
    taken
        Where and how it was taken.
    """
    rig = context.microscope.rig
    centre = context.frame.to_slide(taken.view.centre)
    return CaptureMetadata(
        uid=uid,
        run_uid=context.run_uid,
        candidate_uid=candidate_uid,
        slide=context.slide,
        um_per_px=taken.view.camera.um_per_px,
        stage_x_um=taken.view.stage.x_um,
        stage_y_um=taken.view.stage.y_um,
        z_um=taken.z_um,
        slide_x_um=centre.x_um,
        slide_y_um=centre.y_um,
        exposure_ms=taken.exposure_ms,
        taken_at=taken.taken_at,
        objective=_described(rig.objective(taken.objective)),
        significant_bits=rig.camera.bit_depth,
        accession=context.accession,
        modality=Modality.FLUORESCENCE if context.protocol.is_fluorescence else Modality.BRIGHT_FIELD,
    )


def _described(objective: Objective) -> ObjectiveMetadata:
    return ObjectiveMetadata(
        name=objective.label,
        magnification=objective.magnification,
        numerical_aperture=objective.numerical_aperture,
        immersion=Immersion.OIL if objective.immersion == "oil" else Immersion.AIR,
    )
