"""What every error of the tree promises, and what the retry policy makes of it."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, RetryAction, RetryDecision, RetryPolicy
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import RetryTask, TaskState
from airflow.serialization.serialized_objects import DagSerialization
from support.outcomes import operator_for

import smartflows_provider
from smartflows_provider import exceptions
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowException,
    FlowExecutionFailedError,
    FlowKilledError,
    FlowRetryPolicy,
    FlowServiceError,
    FlowStateUnknownError,
    RunIdentity,
)
from smartflows_provider.waiting.schedule import LONGEST_RETRY_AFTER

KINDS = [
    one
    for one in vars(exceptions).values()
    if inspect.isclass(one) and issubclass(one, FlowException) and one is not FlowException
]
WHERE = RunIdentity(system="Smart Flows", conn_id="c", flow="Letter", execution_id="4", url="https://f/4")
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def full(kind: type[FlowException]) -> FlowException:
    return kind("It broke.", where=WHERE, fate="It is finished.", advice="Mend it.", retry_after=7.5)


def facts(error: FlowException) -> tuple[Any, ...]:
    return type(error), str(error), error.what, error.where, error.fate, error.advice, error.retry_after


@every_kind
def test_a_class_says_that_no_retry_helps_exactly_if_airflow_is_not_to_retry(
    kind: type[FlowException],
) -> None:
    assert kind.retry_helps is not issubclass(kind, AirflowFailException)


@every_kind
def test_a_class_says_in_its_docstring_what_happened_whether_a_retry_helps_and_what_became_of_the_run(
    kind: type[FlowException],
) -> None:
    summary, _, rest = (inspect.getdoc(kind) or "").partition("\n\n")
    assert len(summary.splitlines()) == 1
    retry, _, fate = " ".join(rest.split()).partition(". ")
    assert retry.startswith("A retry" if kind.retry_helps else "No retry")
    assert any(word in fate for word in ("execution", "run", "Nothing", "taken nothing", "cancelled"))


@every_kind
def test_an_error_tells_programs_what_it_tells_people(kind: type[FlowException]) -> None:
    error = full(kind)
    assert str(error) == (
        "It broke. [Smart Flows, connection 'c', flow 'Letter', execution 4, https://f/4]\n"
        "It is finished.\nMend it."
    )
    assert facts(error)[2:] == ("It broke.", WHERE, "It is finished.", "Mend it.", 7.5)


@every_kind
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_is_the_same_after_it_went_to_another_process(
    kind: type[FlowException], protocol: int
) -> None:
    error = full(kind)
    error.add_note("while the report was made")
    back = pickle.loads(pickle.dumps(error, protocol))
    assert facts(back) == facts(error)
    assert back.__notes__ == ["while the report was made"]
    assert facts(pickle.loads(pickle.dumps(back, protocol))) == facts(error)


@every_kind
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_an_error_is_the_same_after_it_was_copied(kind: type[FlowException], copied: Any) -> None:
    assert facts(copied(full(kind))) == facts(full(kind))


@every_kind
def test_airflows_own_way_of_writing_an_error_down_keeps_class_and_message(
    kind: type[FlowException],
) -> None:
    path, args, kwargs = full(kind).serialize()
    assert path == f"smartflows_provider.exceptions.{kind.__name__}"
    revived = kind(*json.loads(json.dumps(args)), **kwargs)
    assert str(revived) == str(full(kind))


def raised_in_the_package() -> Iterator[tuple[str, ast.Call]]:
    root = Path(smartflows_provider.__file__).parent
    names = {kind.__name__ for kind in KINDS} | {"FlowException"}
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        if not any(f"{name}(" in text for name in names):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield f"{path.relative_to(root)}:{node.lineno}", node


RAISED = list(raised_in_the_package())


@pytest.mark.parametrize("call", [call for _, call in RAISED], ids=[place for place, _ in RAISED])
def test_every_error_that_is_raised_says_what_became_of_the_run_and_what_to_do(call: ast.Call) -> None:
    assert isinstance(call.func, ast.Name)
    assert call.func.id != "FlowException"
    assert {"fate", "advice"} <= {keyword.arg for keyword in call.keywords}


# --- the retry policy ---


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


def test_the_policy_says_on_an_older_airflow_which_one_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exceptions, "AIRFLOW_V_3_3_PLUS", False)
    with pytest.raises(FlowConfigurationError, match=r"needs Airflow 3\.3 or later"):
        FlowRetryPolicy()


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
    message, _ = task_runner._handle_current_task_failed(instance, error, structlog.get_logger("task"))
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
