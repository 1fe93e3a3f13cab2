"""The directive `error-classes`: the classes of the error tree, and whether a retry helps."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from docutils import nodes

from smartflows_docs.tables import TableDirective
from smartflows_provider import exceptions


class ErrorClasses(TableDirective):
    """`error-classes`, a table."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.table(("class", "does a retry help", "what happened"), list(rows()))


def error_classes() -> list[type[exceptions.FlowException]]:
    """Return the classes that are raised, in the order of the module."""
    return [
        one
        for one in vars(exceptions).values()
        if inspect.isclass(one)
        and issubclass(one, exceptions.FlowException)
        and one is not exceptions.FlowException
    ]


def rows() -> Iterator[tuple[str, ...]]:
    """Return a row for each class."""
    for kind in error_classes():
        what, *_ = (inspect.getdoc(kind) or "").split("\n\n")
        yield f"`{kind.__name__}`", "yes" if kind.retry_helps else "no", what
