"""``karyoscan rig look``: pictures and positions over HTTP, the light only for viewers, and safe at every end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from acquisition.run.control import RunControl
from scanner.errors import DeviceError
from scanner.live_view import LiveView
from simulators.faults import Fault, FaultKind
from station.cli import main
from station.errors import UsageError
from station.exit_codes import ExitCode
from station.instrument.live import watch
from station.instrument.live.server import serving
from station.instrument.live.session import LIVE_SESSION, LiveSession
from station.instrument.live.watch import LiveRequest, keep_picture, watch_instrument
from tests.station.headless_browser import CHROMIUM, browser_page

ROOT = Path(__file__).parents[2]
SIMULATED = ROOT / "hardware_configs" / "simulated"
QUICK = replace(LIVE_SESSION, picture_period_s=0.02, idle_period_s=0.02, retry_s=0.02)


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def session(bench):
    return LiveSession(
        LiveView(bench.core, bench.rig, bench.microscope), bench.microscope, first_exposure_ms=8.0, automatic=True
    )


@contextmanager
def running(session):
    thread = threading.Thread(target=session.run)
    thread.start()
    try:
        yield session
    finally:
        session.end()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def live_page(monkeypatch, settings=QUICK):
    """A page that is served, with the instrument behind it; at the end the instrument is safe."""
    opened = []
    original = watch.open_instrument

    @contextmanager
    def recorded(*arguments, **keywords):
        with original(*arguments, **keywords) as instrument:
            opened.append(instrument)
            yield instrument
            twin, down_um = instrument.twin, instrument.rig.focus.down_um
            assert not twin.lamp_open
            assert twin.focus_um() == pytest.approx(down_um, abs=1.0)

    monkeypatch.setattr(watch, "open_instrument", recorded)
    control, ready, urls, errors = RunControl(), threading.Event(), [], []

    def serve():
        try:
            watch_instrument(
                LiveRequest(SIMULATED),
                lambda url: (urls.append(url), ready.set()),
                control=control,
                settings=settings,
            )
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(60)
        assert not errors
        yield urls[0], opened[0]
    finally:
        control.request_stop()
        thread.join(60)
    assert not thread.is_alive()
    assert not errors


def ask(url, path, method="GET", headers=None):
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def picture_of(url):
    """The first picture; a request for it may end before it is there."""
    while True:
        status, _, content = ask(url, "/picture.jpg")
        if status == 200:
            return content


def state(url):
    return json.loads(ask(url, "/state.json")[2])


def until(condition, timeout_s=30.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


# -- the session -------------------------------------------------------------------------------------------


def test_pictures_come_only_while_somebody_asks_and_the_light_with_them(bench):
    view = LiveView(bench.core, bench.rig, bench.microscope)
    clock = Clock()
    session = LiveSession(view, bench.microscope, first_exposure_ms=8.0, automatic=True, settings=QUICK, now=clock)
    with running(session):
        until(lambda: session.state().positions is not None)
        assert session.state().picture is None
        assert not bench.twin.lamp_open
        first = session.wait_for_picture(0, 30.0)
        assert bench.twin.lamp_open
        second = session.wait_for_picture(first.number, 30.0)
        assert second.number > first.number
        clock.now_s = QUICK.viewer_timeout_s
        until(lambda: not bench.twin.lamp_open)
        exposures = bench.twin.exposures
        assert not session.state().watched
        until(lambda: session.state().positions.light_on is False)
        assert bench.twin.exposures == exposures


def test_a_fault_of_the_camera_is_kept_until_there_is_a_picture_again(bench):
    view = LiveView(bench.core, bench.rig, bench.microscope)
    session = LiveSession(view, bench.microscope, first_exposure_ms=8.0, automatic=False, settings=QUICK)
    bench.twin.faults.add(Fault(FaultKind.CAMERA_RAISES, "Camera", times=3))
    with running(session):
        assert session.wait_for_picture(0, 0.0) is None
        until(lambda: session.state().faults)
        assert "Camera: picture failed" in session.state().faults[0]
        assert session.wait_for_picture(0, 30.0) is not None
        assert session.state().faults == ()


def test_a_device_that_does_not_answer_is_told_and_positions_age(bench):
    clock = Clock()
    view = LiveView(bench.core, bench.rig, bench.microscope)
    asked, released = threading.Event(), threading.Event()

    def snap():
        asked.set()
        released.wait(60)

    bench.core.snapImage = snap
    session = LiveSession(view, bench.microscope, first_exposure_ms=8.0, automatic=False, now=clock)
    try:
        with running(session):
            session.wait_for_picture(0, 0.0)
            assert asked.wait(30)
            assert session.state().hanging is None
            clock.now_s = 12.0
            state = session.state()
            assert (state.hanging.what, state.hanging.for_s) == ("picture", 12.0)
            assert state.positions_age_s == 12.0
            released.set()
            until(lambda: session.state().hanging is None)
    finally:
        released.set()


# -- the page ----------------------------------------------------------------------------------------------


def test_the_page_gives_pictures_and_positions(monkeypatch):
    with live_page(monkeypatch) as (url, instrument):
        status, headers, page = ask(url, "/")
        assert status == 200
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert b"http://" not in page.replace(url.encode(), b"")
        assert b"https://" not in page
        picture_of(url)
        status, headers, content = ask(url, "/picture.jpg?after=0")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape[1] == 1000
        # Auto contrast: a picture of a cell on a bright ground uses the whole range.
        assert np.ptp(picture) > 200
        number = int(headers["X-Picture-Number"])
        until(lambda: int(ask(url, f"/picture.jpg?after={number}")[1].get("X-Picture-Number", 0)) > number)
        document = state(url)
        rows = {row["name"]: (row["value"], row["unit"]) for row in document["positions"]}
        x_um, y_um = instrument.twin.stage_um()
        assert rows["stage x"] == (f"{x_um:.1f}", "um")
        assert rows["stage y"] == (f"{y_um:.1f}", "um")
        assert rows["objective"] == ("10x", "")
        assert rows["transmitted light"] == ("on", "")
        assert document["picture"]["bar_um"] == 100.0
        assert {one["action"]: one["allowed"] for one in document["interlocks"]}["move"]


def test_the_light_goes_off_when_the_last_viewer_is_gone(monkeypatch):
    with live_page(monkeypatch, replace(QUICK, viewer_timeout_s=0.3)) as (url, instrument):
        picture = cv2.imdecode(np.frombuffer(picture_of(url), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.ptp(picture) > 200
        until(lambda: not instrument.twin.lamp_open)
        # The state alone keeps no light on.
        assert state(url)["watched"] is False


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/", "GET", {"Host": "rig.example.org"}, 403),
        ("/picture.jpg", "GET", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/state.json", "POST", {}, 501),
        ("/../rig.yaml", "GET", {}, 404),
        ("/picture.jpg?after=-1", "GET", {}, 400),
        ("/picture.jpg?after=" + "9" * 5000, "GET", {}, 400),
        ("/state.json", "HEAD", {}, 501),
    ],
)
def test_nothing_else_is_answered(bench, session, path, method, headers, status):
    with serving(0, bench.rig, session) as url:
        assert ask(url, path, method, headers)[0] == status
    assert not bench.twin.lamp_open


def test_a_port_that_is_taken_is_refused_in_one_line(bench, session):
    with serving(0, bench.rig, session) as url:
        port = urlsplit(url).port
        with pytest.raises(UsageError, match=f"--port: {port} can't be used"), serving(port, bench.rig, session):
            pass


def test_only_this_machine_is_served(bench, session):
    with serving(0, bench.rig, session) as url:
        assert urlsplit(url).hostname == "127.0.0.1"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or os.name == "nt", reason="no Chromium that can be steered through a pipe")
def test_a_browser_shows_the_picture_and_tells_of_a_fault(monkeypatch, tmp_path):
    with live_page(monkeypatch) as (url, instrument), browser_page(tmp_path / "profile") as page:
        page.call("Page.navigate", url=url)
        page.until("document.getElementById('caption')?.textContent.includes('pictures/s')")
        assert page.evaluate("document.getElementById('picture').naturalWidth") == 1000
        assert page.evaluate("document.getElementById('badge').textContent") == "live"
        shown = page.evaluate("document.getElementById('positions').innerText")
        assert f"{instrument.twin.stage_um()[0]:.1f} um" in shown
        assert "refused: the focus has to be down" in page.evaluate("document.body.innerText")
        instrument.twin.faults.add(Fault(FaultKind.CAMERA_RAISES, "Camera", times=1000))
        page.until("document.getElementById('alarms').textContent.includes('Camera: picture failed')")
        assert page.complaints == []


# -- one picture -------------------------------------------------------------------------------------------


def test_one_picture_is_kept_with_the_positions(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["rig", "look", "simulated", "--once", str(tmp_path / "kept")])
    assert not caught.value.code
    raw = cv2.imread(str(tmp_path / "kept" / "picture-raw.png"), cv2.IMREAD_UNCHANGED)
    shown = cv2.imread(str(tmp_path / "kept" / "picture.png"), cv2.IMREAD_UNCHANGED)
    assert (raw.dtype, shown.dtype) == (np.uint16, np.uint8)
    assert raw.shape == shown.shape
    document = json.loads((tmp_path / "kept" / "state.json").read_bytes())
    assert document["picture"]["brightest"] == raw.max()
    assert document["faults"] == []
    assert "state.json" in capsys.readouterr().out


def test_a_folder_that_can_not_be_made_is_refused_before_the_instrument_is_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Exception, match="file"):
        keep_picture(LiveRequest(tmp_path / "no rig"), tmp_path / "file" / "kept")


def test_a_camera_without_pictures_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(
        LiveView, "picture", lambda *_: (_ for _ in ()).throw(DeviceError("dead", device="Camera"))
    )
    ending = replace(watch.ENDING, first_picture_s=0.2)
    with pytest.raises(DeviceError, match="no picture: Camera: dead"):
        keep_picture(LiveRequest(SIMULATED), tmp_path, settings=QUICK, ending=ending)
    assert not any(tmp_path.iterdir())


# -- ends --------------------------------------------------------------------------------------------------

RECORDING = """
import json, sys
from contextlib import contextmanager
from pathlib import Path
from station.cli import main
from station.instrument.live import watch

