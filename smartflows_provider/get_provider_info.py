"""What Airflow reads about this package at start-up.

Airflow loads this in every process, so it imports nothing but the version. Invariant: ``package-name`` is
the distribution's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartflows_provider import __version__
from smartflows_provider.systems import (
    OCP,
    OCP_LABEL,
    PHIXFLOW,
    PHIXFLOW_LABEL,
    SMART_FLOWS,
    SMART_FLOWS_LABEL,
    WORKFLOW_SERVER,
    WORKFLOW_SERVER_LABEL,
)

DEVSERVER_SECTION = "devserver-section"
"""Key of a connection type that names its stand-in in the devserver; Airflow passes over it."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What one flow system has in Airflow."""

    label: str
    """Its name for people."""
    doc_url: str
    module: str
    """Name of its modules in the packages of operators, sensors and hooks."""
    has_sensors: bool
    connection: Mapping[str, Any]
    """The connection type with its form."""

    def modules(self, room: str) -> dict[str, Any]:
        """Return the entry of the system's module in a room."""
        return {
            "integration-name": self.label,
            "python-modules": [f"smartflows_provider.{room}.{self.module}"],
        }


def get_provider_info() -> dict[str, Any]:
    """Return the provider's entry for Airflow's providers manager."""
    return provider_info(flow_systems())


def provider_info(systems: Sequence[System]) -> dict[str, Any]:
    """
    Return a provider's entry for some flow systems.

    :param systems: in the order in which people read of them.
    """
    return {
        "package-name": "airflow-provider-smartflows",
        "name": SMART_FLOWS_LABEL,
        "description": "Runs flows of Smart Flows and further systems as dependable steps of a DAG.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": one.label, "external-doc-url": one.doc_url, "tags": ["service"]}
            for one in systems
        ],
        "operators": [one.modules("operators") for one in systems],
        "sensors": [one.modules("sensors") for one in systems if one.has_sensors],
        "hooks": [one.modules("hooks") for one in systems],
        "triggers": [
            {
                "integration-name": SMART_FLOWS_LABEL,
                "python-modules": [
                    "smartflows_provider.triggers.execution",
                    "smartflows_provider.triggers.sensor_start",
                    "smartflows_provider.triggers.smart_flows",
                ],
            }
        ],
        "task-decorators": [
            {
                "name": "smart_flow",
                "class-name": "smartflows_provider.decorators.smart_flows.smart_flow_task",
            }
        ],
        "notifications": ["smartflows_provider.notifications.smart_flows.SmartFlowsNotifier"],
        "extra-links": ["smartflows_provider.links.FlowExecutionLink"],
        "connection-types": [dict(one.connection) for one in systems],
    }


def flow_systems() -> tuple[System, ...]:
    """Return the flow systems, the main one first."""
    return (
        System(
            label=SMART_FLOWS_LABEL,
            doc_url="https://support.experlogix.com/",
            module="smart_flows",
            has_sensors=True,
            connection=_smart_flows_connection(),
        ),
        System(
            label=WORKFLOW_SERVER_LABEL,
            doc_url="https://workflowserver.io/documentation/",
            module="workflow_server",
            has_sensors=True,
            connection=_workflow_server_connection(),
        ),
        System(
            label=PHIXFLOW_LABEL,
            doc_url="https://www.phixflow.com/",
            module="phixflow",
            has_sensors=False,
            connection=_phixflow_connection(),
        ),
        System(
            label=OCP_LABEL,
            doc_url="https://learn.ocp.ai/",
            module="ocp",
            has_sensors=True,
            connection=_ocp_connection(),
        ),
    )


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
            "long_poll_seconds": _field(
                "Long poll", "number", "Seconds the server may hold a progress answer; 0: never.", default=30
            ),
            "batch_status": _field(
                "Batch status",
                "boolean",
                "Ask for up to 500 executions in one call, where more wait than there are connections.",
                default=False,
            ),
            **common_fields(api_prefix="/api/v1"),
            "execution_url": _field(
                "Execution URL",
                "string",
                "Where people look at one execution, with {execution_id} in it; empty: the panel.",
            ),
        },
    }


