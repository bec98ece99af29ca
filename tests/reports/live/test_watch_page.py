"""The page of `nngpt cycle watch` in a real browser: what it shows, and that text stays text."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import MISSING, PROGRAM, Browser
from watch_samples import (
    HOSTILE,
    HOSTILE_CODE,
    new_run,
    open_runs,
    served,
    settle,
    watched,
    whole_cycle,
    write,
)

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

CELLS = "document.querySelectorAll('#strip .row:first-child a').length"
FEED = "document.querySelectorAll('#feed li:not(.empty)').length"
TITLE = "document.getElementById('panel-title').textContent"
OPEN = "!document.getElementById('panel').hidden"
INJECTED = "document.querySelectorAll('img, main script, aside script').length"
OVERFLOW = "document.documentElement.scrollWidth > innerWidth"


def text(where: str) -> str:
    """JavaScript for the text of an element."""
    return f"document.querySelector('{where}').textContent"


def test_new_rows_appear_in_place(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store)
        with served(tmp_path) as server, Browser(tmp_path) as page, store.lease(run.id) as lease:
            page.go(server.address)
            page.wait(f"{text('#status')} === 'running'")
            assert page.ask(text("#strip")) == "Nothing written yet."
            assert page.ask(text("#feed")) == "Nothing yet."
            ids = write(lease, 1, 0, 2)
            page.wait(f"{CELLS} === 2")
            page.ask("document.querySelector('#strip a').focus(); document.activeElement.known = 1")
            settle(lease, ids[0], 0.5)
            page.wait(f"{FEED} === 1")
            page.wait("document.querySelector('#strip a svg').classList.contains('m-admitted')")
            # It is the same link, and the focus is still there.
            assert page.ask("document.activeElement.known") == 1
            assert page.ask(text(".tile:nth-child(4) b")) == "100%"
            settle(lease, ids[1], 0.6)
            page.wait(f"{FEED} === 2")
            assert page.ask(text("#feed li:first-child a")) == f"#{ids[1]}"
            assert page.ask(text("#best li:first-child a")) == f"#{ids[1]}"
            assert page.errors == []


def test_text_of_a_model_stays_text(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store, HOSTILE)
        with store.lease(run.id) as lease:
            ids = whole_cycle(lease, 1, alarm=HOSTILE)
            settle(lease, write(lease, 2, 0, 1)[0], 0.5, HOSTILE_CODE)
    with served(tmp_path, "1") as server, Browser(tmp_path) as page:
        page.go(f"{server.address}#attempt-9")
        page.wait(f"{OPEN} && {TITLE} === '#9'")
        shown = HOSTILE.replace("\u202e", "\\u202e")
        assert page.ask("document.querySelector('#panel-body pre').textContent") == (
            f"# {shown}\nclass Net: pass"
        )
        assert page.ask(text("#name")) == shown
        assert page.ask(text("#notes li")) == f"Cycle 1: {shown}"
        assert shown in page.ask(text("#panel-body dl"))
        page.ask(f"location.hash = 'attempt-{ids[0]}'")
        page.wait(f"{TITLE} === '#{ids[0]}'")
        assert page.ask(text(".detail")) == shown
        assert page.ask(text("#feed li:last-child .reason")) == shown
        field = "document.querySelector('.compare input')"
        page.ask(f"{field}.value = 9; {field}.dispatchEvent(new Event('change'))")
        page.wait(f"{TITLE} === '#{ids[0]} and #9'")
        assert f"# {shown}" in page.ask(text(".diff .new"))
        page.ask("location.hash = 'attempt-999'")
        page.wait(f"{text('#panel-body')}.includes('no attempt 999')")
        assert (page.ask(INJECTED), "owned" in page.ask("document.title.slice(0, 20)")) == (
            0,
            False,
        )
        # The one complaint is about the candidate that is not there.
        assert [error for error in page.errors if "404" not in error] == []


def test_keyboard_and_narrow_windows(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store)
        with store.lease(run.id) as lease:
            lease.describe_images([str(n) for n in range(10)], "digest")
            whole_cycle(lease, 1)
            whole_cycle(lease, 2)
    with served(tmp_path) as server, Browser(tmp_path) as page:
        page.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
        page.go(server.address)
        page.wait(f"{CELLS} === 4")
        assert "Loop minus frozen LLM so far, at any time: " in page.ask(text("#leads p"))
        page.ask("document.querySelector('#strip a').focus()")
        page.press("ArrowRight", 39)
        page.press("Enter", 13)
        page.wait(OPEN)
        assert page.ask(TITLE) == "#10"
        assert page.ask("document.activeElement.id") == "panel-title"
        page.press("Escape", 27)
        page.wait(f"!({OPEN})")
        assert page.ask("document.activeElement.hash") == "#attempt-10"
        page.ask("document.querySelector('#charts svg').focus()")
        page.press("ArrowRight", 39)
        assert "Cycle 1" in page.ask(text(".tip")) and "75% [30–95]" in page.ask(text(".tip"))
        assert page.ask("document.querySelectorAll('#figures tbody tr').length") == 6
        assert page.ask("document.querySelectorAll('#charts .a-base .point').length") == 12
        assert (
            page.ask("getComputedStyle(document.querySelector('.pill'), '::before').animationName")
            == "none"
        )
        dark = page.ask("getComputedStyle(document.body).backgroundColor")
        page.prefer(prefers_color_scheme="light")
        assert page.ask("getComputedStyle(document.body).backgroundColor") != dark
        page.ask("document.getElementById('all').open = true")
        rows = "document.querySelectorAll('#all-list li:not(.empty)').length"
        page.wait(f"{rows} === 16")
        assert page.ask(text("#all-range")) == "1–16 of 16"
        choose = "document.getElementById('all-standing')"
        page.ask(f"{choose}.value = 'refused'; {choose}.dispatchEvent(new Event('change'))")
        page.wait(f"{rows} === 4")
        for width in (1280, 420):
            page.resize(width, 900)
            assert page.ask(OVERFLOW) is False
        assert page.errors == []


def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store)
        with Browser(tmp_path) as page:
            with watched(tmp_path) as server:
                page.go(server.address)
                page.wait(f"{text('#name')} === 'demo'")
            page.wait("!document.getElementById('banner').hidden")
            assert page.ask(text("#banner")).startswith("The server has stopped; the page is from ")
            assert page.ask(text("#name")) == "demo"
            with store.lease(run.id) as lease:
                write(lease, 1, 0, 3)
            with watched(tmp_path, "--port", str(server.port)):
                page.wait(f"document.getElementById('banner').hidden && {CELLS} === 3")
