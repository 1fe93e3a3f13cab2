"""What Airflow reads about this package at start-up.

Airflow loads this in every process, so it imports nothing but the version. Invariant: ``package-name`` is
the distribution's name.
"""

from __future__ import annotations

from typing import Any

from smartflows_provider import __version__
from smartflows_provider.systems import SMART_FLOWS, SMART_FLOWS_LABEL


def get_provider_info() -> dict[str, Any]:
    """Return the provider's entry for Airflow's providers manager."""
    return {
        "package-name": "airflow-provider-smartflows",
        "name": SMART_FLOWS_LABEL,
        "description": "Runs Smart Flows executions as dependable steps of a DAG.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": SMART_FLOWS_LABEL,
                "external-doc-url": "https://support.experlogix.com/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": SMART_FLOWS_LABEL,
                "python-modules": ["smartflows_provider.operators.smart_flows"],
            }
        ],
        "sensors": [
            {
                "integration-name": SMART_FLOWS_LABEL,
                "python-modules": ["smartflows_provider.sensors.smart_flows"],
            }
        ],
        "hooks": [
            {
                "integration-name": SMART_FLOWS_LABEL,
                "python-modules": ["smartflows_provider.hooks.smart_flows"],
            }
        ],
        "triggers": [
            {
                "integration-name": SMART_FLOWS_LABEL,
                "python-modules": [
                    "smartflows_provider.triggers.execution",
                    "smartflows_provider.triggers.sensor_start",
                ],
            }
        ],
        "task-decorators": [
            {
                "name": "smart_flow",
                "class-name": "smartflows_provider.decorators.smart_flows.smart_flow_task",
            }
        ],
        "extra-links": ["smartflows_provider.links.FlowExecutionLink"],
        "connection-types": [_smart_flows_connection()],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": SMART_FLOWS_LABEL, "python-modules": list(names)}]


def _smart_flows_connection() -> dict[str, Any]:
    return {
        "connection-type": SMART_FLOWS,
        "hook-class-name": "smartflows_provider.hooks.smart_flows.SmartFlowsHook",
        "hook-name": SMART_FLOWS_LABEL,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login"],
            "relabeling": {"password": "API key"},
            "placeholders": {
                "host": "https://flows.example.com",
                "port": "443",
                "password": "shown once in the project console, under Users > Security",
            },
        },
        "conn-fields": {
            "verify": _field(
                "Verify TLS", "boolean", "Check the server's certificate. Leave on.", default=True
            ),
            "ca_bundle": _field(
                "CA bundle", "string", "PEM file with trusted authorities, on workers and triggerers."
            ),
            "client_cert": _field(
                "Client certificate",
                "string",
                "PEM file with certificate and key, on workers and triggerers.",
            ),
            "proxy": _field(
                "Proxy",
                "string",
                "http://proxy.example.com:3128; empty takes the environment's.",
                secret=True,
            ),
            "connect_timeout": _field(
                "Connect timeout", "number", "Seconds until a connection must stand.", default=10
            ),
            "read_timeout": _field(
                "Read timeout", "number", "Seconds without a byte until an answer counts as lost.", default=60
            ),
            "api_prefix": _field("API prefix", "string", "Path before every call.", default="/api/v1"),
            "max_connections": _field(
                "Max connections", "integer", "Executions that are asked for at once, at most.", default=32
            ),
            "long_poll_seconds": _field(
                "Long poll", "number", "Seconds the server may hold a progress answer; 0: never.", default=30
            ),
            "batch_status": _field(
                "Batch status",
                "boolean",
                "Ask for up to 500 executions in one call, where more wait than there are connections.",
                default=False,
            ),
            "execution_url": _field(
                "Execution URL",
                "string",
                "Where people look at one execution, with {execution_id} in it; empty: the panel.",
            ),
        },
    }


def _field(
    label: str, kind: str, description: str, *, default: object = None, secret: bool = False
) -> dict[str, Any]:
    """Return an optional field of the connection form; "null" in the type is what makes it optional."""
    schema: dict[str, Any] = {"type": [kind, "null"]}
    if default is not None:
        schema["default"] = default
    if secret:
        schema["format"] = "password"
    return {"label": label, "description": description, "schema": schema}
