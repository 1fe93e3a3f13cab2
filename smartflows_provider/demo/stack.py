"""A private Airflow: the four components of a real deployment, as processes of this machine.

Why this module exists: `airflow standalone` takes long to start, keeps fixed ports and leaves processes
behind when it is ended. Here api-server, scheduler, dag-processor and triggerer start side by side on an
SQLite database that is already migrated, on free ports of the loopback address.

Invariants:
* Airflow's home, database, logs and secrets belong to one run; nothing of the caller's Airflow
  configuration reaches it.
* The password, the signing keys and the Fernet key are made at random for each run.
* Every wait ends when a component dies, with the end of that component's output.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from smartflows_provider.demo.database import clean_environment, create_database
from smartflows_provider.demo.ports import LOOPBACK, free_ports
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import AirflowRest

COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
"""Arguments by component. No log servers: they listen on all addresses, and the files are on this machine."""

EXECUTION_API = "execution-api"
"""The API server that only tasks call, where they have one of their own. Airflow writes its audit log in the
event loop, where nothing goes on while it waits for SQLite; and a task's report that holds SQLite's lock
needs that event loop."""

DATABASE_PATIENCE = 60
"""Seconds for which a process waits for another that writes to the SQLite file; 5 by default, after which
a busy machine's components end with "database is locked"."""

SAFETY_STOP = 300.0
"""Seconds after which waiting for Airflow is given up: far above what a busy machine needs."""


class NotReadyError(RuntimeError):
    """Airflow did not get where it should; the message says what is missing."""


