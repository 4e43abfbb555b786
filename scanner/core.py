"""Micro-Manager's core, made strict.

`ScanCore` is a `UniMMCore` (C++ and Python devices behind one interface) in which what would go wrong in silence
is an error with a name: devices that failed to start, configurations that name what isn't there, endless waits.
"""

from __future__ import annotations

import locale
import re
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import pymmcore
from pymmcore_plus import DeviceInitializationState, PropertyType
from pymmcore_plus.experimental.unicore import UniMMCore
from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.adapters import how_to_install, missing_adapters
from scanner.configuration_file import decode_configuration, read_configuration_file
from scanner.errors import DeviceError, DeviceNotReadyError, MoveTimeoutError, RigError

POLL_S = 0.001
"""Time between two questions whether a device is still busy."""

READ_OUT_DEADLINE_S = 10.0
"""No camera takes longer than this to hand a frame over."""

_CFG_LINE = re.compile(r"at line (\d+): (.*)", re.DOTALL)
_CFG_COMMAND = re.compile(r"\s*Error executing command '\w+' with arguments \[.*?\]:")
_CORE_LABEL = "Core"
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@runtime_checkable
class HubPeripheral(Protocol):
    """A Python device that talks through a hub; it is handed the hub that its ``Parent`` line names."""

    def connect_hub(self, hub: Device) -> None:
        """Take the hub. Called once, after all devices are loaded and before any is initialised."""


@runtime_checkable
class TimeKeeper(Protocol):
    """A Python device whose instrument has a time of its own: a simulated one."""

    def now_s(self) -> float:
        """Seconds on its clock."""

    def sleep_s(self, duration_s: float) -> None:
        """Return when so much time has passed on its clock."""


@runtime_checkable
class SequenceCamera(Protocol):
    """A Python camera that waits for triggers within a sequence."""

    def end_sequence(self) -> None:
        """Let go whoever waits for a trigger. Any thread."""


