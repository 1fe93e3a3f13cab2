"""A virtual environment for one Airflow, beside `.venv`, made where it is missing or out of date.

Invariant: it counts as made only once all that it needs is installed; what is written down then tells a later
run whether it still is what would be made.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from matrix.minors import Minor

ROOT = Path(__file__).resolve().parent.parent


class InstallError(RuntimeError):
    """The environment could not be made; the message holds what uv said."""


def ready(
    minor: Minor,
    *,
    python: str = sys.executable,
    root: Path = ROOT,
    uv: Path | None = None,
    say: Callable[[str], None],
) -> Path:
    """
    Return the interpreter of a version's environment; make the environment first where it has to be.

    :param minor: the version.
    :param python: what it is made with: a path, or a version as `3.12`.
    :param root: the project's.
    :param uv: the program; that of `.venv` where it is not given.
    :param say: told before something is made, which takes a minute.
    :raises InstallError: if uv is missing, or cannot install it.
    """
    folder = root / f".venv-{minor.name}"
    interpreter, mark = folder / "bin" / "python", folder / ".ready"
    wanted = _description(minor, python, root)
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return interpreter
    uv = uv or root / ".venv" / "bin" / "uv"
    if not uv.exists():
        raise InstallError(
            f"{uv} is missing. Only uv can leave out what was released after a day (--exclude-newer), which "
            "older versions of Airflow need. `make setup` installs it."
        )
    say(f"installing Airflow {minor.airflow} and the project into {folder.name} (about a minute)")
    mark.unlink(missing_ok=True)
    _run(uv, "venv", "--quiet", "--clear", "--python", python, str(folder), root=root)
    _run(
        *(uv, "pip", "install", "--quiet", "--python", str(interpreter), "--compile-bytecode"),
        *("--exclude-newer", minor.newest, f"apache-airflow=={minor.airflow}", "-e", ".[test]"),
        root=root,
    )
    mark.write_text(wanted, encoding="utf-8")
    return interpreter


def _description(minor: Minor, python: str, root: Path) -> str:
    project = hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest()
    return f"apache-airflow=={minor.airflow}, nothing from {minor.newest} on, {python}, project {project}\n"


def _run(*command: Path | str, root: Path) -> None:
    done = subprocess.run(
        command,
        cwd=root,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        told = "\n".join(done.stdout.splitlines()[-25:])
        raise InstallError(f"{' '.join(map(str, command))}\nended with exit code {done.returncode}:\n{told}")
