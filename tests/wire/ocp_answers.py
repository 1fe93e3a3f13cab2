"""Objects as the Orchestrator API answers them."""

from __future__ import annotations

from typing import Any

FLOW_ID = "9b399774-3a0a-40c1-8a1c-4a124170b6f3"
OTHER_ID = "1f0a5c3e-77b0-4a6e-9d0f-0c7a7e0e4d11"


def flow_of(name: str = "my_flow", **more: Any) -> dict[str, Any]:
    """Return a flow as the vendor's pages show it: without an id."""
    return {
        "name": name,
        "input_fields": ["inputField1", "inputField2"],
        "output_fields": ["outputField1"],
        "canvas_id": "8101c262-be18-40c7-a85a-78b47dcdf80d",
        **more,
    }
