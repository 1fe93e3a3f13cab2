"""Executions as values, at a fixed moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from smartflows_provider.wire.run import Execution, Reference
from smartflows_provider.wire.smart_flows import phase_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
ME = Reference(id="me", name="Me")


def execution(number: str, **changes: Any) -> Execution:
    fields: dict[str, Any] = {
        "id": number,
        "status": "Running",
        "flow": Reference(id="F1", name="Letter"),
        "created_at": "2026-11-24T11:00:00.000Z",
        "created_by": ME,
        "raw": {},
        **changes,
    }
    return Execution(phase=phase_of(fields["status"]), **fields)
