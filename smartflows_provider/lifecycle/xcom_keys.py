"""The XComs through which a task tells others about its run; names alone, as DAG parses import them."""

from __future__ import annotations

EXECUTION_ID_KEY = "execution_id"
"""Names the run of the latest attempt."""
EXECUTION_URL_KEY = "execution_url"
"""Where a person looks at it."""
FORM_ASKED_KEY = "form_asked"
"""Tells which question of the run Airflow shows to people: a fingerprint."""
EXECUTION_LEFT_KEY = "execution_left"
"""Names a run that the task has left alive when it failed."""
