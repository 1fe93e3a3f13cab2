"""``hide_payload``: a person's data is sent and shown nowhere, whatever its kind and whatever goes wrong."""

from __future__ import annotations

import json
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields
from support.outcomes import logged
from support.tasks import MODES, Attempt, Mode, run_task

from smartflows_provider.decorators.smart_flows import smart_flow_task
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowInputError, FlowRequestRefusedError
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

CANARY = "canary-person-3391"
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="People"><xs:complexType>
<xs:sequence><xs:element name="Title" type="xs:string" minOccurs="0"/><xs:element name="Person"
maxOccurs="unbounded"><xs:complexType><xs:sequence><xs:element name="Name" type="{kind}"/></xs:sequence>
</xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"""
ROW = {"Name": CANARY}
XML = f"<People><Person><Name>{CANARY}</Name></Person></People>"

Arguments = Callable[[Path, str], dict[str, Any]]
"""Makes an operator's arguments from a folder for files and a person's name."""


def xml_of(name: str) -> str:
    return XML.replace(CANARY, name)


def in_csv(folder: Path, name: str) -> dict[str, Any]:
    (folder / "people.csv").write_text(f'Name\n"{name}"\n')
    return {"rows": folder / "people.csv"}


def in_json_lines(folder: Path, name: str) -> dict[str, Any]:
    (folder / "people.jsonl").write_text(json.dumps({"Name": name}) + "\n")
    return {"rows": str(folder / "people.jsonl")}


def in_parquet(folder: Path, name: str) -> dict[str, Any]:
    pyarrow.parquet.write_table(pyarrow.table({"Name": [name]}), folder / "people.parquet")
    return {"rows": folder / "people.parquet"}


def in_database(folder: Path, name: str) -> dict[str, Any]:
    with sqlite3.connect(folder / "people.sqlite") as database:
        database.execute("create table people (name)")
        database.execute("insert into people values (?)", [name])
    sql = f"select name as Name from people where name like '{CANARY}%'"
    return {"sql": sql, "sql_conn_id": "people"}


def in_xml_file(folder: Path, name: str) -> dict[str, Any]:
    (folder / "people.xml").write_text(xml_of(name))
    return {"xml": folder / "people.xml"}


def yielded(name: str) -> Callable[[Any], Iterator[dict[str, str]]]:
    def people(context: Any) -> Iterator[dict[str, str]]:
        yield {"Name": name}

    return people


KINDS: dict[str, Arguments] = {
    "xml": lambda _, name: {"xml": xml_of(name)},
    "xml bytes": lambda _, name: {"xml": xml_of(name).encode()},
    "xml file": in_xml_file,
    "data": lambda _, name: {"data": {"Person": {"Name": name}}},
    "data text": lambda _, name: {"data": json.dumps({"Person": {"Name": name}})},
    "rows": lambda _, name: {"rows": [{"Name": name}]},
    "row lists": lambda _, name: {"rows": [(name,)], "columns": ["Name"]},
    "rows text": lambda _, name: {"rows": json.dumps([{"Name": name}])},
    "function": lambda _, name: {"rows": yielded(name)},
    "csv": in_csv,
    "json lines": in_json_lines,
    "parquet": in_parquet,
    "sql": in_database,
    "header": lambda _, name: {"rows": [{"Name": name}], "header": {"Title": name}},
    "template": lambda _, name: {"data": {"Person": {"Name": "{{ params.name }}"}}},
}


@pytest.fixture
def folder(server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    database = {"conn_type": "sqlite", "host": str(tmp_path / "people.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_PEOPLE", json.dumps(database))
    flow(server, "xs:string")
    return tmp_path


def flow(server: DevServer, kind: str) -> str:
    """Add the flow, whose names are of a type of the XSD, and return its XSD."""
    xsd = XSD.format(kind=kind)
    server.add_flow(name="Letter", start_from="program", xsd=xsd, steps=[{"duration": 0.1}])
    return xsd


def operator_for(mode: Mode, **arguments: Any) -> SmartFlowsRunFlowOperator:
    given = {"root": "People", "row": "Person", **arguments}
    return SmartFlowsRunFlowOperator(
        task_id="t",
        flow="Letter",
        poll_interval=0.05,
        deferrable=mode == "deferrable",
        hide_payload=True,
        **given,
    )


def run_hidden(
    operator: Any,
    capfd: pytest.CaptureFixture[str],
    *,
    name: str = CANARY,
    error: type[Exception] | None = None,
) -> str:
    """Render and run a task as Airflow does; nothing that it shows or stores may hold the person's name."""
    attempt = Attempt(more={"params": {"name": name}})
    task = operator.prepare_for_execution()
    task.render_template_fields(attempt.context())
    shown = [json.dumps(_serialize_rendered_fields(task)), repr(task)]
    with logged() as lines:
        if error is None:
            shown.append(json.dumps(run_task(task, attempt)))
        else:
            with pytest.raises(error) as caught:
                run_task(task, attempt)
            shown += ["".join(traceback.format_exception(caught.value)), repr(vars(caught.value))]
    shown += [*lines, repr(attempt.xcoms), repr(attempt.store), repr(attempt.events)]
    shown += [repr(vars(attempt.store)), *(repr(trigger.serialize()) for trigger in attempt.deferrals)]
    shown += capfd.readouterr()
    assert not [text for text in shown if CANARY in text]
    return "\n".join(shown)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_input_of_any_kind_is_sent_and_not_shown(
    server: DevServer, folder: Path, kind: str, mode: Mode, capfd: pytest.CaptureFixture[str]
) -> None:
    run_hidden(operator_for(mode, **KINDS[kind](folder, CANARY)), capfd)
    assert CANARY in server.input_of(server.executions()[-1]["id"]).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_that_breaks_the_xsd_is_not_quoted(
    server: DevServer, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / "people.xsd"
    path.write_text(flow(server, "xs:int"))
    arguments = KINDS[kind](folder, CANARY)
    shown = run_hidden(operator_for("sync", xsd=path, **arguments), capfd, error=FlowInputError)
    assert "/People/Person" in shown
    # Where only the service finds out, its words are left out.
    run_hidden(operator_for("sync", **arguments), capfd, error=FlowRequestRefusedError)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("xml")])
