"""Bad input gets a clear error, and nothing is lost: each message says what to change, and nothing "
"started."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.outcomes import Outcome, both, operator_for
from support.service import CONN_VARIABLE, panel_flow, starts
from support.tasks import run_task

from smartflows_provider.devserver.keys import Role
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowConnectionMissingError,
    FlowException,
    FlowExecutionFailedError,
    FlowInputError,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRequestRefusedError,
)

KEY = "canary-key-90d1"
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Order"><xs:complexType>
<xs:sequence><xs:element name="Customer" type="xs:string"/><xs:element name="Total" type="xs:decimal"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
UNKNOWN_ID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def key(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add_key(KEY)
    connect(server, monkeypatch)
    panel_flow(server, {"kind": "work"})


def connect(server: DevServer, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    fields = {**json.loads(server.connection_json(api_key=KEY)), **changes}
    monkeypatch.setenv(CONN_VARIABLE, json.dumps(fields))


def refused(
    server: DevServer, kind: type[FlowException], *, retry_helps: bool = False, **arguments: Any
) -> str:
    """Run the task in both modes, check what holds for every refusal, and return the message."""
    run = both(server, **arguments)
    assert type(run.error) is kind, run.error
    assert isinstance(run.error, AirflowFailException) is not retry_helps
    assert server.executions() == []
    check_message(run)
    if kind is not FlowConfigurationError:
        # Of a connection that cannot be used the message names the connection alone.
        assert f"flow '{arguments.get('flow', 'Letter')}'" in run.message
    return run.message


def check_message(run: Outcome) -> None:
    assert run.error is not None
    assert "Smart Flows, connection 'smartflows_default'" in run.message
    assert KEY not in "".join(traceback.format_exception(run.error))
    assert KEY not in repr(run.attempt.store.entries)


# --- the connection ---


def test_no_connection(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONN_VARIABLE)
    message = refused(server, FlowConnectionMissingError)
    assert "The Airflow connection 'smartflows_default' does not exist." in message
    assert "Create it under Admin > Connections" in message
    assert "AIRFLOW_CONN_SMARTFLOWS_DEFAULT" in message


def test_an_empty_key(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(server, monkeypatch, password="")
    message = refused(server, FlowConfigurationError)
    assert "The connection has no API key." in message
    assert "Put the key into the connection's password" in message


def test_an_extra_that_names_a_file_that_is_not_there(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, extra=json.dumps({"ca_bundle": "/no/such/ca.pem"}))
    message = refused(server, FlowConfigurationError)
    assert "extra 'ca_bundle' names '/no/such/ca.pem', which is not a file on this machine." in message


def test_a_host_that_does_not_resolve(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def unknown(host: Any, *arguments: Any, **more: Any) -> Any:
        if host == "flows.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    connect(server, monkeypatch, host="https://flows.invalid")
    message = refused(server, FlowConnectionError, retry_helps=True)
    assert "The service has taken nothing." in message
    assert "The host name does not resolve: check the connection's host." in message


def test_a_wrong_port(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        connect(server, monkeypatch, port=unused.getsockname()[1])
        message = refused(server, FlowConnectionError, retry_helps=True)
    assert "The service has taken nothing." in message
    assert "Nothing listens there: check the connection's host and port." in message


# --- TLS ---


@pytest.fixture
def secure_server(tmp_path: Path) -> Iterator[DevServer]:
    """A server with a certificate that nobody has signed."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(private, hashes.SHA256())
    )
    paths = {"certificate": tmp_path / "cert.pem", "private_key": tmp_path / "key.pem"}
    paths["certificate"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths["private_key"].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with running_server(api_key=KEY, **paths) as running:
        yield running


def test_a_certificate_that_nobody_trusts(secure_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(secure_server, monkeypatch)
    message = refused(secure_server, FlowConnectionError, retry_helps=True)
    assert "The service has taken nothing." in message
    assert "TLS failed: check that host and port speak https, and set the extra 'ca_bundle'" in message
    assert secure_server.requests == []


def test_https_to_a_port_that_speaks_http(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(server, monkeypatch, host="https://127.0.0.1")
    message = refused(server, FlowConnectionError, retry_helps=True)
    assert "TLS failed: check that host and port speak https" in message


# --- key and rights ---


def test_401_a_key_that_the_service_does_not_know(server: DevServer) -> None:
    server.revoke_key(KEY)
    message = refused(server, FlowAuthenticationError)
    assert "was answered with 401" in message
    assert "put a valid one into the connection's password" in message


@pytest.mark.parametrize("role", ["no api licence", "reader"])
def test_403_a_licence_or_a_role_without_the_right(server: DevServer, role: Role) -> None:
    server.revoke_key(KEY)
    server.add_key(KEY, role)
    message = refused(server, FlowPermissionError)
    assert "was answered with 403" in message
    assert "the licence does not include the API" in message
    assert "the role of the key's user lacks the right" in message


# --- the flow ---


def test_a_name_that_no_flow_has(server: DevServer) -> None:
    message = refused(server, FlowNotFoundError, flow="Lettre")
    assert "no flow is named 'Lettre'. Flows that the key can see: " in message
    assert "'Letter'" in message
    assert "Name the flow as the project console does, or by its id" in message
    assert starts(server) == []


def test_an_id_that_no_flow_has(server: DevServer) -> None:
    message = refused(server, FlowNotFoundError, flow=UNKNOWN_ID)
    assert "The service knows no such flow: POST /flows/executions was answered with 404" in message
    assert "Nothing was started." in message
    assert "check the id, or give the flow's name" in message


def test_a_name_that_two_flows_have(server: DevServer) -> None:
    ids = [f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2)]
    for flow_id in ids:
        server.add_flow(id=flow_id, name="Twice", start_from="panel", steps=[])
    message = refused(server, FlowAmbiguousError, flow="Twice")
    assert "2 flows are named 'Twice'" in message
    assert all(flow_id in message for flow_id in ids)
    assert "Name the flow by its id." in message


# --- the input ---


@pytest.fixture
def order(server: DevServer, tmp_path: Path) -> Path:
    server.add_flow(name="Order", start_from="program", xsd=XSD, steps=[])
    path = tmp_path / "order.xsd"
    path.write_text(XSD, encoding="utf-8")
    return path


@pytest.mark.usefixtures("order")
def test_xml_that_is_not_well_formed(server: DevServer) -> None:
    message = refused(server, FlowInputError, flow="Order", xml="<Order>\n<Customer></Order>")
    assert "line 2" in message
    assert "Nothing was started.\nMend the input" in message
    assert server.requests == []


def test_xml_that_is_not_valid(server: DevServer, order: Path) -> None:
    xml = "<Order>\n<Customer>Ada</Customer>\n<Total>much</Total></Order>"
    message = refused(server, FlowInputError, flow="Order", xml=xml, xsd=order)
    assert "line 3" in message
    assert "Total" in message
    assert "Nothing was started.\nMend the input" in message
    assert server.requests == []


@pytest.mark.usefixtures("order")
def test_xml_that_only_the_service_finds_invalid(server: DevServer) -> None:
    xml = "<Order>\n<Customer>Ada</Customer>\n<Total>much</Total></Order>"
    message = refused(server, FlowRequestRefusedError, flow="Order", xml=xml)
    assert "The service does not start the flow: POST /flows/executions was answered with 400" in message
    assert "much" in message
    assert "Nothing was started.\nMend what the service names" in message


@pytest.mark.usefixtures("order")
def test_no_input_where_the_flow_needs_one(server: DevServer) -> None:
    message = refused(server, FlowRequestRefusedError, flow="Order")
    assert "was answered with 400" in message
    assert "usually the input, which must be what the flow starts from" in message


def test_input_where_the_flow_takes_none(server: DevServer) -> None:
    message = refused(server, FlowRequestRefusedError, xml="<Order/>")
    assert "usually the input, which must be what the flow starts from" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"xml": "<a/>", "data": {"a": 1}}, "given twice, as xml and data. Give one of xml, data, rows,"),
        (
            {"rows": [], "sql": "select 1", "records": {}},
            "given twice, as rows and sql and records. Give one of",
        ),
        ({"sql": "select 1", "root": "r", "row": "l"}, "sql needs sql_conn_id"),
        ({"rows": []}, "rows and sql need row"),
        ({"on_user_input": "answer"}, "on_user_input='answer' needs answers"),
        ({"on_warning": "ignore"}, "on_warning is 'ignore'; it takes one of"),
        ({"timeout": -1}, "timeout is -1; it takes a number of seconds above 0"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator_for("sync", **arguments)


def test_data_that_is_text_but_not_json(server: DevServer) -> None:
    message = refused(server, FlowInputError, data='{"Customer": ', root="Order")
    assert "Data is text, but not JSON: " in message
    assert "Nothing was started." in message


def test_rows_in_a_file_that_is_not_there(server: DevServer) -> None:
    message = refused(server, FlowInputError, rows="/no/such/rows.csv", root="r", row="l")
    assert "/no/such/rows.csv" in message
    assert "Nothing was started." in message


def test_a_query_whose_connection_does_not_exist(server: DevServer) -> None:
    message = refused(
        server, FlowConfigurationError, sql="select 1", sql_conn_id="no_such", root="r", row="l"
    )
    assert "The Airflow connection 'no_such' for sql does not exist." in message
    assert "Nothing was started.\nCreate it, or correct sql_conn_id." in message


def test_input_that_is_hidden_is_not_in_the_message_either(server: DevServer, order: Path) -> None:
    secret = "canary-payload-77"
    operator = operator_for(
        "sync",
        flow="Order",
        xsd=str(order),
        xml=f"<Order><Customer>Ada</Customer><Total>{secret}</Total></Order>",
        hide_payload=True,
    )
    operator.render_template_fields({})
    with pytest.raises(FlowInputError, match="Total") as hidden:
        run_task(operator)
    assert secret not in "".join(traceback.format_exception(hidden.value))


# --- the flow's own end ---


def test_an_execution_that_ends_in_error(server: DevServer) -> None:
    panel_flow(server, {"kind": "fail", "name": "Read customer", "message": "No such customer"})
    run = both(server)
    assert type(run.error) is FlowExecutionFailedError
    assert not isinstance(run.error, AirflowFailException)
    check_message(run)
    assert "flow 'Letter'" in run.message
    assert run.execution_id in run.message
    assert "in block 'Read customer'" in run.message
    assert "No such customer" in run.message
    assert "Mend what the flow names; a retry starts a new execution." in run.message
