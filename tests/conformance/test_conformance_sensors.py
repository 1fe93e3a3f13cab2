"""What every sensor keeps to, in each of its modes, on every flow system."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from support.airflow_versions import AirflowRescheduleException
from support.tasks import Attempt

from conformance.observing import (
    PASSING,
    Seen,
    hostile_answers,
    killed_while_deferred,
    run,
    trouble_with_looks,
)
from conformance.systems import CANARY, CASES, Case
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowStateUnknownError,
)

every_mode = pytest.mark.parametrize("mode", ["poke", "deferrable"])


def watch(case: Case, mode: str, run_id: str, **more: Any) -> Seen:
    return run(case.sensor(mode, run_id, **more))


@every_mode
def test_a_run_that_ends_well_is_told_by_id_and_status(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=0.3)
    seen = watch(watched, mode, run_id)
    assert seen.error is None
    assert set(seen.value) == {"execution_id", "status", "url"}
    assert seen.value["execution_id"] == run_id
    assert seen.value["status"]


def test_a_rescheduled_sensor_looks_and_comes_again(watched: Case) -> None:
    run_id = watched.begin(seconds=3600.0)
    again = watch(watched, "reschedule", run_id)
    assert isinstance(again.error, AirflowRescheduleException)
    watched.server.advance(3601)
    assert watch(watched, "reschedule", run_id).value["execution_id"] == run_id


@every_mode
def test_a_run_that_ends_badly_fails_the_sensor_with_the_reason(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=0.1, ends="badly")
    seen = watch(watched, mode, run_id)
    assert type(seen.error) is FlowExecutionFailedError
    assert f"[{watched.label}, connection '{watched.conn_id}'" in seen.message
    assert run_id in seen.message


@every_mode
def test_a_run_that_ends_badly_skips_a_soft_sensor(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=0.0, ends="badly")
    seen = watch(watched, mode, run_id, soft_fail=True)
    assert isinstance(seen.error, AirflowSkipException)


@every_mode
def test_the_sensors_timeout_leaves_the_run_as_it_is(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=3600.0)
    seen = watch(watched, mode, run_id, timeout=0.4)
    assert isinstance(seen.error, AirflowSensorTimeout)
    assert run_id in seen.message
    assert "did not start the execution and left it as it is" in seen.message
    assert watched.status(run_id) == "alive"


@every_mode
def test_a_run_that_never_was_is_an_error_and_no_wait(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=3600.0)
    watched.forget(run_id)
    seen = watch(watched, mode, run_id)
    assert type(seen.error) is FlowExecutionGoneError
    assert run_id in seen.message


@every_mode
def test_passing_trouble_is_waited_out(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=0.3)
    trouble_with_looks(watched, PASSING)
    assert watch(watched, mode, run_id).value["execution_id"] == run_id
    assert watched.server.pending_faults() == []


@every_mode
def test_hostile_answers_are_no_status_and_no_crash(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=0.3)
    trouble_with_looks(watched, hostile_answers())
    assert watch(watched, mode, run_id).value["execution_id"] == run_id
    assert watched.server.pending_faults() == []


@every_mode
def test_an_outage_that_lasts_is_not_the_runs_failure(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=3600.0)
    watched.server.inject(Fault(action="status", status=503, path=watched.look_path, count=None))
    seen = watch(watched, mode, run_id, max_outage=0.3)
    assert type(seen.error) is FlowStateUnknownError
    assert not isinstance(seen.error, AirflowFailException)
    watched.server.clear_faults()
    watched.server.advance(3601)
    assert watch(watched, mode, run_id).value["execution_id"] == run_id


def test_a_deferred_sensor_that_a_person_ends_leaves_the_run_as_it_is(
    watched: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = watched.begin(seconds=3600.0)
    killed_while_deferred(watched.sensor("deferrable", run_id), monkeypatch)
    assert watched.status(run_id) == "alive"


@every_mode
def test_a_credential_that_does_not_hold_is_said_to_be_refused(watched: Case, mode: str) -> None:
    run_id = watched.begin(seconds=3600.0)
    watched.rotate()
    seen = watch(watched, mode, run_id)
    assert type(seen.error) is FlowAuthenticationError
    assert watched.status(run_id) == "alive"


PROFILES = [(kind, profile) for kind in CASES if kind.senses for profile in kind.profiles]


@pytest.mark.parametrize(
    ("chosen", "profile"),
    PROFILES,
    ids=[f"{kind.name}-{name}" for kind, name in PROFILES],
    indirect=["chosen"],
)
@every_mode
def test_every_reading_of_what_the_vendor_leaves_open_works(chosen: Case, profile: str, mode: str) -> None:
    chosen.configure(profile)
    run_id = chosen.begin(seconds=0.2)
    assert watch(chosen, mode, run_id).value["execution_id"] == run_id


SIGN_INS = [(kind, profile) for kind in CASES if kind.senses for profile in kind.sign_ins]


@pytest.mark.parametrize(
    ("chosen", "profile"),
    SIGN_INS,
    ids=[f"{kind.name}-{name}" for kind, name in SIGN_INS],
    indirect=["chosen"],
)
@every_mode
def test_a_credential_that_was_rotated_is_taken_up_within_the_wait(
    chosen: Case, profile: str, mode: str
) -> None:
    def rotate(_: str) -> None:
        chosen.rotate()
        chosen.connect()

    chosen.configure(profile)
    run_id = chosen.begin(seconds=0.8)
    seen = run(chosen.sensor(mode, run_id), meanwhile=(chosen, rotate))
    assert seen.error is None


@every_mode
def test_nothing_that_airflow_stores_or_shows_holds_the_credential(
    watched: Case, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    attempt = Attempt()
    seen = run(watched.sensor(mode, watched.begin(seconds=0.2)), attempt)
    stored = [seen.value, attempt.xcoms, attempt.events, [one.serialize() for one in attempt.deferrals]]
    shown = [json.dumps(stored), *seen.log, caplog.text]
    shown += [f"{request.path}?{request.query}" for request in watched.server.requests]
    assert [text for text in shown if CANARY in text] == []