def test_a_bad_character_is_named_with_its_place_and_not_with_the_value(
    server: DevServer, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"{CANARY}\x02"
    operator = operator_for("sync", **KINDS[kind](folder, name))
    shown = run_hidden(operator, capfd, name=name, error=FlowInputError)
    place = {"data": "/People/Person/Name", "data text": "/People/Person/Name", "header": "/People/Title"}
    expected = place.get(kind, "/People/Person/Name" if kind == "template" else "Row 1/Name")
    assert f"{expected}: XML cannot carry the character U+0002 at position {len(CANARY)}" in shown
    assert server.executions() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"xml": f"<People>{CANARY}"},
        {"xml": f"<People>&{CANARY};</People>"},
        {"xml": f"<People {CANARY}></People>"},
        {"data": f'{{"Person": "{CANARY}'},
        {"data": {CANARY + " B": 1}},
        {"data": {f"{CANARY}:B": 1}},
        {"data": {"Person": {"@xmlns": f"{CANARY} <"}}},
        {"data": {"Person": {5: CANARY}}},
        {"data": [CANARY]},
        {"rows": [CANARY]},
        {"rows": [[CANARY]]},
        {"rows": [[CANARY, 1]], "columns": ["Name"]},
        {"rows": f"[{CANARY}"},
        {"rows": f"({{'Name': '{CANARY}'}},)"},
        {"rows": f"{{'Page': 'https://{CANARY}'}}"},
        {"rows": [{"Name": object()}], "header": f"{CANARY}"},
        {"records": {"id": ["r"], "entity": f"{CANARY}\n", "userId": "u"}},
        {"records": {"id": [], "entity": CANARY, "userId": "u"}},
        {"records": [CANARY]},
        {"records": {"id": "r", "entity": "account", "userId": "u", CANARY: 1}},
    ],
)
@pytest.mark.usefixtures("folder")
def test_an_input_that_cannot_be_read_is_not_quoted(
    server: DevServer, arguments: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    run_hidden(operator_for("sync", **arguments), capfd, error=Exception)
    assert server.executions() == []


def test_a_csv_file_without_a_line_of_names_is_not_quoted(
    server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for line in (f"{CANARY} Lovelace,1", f"{CANARY},{CANARY}", f'{CANARY}"x",1', f"a\n{CANARY},1"):
        (folder / "people.csv").write_text(f"{line}\n2,3\n")
        shown = run_hidden(operator_for("sync", rows=folder / "people.csv"), capfd, error=FlowInputError)
        assert "people.csv" in shown or "the first line of a CSV file must name the columns" in shown


def test_records_are_sent_and_not_shown(server: DevServer, capfd: pytest.CaptureFixture[str]) -> None:
    server.add_flow(name="Letter", start_from="plugin", steps=[])
    records = {"id": [CANARY], "entity": "account", "userId": CANARY}
    run_hidden(operator_for("sync", records=records), capfd)
    assert CANARY in server.input_of(server.executions()[-1]["id"]).decode()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("folder")
def test_arguments_and_result_of_a_decorated_function_are_not_shown(
    server: DevServer, mode: Mode, capfd: pytest.CaptureFixture[str]
) -> None:
    def people(first: str, *, last: list[str], ti: Any) -> list[dict[str, str]]:
        return [{"Name": first}, {"Name": last[0]}]

    decorated = smart_flow_task(
        people,
        flow="Letter",
        root="People",
        row="Person",
        hide_payload=True,
        deferrable=mode == "deferrable",
        poll_interval=0.05,
    )
    with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):
        operator = decorated(CANARY, last=[CANARY]).operator
    run_hidden(operator, capfd)
    assert server.input_of(server.executions()[-1]["id"]).decode().count(CANARY) == 2


@pytest.mark.usefixtures("folder")
def test_what_a_decorated_function_returns_wrongly_is_not_quoted(capfd: pytest.CaptureFixture[str]) -> None:
    for value in (CANARY, [CANARY], {f"{CANARY} B": 1}):
        with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):
            operator = smart_flow_task(
                lambda value: value,
                task_id="t",
                flow="Letter",
                root="People",
                row="Person",
                hide_payload=True,
            )(value).operator
        run_hidden(operator, capfd, error=FlowInputError)
