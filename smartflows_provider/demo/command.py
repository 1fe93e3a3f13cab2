"""The commands `run` and `up`, which `make demo` and `make up` call.

Why this module exists: one command shows the provider at work on a real Airflow, and says afterwards what
the remote flow made and what waiting for it cost.

Invariants: exit code 0 only if the DAG run succeeded; no process is left behind, whatever ends the
command; on failure the end of the log that tells the reason is printed, and the run's files are
kept; otherwise only the documents are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import requests

from smartflows_provider.demo.database import MigrationError
from smartflows_provider.demo.live import LiveLine, current_task, describe_progress, describe_task
from smartflows_provider.demo.measures import measure
from smartflows_provider.demo.places import cache_folder, default_folder, new_folders, stored_at
from smartflows_provider.demo.processes import ProgramEndedError
from smartflows_provider.demo.rest import DAG_RUN_ENDED, RestError
from smartflows_provider.demo.scenario import DAG_ID, FLOW_TASK, Scenario, scenario
from smartflows_provider.demo.stack import NotReadyError

LOG_LINES = 40
"""How much of a failed task's log is shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    :param arguments: of the command line, None for the process' own
    :returns: the exit code: 0 if the DAG run succeeded, 2 if the folder cannot be written to, else 1
    """
    options = _parser().parse_args(arguments)
    stay = options.command == "up"
    base = options.folder.absolute()
    try:
        base.mkdir(parents=True, exist_ok=True)
        folder, reports = new_folders(base)
        reports.mkdir(parents=True)
    except OSError as error:
        sys.stderr.write(f"The demo cannot write to its folder: {error}. Name another one with --folder.\n")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    _say(f"everything that the demo writes goes to {base}")
    try:
        with scenario(folder=folder, reports=reports, tell=_say, cache=cache_folder(base)) as running:
            if stay:
                _say(_addresses(running))
            succeeded = _run_dag(running)
            if stay:
                _stay(running)
    except (MigrationError, NotReadyError, ProgramEndedError, RestError, requests.RequestException) as error:
        _say(f"\nThe demo could not go on: {error}")
        succeeded = False
    except SystemExit:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        with contextlib.suppress(OSError):
            reports.rmdir()  # only if it is empty
    if succeeded:
        shutil.rmtree(folder)
        return 0
    _say(f"\nAll logs of this run are kept in {folder}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m smartflows_provider.demo",
        description="Run an example DAG on a real Airflow of its own, with an embedded flow server.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "up"),
        default="run",
        help="run: run the example DAG once and end; up: do the same, then keep Airflow's UI until Ctrl-C "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=default_folder(),
        metavar="DIR",
        help="where everything goes that the demo writes (default: .demo in the current directory)",
    )
    return parser


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """End the command in order; a second signal must not disturb the clean-up, so it is ignored."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    _say("\nending all processes")
    raise SystemExit(128 + number)


def _run_dag(running: Scenario) -> bool:
    """Run the example DAG, show its progress and what came of it; return whether it succeeded."""
    rest = running.airflow.rest
    run_id = rest.trigger(DAG_ID)
    _say(f"running the DAG {DAG_ID}")
    with LiveLine(sys.stdout) as line:
        state = _follow(running, run_id, line)
    if state != "success":
        _explain_failure(running, run_id)
        return False
    _report(running, run_id)
    return True


def _follow(running: Scenario, run_id: str, line: LiveLine) -> str:
    """Show the progress of a DAG run until it has ended; return its final state."""
    airflow = running.airflow
    state = ""

    def ended() -> bool:
        nonlocal state
        state = airflow.rest.dag_run(DAG_ID, run_id)["state"]
        task = current_task(airflow.rest.task_instances(DAG_ID, run_id))
        text = f"DAG run {state}" if task is None else describe_task(task)
        if task is not None and task["task_id"] == FLOW_TASK:
            execution_id = airflow.rest.xcom(DAG_ID, run_id, FLOW_TASK, key="execution_id")
            if execution_id is not None:
                text += f" | {_progress_text(running, execution_id)}"
        line.show(text)
        return state in DAG_RUN_ENDED

    airflow.wait_for(ended, what=f"the DAG run {run_id} to end", timeout=900)
    return state


def _progress_text(running: Scenario, execution_id: str) -> str:
    """Describe the remote flow; that the server does not answer is worth showing and no reason to end."""
    try:
        return describe_progress(running.flows.progress(execution_id))
    except requests.RequestException as error:
        return f"flow not reachable ({type(error).__name__})"


def _report(running: Scenario, run_id: str) -> None:
    rest = running.airflow.rest
    manifest = rest.xcom(DAG_ID, run_id, FLOW_TASK)
    tasks = sorted(rest.task_instances(DAG_ID, run_id), key=lambda task: task["start_date"])
    events = rest.event_log(DAG_ID, run_id)
    usages = {task["task_id"]: measure(task, events) for task in tasks}
    deferred = usages[FLOW_TASK].deferred_seconds
    processes = ", ".join(f"{name} {_known(usage.worker_processes)}" for name, usage in usages.items())
    _say("\nManifest of the flow's execution:")
    _say(json.dumps(manifest, indent=2, ensure_ascii=False))
    for path in pdf_paths(manifest):
        _say(f"\nPDF: {path}")
    _say(f"Time {FLOW_TASK} was deferred: {'unknown' if deferred is None else f'{deferred:.1f} s'}")
    _say(f"Worker processes used: {processes}")


def _known(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def pdf_paths(manifest: Mapping[str, Any]) -> list[Path]:
    """Return where a manifest's PDF documents are on this machine.

    :param manifest: return value of the task that ran the flow
    """
    return [
        stored_at(document["uri"])
        for document in manifest["documents"]
        if document["content_type"] == "application/pdf"
    ]


def _explain_failure(running: Scenario, run_id: str) -> None:
    rest = running.airflow.rest
    for task in rest.task_instances(DAG_ID, run_id):
        if task["state"] == "failed":
            log = rest.log(DAG_ID, run_id, task["task_id"], attempt=task["try_number"])
            _say(f"\nThe task {task['task_id']} failed. The end of its log:")
            _say("\n".join(log.splitlines()[-LOG_LINES:]))
    _say(
        "\nThe last error above tells the reason. The command `up` keeps Airflow's UI running to look around."
    )


def _addresses(running: Scenario) -> str:
    airflow = running.airflow
    return (
        f"\nAirflow's UI:       {airflow.url}   user {airflow.user}   password {airflow.password}\n"
        f"Smart Flows server: {running.flows.url}   API key {running.flows.api_key}\n"
    )


def _stay(running: Scenario) -> None:
    """Keep everything running until a signal ends the command or a component ends by itself."""
    _say(_addresses(running) + "Ctrl-C ends everything.")
    with contextlib.suppress(SystemExit):
        while True:
            running.airflow.processes.require_running()
            time.sleep(1)


def _say(text: str) -> None:
    print(text, flush=True)
