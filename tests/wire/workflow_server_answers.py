"""Literal answers of a Workflow Server, as its documentation shows them."""

from __future__ import annotations

from typing import Any

from wire_driving import Reply, reply

PROCESS = "f54104f0-5de2-ea7b-e3be-47c9199a3967"


def good(data: Any = None) -> Reply:
    """Return the envelope of a success."""
    return reply({"success": True, "data": data, "error": None, "message": None})


def bad(
    error: str | None = "Error", message: str | None = "Something is wrong.", *, status: int = 200
) -> Reply:
    """Return the envelope of a refusal."""
    return reply({"success": False, "data": None, "error": error, "message": message}, status=status)


def process_info(status: int = 1, **more: Any) -> dict[str, Any]:
    """Return what ``getinstanceinfo`` shows."""
    return {
        "Id": PROCESS,
        "StateName": "Draft",
        "ActivityName": "DraftActivity",
        "SchemeId": "0a0b7d1a-8a2c-4e0f-9f57-0f2f31d1a001",
        "SchemeCode": "TestScheme",
        "InstanceStatus": status,
        "ProcessParameters": {"Amount": 7},
        "Transitions": [
            {"FromActivityName": "Start", "ToActivityName": "DraftActivity", "IsFinalised": False}
        ],
        "History": [],
        "ParentProcessId": None,
        "RootProcessId": PROCESS,
        **more,
    }
