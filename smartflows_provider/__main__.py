"""The command line: ``python -m smartflows_provider``."""

from __future__ import annotations

import sys

from smartflows_provider.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
