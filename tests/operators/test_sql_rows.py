"""Queries as input: read while they are sent on, whatever the driver, and errors that say what to do."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from support.outcomes import operator_for
from support.service import LONG, starts
from support.tasks import run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowInputError,
    RunIdentity,
)
from smartflows_provider.operators import sql_rows
from smartflows_provider.operators.sql_rows import Query, open_cursor

ANY_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="People"/></xs:schema>"""
CANARY = "canary-person-4471"


@pytest.fixture
def database(server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of people, on the connection ``people``, and a flow that takes anything."""
    server.add_flow(name="Letter", start_from="program", xsd=ANY_XSD, steps=[LONG])
    path = tmp_path / "people.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("create table people (name text)")
        connection.executemany("insert into people values (?)", [(CANARY,), ("x\x01y",)])
    monkeypatch.setenv("AIRFLOW_CONN_PEOPLE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def refused(server: DevServer, sql: str, kind: type[FlowException], **arguments: Any) -> str:
    """Run a task with a query that fails, check what holds for every such end, and return the message."""
    given = {"sql_conn_id": "people", "root": "People", "row": "Person", **arguments}
    operator = operator_for("sync", sql=sql, **given)
    operator.render_template_fields({})
    with pytest.raises(FlowException) as caught:
        run_task(operator)
    assert type(caught.value) is kind, caught.value
    assert isinstance(caught.value, AirflowFailException) is (kind is not FlowConnectionError)
    assert "Smart Flows, connection 'smartflows_default', flow 'Letter'" in str(caught.value)
    assert "\nNothing was started.\n" in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert starts(server) == []
    return str(caught.value)


# --- errors of a real driver ---


@pytest.mark.usefixtures("database")
def test_sql_that_the_database_refuses_is_an_error_of_the_input(server: DevServer) -> None:
    message = refused(server, "select nowhere from people", FlowInputError)
    assert "The query on the connection 'people' failed with OperationalError: no such col" in message
    assert "Mend sql, or the data it reads." in message
    assert "syntax error" in refused(server, "selec 1", FlowInputError)


@pytest.mark.usefixtures("database")
def test_with_hide_payload_nothing_of_the_query_is_in_the_message(server: DevServer) -> None:
    sql = f"select name from people where name = '{CANARY}"
    with pytest.raises(FlowInputError, match="unrecognized token"):
        run_task(operator_for("sync", sql=sql, sql_conn_id="people", root="People", row="Person"))
    message = refused(server, sql, FlowInputError, hide_payload=True)
    assert "failed with OperationalError: code SQLITE_ERROR, its words may quote data" in message


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("hide_payload", [True, False])
def test_a_text_that_sqlite_cannot_decode_is_not_quoted_and_no_matter_for_a_retry(
    server: DevServer, hide_payload: bool
) -> None:
    broken = (b"\xff" + CANARY.encode()).hex()
    message = refused(
        server, f"select cast(x'{broken}' as text) as a", FlowInputError, hide_payload=hide_payload
    )
    assert "failed with OperationalError: no code, its words may quote data" in message


@pytest.mark.usefixtures("database")
def test_a_statement_without_rows_is_an_error_of_the_input(server: DevServer) -> None:
    message = refused(server, "create table other (a)", FlowInputError)
    assert "The statement gives no rows; rows come from a SELECT" in message


def test_a_database_that_is_locked_is_worth_a_retry(
    server: DevServer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", lambda *args, _connect=sqlite3.connect, **more: _connect(
        *args, **{**more, "timeout": 0.01}
    ))  # fmt: skip
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("begin exclusive")
    message = refused(server, "select name from people", FlowConnectionError)
    holder.close()
    assert "failed with OperationalError: database is locked" in message
    assert "If the database was out of reach or busy, a retry helps" in message


def test_a_database_that_cannot_be_opened_is_worth_a_retry(
    server: DevServer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = str(database.parent / "no" / "such.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_PEOPLE", json.dumps({"conn_type": "sqlite", "host": nowhere}))
    message = refused(server, "select 1 as a", FlowConnectionError)
    assert (
        "The database of the connection 'people' cannot be reached: unable to open database file" in message
    )
    assert "a retry helps; else correct the connection." in message


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nosuch", "cannot be used here: Unknown hook type"),
        ("smartflows", "leads to no database that takes SQL"),
    ],
)
def test_a_connection_that_leads_to_no_database_is_to_be_corrected(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    fields = {**json.loads(server.connection_json()), "conn_type": kind}
    monkeypatch.setenv("AIRFLOW_CONN_PEOPLE", json.dumps(fields))
    message = refused(server, "select 1 as a", FlowConfigurationError)
    assert f"The Airflow connection 'people' for sql {told}" in message


@pytest.mark.usefixtures("database")
def test_an_api_server_that_cannot_be_asked_for_the_connection_is_worth_a_retry(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreachable:
        @staticmethod
        def get_connection(conn_id: str) -> None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    monkeypatch.setattr(sql_rows, "BaseHook", Unreachable)
    message = refused(server, "select 1 as a", FlowConnectionError)
    assert "Airflow could not be asked for the connection 'people' for sql" in message


@pytest.mark.usefixtures("database")
def test_a_character_that_xml_cannot_carry_is_named_with_its_row_and_column(
    server: DevServer,
) -> None:
    message = refused(server, 'select name as "Name" from people order by 1', FlowInputError)
    assert "Row 2/Name: XML cannot carry the character U+0001 at position 1" in message
    operator = operator_for(
        "sync",
        sql='select name as "Name" from people order by 1',
        sql_conn_id="people",
        root="People",
        row="Person",
        bad_characters="replace",
        wait_for_completion=False,
    )
    execution = run_task(operator)["execution_id"]
    assert "<Name>x\ufffdy</Name>" in server.input_of(execution).decode()


# --- drivers that are not installed here ---


class FakeCursor:
    """A cursor over numbers that notes what is asked of it."""

    name: str | None = None

    def __init__(self, connection: FakeConnection) -> None:
        self.connection = connection
        self.description: list[tuple[str]] | None = None
        self.left = iter(range(connection.rows))

    def execute(self, sql: str) -> None:
        self.connection.calls.append(f"execute {sql}")
        if self.name is None:
            self.description = [("n",)]

    def fetchmany(self, size: int) -> list[Any]:
        self.connection.calls.append("fetch")
        self.description = [("n",)]
        found = [(number,) for number in islice(self.left, size)]
        if not found and self.connection.error is not None:
            raise self.connection.error
        return [dict(zip(["n"], row, strict=True)) for row in found] if self.connection.mappings else found


class FakeConnection:
    """A connection that gives such cursors."""

    def __init__(self, rows: int = 3, *, error: Exception | None = None, mappings: bool = False) -> None:
        self.rows, self.error, self.mappings = rows, error, mappings
        self.calls: list[str] = []

    def cursor(self, kind: type[FakeCursor] = FakeCursor, *, name: str | None = None) -> FakeCursor:
        self.calls.append(f"cursor {name or kind.__name__}")
        cursor = kind(self)
        cursor.name = name
        return cursor

    def close(self) -> None:
        self.calls.append("close")


class SSCursor(FakeCursor):
    """What the drivers for MySQL call a cursor that stays at the server."""


def connection_of(driver: str, **options: Any) -> FakeConnection:
    """Return a connection whose class belongs to a driver."""
    kind = type("Connection", (FakeConnection,), {"__module__": f"{driver}.connections"})
    return type("TracedConnection", (kind,), {"__module__": "tracing"})(**options)


@pytest.fixture
def mysql(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("MySQLdb", "pymysql"):
        cursors = ModuleType(f"{driver}.cursors")
        vars(cursors)["SSCursor"] = SSCursor
        monkeypatch.setitem(sys.modules, driver, ModuleType(driver))
        monkeypatch.setitem(sys.modules, f"{driver}.cursors", cursors)


@pytest.mark.usefixtures("mysql")
@pytest.mark.parametrize(
    ("driver", "cursor"),
    [
        ("psycopg2", "smartflows_rows"),
        ("psycopg", "smartflows_rows"),
        ("MySQLdb", "SSCursor"),
        ("pymysql", "SSCursor"),
        ("oracledb", "FakeCursor"),
    ],
)
def test_drivers_that_load_whole_results_are_asked_for_a_cursor_at_the_server(
    driver: str, cursor: str
) -> None:
    connection = connection_of(driver)
    open_cursor(connection)
    assert connection.calls == [f"cursor {cursor}"]


def rows_of(connection: FakeConnection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Read a query over a fake connection."""
    monkeypatch.setattr(Query, "_connect", lambda _: connection)
    query = Query(
        sql="select n",
        conn_id="numbers",
        where=RunIdentity(system="Smart Flows", conn_id="c"),
        fate="Nothing was started.",
        hide_payload=False,
    )
    with query.rows() as rows:
        yield from rows


@pytest.mark.parametrize("mappings", [False, True])
def test_a_result_at_the_server_is_fetched_as_it_is_sent_on(
    monkeypatch: pytest.MonkeyPatch, mappings: bool
) -> None:
    connection = connection_of("psycopg2", rows=2500, mappings=mappings)
    rows = rows_of(connection, monkeypatch)
    assert next(rows) == {"n": 0}
    assert connection.calls == ["cursor smartflows_rows", "execute select n", "fetch"]
    assert [row["n"] for row in rows] == list(range(1, 2500))
    assert connection.calls.count("fetch") == 4
    assert connection.calls[-1] == "close"


def test_the_connection_is_closed_where_a_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connection_of("MySQLdb", rows=2500)
    monkeypatch.setattr(sql_rows, "open_cursor", lambda one: one.cursor())
    rows = rows_of(connection, monkeypatch)
    next(rows)
    rows.close()
    assert connection.calls[-1] == "close"


class Error(Exception):
    """The base of a driver's errors, as PEP 249 names them."""


class DatabaseError(Error):
    """An error of the database."""


class OperationalError(DatabaseError):
    """An error that is not the statement's."""


class DataError(DatabaseError):
    """An error about a value."""

    pgcode = "22P02"


def test_a_connection_that_is_lost_in_the_middle_is_worth_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = OperationalError(2013, "Lost connection to MySQL server during query")
    connection = connection_of("oracledb", rows=5, error=lost)
    with pytest.raises(FlowConnectionError, match="Lost connection to MySQL server") as caught:
        list(rows_of(connection, monkeypatch))
    assert caught.value.fate == "Nothing was started."
    assert connection.calls[-1] == "close"


def test_an_error_about_a_value_does_not_quote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DataError(f'invalid input syntax for type integer: "{CANARY}"\nLINE 1: …')
    with pytest.raises(FlowInputError, match=r"DataError: code 22P02, its words may quote data") as caught:
        list(rows_of(connection_of("psycopg2", error=error), monkeypatch))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_an_error_that_is_none_of_the_drivers_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecursionError):
        list(rows_of(connection_of("psycopg2", error=RecursionError()), monkeypatch))


# --- size ---

MEASURE = """
import resource, sys
from smartflows_provider.exceptions import RunIdentity
from smartflows_provider.operators.sql_rows import Query
from smartflows_provider.payload.build import RowsInput, prepare

def send(count):
    query = Query(sql=sql % count, conn_id="numbers", where=RunIdentity(system="s", conn_id="c"), fate="",
                  hide_payload=False)
    with query.rows() as rows, prepare(RowsInput(rows=rows, root="R", row="r")) as payload:
        return payload.size

sql = ("with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) "
       "select i as id, 'a name that is as long as names are ' || i as name, i * 1.5 as amount from n")
send(1000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = send(int(sys.argv[1]))
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak(rows: int) -> tuple[int, int]:
    """Return bytes of XML, and by how many kilobytes the peak memory has grown."""
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, str(rows)], capture_output=True, text=True, check=True
    )
    size, grown = map(int, answer.stdout.split()[-2:])
    return size, grown


@pytest.mark.full
def test_a_million_rows_of_a_query_take_little_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = {"conn_type": "sqlite", "host": str(tmp_path / "numbers.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_NUMBERS", json.dumps(database))
    size, grown = peak(1_000_000)
    assert size > 90_000_000
    assert grown < 40 * 1024
