"""A real browser for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "MEDBENCH_CHROMIUM"


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system's; skips where there is none."""
    path = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs one of {', '.join(NAMES)} on PATH, or {VARIABLE} with the path of one")
    # who may start processes for others needs no sandbox's permission, and gets none from it
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if root else [])
        yield started
        started.close()


@contextmanager
def opened(
    started: Browser, file: Path, *, width: int = 1200, anchor: str = "", before: str = "", **options: Any
) -> Iterator[Page]:
    """A page of its own that shows ``file``; fails if the browser complains of anything or asks for anything else.

    Args:
        started: the browser.
        file: the page's.
        width: of the window, in pixels.
        anchor: what follows the address.
        before: a script that runs before those of the page.
        options: of the browser's context, as ``color_scheme="dark"``.
    """
    context = started.new_context(viewport={"width": width, "height": 900}, **options)
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:", "blob:")) else complaints.append(request.url)
        ),
    )
    if before:
        page.add_init_script(before)
    page.goto(file.as_uri() + anchor)
    if page.locator("#browser").count():
        page.locator("#browser").wait_for(state="visible")
    yield page
    context.close()
    assert complaints == [], "\n".join(complaints)
