"""What the examples of the pages speak of: flows, files, connections, a bucket and a database.

Whoever adds an example that names something new adds it here.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.object_store import CREDENTIALS

from smartflows_provider.devserver.ocp import OcpSection
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.hooks.workflow_server import WorkflowServerHook

PROCESS = "7f3a1c56-0d7e-4a55-9d0a-3f6f2b1c9e10"
XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"{}>{}</xs:schema>'
ANYTHING = '<xs:element name="{}"/>'
LETTER = """<xs:element name="Letter"><xs:complexType><xs:sequence>
<xs:element name="Customer" type="xs:string"/><xs:element name="Total" type="xs:decimal"/>
</xs:sequence></xs:complexType></xs:element>"""
ORDER = """<xs:element name="Order"><xs:complexType><xs:sequence>
<xs:element name="Head"><xs:complexType><xs:sequence>
<xs:element name="Reference" type="xs:string" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="Customer" type="xs:string"/><xs:element name="Total" type="xs:decimal"/>
</xs:sequence></xs:complexType></xs:element>"""
REPORT = """<xs:element name="FlightReport"><xs:complexType><xs:sequence>
<xs:element name="Carrier" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="Code" type="xs:string"/><xs:element name="Flights" type="xs:nonNegativeInteger"/>
</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>"""
APPROVAL = [
    {"key": "approve", "title": "Approve it", "type": "boolean", "required": True},
    {"key": "comment", "title": "Comment", "type": "string"},
]
SENDING = [
    {"key": "send", "title": "May it be sent?", "type": "boolean", "required": True},
    {"key": "copies", "title": "Copies", "type": "integer"},
    {"key": "remark", "title": "Remark", "type": "string"},
]
TEMPLATES = {"letter.html.j2": "<p>Dear Ada</p>"}
DOCUMENT = {"kind": "document", "template": "letter.html.j2", "format": "html", "place": "letter"}
FIGURES = {"kind": "output", "values": {"flights": 113300, "busiest_carrier": "UA"}}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where the examples run."""

    folder: Path
    """The DAG files' folder, and the working directory."""
    server: DevServer

    conf: dict[str, object]
    """What a DAG run is triggered with."""

    def add_flows(self, *, with_input: bool) -> None:
        """Add the flows that some examples give an input and some do not."""
        for name, xsd, steps in (
            ("Flight report", REPORT, [DOCUMENT, FIGURES]),
            ("Order letter", ORDER, [DOCUMENT]),
        ):
            kind = {"start_from": "panel"}
            if with_input:
                kind = {"start_from": "program", "xsd": XSD.format("", xsd)}
            self.server.add_flow(name=name, steps=steps, templates=TEMPLATES, **kind)


@pytest.fixture
def surroundings(server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """Return the surroundings, with every connection that the pages name leading to the loopback."""
    server.configure(speed=1000.0)
    _add_flows(server)
    _write_files(tmp_path)
    connections = {
        "smartflows_test": server.connection_json(),
        "warehouse": json.dumps({"conn_type": "sqlite", "host": str(_database(tmp_path / "warehouse.db"))}),
        "workflowserver_default": _workflow_server(server),
        "phixflow_default": server.section_connection_json(PhixFlowSection),
        "ocp_default": _ocp(server),
    }
    for name, value in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with WorkflowServerHook() as hook:
        hook.create_instance(PROCESS, scheme_code="Approval of an order")
    return Surroundings(folder=tmp_path, server=server, conf={"process_id": PROCESS})


@pytest.fixture
def reports_bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket `reports` of the connection `aws_default`."""
    import boto3

    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)
    client.create_bucket(Bucket="reports")
    connection = {
        "conn_type": "aws",
        "login": CREDENTIALS["aws_access_key_id"],
        "password": CREDENTIALS["aws_secret_access_key"],
        "extra": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))


def _add_flows(server: DevServer) -> None:
    for name, target in (("Letter", ""), ("Stock", ""), ("Order", ' targetNamespace="urn:order"')):
        xsd = XSD.format(target, ANYTHING.format(name))
        server.add_flow(name=name, start_from="program", xsd=xsd, steps=[DOCUMENT], templates=TEMPLATES)
    server.add_flow(name="Account letter", start_from="plugin", steps=[])
    offer = {"id": "offer", "kind": "form", "message": "Approve the offer", "fields": APPROVAL}
    server.add_flow(name="Offer", start_from="panel", steps=[offer])
    server.add_flow(name="Report approval", start_from="panel", steps=[{**offer, "fields": SENDING}])
    event = {"id": "wait", "kind": "wait_for_event", "callback": "import-done"}
    server.add_flow(name="Import", start_from="panel", steps=[event])


def _write_files(folder: Path) -> None:
    (folder / "stock.csv").write_text("Item,Count\npen,2\n")
    (folder / "letter.xsd").write_text(XSD.format("", LETTER))
    (folder / "order.xsd").write_text(XSD.format("", ORDER))
    (folder / "flight_report.xsd").write_text(XSD.format("", REPORT))


def _database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table stock (item, number)")
        database.executemany("insert into stock values (?, ?)", [("pen", 2), ("ink", 3), ("pad", 1)])
        database.execute("create table carriers (code, name, flights, month)")
        database.executemany(
            "insert into carriers values (?, ?, ?, '2026-02')",
            [("UA", "United", 58665), ("B6", "JetBlue", 54635)],
        )
    return path


def _workflow_server(server: DevServer) -> str:
    section = server.section(WorkflowServerSection)
    section.add_scheme(
        "Order",
        {"name": "Check", "state": "Checking"},
        {"name": "Book", "state": "Booked", "sets": {"InvoiceId": 4711}, "ends": 3},
    )
    section.add_scheme(
        "Approval of an order",
        {"name": "Decide", "state": "Decision", "commands": {"approve": "Book", "reject": "Drop"}},
        {"name": "Book", "state": "Booked", "sets": {"InvoiceId": 4711}, "ends": 3},
        {"name": "Drop", "state": "Rejected", "ends": 3},
    )
    return server.section_connection_json(WorkflowServerSection)


def _ocp(server: DevServer) -> str:
    section = server.section(OcpSection)
    section.add_flow("order_status", status="started")
    return server.section_connection_json(OcpSection)
