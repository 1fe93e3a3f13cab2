"""All kinds of errors that the tree has."""

from __future__ import annotations

import inspect

import pytest

from smartflows_provider import exceptions
from smartflows_provider.exceptions import FlowException

KINDS = [
    one
    for one in vars(exceptions).values()
    if inspect.isclass(one) and issubclass(one, FlowException) and one is not FlowException
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
