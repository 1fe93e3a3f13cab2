"""The real command, as a process of its own: where the connection is found, and what a shell sees."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cli_driving import COMMAND, begin, environment
from cryptography.fernet import Fernet
from support.service import CONN_VARIABLE, LONG, cancels, panel_flow, statuses

from smartflows_provider.demo.database import create_database
from smartflows_provider.devserver.server import DevServer

pytestmark = pytest.mark.full

FERNET_KEY = Fernet.generate_key().decode()
PATIENCE = 120
"""Seconds that no command takes."""


def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command with nobody at the terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def database(server: DevServer, tmp_path: Path) -> dict[str, str]:
    """Settings of an Airflow whose database holds the connection ``stored``, its key encrypted."""
    path = tmp_path / "airflow.db"
    create_database(path)
    key = Fernet(FERNET_KEY.encode()).encrypt(server.api_key.encode()).decode()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO connection"
            " (conn_id, conn_type, host, port, password, is_encrypted, is_extra_encrypted)"
            " VALUES ('stored', 'smartflows', 'http://127.0.0.1', ?, ?, 1, 0)",
            (server.port, key),
        )
        connection.commit()
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}",
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
    }


ONE_AFTER_THE_OTHER = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from smartflows_provider.cli.main import main

told = []
for arguments, more in json.loads(sys.argv[1]):
    os.environ.update(more)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    told.append((code, out.getvalue(), err.getvalue()))
print("TOLD" + json.dumps(told))
"""


def test_a_connection_of_the_environment_goes_first_then_one_in_airflows_database_and_a_third_is_missing(
    server: DevServer, database: dict[str, str]
) -> None:
    running = begin(server, panel_flow(server, LONG))
    variable = CONN_VARIABLE.replace("SMARTFLOWS_DEFAULT", "STORED")
    stored = ["executions", "list", "--json", "--conn-id", "stored"]
    commands = [
        (stored, {}),
        (["executions", "list", "--conn-id", "nowhere"], {}),
        (stored, {variable: server.connection_json(api_key="bad")}),
    ]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)],
        env=environment(**database),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, missing, refused = json.loads(done.stdout.partition("TOLD")[2])
    assert (found[0], found[2]) == (0, "")
    assert [entry["id"] for entry in json.loads(found[1])] == [running]
    assert missing[:2] == [1, ""]
    assert missing[2].startswith("Error: The Airflow connection 'nowhere' does not exist. [Smart Flows, ")
    assert "AIRFLOW_CONN_NOWHERE" in missing[2]
    assert refused[0] == 1
    assert "The key is wrong, revoked or expired" in refused[2]


def test_a_connection_in_a_secrets_backend_is_found(server: DevServer, tmp_path: Path) -> None:
    secrets = tmp_path / "connections.json"
    secrets.write_text(json.dumps({"hidden": json.loads(server.connection_json())}))
    told = call(
        "list",
        "--json",
        "--conn-id",
        "hidden",
        AIRFLOW__SECRETS__BACKEND="airflow.secrets.local_filesystem.LocalFilesystemBackend",
        AIRFLOW__SECRETS__BACKEND_KWARGS=json.dumps({"connections_file_path": str(secrets)}),
    )
    assert (told.returncode, told.stdout) == (0, "[]\n")


