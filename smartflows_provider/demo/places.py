"""Where the demo finds what it shows, and where it keeps what it writes.

Why this module exists: the example DAGs lie inside of an installed package, but beside it in a checkout; and
the demo runs for people who have only the package.

Invariants: nothing is written into the package; every path is absolute, because Airflow's processes may have
another current directory.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

LOCAL = "file://"
PACKAGE = Path(__file__).resolve().parent.parent


def example_dags() -> Path:
    """Return the folder of the example DAGs, which has the flows that they run in `flows/`."""
    installed = PACKAGE / "example_dags"
    return installed if installed.is_dir() else PACKAGE.parent / "example_dags"


def default_folder() -> Path:
    """Return where everything goes unless somebody says otherwise: `.demo` in the current directory."""
    return Path.cwd() / ".demo"


def cache_folder(base: Path) -> Path:
    """Return where files are kept that later runs take less time with.

    :param base: the demo's folder
    """
    return base / "cache"


def storage_address(path: Path) -> str:
    """Return how Airflow's `ObjectStoragePath` calls a file or folder of this machine.

    Nothing in it is percent-encoded: `%20` would be three characters of a name.

    :param path: an absolute path
    """
    return f"{LOCAL}{path}"


def stored_at(address: str) -> Path:
    """Return the path on this machine that an address of Airflow's `ObjectStoragePath` means.

    :param address: as `storage_address` returns it, or as a manifest has it
    """
    return Path(address.removeprefix(LOCAL))


def new_folders(base: Path | None = None) -> tuple[Path, Path]:
    """Return the paths of a new run's folder and of its documents' folder; neither exists yet.

    :param base: the demo's folder; None for the default one
    """
    base = base or default_folder()
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    return base / "runs" / name, base / "reports" / name
