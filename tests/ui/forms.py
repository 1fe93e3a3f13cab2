"""The controls of Airflow's forms, which are the same for connections, parameters and Required Actions."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


def control(form: Page | Locator, name: str) -> Locator:
    """Return the control of a field, by the field's name."""
    return form.locator(f"[name='element_{name}']")


def row(form: Page | Locator, name: str) -> Locator:
    """Return the row of a field: label, control and help text."""
    page = form if isinstance(form, Page) else form.page
    return form.get_by_role("group").filter(has=control(page, name)).last


def switch(form: Page | Locator, name: str) -> None:
    """Press the switch of a truth value."""
    row(form, name).locator("label").last.click()
