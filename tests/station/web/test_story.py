"""The whole story in a real browser: first run, protocol by form, a simulated night that is paused and stopped."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acquisition.storage.run_folder import is_in_use
from station.laboratory.permissions import AccountRole
from tests.station.headless_browser import CHROMIUM
from tests.station.web.conftest import PASSWORD, PROTOCOL, Station, station_in
from tests.station.web.test_nights import TRAY, until

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")

playwright_api.expect.set_options(timeout=120_000)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]

SCREENSHOTS = os.environ.get("KARYOSCAN_SCREENSHOTS")
"""Folder into which pictures of all pages are written; none where it isn't set."""
WORKLIST = "barcode,accession,protocol,priority\nKS-1,case-1,demo-ours,\nKS-2,case-2,demo-ours,\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1366, "height": 768})
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda line: complaints.append(line.text) if _is_complaint(line) else None)
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.set_default_timeout(120_000)
    yield opened
    opened.close()
    assert complaints == []


def _is_complaint(line: Any) -> bool:
    # An answer that is a problem is the story's own business; a policy that was broken is not.
    return line.type == "error" and "Failed to load resource" not in line.text


def shoot(page: Any, name: str) -> None:
    if SCREENSHOTS is None:
        return
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.evaluate("document.dispatchEvent(new CustomEvent('theme'))")
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{theme}.png")


def make_technician(page: Any, station: Station) -> None:
    """First run by the link, a technician by the administrator, and the technician's own password."""
    page.goto(f"{station.url}/setup#{station.accounts.issue_setup_token().token}")
    page.get_by_label("Name", exact=True).fill("anna")
    page.get_by_label("Full name").fill("Anna Weber")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the administrator").click()
    form = page.locator("users-view form")
    form.get_by_label("Name", exact=True).fill("tom")
    form.get_by_label("Full name").fill("Tom Berg")
    form.get_by_label("First password").fill(PASSWORD)
    form.get_by_label("technician").check()
    form.get_by_role("button", name="Add").click()
    page.locator("users-view td", has_text="Tom Berg").wait_for()
    shoot(page, "users")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()
    page.get_by_label("Name", exact=True).fill("tom")
    page.get_by_label("Password").fill(PASSWORD)
    shoot(page, "log-in")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password").fill("tom's own long password")
    page.get_by_role("button", name="Change the password").click()
    page.get_by_role("heading", name="Runs", exact=True).wait_for()


def write_protocol(page: Any) -> None:
    """A packaged protocol, made small by the form, and kept under another name."""
    page.get_by_role("link", name="Protocols").click()
    page.get_by_role("link", name="demo", exact=True).click()
    yaml = page.get_by_label("YAML")
    for key, value in (("x_max_um", "22400"), ("y_max_um", "10400")):
        page.get_by_label(key).fill(value)
        page.get_by_label(key).press("Tab")
        playwright_api.expect(yaml).to_have_value(re.compile(f"{key}: {value}"))
    playwright_api.expect(yaml).to_have_value(re.compile("# A small area of a simulated slide"))
    page.locator("#field-capture-number").fill("1")
    page.locator("#field-capture-number").press("Tab")
    playwright_api.expect(yaml).to_have_value(re.compile("number: 1\n"))
    # The other way round: what is typed shows in the form, and what is wrong is said at once.
    text = yaml.input_value()
    yaml.fill(text.replace("exposure_ms: 5", "exposure_ms: fast"))
    page.get_by_text("scan.exposure_ms").first.wait_for()
    assert page.get_by_role("button", name="Keep as a new version").is_disabled()
    yaml.fill(text.replace("exposure_ms: 5", "exposure_ms: 6"))
    playwright_api.expect(page.locator("#field-scan-exposure_ms")).to_have_value("6")
    shoot(page, "protocol")
    page.get_by_label("Why").fill("a small area for the first night")
    page.get_by_role("button", name="Keep as a new version").click()
    page.get_by_role("heading", name="demo-ours").wait_for()
    page.get_by_text("a small area for the first night").wait_for()


def begin_night(page: Any) -> None:
    page.get_by_role("link", name="Nights").click()
    page.get_by_label("Name of the night").fill("first-night")
    page.get_by_label("Worklist (CSV)").fill(WORKLIST)
    page.get_by_text("Simulated magazine (CSV)").click()
    page.get_by_role("textbox", name="Simulated magazine (CSV)").fill(TRAY)
    page.get_by_role("button", name="What would happen?").click()
    page.get_by_text("The night can begin.").wait_for()
    page.get_by_text("slot 7: KS-8 isn't on the worklist").wait_for()
    shoot(page, "nights")
    page.get_by_role("button", name="Start the night").click()
    page.locator(".slot").first.wait_for()
    assert page.locator(".slot").count() == 80


def test_from_the_first_run_to_a_night_that_is_stopped(page: Any, tmp_path: Path) -> None:
    with station_in(tmp_path / "laboratory") as station:
        make_technician(page, station)
        write_protocol(page)
        begin_night(page)
        folder = station.data.runs / "first-night"
        page.locator(".slot.running a").click()
        page.get_by_role("heading", name="first-night / ").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("Waits for the command resume").wait_for()
        fields = page.evaluate("document.querySelector('run-view').run.fields.size")
        shoot(page, "run-paused")
        # Loaded anew, the page shows what it showed.
        page.reload()
        page.get_by_text("Waits for the command resume").wait_for()
        assert page.evaluate("document.querySelector('run-view').run.fields.size") >= fields
        page.keyboard.press("p")
        page.get_by_text("Waits for the command resume").wait_for(state="detached")
        page.get_by_role("link", name="Nights").click()
        page.get_by_role("link", name="first-night").click()
        page.get_by_role("button", name="Stop").click()
        until(lambda: not is_in_use(folder))
        page.get_by_role("button", name="Go on with this night").wait_for()
        page.get_by_text("parked").first.wait_for()
        shoot(page, "night")


def test_pages_work_by_keyboard_and_name_what_they_hold(page: Any, station: Station, finished_run: Path) -> None:
    shutil.copytree(finished_run, station.data.runs / "older")
    station.context.protocols.write("small", PROTOCOL, expected_version=0, author="anna")
    station.client(AccountRole.TECHNICIAN)
    page.goto(station.url)
    page.get_by_label("Name", exact=True).fill("a-technician")
    page.get_by_label("Password").fill(f"{PASSWORD} technician")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("older")
    playwright_api.expect(page.locator("runs-view tbody tr")).to_have_count(1)
    shoot(page, "runs")
    page.get_by_role("link", name="older").click()
    page.get_by_role("heading", name="older").wait_for()
    page.keyboard.press("j")
    playwright_api.expect(page.locator('.cell[aria-current="true"]')).to_contain_text("1. cell-0001")
    playwright_api.expect(page.get_by_alt_text("63x").first).to_have_js_property("complete", True)
    shoot(page, "run")
    for key, heading in (("2", "Nights"), ("3", "Protocols"), ("4", "Rigs")):
        page.locator("body").press(key)
        page.get_by_role("heading", name=heading, exact=True).wait_for()
        shoot(page, heading.lower())
    page.get_by_role("link", name="simulated", exact=True).click()
    page.get_by_text("objective 63x").wait_for()
    shoot(page, "rig")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, textarea, button, img')]"
        ".filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim() || e.alt))"
        ".map((e) => e.outerHTML)"
    )
    assert unnamed == []
    sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]
