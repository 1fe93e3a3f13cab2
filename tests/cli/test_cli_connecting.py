"""The look-up of a connection by a person, where a process of its own is not needed to see it."""

from __future__ import annotations

import pytest

from smartflows_provider.cli.connecting import OnCallHook
from smartflows_provider.exceptions import FlowConfigurationError
from smartflows_provider.hooks.smart_flows import SmartFlowsHook


def test_a_secrets_backend_that_denies_access_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(conn_id: str) -> None:
        raise PermissionError(f"canary-policy of {conn_id}")

    monkeypatch.setattr(SmartFlowsHook, "get_connection", deny)
    with pytest.raises(FlowConfigurationError) as raised:
        _ = OnCallHook("guarded").settings
    assert str(raised.value) == (
        "A secrets backend denies access to the Airflow connection 'guarded'. "
        "[Smart Flows, connection 'guarded']\nRun this as a user, or on a host, that may read it."
    )
