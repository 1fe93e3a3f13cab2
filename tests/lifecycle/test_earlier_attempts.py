"""What is removed of a sensor's earlier attempts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.earlier_attempts import forget_earlier_attempts

IDENTITY = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}


@pytest.mark.parametrize(
    ("task_instance", "expected"),
    [
        (SimpleNamespace(**IDENTITY, try_number=2), ["return_value", "execution_url"]),
        (SimpleNamespace(**IDENTITY, try_number=1), []),
        (None, []),
    ],
)
def test_result_and_link_are_removed_where_there_was_an_attempt(
    task_instance: Any, expected: list[str]
) -> None:
    removed: list[dict[str, Any]] = []
    with patch.object(deferred_kill.XCom, "delete", lambda **xcom: removed.append(xcom)):
        assert forget_earlier_attempts(task_instance) is bool(expected)
    assert removed == [{"key": key, **IDENTITY} for key in expected]