class ScanCore(UniMMCore):
    """Core for the scanner.

    Differences from `UniMMCore`, each of which closes a trap:

    * pixel-size presets match properties of Python devices too;
    * a device whose initialisation failed makes loading fail, with the names of all that failed;
    * an unknown device, module or property in the configuration is one clear line with file and line number;
    * AutoShutter is off: light is switched by whoever answers for it;
    * text values are converted to the type of a Python device's property;
    * `wait_until_idle` asks only the devices named, every ms, and gives up at a deadline;
    * `getImage` waits for a camera that reads out while the stage already moves;
    * a Python camera that waits for a trigger is told when its sequence ends;
    * Python devices are handed the hub of their ``Parent`` line;
    * without devices it delivers no events: where the last reference to a core goes in the thread that delivers
      its events, as a garbage collection may have it, the core waits for this thread in itself and aborts the
      process. The same holds for the end of the interpreter.
    """

    def __init__(self, mm_path: str | None = None) -> None:
        super().__init__(mm_path)
        self._is_loading = False
        self.setAutoShutter(False)
        weakref.finalize(self, _silence, weakref.ref(self))

    # -- loading -------------------------------------------------------------------------------------------

    def loadSystemConfiguration(self, fileName: str | Path = "MMConfig_demo.cfg") -> None:  # noqa: N802, N803
        """Load a configuration; afterwards every device in it has started.

        Parameters
        ----------
        fileName
            A Micro-Manager ``.cfg`` file.

        Raises
        ------
        RigError
            The file isn't there or names what isn't there; with file and line.
        DeviceNotReadyError
            A device failed to start; with the names and reasons of all that failed. No device stays loaded.
        """
        path = Path(fileName)
        self._is_loading = True
        pymmcore.CMMCore.registerCallback(self, self._callback_relay)
        try:
            with _readable_by_core(path) as readable:
                super().loadSystemConfiguration(readable)
        except FileNotFoundError as error:
            raise RigError("no such Micro-Manager configuration", path=path) from error
        except (DeviceError, RigError):
            raise
        except Exception as error:  # the core raises whatever a device or adapter raised
            raise self._cfg_error(error, path) from error
        finally:
            self._is_loading = False
        self._check_started()
        self.setAutoShutter(False)

    def unloadAllDevices(self) -> None:  # noqa: N802
        """Let all devices go; from then on no events are delivered until a configuration is loaded again."""
        super().unloadAllDevices()
        if not self._is_loading:
            _silence(weakref.ref(self))

    def initializeAllDevices(self) -> None:  # noqa: N802
        """Connect Python devices to their hubs and start all devices.

        Raises
        ------
        DeviceNotReadyError
            A device failed to start, or its ``Parent`` isn't there.
        """
        self._connect_hubs()
        super().initializeAllDevices()
        self._check_started()

    def python_device(self, label: str) -> Device:
        """The Python object behind a label.

        Raises
        ------
        DeviceNotReadyError
            There is no Python device of this label.
        """
        if not self.isPyDevice(label):
            raise DeviceNotReadyError("no such Python device", device=label)
        return self._pydevices[label]

    def python_labels(self) -> tuple[str, ...]:
        """Labels of all Python devices."""
        return tuple(self._pydevices)

    def time_source(self) -> tuple[Callable[[], float], Callable[[float], None]]:
        """What time it is, in s, and how to wait: the devices' own clock where they have one, else the wall's."""
        for label in self.python_labels():
            device = self.python_device(label)
            if isinstance(device, TimeKeeper):
                return device.now_s, device.sleep_s
        return time.monotonic, time.sleep

    def _connect_hubs(self) -> None:
        for label in self.python_labels():
            device = self.python_device(label)
            if not isinstance(device, HubPeripheral):
                continue
            hub = device.get_parent_label()
            if not hub or not self.isPyDevice(hub):
                raise DeviceNotReadyError(
                    "needs a hub: give it a line '#py Parent,<device>,<hub>' before Initialize",
                    device=label,
                    wanted="a loaded Python hub",
                    actual=hub or "none",
                )
            device.connect_hub(self.python_device(hub))

    def _check_started(self) -> None:
        failed: list[tuple[str, str]] = []
        for label in self.getLoadedDevices():
            if label == _CORE_LABEL:
                continue
            state = self.getDeviceInitializationState(label)
            if state != DeviceInitializationState.InitializedSuccessfully:
                failed.append((label, self._why_not_started(label, state)))
        if not failed:
            return
        message = "; ".join(f"{label}: {reason}" for label, reason in failed)
        self.unloadAllDevices()
        raise DeviceNotReadyError(f"not initialised ({message})", device=", ".join(label for label, _ in failed))

    def _why_not_started(self, label: str, state: DeviceInitializationState) -> str:
        if self.isPyDevice(label):
            # The manager tells that a device failed; why it did stands in this attribute alone.
            reason = self.python_device(label)._initialized_
            if isinstance(reason, BaseException):
                return f"{type(reason).__name__}: {reason}"
        return str(state.name)

    def _cfg_error(self, error: Exception, path: Path) -> Exception:
        inner: BaseException | None = error
        while inner is not None:
            if isinstance(inner, DeviceError):
                return inner
            inner = inner.__cause__
        found = _CFG_LINE.search(str(error))
        line = None if found is None else int(found.group(1))
        missing = missing_adapters(read_configuration_file(path), self.getDeviceAdapterNames())
        if missing:
            # The core stops at the first one, and names neither the others nor where they come from.
            names = "; ".join(str(adapter) for adapter in missing)
            return RigError(f"not installed: {names}. To get them: {how_to_install()}", path=path, line=line)
        return RigError(
            _one_line(_CFG_COMMAND.sub(":", found.group(2)) if found else str(error)), path=path, line=line
        )

    # -- properties ----------------------------------------------------------------------------------------

    def setProperty(self, label: str, propName: str, propValue: bool | float | int | str) -> None:  # noqa: N802, N803
        """Set a property; text is converted to the type of a Python device's property.

        Parameters
        ----------
        label, propName
            Device and property.
        propValue
            Value; a configuration file only has text.
        """
        value = propValue
        if isinstance(value, str) and self.isPyDevice(label) and self.hasProperty(label, propName):
            value = _coerce(value, self.getPropertyType(label, propName))
        super().setProperty(label, propName, value)

    # -- pixel size ----------------------------------------------------------------------------------------

    def getCurrentPixelSizeConfig(self, cached: bool = False) -> str:  # type: ignore[override]  # noqa: N802
        """Name of the first pixel-size preset whose every setting holds; empty where none does."""
        for preset in self.getAvailablePixelSizeConfigs():
            settings = list(self.getPixelSizeConfigData(preset))
            if settings and all(self._holds(*setting) for setting in settings):
                return str(preset)
        return ""

    def getPixelSizeUm(self, cached: bool = False) -> float:  # noqa: N802
        """Size of a camera pixel on the specimen; 0 where no preset matches."""
        preset = self.getCurrentPixelSizeConfig(cached)
        if not preset:
            return 0.0
        return float(self.getPixelSizeUmByID(preset)) * self._binning() / float(self.getMagnificationFactor())

    def getPixelSizeAffine(self, cached: bool = False) -> tuple[float, float, float, float, float, float]:  # noqa: N802
        """Affine transform from image to stage; all 0 where no preset matches."""
        preset = self.getCurrentPixelSizeConfig(cached)
        if not preset:
            return (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        stored = tuple(float(value) for value in self.getPixelSizeAffineByID(preset))
        if stored == _IDENTITY:
            # None was given: axes run alike, and the pixel size says how far.
            size_um = self.getPixelSizeUm(cached)
            return (size_um, 0.0, 0.0, 0.0, size_um, 0.0)
        scale = self._binning() / float(self.getMagnificationFactor())
        values = tuple(value * scale for value in stored)
        return cast("tuple[float, float, float, float, float, float]", values)

    def _holds(self, device: str, name: str, wanted: str) -> bool:
        if device not in self.getLoadedDevices() or not self.hasProperty(device, name):
            return False
        return _same(self.getProperty(device, name), wanted)

    def _binning(self) -> float:
        camera = self.getCameraDevice()
        if not camera or not self.hasProperty(camera, "Binning"):
            return 1.0
        return float(str(self.getProperty(camera, "Binning")).split("x")[0])

    # -- waiting -------------------------------------------------------------------------------------------

    def wait_until_idle(
        self,
        labels: Iterable[str],
        deadline_s: float,
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        check: Callable[[], None] | None = None,
        poll_s: float = POLL_S,
    ) -> float:
        """Wait until none of the devices is busy.

        Parameters
        ----------
        labels
            Devices to ask; no others are.
        deadline_s
            Give up after this many seconds; computed by the caller from distance, speed and acceleration.
        now, pause
            Time source and waiting, in s.
        check
            Called before each question; what it raises ends the waiting.
        poll_s
            Time between two questions.

        Returns
        -------
        float
            Seconds waited.

        Raises
        ------
        MoveTimeoutError
            A device was still busy at the deadline.
        """
        start_s = now()
        waiting = list(labels)
        while True:
            if check is not None:
                check()
            waiting = [label for label in waiting if self.deviceBusy(label)]
            waited_s = now() - start_s
            if not waiting:
                return waited_s
            if waited_s >= deadline_s:
                raise MoveTimeoutError(
                    f"still busy after {waited_s:.3f} s",
                    device=", ".join(waiting),
                    wanted=f"idle within {deadline_s:.3f}",
                    unit="s",
                )
            pause(poll_s)

    def _do_stop_sequence_acquisition(self, cameraLabel: str) -> None:  # noqa: N803
        if self.isPyDevice(cameraLabel):
            camera = self.python_device(cameraLabel)
            if isinstance(camera, SequenceCamera):
                camera.end_sequence()
        super()._do_stop_sequence_acquisition(cameraLabel)

    def getImage(self, numChannel: int | None = None, *, fix: bool = True) -> np.ndarray[Any, Any]:  # noqa: N802, N803
        """Frame of the last `snapImage`, once the camera has read it out.

        Parameters
        ----------
        numChannel
            Channel of a camera that has several.
        fix
            Whether to bring colour channels into their usual order.

        Raises
        ------
        MoveTimeoutError
            The camera was still busy after `READ_OUT_DEADLINE_S`.
        """
        camera = self.getCameraDevice()
        if camera and self.isPyDevice(camera):
            self.wait_until_idle([camera], READ_OUT_DEADLINE_S)
        image = super().getImage(fix=fix) if numChannel is None else super().getImage(numChannel, fix=fix)
        return np.asarray(image)


@contextmanager
def _readable_by_core(path: Path) -> Iterator[Path]:
    """The configuration itself, or a copy where it has a byte-order mark or letters beyond ASCII.

    The core reads a configuration in the encoding of the system, which on Windows is rarely the file's.
    """
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if content.isascii():
        yield path
        return
    encoding = locale.getpreferredencoding(do_setlocale=False)
    try:
        encoded = decode_configuration(content).encode(encoding)
    except UnicodeEncodeError as error:
        raise RigError(
            f"holds {error.object[error.start]!r}, which this system's encoding ({error.encoding}) lacks: rename "
            "the label, or set the environment variable PYTHONUTF8 to 1",
            path=path,
        ) from error
    with tempfile.TemporaryDirectory(prefix="karyoscan-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(encoded)
        yield copy


def _coerce(text: str, kind: PropertyType) -> str | int | float:
    try:
        if kind == PropertyType.Integer:
            return int(text)
        if kind == PropertyType.Float:
            return float(text)
    except ValueError:
        # The device's own check names property and allowed values.
        return text
    return text


def _same(found: object, wanted: str) -> bool:
    if str(found) == wanted:
        return True
    try:
        return float(str(found)) == float(wanted)
    except ValueError:
        return False


def _one_line(text: str) -> str:
    return " ".join(dict.fromkeys(part.strip() for part in text.splitlines() if part.strip()))


def _silence(core: weakref.ref[ScanCore]) -> None:
    alive = core()
    if alive is not None:
        # Past the wrapper, which forbids it; it waits for the thread that delivers events.
        pymmcore.CMMCore.registerCallback(alive, None)
