"""The page about input, example by example: what it says that the service gets is what the service gets."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from lxml import etree
from support.service import server
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

__all__ = ["server"]

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "input.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```(?:\n\n```(?:xml|json)\n(.*?)```)?", PAGE, re.DOTALL)
PARAMS = {"least": 2, "items": ["pen", "ink"], "day": date(2026, 2, 28)}
ANYTHING = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"{}><xs:element name="{}"/></xs:schema>'
LETTER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Letter"><xs:complexType>
<xs:sequence><xs:element name="Customer" type="xs:string"/><xs:element name="Total" type="xs:decimal"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""


@pytest.fixture
def surroundings(server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flows, files and databases that the examples speak of; returns the DAG file's folder."""
    for name, namespace in (("Letter", ""), ("Stock", ""), ("Order", ' targetNamespace="urn:order"')):
        server.add_flow(name=name, start_from="program", xsd=ANYTHING.format(namespace, name), steps=[])
    server.add_flow(name="Account letter", start_from="plugin", steps=[])
    (tmp_path / "stock.csv").write_text("Item,Count\npen,2\n")
    (tmp_path / "letter.xsd").write_text(LETTER)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database, database:
        database.execute("create table stock (item, number)")
        database.executemany("insert into stock values (?, ?)", [("pen", 2), ("ink", 3), ("pad", 1)])
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tasks_of(code: str, folder: Path) -> tuple[DAG, dict[str, Any]]:
    """Run an example as a DAG file and return its DAG and names."""
    names: dict[str, Any] = {
        "SmartFlowsRunFlowOperator": SmartFlowsRunFlowOperator,
        "SmartFlowsHook": SmartFlowsHook,
        "task": task,
        "date": date,
        "Decimal": Decimal,
        "closing": closing,
        "sqlite3": sqlite3,
    }
    with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        exec(compile(code, "input.md", "exec"), names)
    dag.fileloc = str(folder / "dag.py")
    return dag, names


def run(operator: Any) -> Any:
    attempt = Attempt(more={"params": PARAMS})
    ready = operator.prepare_for_execution()
    ready.render_template_fields(attempt.context())
    return run_task(ready, attempt)


def plain(text: str) -> str:
    """Return XML or JSON in a form that can be compared."""
    if text.lstrip().startswith("{"):
        return json.dumps(json.loads(text), sort_keys=True)
    return etree.canonicalize(text, strip_text=True)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 11
    assert len([expected for _, expected in EXAMPLES if expected]) == 7


@pytest.mark.parametrize(
    ("code", "expected"),
    [(code, expected) for code, expected in EXAMPLES if "@task" not in code],
    ids=lambda text: next(iter(re.findall(r"(?:data|rows|sql|records|xsd)=", text)), "none")[:-1],
)
def test_an_operator_sends_what_the_page_says(
    server: DevServer, surroundings: Path, code: str, expected: str
) -> None:
    dag, _ = tasks_of(code, surroundings)
    (operator,) = dag.tasks
    sent = server.input_of(run(operator)["execution_id"]).decode()
    assert plain(sent) == plain(expected or sent)


def test_the_decorated_function_runs_once_for_each_name(server: DevServer, surroundings: Path) -> None:
    (code,) = (code for code, _ in EXAMPLES if "@task.smart_flow" in code)
    dag, _ = tasks_of(code, surroundings)
    (mapped,) = dag.tasks
    for name in ("Ada", "Grace"):
        execution = run(mapped.unmap({"op_kwargs": {"name": name}}))["execution_id"]
        expected = f"<Letter><Greeting>Dear {name}</Greeting></Letter>"
        assert plain(server.input_of(execution).decode()) == plain(expected)


def test_the_hook_sends_the_rows_of_a_cursor(server: DevServer, surroundings: Path) -> None:
    (code,) = (code for code, _ in EXAMPLES if "hook.start" in code)
    _, names = tasks_of(code, surroundings)
    sent = server.input_of(names["start_report"].function()).decode()
    lines = "".join(
        f"<Line><Item>{item}</Item><Count>{count}</Count></Line>"
        for item, count in (("ink", 3), ("pad", 1), ("pen", 2))
    )
    assert plain(sent) == f"<Stock>{lines}</Stock>"