open_instrument = watch.open_instrument

@contextmanager
def recorded(*arguments, **keywords):
    with open_instrument(*arguments, **keywords) as instrument:
        try:
            yield instrument
        finally:
            twin, down_um = instrument.twin, instrument.rig.focus.down_um
            state = {"lamp_open": twin.lamp_open, "is_down": abs(twin.focus_um() - down_um) < 1.0}
            Path(sys.argv[1]).write_text(json.dumps(state))

watch.open_instrument = recorded
main(sys.argv[2:])
"""


def start(program, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
        **options,
    )


def address_in(text):
    return next(word for word in text.split() if word.startswith("http://"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no signals to other processes")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_ends_safe_while_it_is_watched(tmp_path, name):
    process = start(
        RECORDING,
        tmp_path / "twin.json",
        "rig",
        "look",
        SIMULATED,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        url = address_in(process.stdout.readline().decode())
        assert picture_of(url)
        process.send_signal(getattr(signal, name))
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert b"Light off" in rest
    finally:
        process.kill()
        process.communicate()
    assert json.loads((tmp_path / "twin.json").read_bytes()) == {"lamp_open": False, "is_down": True}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_closed_terminal_ends_safe_while_it_is_watched(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    process = start(
        "import fcntl, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0)\n" + RECORDING,
        *(tmp_path / "twin.json", "rig", "look", SIMULATED),
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        text = ""
        while "Ctrl-C ends" not in text:
            text += os.read(ours, 1000).decode()
        assert picture_of(address_in(text))
        os.close(ours)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert json.loads((tmp_path / "twin.json").read_bytes()) == {"lamp_open": False, "is_down": True}


HANGING_CAMERA = """
import threading
from simulators.devices import TwinCamera