class AirflowStack:
    """One Airflow whose processes belong to a `ProcessTree`.

    :param processes: owner of the processes; ends them
    :param dags_folder: folder with the DAG files
    :param home: folder for database, logs and generated files; made if it does not exist
    :param env: more variables for the components, such as connections and settings; they win
    :param parallelism: how many tasks run at the same time, each in a process of its own
    :param separate_execution_api: give tasks an API server of their own. On SQLite a person's act and a
        task's report can block each other for good in one process; see `EXECUTION_API`
    :param python: interpreter of the virtual environment whose Airflow runs; None for this one
    :param cache: where an empty database is kept for the next one; None for the demo's default folder
    """

    user = "admin"
    """Name of the only user, an administrator."""

    def __init__(
        self,
        processes: ProcessTree,
        *,
        dags_folder: Path,
        home: Path,
        env: Mapping[str, str] | None = None,
        parallelism: int = 4,
        separate_execution_api: bool = False,
        python: str | None = None,
        cache: Path | None = None,
    ) -> None:
        self.processes = processes
        self.home = home
        self._cache = cache
        self.python = python or sys.executable
        self.password = secrets.token_urlsafe(12)
        api_port, execution_port = free_ports(2)
        self.url = f"http://{LOOPBACK}:{api_port}"
        self.commands = {name: ("airflow", name, *arguments) for name, arguments in COMPONENTS.items()}
        self.execution_url = self.url
        if separate_execution_api:
            self.execution_url = f"http://{LOOPBACK}:{execution_port}"
            self.commands["api-server"] += ("--apps", "core")
            arguments = ("--apps", "execution", "--port", str(execution_port))
            self.commands[EXECUTION_API] = ("airflow", "api-server", *arguments)
        self.rest = AirflowRest(self.url, user=self.user, password=self.password)
        self._passwords = home / "passwords.json"
        self.database = home / "airflow.db"
        self.env = clean_environment(
            {
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__API__BASE_URL": self.url,
                "AIRFLOW__API__HOST": LOOPBACK,
                "AIRFLOW__API__PORT": str(api_port),
                "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
                "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
                "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
                "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.execution_url}/execution/",
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__PARALLELISM": str(parallelism),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.user}:admin",
                "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
                "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout={DATABASE_PATIENCE}",
                "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
                "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
                "NO_PROXY": f"{LOOPBACK},localhost",
                "no_proxy": f"{LOOPBACK},localhost",
                **(env or {}),
            }
        )

    def start(self) -> None:
        """Create the database and start the four components; return without waiting for them.

        :raises MigrationError: if Airflow could not create its tables
        """
        self.prepare()
        for component in self.commands:
            self.start_component(component)

    def prepare(self) -> None:
        """Create the database, and start nothing.

        :raises MigrationError: if Airflow could not create its tables
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._passwords.write_text(json.dumps({self.user: self.password}) + "\n", encoding="utf-8")
        self._passwords.chmod(0o600)
        create_database(self.database, python=self.python, cache=self._cache)

    def start_component(self, component: str, *, name: str | None = None) -> None:
        """Start one component, again or as one more of its kind; return without waiting for it.

        :param component: a key of `COMPONENTS`, or `EXECUTION_API`
        :param name: what messages and its log call it; None for the component's own name
        """
        command = [self.python, "-m", *self.commands[component]]
        self.processes.start(name or component, command, env=self.env)

    def wait_until_up(self, *, timeout: float = SAFETY_STOP) -> None:
        """Wait until the API server answers people and tasks.

        The interface for tasks is built at its first call, which takes about six seconds: that call is
        made here, so that it does not add to the first task's time.

        :param timeout: seconds after which to give up
        :raises NotReadyError: when the time is over
        :raises ProgramEndedError: if a component ended; the message holds its last output
        """
        self.wait_for(self.rest.is_up, what="the API server to answer", timeout=timeout)
        self.wait_for(
            lambda: self.rest.warm_up(self.execution_url), what="the tasks' API to answer", timeout=timeout
        )

    def wait_for_dag(self, dag_id: str, *, timeout: float = SAFETY_STOP) -> None:
        """Wait until Airflow has parsed a DAG.

        :param dag_id: the DAG
        :param timeout: seconds after which to give up
        :raises NotReadyError: when the time is over, or at once if a DAG file cannot be imported and the
            DAG is not known; the message holds the stack traces
        :raises ProgramEndedError: if a component ended; the message holds its last output
        """
        self.wait_until_up(timeout=timeout)
        self.wait_for(lambda: self._knows(dag_id), what=f"the DAG {dag_id} to be parsed", timeout=timeout)

    def wait_for(
        self, condition: Callable[[], bool], *, what: str, timeout: float = SAFETY_STOP, pause: float = 0.3
    ) -> None:
        """Wait until a condition holds, as long as all components live.

        :param condition: asked again and again
        :param what: names the condition in the message
        :param timeout: seconds after which to give up
        :param pause: seconds between two questions
        :raises NotReadyError: when the time is over
        :raises ProgramEndedError: if a component ended; the message holds its last output
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.processes.require_running()
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"waited {timeout:.0f} s for {what} in vain; the components' output is in "
                    f"{self.processes.logs}"
                )
            time.sleep(pause)

    def _knows(self, dag_id: str) -> bool:
        if self.rest.dag(dag_id) is not None:
            return True
        errors = self.rest.import_errors()
        if errors:
            traces = "\n\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
            raise NotReadyError(f"the DAG {dag_id} is not known and DAG files cannot be imported:\n{traces}")
        return False


@contextlib.contextmanager
def airflow_stack(
    *, dags_folder: Path, folder: Path, env: Mapping[str, str] | None = None, parallelism: int = 4
) -> Iterator[AirflowStack]:
    """Run an Airflow for the time of a `with` block: it answers when the block starts.

    :param dags_folder: folder with the DAG files
    :param folder: where this run keeps its files
    :param env: more variables for the components
    :param parallelism: how many tasks run at the same time
    :raises NotReadyError: if it does not answer in time
    :raises ProgramEndedError: if a component ended; the message holds its last output
    """
    with ProcessTree(logs=folder / "components") as processes:
        airflow = AirflowStack(
            processes, dags_folder=dags_folder, home=folder / "airflow", env=env, parallelism=parallelism
        )
        airflow.start()
        airflow.wait_until_up()
        yield airflow
