"""The most memory that a process has ever held, as the operating system counts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def peak() -> int:
    """Return the bytes of this process."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def tell(result: dict[str, Any]) -> None:
    """Say a script's result to :func:`run_script`."""
    sys.stdout.write("\n" + json.dumps(result))


def run_script(script: Path, *arguments: Any) -> dict[str, Any]:
    """Run a script in a process of its own and return what it tells."""
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
