"""Slides from the magazine to the stage and back, believed only when the sensors agree."""

from __future__ import annotations

import logging
from collections.abc import Callable

from scanner.device_calls import DeviceCalls
from scanner.errors import LoaderError, ScannerError
from scanner.peripherals import LoaderState, SlideLoader
from scanner.rig import LoaderConfig

_log = logging.getLogger(__name__)

# A change may take this many times its duration in the rig, plus a fixed time for the controller's answers.
_DEADLINE_FACTOR = 2.0
_DEADLINE_MARGIN_S = 5.0


class SlideChanger:
    """The loader, made strict. The microscope's interlocks are asked before any of its methods is called.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the loader.
    loader
        The loader.
    config
        What the rig says of it.
    """

    def __init__(self, calls: DeviceCalls, label: str, loader: SlideLoader, config: LoaderConfig) -> None:
        self._calls = calls
        self._label = label
        self._loader = loader
        self._config = config
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """Why nobody knows where a slide is; None while all is well."""
        return self._failure

    def state(self) -> LoaderState:
        """What the sensors say now.

        Raises
        ------
        LoaderError
            They contradict the rig.
        DeviceError
            No answer.
        """
        with self._calls.device_errors(self._label, "state"):
            state = self._loader.state()
            slots = self._loader.slots()
        if slots != self._config.slots:
            raise LoaderError(
                "another magazine than the rig's",
                device=self._label,
                wanted=f"{self._config.slots} slots",
                actual=str(slots),
            )
        return state

    def check_can_load(self, slot: int) -> None:
        """Refuse, before anything moves, what can't be loaded.

        Raises
        ------
        LoaderError
            No such slot, no slide in it, or a slide on the stage already.
        """
        if not 1 <= slot <= self._config.slots:
            raise LoaderError(
                "no such slot", device=self._label, wanted=str(slot), allowed=f"1 .. {self._config.slots}"
            )
        state = self.state()
        if state.on_stage:
            raise LoaderError("a slide lies on the stage", device=self._label, actual=_from(state))
        if slot not in state.occupied:
            raise LoaderError("the slot is empty", device=self._label, wanted=f"slot {slot}")

    def check_can_unload(self) -> int:
        """Refuse, before anything moves, what can't be unloaded.

        Returns
        -------
        int
            The slot that the slide will go to.

        Raises
        ------
        LoaderError
            No slide on the stage, nobody knows its slot, or the slot is taken.
        """
        state = self.state()
        if not state.on_stage:
            raise LoaderError("no slide on the stage", device=self._label)
        if state.taken_from is None:
            raise LoaderError(
                "the slot that the slide came from is not recorded; put it back by hand, then clear the loader",
                device=self._label,
            )
        if state.taken_from in state.occupied:
            raise LoaderError("the slide's slot is taken", device=self._label, wanted=f"slot {state.taken_from}")
        return state.taken_from

    def load(self, slot: int) -> None:
        """Lay the slide of a slot on the stage; `check_can_load` has been asked.

        Raises
        ------
        LoaderError
            The sensors do not show the slide of this slot on the stage.
        MoveTimeoutError, MoveStoppedError, DeviceError
            The loader failed halfway. `failure` is set: a person has to look.
        """
        self._change(f"load slot {slot}", lambda: self._loader.start_load(slot))
        state = self._state_after(f"load slot {slot}")
        if not state.on_stage:
            raise LoaderError("no slide arrived on the stage", device=self._label, wanted=f"slot {slot}")
        if state.taken_from != slot:
            raise LoaderError(
                "another slide was brought", device=self._label, wanted=f"slot {slot}", actual=_from(state)
            )

    def unload(self, slot: int) -> None:
        """Bring the slide on the stage back to its slot; `check_can_unload` named it.

        Raises
        ------
        LoaderError
            The sensors do not show the slide back in its slot.
        MoveTimeoutError, MoveStoppedError, DeviceError
            The loader failed halfway. `failure` is set: a person has to look.
        """
        self._change("unload", self._loader.start_unload)
        state = self._state_after("unload")
        if state.on_stage or slot not in state.occupied:
            self._failure = "a slide was unloaded and is not back in its slot"
            raise LoaderError(self._failure, device=self._label, wanted=f"slot {slot}", actual=_from(state))

    def stop(self) -> None:
        """Halt the gripper; any thread."""
        with self._calls.device_errors(self._label, "stop"):
            self._loader.stop()

    def declare_cleared(self) -> None:
        """Take a person's word that the loader and the stage are free, and withdraw the gripper.

        Raises
        ------
        LoaderError, MoveTimeoutError, DeviceError
            The loader contradicts; `failure` stays.
        """
        self._change("home", self._loader.home)
        self.state()
        _log.info("loader declared clear")
        self._failure = None

    def _state_after(self, doing: str) -> LoaderState:
        try:
            return self.state()
        except ScannerError as error:
            self._failure = f"{doing}: {error}"
            raise

    def _change(self, doing: str, start: Callable[[], None]) -> None:
        allowance_s = _DEADLINE_FACTOR * self._config.change_s + _DEADLINE_MARGIN_S
        try:
            with self._calls.device_errors(self._label, doing):
                start()
            self._calls.wait_idle(self._label, allowance_s, halt=self._loader.stop)
        except ScannerError as error:
            self._failure = f"{doing}: {error}"
            raise
        _log.info("loader: %s", doing)


def _from(state: LoaderState) -> str:
    if not state.on_stage:
        return "stage empty"
    return "slide of an unknown slot" if state.taken_from is None else f"slide of slot {state.taken_from}"
