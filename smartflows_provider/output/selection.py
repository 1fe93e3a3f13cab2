"""Which values a DAG author wants, by JMESPath: ``outputs={"total": "invoice.total"}``.

Invariant: a selection is complete or it is an error; a name never silently gets nothing, because the task
that reads it runs hours later and elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from smartflows_provider.output.errors import ExpressionInvalid, NothingSelected
from smartflows_provider.output.paths import child

SHOWN_LETTERS: Final = 200
"""How much of an expression a message shows."""
SHOWN_PATHS: Final = 40
"""How many of the existing paths a message lists."""


def check_expressions(outputs: Mapping[str, object]) -> None:
    """
    Check the expressions before there are values, best before a flow is started.

    :param outputs: ``{name: expression}``.
    :raises ExpressionInvalid: naming every expression that cannot be read; a retry does not help.
    """
    problems = []
    for name, expression in outputs.items():
        if not isinstance(expression, str):
            problems.append(f"{name!r} is {type(expression).__name__}, not a string")
            continue
        try:
            jmespath.compile(expression)
        except (JMESPathError, RecursionError, ValueError) as error:
            problems.append(f"{name!r}: {_quoted(expression)} ({_one_line(error)})")
    if problems:
        raise ExpressionInvalid(f"outputs holds what is not a JMESPath expression: {'; '.join(problems)}")


def select(values: Mapping[str, Any], outputs: Mapping[str, str]) -> dict[str, Any]:
    """
    Keep what the expressions find, under the names given.

    :param values: the run's values.
    :param outputs: ``{name: expression}``; expressions over the keys of ``values``.
    :returns: the names with what was found, in the order of ``outputs``.
    :raises ExpressionInvalid: if an expression cannot be read, or not be applied to these values.
    :raises NothingSelected: if an expression finds nothing or null; the message lists the paths there are.
        A retry helps with neither.
    """
    check_expressions(outputs)
    found: dict[str, Any] = {}
    missing = []
    for name, expression in outputs.items():
        try:
            found[name] = jmespath.search(expression, values)
        except (JMESPathError, RecursionError, ValueError, TypeError) as error:
            raise ExpressionInvalid(
                f"the expression {_quoted(expression)} of outputs[{name!r}] cannot be applied to the run's "
                f"values: {_one_line(error)}"
            ) from error
        if found[name] is None:
            missing.append(f"{_quoted(expression)} (for {name!r})")
        else:
            _check_is_json(found[name], f"the expression {_quoted(expression)} of outputs[{name!r}]")
    if missing:
        raise NothingSelected(
            f"nothing, or null, stands at {', '.join(missing)}. {_what_there_is(values)} For a value that "
            "may be absent, write a default into the expression, such as total || `0`."
        )
    return found


def _check_is_json(value: Any, what: str) -> None:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionInvalid(f"{what} gives what JSON cannot carry: {error}") from error


def _what_there_is(values: Mapping[str, Any]) -> str:
    paths = list(_paths(values))
    if not paths:
        return "The run has no values at all."
    more = f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else ""
    return f"The run has: {', '.join(paths[:SHOWN_PATHS])}{more}."


def _paths(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield an object's keys, and those of objects and of lists of objects in it, as expressions."""
    for key, value in values.items():
        yield child("", key)
        if isinstance(value, Mapping):
            yield from (child(child("", key), inner) for inner in value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield from (child(f"{child('', key)}[]", inner) for inner in value[0])


def _quoted(expression: str) -> str:
    return repr(expression) if len(expression) <= SHOWN_LETTERS else f"{expression[:SHOWN_LETTERS]!r}…"


def _one_line(error: Exception) -> str:
    """Return the error's text without the drawing of the expression that follows its first line."""
    return str(error).partition("\n")[0].rstrip(":")
