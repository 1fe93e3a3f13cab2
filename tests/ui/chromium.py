"""A signed-in Chromium, and what is kept of what it shows.

Why this module exists: the tests of the UI need a browser that is installed, not one that is downloaded, and
somebody who looks into a failure needs what the browser has shown. Invariants: a profile of its own for each
run; pictures and the console are kept below `.artefacts/ui`, and in `docs/images` only where asked for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

from smartflows_provider.demo.stack import AirflowStack

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / ".artefacts" / "ui"
IMAGES = ROOT / "docs" / "images"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1280, 900
HEIGHT_OF_ALL = 2400
"""Pixels in which the longest form fits."""
PATIENCE = 60_000
"""Milliseconds for which a condition is waited for: a safety stop for busy machines."""


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, None if there is none."""
    return next((found for found in map(shutil.which, PROGRAMS) if found), None)


@contextlib.contextmanager
def signed_in(airflow: AirflowStack, *, program: str, profile: Path) -> Iterator[BrowserContext]:
    """Run a browser in which the administrator has signed in by the form."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program,
            headless=True,
            args=list(ARGUMENTS),
            viewport={"width": WIDTH, "height": HEIGHT},
        )
        context.set_default_timeout(PATIENCE)
        try:
            page = context.pages[0]
            page.goto(f"{airflow.url}/auth/login/")
            page.get_by_label("Username").fill(airflow.user)
            page.get_by_label("Password", exact=True).fill(airflow.password)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("link", name="Dags").first).to_be_visible()
            yield context
        finally:
            context.close()


def keep_picture(
    page: Page, name: str, *, height: int = HEIGHT, of: Locator | None = None, for_pages: bool = False
) -> None:
    """Keep what a page shows.

    :param name: of the file, without its ending
    :param height: of the page in pixels
    :param of: what is shown of it, whole; None for all that fits
    :param for_pages: whether the documentation shows it, which is renewed where UI_IMAGES is set
    """
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT_OF_ALL if of else height})
    page.mouse.move(0, 0)
    (of or page).screenshot(path=path, animations="disabled", caret="hide")
    if for_pages and os.environ.get("UI_IMAGES"):
        IMAGES.mkdir(exist_ok=True)
        shutil.copy(path, IMAGES)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
