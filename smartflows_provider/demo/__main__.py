"""The command line: ``python -m smartflows_provider.demo``.

Invariant: what the extra ``demo`` brings is imported only after it is known to be there.
"""

from __future__ import annotations

import sys

from smartflows_provider.extras import how_to_install, missing


def main() -> int:
    """Run the demo, or say what it needs; return the exit code, 2 if something is missing."""
    if lacking := missing("demo"):
        sys.stderr.write(
            f"The demo needs what is not installed here: {', '.join(lacking)}.\n{how_to_install('demo')}\n"
        )
        return 2
    from smartflows_provider.demo.command import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
