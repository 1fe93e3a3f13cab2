"""The process that ends a `ProcessTree` whose owner is gone.

Why this module exists: a program that was killed with SIGKILL, or by the kernel for want of memory,
cannot clean up. This process does it: it reads from a pipe whose only other end is in the owner, and the
end of the stream means that the owner has ended, in whatever way. It ignores the signals of the terminal
so that it outlives the owner.
"""

from __future__ import annotations

import signal
import sys

from smartflows_provider.demo.processes import kill_marked


def main() -> None:
    """Wait for the end of standard input, then kill what carries the mark given as argument."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])


if __name__ == "__main__":
    main()
