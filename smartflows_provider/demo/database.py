"""A migrated Airflow database on SQLite, made once per Airflow version and then copied.

Why this module exists: creating the tables takes about six seconds, and the result is always the same.
A copy of the file takes none. The template holds no secrets: only empty tables, the default pool and the
log templates.

Invariant: the template appears under its name only when it is complete, so that two runs at the same time
cannot spoil each other's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from smartflows_provider.demo.places import cache_folder, default_folder

DISTRIBUTION = "apache-airflow-core"


class MigrationError(RuntimeError):
    """`airflow db migrate` failed; the message holds the end of its output."""


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what would change how Airflow runs.

    Left out are all `AIRFLOW…` settings of the caller and `PYTHONDONTWRITEBYTECODE`, which makes each
    Airflow process compile its modules anew for several seconds.

    :param extra: variables to add
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**kept, **extra}


@cache
def airflow_version(python: str) -> str:
    """Return the version of the Airflow that an interpreter has.

    :param python: path of the interpreter
    :raises subprocess.CalledProcessError: if it has none
    """
    if python == sys.executable:
        return version(DISTRIBUTION)
    code = f"from importlib.metadata import version; print(version({DISTRIBUTION!r}))"
    return subprocess.run(
        [python, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def create_database(path: Path, *, python: str | None = None, cache: Path | None = None) -> None:
    """Put a migrated, empty Airflow database at a path.

    :param path: the SQLite file to write; its folder must exist
    :param python: interpreter whose Airflow is meant; None for this one's
    :param cache: folder of the templates; None for the one in the demo's default folder
    :raises MigrationError: if Airflow could not create the tables; a retry does not help
    """
    python = python or sys.executable
    template = (cache or cache_folder(default_folder())) / f"airflow-{airflow_version(python)}.db"
    if not template.exists():
        _create_template(template, python)
    shutil.copyfile(template, path)


def _create_template(template: Path, python: str) -> None:
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=template.parent) as folder:
        fresh = Path(folder) / "airflow.db"
        result = subprocess.run(
            [python, "-m", "airflow", "db", "migrate"],
            env=clean_environment(
                {
                    "AIRFLOW_HOME": folder,
                    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{fresh}",
                    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
                }
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            output = "\n".join((result.stdout + result.stderr).splitlines()[-25:])
            raise MigrationError(f"airflow db migrate ended with exit code {result.returncode}:\n{output}")
        fresh.replace(template)
