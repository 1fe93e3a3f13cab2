"""Every module of the package can be imported on the Airflow at hand, and uses nothing that it deprecates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import smartflows_provider

ROOT = Path(smartflows_provider.__file__).parent

IMPORT_ALL = """
import importlib, sys, warnings

told = []
def note(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
        told.append(f"{filename}:{lineno}: {category.__name__}: {message}")
warnings.showwarning = note
warnings.simplefilter("always")
failed = []
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}: {error}")
print("\\nREPORT")
print("\\n".join([*failed, *(one for one in told if one.startswith(sys.argv[1]))]))
"""


def modules() -> list[str]:
    paths = sorted(path.relative_to(ROOT.parent).with_suffix("") for path in ROOT.rglob("*.py"))
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if not name.endswith("__main__")]


def test_every_module_can_be_imported_and_uses_nothing_deprecated() -> None:
    names = modules()
    assert len(names) > 150
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(ROOT), *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.partition("REPORT")[2].strip() == ""