def test_a_host_without_the_database_is_told_what_to_set(tmp_path: Path) -> None:
    told = call(
        "list", "--conn-id", "stored", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/no/air.db"
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert "Airflow's metadata database cannot be read from this host (OperationalError)." in told.stderr
    assert "Set the environment variable AIRFLOW_CONN_STORED" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_host_with_another_fernet_key_is_told_so(server: DevServer, database: dict[str, str]) -> None:
    other = {**database, "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}
    told = call("list", "--conn-id", "stored", **other)
    assert (told.returncode, told.stdout) == (1, "")
    assert "holds the connection 'stored', but it cannot be read here." in told.stderr
    assert "fernet_key" in told.stderr
    assert "Traceback" not in told.stderr


def test_an_airflow_that_does_not_load_is_told_without_its_settings() -> None:
    told = call("list", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="not-allowed:///canary-password")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("Error: Airflow cannot be loaded here (ArgumentError).\n")
    assert "canary-password" not in told.stderr


def test_arguments_are_refused_before_airflow_is_loaded() -> None:
    told = call("cancel", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="not-allowed:///")
    assert told.returncode == 2
    assert "error: name executions by id, or by at least one of" in told.stderr


def test_what_airflow_logs_and_warns_of_stays_out_of_the_results(server: DevServer) -> None:
    running = begin(server, panel_flow(server, LONG))
    told = call(
        "list", "--json", AIRFLOW__LOGGING__LOGGING_LEVEL="DEBUG", PYTHONWARNINGS="always", PYTHONDEVMODE="1"
    )
    assert told.returncode == 0
    assert [entry["id"] for entry in json.loads(told.stdout)] == [running]
    assert told.stderr != ""
    assert server.api_key not in told.stdout + told.stderr


def test_a_reader_that_has_gone_ends_it_quietly(server: DevServer) -> None:
    for _ in range(300):
        begin(server, panel_flow(server, LONG))
    process = subprocess.Popen(
        [*COMMAND, "list"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE) == 0


def test_a_reader_that_has_gone_does_not_keep_executions_running(server: DevServer) -> None:
    letter = panel_flow(server, LONG)
    ids = [begin(server, letter) for _ in range(20)]
    process = subprocess.Popen(
        [*COMMAND, "cancel", "--yes", *ids],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 0
    assert set(statuses(server)) == {"Canceled"}


def test_ctrl_c_tells_what_was_done(server: DevServer) -> None:
    server.configure(cancel_seconds=3000)
    letter = panel_flow(server, LONG)
    ids = [begin(server, letter) for _ in range(3)]
    process = subprocess.Popen(
        [*COMMAND, "cancel", "--yes", "--settle-seconds", "3000", *ids],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    give_up = time.monotonic() + PATIENCE
    while len(cancels(server)) < len(ids) and time.monotonic() < give_up:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == "Interrupted; the requests under way are waited for.\n"
    assert out.endswith(
        "0 of 3 executions are over.\nAsked to stop, and not over yet: 3; `executions list` shows them.\n"
    )


def test_closed_streams_are_no_error(server: DevServer) -> None:
    execution_id = begin(server, panel_flow(server, LONG))
    command = " ".join([*COMMAND, "cancel", execution_id])
    for streams, code in (("<&-", 2), ("--yes <&- >&- 2>&-", 0)):
        told = subprocess.run(
            ["/bin/sh", "-c", f"{command} {streams}"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (told.returncode, "Traceback" in told.stderr) == (code, False)
    assert statuses(server) == ["Canceled"]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the person's and the command's."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_a_person_at_a_terminal_is_asked(server: DevServer, terminal: tuple[int, int]) -> None:
    person, screen = terminal
    execution_id = begin(server, panel_flow(server, LONG))
    process = subprocess.Popen(
        [*COMMAND, "cancel", execution_id],
        env=environment(COLUMNS="80"),
        stdin=screen,
        stdout=screen,
        stderr=screen,
    )
    shown = b""
    while b"[y/N] " not in shown:
        shown += os.read(person, 65_536)
    assert statuses(server) == ["Running"]
    os.write(person, b"y\n")
    assert process.wait(PATIENCE) == 0
    assert statuses(server) == ["Canceled"]
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[:4]] == ["ID", "FLOW", execution_id, "Letter"]
    assert lines[-1] == "Cancel 1 execution? [y/N] "


def test_a_terminal_that_lacks_a_sign_gets_it_escaped(server: DevServer) -> None:
    begin(server, panel_flow(server, LONG, name="見積"))
    told = call("list", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (told.returncode, told.stderr) == (0, "")
    assert "\\u898b\\u7a4d" in told.stdout
