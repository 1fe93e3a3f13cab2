"""The command line: ``python -m smartflows_provider.devserver``.

Invariant: what the extra ``devserver`` brings is imported only after it is known to be there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from smartflows_provider.extras import how_to_install, missing


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until SIGINT or SIGTERM, or say what the server needs.

    :param arguments: of the command line, None for the process' own.
    :returns: the exit code: 0 after a signal, 2 if the server cannot start; standard error says why.
    """
    if lacking := missing("devserver"):
        sys.stderr.write(
            f"The devserver needs what is not installed here: {', '.join(lacking)}.\n"
            f"{how_to_install('devserver')}\n"
        )
        return 2
    from smartflows_provider.devserver.command import main as serve

    return serve(arguments)


if __name__ == "__main__":
    sys.exit(main())
