"""What the retry policy makes of the errors of the tree."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from datetime import timedelta
from types import SimpleNamespace

import pytest
import structlog
from airflow.sdk import DAG
from airflow.sdk.execution_time import task_runner
from support.airflow_versions import needs_retry_policy
from support.errors import KINDS, every_kind
from support.outcomes import operator_for

from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowException,
    FlowExecutionFailedError,
    FlowKilledError,
    FlowRetryPolicy,
    FlowServiceError,
    FlowStateUnknownError,
)
from smartflows_provider.version_compat import RETRY_POLICY
from smartflows_provider.waiting.schedule import LONGEST_RETRY_AFTER

if RETRY_POLICY.available:
    from airflow.sdk import RetryAction, RetryDecision, RetryPolicy
    from airflow.sdk.execution_time.comms import RetryTask, TaskState
    from airflow.serialization.serialized_objects import DagSerialization

pytestmark = needs_retry_policy


def decided(error: BaseException, *, try_number: int = 1, **options: float) -> RetryDecision:
    return FlowRetryPolicy(**options).evaluate(error, try_number, 3)


def seconds(decision: RetryDecision) -> float:
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    return decision.retry_delay.total_seconds()


@every_kind
def test_the_policy_fails_at_once_what_no_retry_mends_and_nothing_else(kind: type[FlowException]) -> None:
    decision = decided(kind("It broke."))
    assert (decision.action is RetryAction.FAIL) is not kind.retry_helps
    if not kind.retry_helps:
        assert decision.reason == f"{kind.__name__}: no retry helps."


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.retry_helps], ids=lambda one: one.__name__)
def test_the_policy_comes_back_when_the_service_asked_for_it(kind: type[FlowException]) -> None:
    decision = decided(kind("It broke.", retry_after=42.0))
    assert 42 <= seconds(decision) <= 46.2
    assert decision.reason == f"{kind.__name__}: the service asked to wait 42 seconds."


def test_the_policy_caps_what_the_service_asks_as_a_wait_does() -> None:
    error = FlowServiceError("Busy.", retry_after=86400.0)
    assert LONGEST_RETRY_AFTER <= seconds(decided(error)) <= LONGEST_RETRY_AFTER * 1.1
    assert 20 <= seconds(decided(error, longest_retry_after=20)) <= 22


@pytest.mark.parametrize("kind", [FlowStateUnknownError, FlowKilledError])
def test_the_policy_sees_to_a_kept_execution_soon_and_less_soon_each_time(kind: type[FlowException]) -> None:
    pauses = [seconds(decided(kind("Unknown."), try_number=number)) for number in (1, 2, 3, 4, 5, 6, 5000)]
    for pause, least in zip(pauses, (15, 30, 60, 120, 240, 300, 300), strict=True):
        assert least <= pause <= least * 1.1
    assert 2 <= seconds(decided(kind("Unknown."), soon=2)) <= 2.2


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    pauses = {seconds(decided(FlowServiceError("Busy.", retry_after=30.0))) for _ in range(200)}
    assert len(pauses) > 150


@pytest.mark.parametrize("error", [FlowExecutionFailedError("Error."), FlowServiceError("502."), OSError()])
def test_the_policy_leaves_all_else_to_the_tasks_own_delay(error: Exception) -> None:
    assert decided(error) == RetryDecision.default()


@pytest.mark.parametrize("options", [{"soon": 0}, {"soon": -1}, {"longest_retry_after": float("nan")}])
def test_the_policy_refuses_what_is_no_pause(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(FlowConfigurationError, match=f"takes {name} in seconds above 0, not"):
        FlowRetryPolicy(**options)


@pytest.mark.parametrize("way", ["serialize", "pickle", "deepcopy"])
def test_the_policy_is_the_same_after_it_was_stored(way: str) -> None:
    policy = FlowRetryPolicy(soon=3, longest_retry_after=77)
    assert isinstance(policy, RetryPolicy)
    back = {
        "serialize": lambda: FlowRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize()))),
        "pickle": lambda: pickle.loads(pickle.dumps(policy)),
        "deepcopy": lambda: copy.deepcopy(policy),
    }[way]()
    assert repr(back) == repr(policy) == "FlowRetryPolicy(soon=3, longest_retry_after=77)"
    assert timedelta(seconds=77) <= (back.evaluate(FlowServiceError("", retry_after=99.0), 1, 1).retry_delay)
    assert back.evaluate(FlowAuthenticationError("401"), 1, 1).action is RetryAction.FAIL


def test_a_dag_with_the_policy_is_written_to_airflows_database_and_read_back() -> None:
    with DAG("d", schedule=None) as dag:
        operator_for("sync", retries=3, retry_policy=FlowRetryPolicy())
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert back.get_task("t").has_retry_policy is True
    assert back.get_task("t").retries == 3


def handled(error: Exception, *, try_number: int = 1) -> RetryTask | TaskState:
    """Return what Airflow's own task runner tells the scheduler about a failure."""
    task = operator_for("sync", retries=3, retry_policy=FlowRetryPolicy())
    instance = task_runner.RuntimeTaskInstance.model_construct(
        task=task, task_id="t", dag_id="d", run_id="r", try_number=try_number, rendered_map_index=None
    )
    instance._ti_context_from_server = SimpleNamespace(max_tries=3, should_retry=True)
    instance._failure_metrics_emitted = True
    # From 3.4 on it is handed the context that the policy is given.
    handle = task_runner._handle_current_task_failed
    context = [{}] if "context" in inspect.signature(handle).parameters else []
    message, _ = handle(instance, error, structlog.get_logger("task"), *context)
    return message


def test_airflows_task_runner_does_what_the_policy_decides() -> None:
    busy = handled(FlowServiceError("Busy.", retry_after=42.0))
    assert isinstance(busy, RetryTask)
    assert 42 <= busy.retry_delay_seconds <= 46.2
    assert busy.retry_reason == "FlowServiceError: the service asked to wait 42 seconds."
    unknown = handled(FlowStateUnknownError("Unknown."), try_number=2)
    assert isinstance(unknown, RetryTask)
    assert 30 <= unknown.retry_delay_seconds <= 33
    failed = handled(FlowExecutionFailedError("Error."))
    assert isinstance(failed, RetryTask)
    assert failed.retry_delay_seconds is None
    assert isinstance(handled(FlowAuthenticationError("401")), TaskState)