class HangingCamera(TwinCamera):
    def snap(self, buffer):
        threading.Event().wait()
"""

HANGING = """
import sys
from station.instrument.live import watch
from dataclasses import replace
from station.cli import main
watch.ENDING = replace(watch.ENDING, thread_s=1.0)
watch.watch_instrument.__kwdefaults__["ending"] = watch.ENDING
sys.path.insert(0, sys.argv[1])
main(sys.argv[2:])
"""


def test_a_device_that_never_answers_is_given_up(bench):
    clock = Clock()
    asked, released = threading.Event(), threading.Event()
    bench.core.snapImage = lambda: (asked.set(), released.wait(60))
    view = LiveView(bench.core, bench.rig, bench.microscope)
    session = LiveSession(view, bench.microscope, first_exposure_ms=8.0, automatic=False, now=clock)
    try:
        with running(session):
            session.wait_for_picture(0, 0.0)
            assert asked.wait(30)
            clock.now_s = LIVE_SESSION.patience_s + LIVE_SESSION.hang_end_s
            assert not session.is_stuck
            clock.now_s += 1.0
            assert session.is_stuck
            released.set()
    finally:
        released.set()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no signals to other processes")
def test_a_camera_that_hangs_in_its_call_is_told_and_the_end_still_comes(tmp_path):
    (tmp_path / "hanging_camera.py").write_text(HANGING_CAMERA, encoding="utf-8", newline="\n")
    for name in ("rig.yaml", "micro-manager.cfg"):
        text = (SIMULATED / name).read_text(encoding="utf-8")
        text = text.replace("Camera,simulators.devices,TwinCamera", "Camera,hanging_camera,HangingCamera")
        (tmp_path / name).write_text(text, encoding="utf-8", newline="\n")
    process = start(HANGING, tmp_path, "rig", "look", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        url = address_in(process.stdout.readline().decode())
        assert ask(url, "/picture.jpg")[0] == 204
        until(lambda: state(url)["hanging"] is not None)
        assert state(url)["hanging"]["what"] == "picture"
        process.terminate()
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == ExitCode.DEVICE_HANGS
        assert b"a device doesn't answer and is left as it is" in rest
        assert b"light off, stage halted, focus down" in rest
    finally:
        process.kill()
        process.communicate()