def _workflow_server_connection() -> dict[str, Any]:
    return {
        "connection-type": WORKFLOW_SERVER,
        "hook-class-name": "smartflows_provider.hooks.workflow_server.WorkflowServerHook",
        DEVSERVER_SECTION: "smartflows_provider.devserver.workflow_server.WorkflowServerSection",
        "hook-name": WORKFLOW_SERVER_LABEL,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login"],
            "relabeling": {"password": "Api access token"},
            "placeholders": {
                "host": "http://workflow.example.com",
                "port": "8077",
                "password": "from the admin panel's dashboard; empty where access is none",
            },
        },
        "conn-fields": {
            "access": _field(
                "Access",
                "string",
                "none; token: the Api access token in each request's body; openid: OpenID Connect.",
                default="none",
                choices=("none", "token", "openid"),
            ),
            "arguments_in": _field(
                "Arguments in",
                "string",
                "query, or body: where the server reads the arguments of its operations.",
                default="query",
                choices=("query", "body"),
            ),
            "tenant_id": _field("Tenant", "string", "Sent with every operation; empty: none."),
            "client_id": _field(
                "Client id",
                "string",
                "For OpenID Connect; free to choose from server 9 on.",
                default="workflowapi",
            ),
            "token_url": _field(
                "Token URL",
                "string",
                "Where tokens are asked for; empty: what the server names, if that is on its own host.",
            ),
            **common_fields(api_prefix="/workflowapi"),
        },
    }


def _phixflow_connection() -> dict[str, Any]:
    return {
        "connection-type": PHIXFLOW,
        "hook-class-name": "smartflows_provider.hooks.phixflow.PhixFlowHook",
        DEVSERVER_SECTION: "smartflows_provider.devserver.phixflow.PhixFlowSection",
        "hook-name": PHIXFLOW_LABEL,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login"],
            "relabeling": {"password": "API key"},
            "placeholders": {
                "host": "https://app.example.com",
                "port": "443",
                "password": "empty for endpoints that allow anonymous connections",
            },
        },
        "conn-fields": {
            "key_header": _field("Key header", "string", "Header of the API key.", default="Authorization"),
            "key_value": _field(
                "Key value", "string", "Value of that header, with {key} in it.", default="Bearer {key}"
            ),
            "test_path": _field(
                "Test path",
                "string",
                "What Test asks with GET, below the API prefix; empty: only whether the server answers.",
            ),
            **common_fields(api_prefix="/phixflow/api/1"),
        },
    }


def _ocp_connection() -> dict[str, Any]:
    return {
        "connection-type": OCP,
        "hook-class-name": "smartflows_provider.hooks.ocp.OcpHook",
        DEVSERVER_SECTION: "smartflows_provider.devserver.ocp.OcpSection",
        "hook-name": OCP_LABEL,
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"login": "User", "password": "Access token or password"},
            "placeholders": {
                "host": "https://ocp.example.com",
                "port": "443",
                "login": "where access is password; else empty",
                "password": "a personal access token, or the user's password",
            },
        },
        "conn-fields": {
            "access": _field(
                "Access",
                "string",
                "token: the password is a personal access token; password: it is the user's password.",
                default="token",
                choices=("token", "password"),
            ),
            "realm": _field(
                "Realm", "string", "Of the sign-in server, where access is password and no token URL is set."
            ),
            "auth_host": _field(
                "Sign-in server", "string", "https://auth.example.com; empty: the connection's host."
            ),
            "token_url": _field(
                "Token URL",
                "string",
                "Where access tokens are asked for, instead of sign-in server and realm.",
            ),
            "client_id": _field("Client id", "string", "For the sign-in server.", default="ocp"),
            "id_field": _field(
                "Id field", "string", "Where answers show a flow's id, if they do.", default="id"
            ),
            "test_flow": _field(
                "Test flow", "string", "Name of a flow that is there, for the connection's test."
            ),
            **common_fields(api_prefix="/api"),
        },
    }


def common_fields(*, api_prefix: str) -> dict[str, Any]:
    """
    Return the fields that the connections of all systems have, as ConnectionReader.settings reads them.

    :param api_prefix: of the system, where the field is left empty.
    """
    return {
        "verify": _field("Verify TLS", "boolean", "Check the server's certificate. Leave on.", default=True),
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
        "api_prefix": _field("API prefix", "string", "Path before every call.", default=api_prefix),
        "max_connections": _field(
            "Max connections", "integer", "Runs that are asked for at once, at most.", default=32
        ),
        "execution_url": _field(
            "Run URL", "string", "Where people look at one run, with {execution_id} in it; empty: nowhere."
        ),
    }


def _field(
    label: str,
    kind: str,
    description: str,
    *,
    default: object = None,
    choices: Sequence[str] = (),
    secret: bool = False,
) -> dict[str, Any]:
    """Return an optional field of the connection form; "null" in the type is what makes it optional."""
    schema: dict[str, Any] = {"type": [kind, "null"]}
    if default is not None:
        schema["default"] = default
    if choices:
        schema["enum"] = list(choices)
    if secret:
        schema["format"] = "password"
    return {"label": label, "description": description, "schema": schema}
