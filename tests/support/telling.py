"""What an error reporter could show of an error."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it is chained to, suppressed or not."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            rest += [one.__cause__, one.__context__]


def locals_of(error: BaseException) -> str:
    """Return the locals of all frames of an error and its chain, but for the tests' own."""
    return "\n".join(
        f"{frame.f_code.co_qualname}: {name} = {value!r}"
        for one in chain(error)
        for frame, _ in traceback.walk_tb(one.__traceback__)
        if not Path(frame.f_code.co_filename).is_relative_to(TESTS)
        for name, value in frame.f_locals.items()
    )


def everything_said(error: BaseException) -> str:
    """Return all that a log or an error reporter could show of an error: its chain, attributes and locals."""
    said = [repr(pickle.dumps(error))]
    for one in chain(error):
        said += ["".join(traceback.format_exception(one)), repr(one), repr(one.args), repr(vars(one))]
    # The tests' own frames know the canary.
    return "\n".join([*said, locals_of(error)])
