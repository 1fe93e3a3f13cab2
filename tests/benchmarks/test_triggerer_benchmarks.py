"""Waits in a real triggerer, and worker processes of whole DAGs, in a small size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.triggerer import ledger
from benchmarks.triggerer.crowd import Crowd, Outcome, run
from benchmarks.triggerer.report import (
    KINDS,
    PEER_RUNS,
    PEER_SENSORS,
    RUNS,
    SENSORS,
    crowd_readings,
    killed_readings,
    workers_readings,
)
from benchmarks.triggerer.watching import TriggererTaken
from benchmarks.triggerer.workers import observe

WAITS = 500
TASKS = 10


def outcome(**changed: float) -> Outcome:
    told = dict.fromkeys(("starting", "ending", "block_starting", "block"), 0.0)
    counted = dict.fromkeys(("lost", "wrong", "repeated", "requests"), 0)
    return Outcome(
        **{"waits": 1, "lags": [1.0, 2.0], **told, **counted, "taken": TriggererTaken(), **changed}
    )


@pytest.mark.parametrize("wrong", ["lost", "wrong", "repeated"])
def test_what_goes_wrong_once_is_a_missed_goal_on_the_busiest_machine(wrong: str) -> None:
    def missed(one: Outcome) -> list[str]:
        return [each for reading in crowd_readings([one]) for each in reading.missed(margin=0.1)]

    assert missed(outcome()) == []
    assert len(missed(outcome(**{wrong: 1}))) == 1


@pytest.mark.parametrize(("wrong", "misses"), [("lost", 1), ("wrong", 1), ("repeated", 0)])
def test_after_a_kill_an_event_may_be_fired_again_and_no_wait_be_lost(wrong: str, misses: int) -> None:
    readings = killed_readings([outcome(**{wrong: 1})])
    assert sum(len(reading.missed(margin=0.1)) for reading in readings) == misses


def row(index: int, state: str, event: Mapping[str, str] | None) -> tuple[int, str, str, str, str]:
    arguments = {"event": event} if event is not None else {"error": "Trigger failure"}
    method = "execute_complete" if event is not None else "__fail__"
    return index, state, method, json.dumps(arguments), "2026-01-01 00:00:00.000000"


def test_ledger_tells_waits_that_go_on_from_those_that_wait_and_those_that_failed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database, database:
        database.execute(
            "CREATE TABLE task_instance (map_index, state, next_method, next_kwargs, scheduled_dttm)"
        )
        database.executemany(
            "INSERT INTO task_instance VALUES (?, ?, ?, ?, ?)",
            [
                row(0, "deferred", {}),
                row(1, "scheduled", {"execution_id": "one"}),
                row(2, "scheduled", None),
                row(3, "deferred", {}),
                row(4, "failed", {}),
            ],
        )
    found = ledger.read(tmp_path / "airflow.db", first=1)
    assert found.waiting == 1
    assert {index: dict(ended.event) for index, ended in found.ended.items()} == {
        1: {"execution_id": "one"},
        2: {},
    }
    assert found.other == {"failed": 1}


def test_events_that_were_fired_again_are_counted_by_task_over_all_triggerers(tmp_path: Path) -> None:
    for name, told in (
        ("1/a.log.trigger.1.log", 1),
        ("1/a.log.trigger.2.log", 1),
        ("2/a.log.trigger.1.log", 1),
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text('{"event":"Trigger fired event"}\n' * told)
    assert ledger.fired_again(tmp_path) == 1


@pytest.mark.full
@pytest.mark.timeout(600)
def test_triggerer_ends_every_wait_once_with_the_end_of_its_own_execution(tmp_path: Path) -> None:
    ended = run(Crowd(waits=WAITS, seconds=15.0), tmp_path, tell=print)
    assert (ended.lost, ended.wrong, ended.repeated) == (0, 0, 0)
    assert len(ended.lags) == WAITS
    assert min(ended.lags) > 0
    # Airflow keeps a log file open for each trigger.
    assert ended.taken.supervisor.files > WAITS
    assert ended.taken.runner.connections < 100
    assert ended.taken.runner.seconds > 0


@pytest.mark.full
@pytest.mark.timeout(600)
def test_triggerer_that_is_killed_leaves_every_wait_to_the_next_one(tmp_path: Path) -> None:
    ended = run(Crowd(waits=WAITS, seconds=15.0, kill_after=0.3), tmp_path, tell=print)
    assert (ended.lost, ended.wrong, len(ended.lags)) == (0, 0, WAITS)
    # The next one begins when the first has not told of itself for half a minute.
    assert max(ended.lags) > 15


@pytest.mark.full
@pytest.mark.timeout(900)
def test_runs_take_one_worker_process_and_sensors_none(tmp_path: Path) -> None:
    found = observe(KINDS, tmp_path, tasks=TASKS, tell=print)
    taken = {dag_id: used.processes for dag_id, used in found.used.items()}
    assert taken == {RUNS: TASKS, SENSORS: 0, PEER_RUNS: 2 * TASKS, PEER_SENSORS: 2 * TASKS}
    assert [each for one in workers_readings([found], TASKS) for each in one.missed()] == []
