"""The surroundings of the components: settings, database, ports, and waits that end with a reason."""

from __future__ import annotations

import sqlite3
import sys
from importlib.metadata import version

import pytest

from smartflows_provider.demo import database
from smartflows_provider.demo.ports import free_ports
from smartflows_provider.demo.processes import ProcessTree, ProgramEndedError, tail
from smartflows_provider.demo.stack import COMPONENTS, EXECUTION_API, AirflowStack, NotReadyError


@pytest.fixture
def stack(tmp_path):
    processes = ProcessTree(logs=tmp_path / "components")
    return AirflowStack(
        processes, dags_folder=tmp_path, home=tmp_path / "home", env={"AIRFLOW__CORE__PARALLELISM": "2"}
    )


def answer(requests_mock, stack, *, import_errors=()):
    requests_mock.post(f"{stack.url}/auth/token", json={"access_token": "t"}, status_code=201)
    requests_mock.get(f"{stack.url}/api/v2/monitor/health", json={"metadatabase": {"status": "healthy"}})
    requests_mock.get(f"{stack.url}/execution/health", json={})
    requests_mock.get(f"{stack.url}/api/v2/dags/report", status_code=404, json={})
    requests_mock.get(f"{stack.url}/api/v2/importErrors", json={"import_errors": list(import_errors)})


def test_the_callers_settings_win_over_the_stacks(stack):
    assert stack.env["AIRFLOW__CORE__PARALLELISM"] == "2"


def test_two_stacks_share_neither_port_nor_secret(stack, tmp_path):
    other = AirflowStack(stack.processes, dags_folder=tmp_path, home=tmp_path / "other")

    own = {"AIRFLOW__API__PORT", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY"}
    assert all(stack.env[name] != other.env[name] for name in own)
    assert stack.password != other.password


def test_tasks_have_an_api_server_of_their_own_where_that_is_asked_for(stack, tmp_path):
    other = AirflowStack(
        stack.processes, dags_folder=tmp_path, home=tmp_path / "other", separate_execution_api=True
    )
    key = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"

    assert stack.env[key] == f"{stack.url}/execution/"
    assert list(stack.commands) == list(COMPONENTS)
    assert other.env[key] == f"{other.execution_url}/execution/"
    assert other.execution_url != other.url
    assert other.commands["api-server"][-2:] == ("--apps", "core")
    assert other.commands[EXECUTION_API][2:4] == ("--apps", "execution")


def test_the_components_of_another_virtual_environment_run_where_that_is_asked_for(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\nsleep 600\n')
    python.chmod(0o755)
    with ProcessTree(logs=tmp_path / "components", grace=0.2) as processes:
        stack = AirflowStack(processes, dags_folder=tmp_path, home=tmp_path / "home", python=str(python))
        stack.start_component("triggerer", name="spare")
        stack.wait_for(lambda: tail(processes.log_of("spare")) != "", what="its output", pause=0.05)

        assert tail(processes.log_of("spare")).startswith("-m airflow triggerer")


def test_the_version_of_another_environments_airflow_is_its_own(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 9.9.9\n")
    python.chmod(0o755)

    assert database.airflow_version(str(python)) == "9.9.9"
    assert database.airflow_version(sys.executable) == version(database.DISTRIBUTION)


def test_a_dag_file_that_cannot_be_imported_ends_the_wait_with_its_stack_trace(stack, requests_mock):
    error = {"filename": "report.py", "stack_trace": "ModuleNotFoundError: nonsense"}
    answer(requests_mock, stack, import_errors=[error])

    with pytest.raises(NotReadyError, match=r"(?s)report is not known.*report\.py:\nModuleNotFoundError"):
        stack.wait_for_dag("report")


def test_a_wait_in_vain_names_what_was_waited_for_and_where_the_logs_are(stack, requests_mock):
    answer(requests_mock, stack)

    with pytest.raises(NotReadyError, match=r"for the DAG report to be parsed in vain.*components"):
        stack.wait_for_dag("report", timeout=0)


def test_a_wait_ends_when_a_component_ends_by_itself(tmp_path):
    with ProcessTree(logs=tmp_path / "components") as processes:
        stack = AirflowStack(processes, dags_folder=tmp_path, home=tmp_path / "home")
        processes.start(
            "scheduler", [sys.executable, "-c", "exit('port is taken')"], env=database.clean_environment({})
        )
        with pytest.raises(ProgramEndedError, match=r"(?s)scheduler ended .* exit code 1.*port is taken"):
            stack.wait_for(lambda: False, what="nothing")


def test_the_database_is_migrated_once_and_then_copied(tmp_path, monkeypatch, airflow_db):
    monkeypatch.setattr(database, "_create_template", None)
    copy = tmp_path / "copy.db"

    database.create_database(copy)

    assert airflow_db.exists()
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_failed_migration_shows_the_end_of_its_output_and_leaves_no_template(tmp_path, monkeypatch):
    airflow = tmp_path / "python"
    airflow.write_text("#!/bin/sh\necho 'disk is full' >&2\nexit 7\n")
    airflow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(airflow))

    with pytest.raises(database.MigrationError, match=r"(?s)exit code 7.*disk is full"):
        database.create_database(tmp_path / "airflow.db", cache=tmp_path / "cache")

    assert not (tmp_path / "cache" / f"airflow-{version('apache-airflow-core')}.db").exists()
    assert not (tmp_path / "airflow.db").exists()


def test_free_ports_are_distinct():
    assert len(set(free_ports(5))) == 5
