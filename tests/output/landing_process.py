"""A process that lands a document and stops in the middle of it, to be killed there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024


@contextmanager
def landing_halfway(target: str, name: str, *, size: int, **storage: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has landed ``size`` bytes of a document and waits; killed as the block ends."""
    command = [sys.executable, __file__, json.dumps([target, name, size, storage])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "halfway\n"
            yield process
        finally:
            process.kill()


def main() -> None:
    from upath import UPath

    from smartflows_provider.output.documents import land

    target, name, size, storage = json.loads(sys.argv[1])

    def chunks() -> Iterator[bytes]:
        for _ in range(size // MIB):
            yield b"h" * MIB
        yield b"h" * (size % MIB)
        sys.stdout.write("halfway\n")
        sys.stdout.flush()
        time.sleep(60)

    land(chunks(), UPath(target, **storage), name)


if __name__ == "__main__":
    main()
