"""Which Airflow the fault suite runs, and what is different in it.

Why this module exists: rows are collected before Airflow is started, and some of them depend on its version.
"""

from __future__ import annotations

import os
import sys

from packaging.version import Version

from smartflows_provider.demo.database import airflow_version

PYTHON = os.environ.get("FAULTS_PYTHON") or sys.executable
"""Interpreter of the virtual environment whose Airflow runs."""

VERSION = airflow_version(PYTHON)

CLEAR_DISCARDS_STATE = Version(VERSION).release >= (3, 4)
"""Whether a clear of single tasks forgets what they have recorded, unless it has `keep_task_state`."""

SCHEDULER_ENDS = VERSION.startswith("3.4.0b")
"""Whether the scheduler ends with an IntegrityError (task_instance.working_set, with SQLite) where it gives a
task another attempt after a clear while it ran, or after its worker's end was not reported."""

KEEP_STATE = {"keep_task_state": True} if CLEAR_DISCARDS_STATE else {}
"""What a clear says so that nothing is forgotten."""
