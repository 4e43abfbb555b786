"""The slides of an instrument: which one lies under the objective, its label, its oil, loading it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scanner.barcode import Barcode, the_barcode
from scanner.coordinates import SlidePoint, StagePoint
from scanner.device_calls import DeviceCalls
from scanner.errors import DeviceNotReadyError, LabelError, LoaderError, OilError, ScannerError
from scanner.interlocks import Action, Situation, check_interlocks
from scanner.microscope.focus_drive import FocusDrive
from scanner.microscope.oil_dispenser import OilDispenser
from scanner.microscope.slide_changer import SlideChanger
from scanner.microscope.stage import Stage
from scanner.microscope.turret import Turret
from scanner.oil import OilLedger
from scanner.peripherals import LabelCamera, LoaderState, Oiler, SlideLoader
from scanner.rig import Rig

_log = logging.getLogger(__name__)

# Names in the oil ledger of what the loader can't name.
_NO_SLIDE = "no slide"
_UNKNOWN_SLIDE = "unknown slide"


class Slides:
    """Loader, oil dispenser and label camera of a microscope, as far as it has them.

    Parameters
    ----------
    calls
        Access to the devices.
    rig
        Description of the instrument.
    stage, focus_drive, turret
        What has to be moved before a slide is changed, oiled or read.
    oil
        What carries oil.
    autofocus_is_on
        Whether a hardware autofocus may drive the focus by itself.

    Raises
    ------
    DeviceNotReadyError
        A peripheral that the rig names is none.

    Notes
    -----
    A slide is named by its slot: in the loader's magazine (``slot 17``) where there is a loader, else
    on the stage.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        rig: Rig,
        *,
        stage: Stage,
        focus_drive: FocusDrive,
        turret: Turret,
        oil: OilLedger,
        autofocus_is_on: Callable[[], bool] = lambda: False,
    ) -> None:
        self._calls = calls
        self._rig = rig
        self._stage = stage
        self._focus = focus_drive
        self._turret = turret
        self._oil = oil
        self._autofocus_is_on = autofocus_is_on
        self._changer = self._find_changer()
        self._dispenser = self._find_dispenser()
        self._label_camera = self._find_label_camera()
        self._brought = "" if self._changer is None else self._name_of_brought(self._changer)

    # -- what lies there -----------------------------------------------------------------------------------

    @property
    def has_loader(self) -> bool:
        """Whether slides are brought by a loader."""
        return self._changer is not None

    @property
    def has_label_camera(self) -> bool:
        """Whether labels can be read."""
        return self._label_camera is not None

    @property
    def has_oiler(self) -> bool:
        """Whether oil is given by the instrument."""
        return self._dispenser is not None

    @property
    def loader_failed(self) -> bool:
        """Whether the loader failed halfway: a slide or its gripper may be in the way."""
        return self._changer is not None and self._changer.failure is not None

    def here(self) -> str:
        """Name of the slide under the objective."""
        if self._changer is not None:
            return self._brought
        return self._rig.slide_at(self._stage.position())

    # -- oil -----------------------------------------------------------------------------------------------

    def is_oiled(self) -> bool:
        """Whether the slide under the objective carries oil, as far as anybody remembers."""
        return self._oil.is_oiled(self.here())

    def touched_by_oil(self) -> None:
        """An oil objective comes near the slide under it."""
        self._oil.touched(self.here())

    def declare_clean(self, slide: str | None = None) -> None:
        """Take a person's word that there is no oil on a slide; the one under the objective by default."""
        self._oil.declare_clean(self.here() if slide is None else slide)

    def is_path_oiled(self, start: StagePoint, end: StagePoint) -> bool:
        """Whether a move would cross a slide that carries oil.

        Parameters
        ----------
        start, end
            Ends of the move.
        """
        if self._changer is not None:
            return self._oil.is_oiled(self._brought)
        slides = self._rig.slides
        oiled = [slides[name] for name in self._oil.oiled_slides() if name in slides]
        return any(frame.is_crossed(start, end) for frame in oiled)

    def has_oil(self, at: StagePoint) -> bool:
        """Whether a drop serves captures at a specimen point (its stage point under the reference objective).

        Raises
        ------
        OilError
            The rig has no oil dispenser.
        """
        slide, where = self._on_slide(at)
        return self._oil.has_drop(slide, where, self._require_dispenser().config.spot_radius_um)

    def apply_oil(self, at: StagePoint, *, allowed: bool = False) -> None:
        """Give one drop of oil at a specimen point, focus down; once a spot.

        Parameters
        ----------
        at
            Stage point of the specimen under the reference objective.
        allowed
            Oil may be used on this slide.

        Raises
        ------
        InterlockError
            Oil is not allowed, or the spot has a drop; nothing has moved.
        OilError
            The rig has no dispenser, its reservoir is empty, no drop fell, or nobody knows.
        DeviceError
            Stage, focus or dispenser failed.
        """
        dispenser = self._require_dispenser()
        label = str(self._rig.devices.oiler)
        slide, where = self._on_slide(at)
        spot_oiled = self._oil.has_drop(slide, where, dispenser.config.spot_radius_um)
        objective = self._turret.objective
        check_interlocks(
            Action.APPLY_OIL, Situation(objective, spot_oiled=spot_oiled, oil_allowed=allowed), device=label
        )
        self._calls.check_not_stopped(label)
        dispenser.check_not_empty()
        self._focus.lower()
        self._stage.move_to(at.shifted(-dispenser.config.offset_x_um, -dispenser.config.offset_y_um))
        is_down = self._focus.is_down()
        check_interlocks(
            Action.APPLY_OIL,
            Situation(
                objective,
                spot_oiled=spot_oiled,
                oil_allowed=allowed,
                focus_is_down=is_down,
                autofocus_is_on=self._autofocus_is_on(),
            ),
            device=label,
        )
        # Remembered first: a drop that nobody heard of again may lie there.
        self._oil.add_drop(slide, where)
        if not dispenser.drop():
            self._oil.retract_drop(slide, where)
            raise OilError("no drop fell", device=label)

    # -- loader --------------------------------------------------------------------------------------------

    def state(self) -> LoaderState:
        """What the loader's sensors say now.

        Raises
        ------
        LoaderError, DeviceError
            There is no loader, it does not answer, or it has another magazine than the rig says.
        """
        return self._require_changer().state()

    def load(self, slot: int) -> None:
        """Lay the slide of a slot of the magazine on the stage.

        Focus down, stage at the load position, then the gripper; believed when the sensors show this slide.

        Parameters
        ----------
        slot
            Counted from 1.

        Raises
        ------
        LoaderError
            No such slot, an empty one, a slide on the stage already, or another slide than asked arrived.
        InterlockError
            The loader failed and hasn't been cleared; nothing has moved.
        MoveTimeoutError, DeviceError
            The loader failed halfway: nothing moves until `declare_loader_clear`.
        """
        changer = self._require_changer()
        self._require_clear()
        changer.check_can_load(slot)
        self._prepare_change()
        try:
            changer.load(slot)
        finally:
            self._brought = self._name_of_brought(changer)

    def unload(self) -> None:
        """Bring the slide on the stage back to its slot.

        Raises
        ------
        LoaderError, InterlockError, MoveTimeoutError, DeviceError
            As `load`.
        """
        changer = self._require_changer()
        self._require_clear()
        slot = changer.check_can_unload()
        self._prepare_change()
        try:
            changer.unload(slot)
        finally:
            self._brought = self._name_of_brought(changer)

    def declare_loader_clear(self) -> None:
        """Take a person's word that loader and stage are free after a failure.

        Raises
        ------
        LoaderError, DeviceError
            The loader contradicts.
        """
        changer = self._require_changer()
        changer.declare_cleared()
        self._brought = self._name_of_brought(changer)

    def recover_loader(self) -> None:
        """Withdraw the gripper after a failure with nobody looking, where the rig allows it.

        Raises
        ------
        LoaderError
            The rig does not allow it, or the loader says that a person has to clear it.
        MoveTimeoutError, DeviceError
            The loader failed again.
        """
        rig = self._rig
        if rig.loader is not None and not rig.loader.self_recovery:
            raise LoaderError(
                "has to be cleared by a person (loader.self_recovery)", device=str(rig.devices.loader)
            )
        self.declare_loader_clear()

    def stop(self) -> None:
        """Halt the loader; any thread."""
        if self._changer is not None:
            self._changer.stop()

    def stop_oil(self) -> None:
        """Halt the oil dispenser; any thread."""
        if self._dispenser is not None:
            self._dispenser.stop()

    # -- label ---------------------------------------------------------------------------------------------

    def read_label(self, slide: str | None = None) -> Barcode:
        """Barcode on the label of a slide on the stage.

        Parameters
        ----------
        slide
            Slot on the stage; the one under the objective by default.

        Raises
        ------
        LabelError
            No label camera, no picture, no barcode or several: never a guess.
        DeviceError
            Stage, focus or camera failed.
        """
        return the_barcode(self.label_picture(slide))

    def label_picture(self, slide: str | None = None) -> NDArray[np.uint8]:
        """Picture of a slide's label; the stage goes where the label camera looks, focus down.

        Returns
        -------
        NDArray[np.uint8]
            Grey levels, shape (height, width).

        Raises
        ------
        LabelError, DeviceError
            As `read_label`.
        """
        label = self._rig.devices.label_camera
        if self._label_camera is None or label is None:
            raise LabelError("the rig has no label camera", device=self._rig.name)
        target = self._label_position(slide)
        self._stage.check_reachable(target)
        self._focus.lower()
        self._stage.move_to(target)
        with self._calls.device_errors(label, "picture"):
            picture = np.asarray(self._label_camera.picture())
        if picture.ndim != 2 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise LabelError(
                "no picture", device=label, wanted="grey, 8 bit", actual=f"{picture.shape} {picture.dtype}"
            )
        return picture

    # -- inside --------------------------------------------------------------------------------------------

    def _label_position(self, slide: str | None) -> StagePoint:
        rig = self._rig
        where = rig.label_camera
        if where is None:
            return self._load_position()
        slot = rig.slide_at(self._stage.position()) if slide is None else slide
        if slot not in rig.slides:
            raise LabelError(
                "no such slot on the stage", device=rig.name, wanted=slot, allowed=", ".join(rig.slides)
            )
        seen = rig.slides[slot].to_stage(SlidePoint(where.label_x_um, where.label_y_um))
        return seen.shifted(-where.offset_x_um, -where.offset_y_um)

    def _load_position(self) -> StagePoint:
        load = self._rig.stage.load
        if load is None:
            raise LoaderError("the rig has no load position", device=self._rig.devices.stage)
        return load.point

    def _prepare_change(self) -> None:
        label = str(self._rig.devices.loader)
        self._calls.check_not_stopped(label)
        self._focus.lower()
        load = self._load_position()
        self._stage.move_to(load)
        self._stage.forget_position()
        tolerance_um = self._rig.stage.motion.tolerance_um
        here = self._stage.position()
        arrived = abs(here.x_um - load.x_um) <= tolerance_um and abs(here.y_um - load.y_um) <= tolerance_um
        situation = Situation(
            self._turret.objective,
            at_load_position=arrived,
            focus_is_down=self._focus.is_down(),
            autofocus_is_on=self._autofocus_is_on(),
        )
        check_interlocks(Action.CHANGE_SLIDE, situation, device=label)

    def _require_clear(self) -> None:
        situation = Situation(self._turret.objective, at_load_position=True, loader_failed=self.loader_failed)
        check_interlocks(Action.CHANGE_SLIDE, situation, device=str(self._rig.devices.loader))

    def _on_slide(self, at: StagePoint) -> tuple[str, SlidePoint]:
        """The slide that a specimen point lies on, by the name that the ledger knows, and where on it."""
        rig = self._rig
        slot = rig.slide_at(at)
        return (slot if self._changer is None else self._brought), rig.slides[slot].to_slide(at)

    def _name_of_brought(self, changer: SlideChanger) -> str:
        try:
            state = changer.state()
        except ScannerError:
            # Called after a failure, too; nothing moves until the loader is cleared.
            _log.exception("loader state")
            return _UNKNOWN_SLIDE
        if not state.on_stage:
            return _NO_SLIDE
        return _UNKNOWN_SLIDE if state.taken_from is None else f"slot {state.taken_from}"

    def _require_changer(self) -> SlideChanger:
        if self._changer is None:
            raise LoaderError("the rig has no slide loader", device=self._rig.name)
        return self._changer

    def _require_dispenser(self) -> OilDispenser:
        if self._dispenser is None:
            raise OilError("the rig has no oil dispenser", device=self._rig.name)
        return self._dispenser

    def _find_changer(self) -> SlideChanger | None:
        rig = self._rig
        label, config = rig.devices.loader, rig.loader
        if label is None or config is None:
            return None
        device = self._calls.core.python_device(label)
        if not isinstance(device, SlideLoader):
            raise DeviceNotReadyError("is no slide loader", device=label, actual=type(device).__name__)
        return SlideChanger(self._calls, label, device, config)

    def _find_dispenser(self) -> OilDispenser | None:
        rig = self._rig
        label, config = rig.devices.oiler, rig.oiler
        if label is None or config is None:
            return None
        device = self._calls.core.python_device(label)
        if not isinstance(device, Oiler):
            raise DeviceNotReadyError("is no oil dispenser", device=label, actual=type(device).__name__)
        return OilDispenser(self._calls, label, device, config)

    def _find_label_camera(self) -> LabelCamera | None:
        label = self._rig.devices.label_camera
        if label is None:
            return None
        device = self._calls.core.python_device(label)
        if not isinstance(device, LabelCamera):
            raise DeviceNotReadyError("is no label camera", device=label, actual=type(device).__name__)
        return device
