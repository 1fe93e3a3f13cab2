"""How the fuzz targets run: few cases with a fixed seed in every test run, as many as asked for otherwise.

``FUZZ_CASES`` is how many each target tries, ``FUZZ_SEED`` repeats a run. The seed is shown with a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, note, seed, settings

F = TypeVar("F", bound=Callable[..., Any])
SEED = int(os.environ.get("FUZZ_SEED") or 20261124)
CASES = int(os.environ.get("FUZZ_CASES") or 300)


def fuzzed(*, share: float) -> Callable[[F], F]:
    """
    Make a test with ``@given`` a part of a fuzz target.

    :param share: of the target's cases; those of one target add up to 1.
    """

    def decorate(test: F) -> F:
        limits = settings(
            max_examples=round(CASES * share),
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        return seed(SEED)(limits(test))

    return decorate


def note_seed() -> None:
    """Name the seed where the case fails."""
    note(f"repeat with FUZZ_SEED={SEED} FUZZ_CASES={CASES}")
