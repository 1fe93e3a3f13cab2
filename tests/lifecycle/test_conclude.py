"""What each end means for a task, to the word: these messages are what people read at night."""

from __future__ import annotations

from typing import Any

import pytest

from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowEventError,
    FlowException,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowPermissionError,
    FlowStateUnknownError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
    RunIdentity,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.conclude import (
    error_of_ended_run,
    error_of_unfinished_wait,
    person_needed_error,
    read_event,
    timeout_error,
)
from smartflows_provider.waiting.event import EndReason, WaitEvent
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.smart_flows import phase_of

WHERE = RunIdentity(
    system="Smart Flows",
    conn_id="flows",
    flow="Letter",
    execution_id="e1",
    url="https://flows.example/client",
    hints=SmartFlowsHook.hints,
)
SHOWN = (
    "[Smart Flows, connection 'flows', flow 'Letter', execution e1, https://flows.example/client]"
)  # fmt: skip


def ended(status: str, **more: Any) -> FlowException | None:
    return error_of_ended_run(
        phase=phase_of(status), status=status, where=WHERE, **{"on_warning": "succeed", **more}
    )


def test_success_and_tolerated_warnings_are_no_error() -> None:
    assert ended("Success") is None
    assert ended("Success", on_warning="fail") is None
    assert ended("Warning", warnings=["no logo"]) is None


@pytest.mark.parametrize(
    ("status", "more", "kind", "message"),
    [
        (
            "Warning",
            {"on_warning": "fail", "warnings": ["no logo", "old font"]},
            FlowExecutionWarningError,
            (
                "The execution ended in Warning, and on_warning='fail'.\n  - no logo\n  - old font "
                f"{SHOWN}\nIt is finished; its documents may exist.\n"
                "Mend what the flow warns of, or allow for it with on_warning='succeed'."
            ),
        ),
        (
            "Error",
            {"errors": ["E1: no customer", "E2: no order"], "failing_block": "Read order"},
            FlowExecutionFailedError,
            (
                "The execution ended in Error in block 'Read order'.\n  - E1: no customer\n  - E2: no order "
                f"{SHOWN}\nIt is finished.\nMend what the flow names; a retry starts a new execution."
            ),
        ),
        (
            "Error",
            {},
            FlowExecutionFailedError,
            (
                f"The execution ended in Error. The flow gave no reason. {SHOWN}\nIt is finished.\n"
                "Mend what the flow names; a retry starts a new execution."
            ),
        ),
        (
            "Canceled",
            {},
            FlowExecutionCanceledError,
            (
                f"The execution ended in Canceled: somebody stopped it at the service. {SHOWN}\nIt is "
                "finished.\n"
                "Clear the task to run it again."
            ),
        ),
        (
            "Interrupted",
            {"errors": ["server restarted"]},
            FlowExecutionInterruptedError,
            (
                "The execution ended in Interrupted: the service stopped it, or it went on too long.\n"
                f"  - server restarted {SHOWN}\nIt is finished.\nA retry starts a new execution."
            ),
        ),
        (
            "Running",
            {},
            FlowStateUnknownError,
            (
                f"The execution was taken for finished, but its status is Running. {SHOWN}\n"
                "The execution was kept.\nA retry asks again."
            ),
        ),
    ],
)
def test_the_message_of_a_bad_end(
    status: str, more: dict[str, Any], kind: type[FlowException], message: str
) -> None:
    error = ended(status, **more)
    assert type(error) is kind
    assert str(error) == message


@pytest.mark.parametrize("phase", [phase for phase in RunPhase if phase is not RunPhase.SUCCEEDED])
def test_no_phase_but_success_lets_a_strict_task_succeed(phase: RunPhase) -> None:
    error = error_of_ended_run(phase=phase, status="X", where=WHERE, on_warning="fail")
    assert isinstance(error, FlowException)


@pytest.mark.parametrize(
    ("reason", "kind", "message"),
    [
        (
            "refused",
            FlowAuthenticationError,
            (
                f"The service refused the key during the wait: 401 {SHOWN}\nThe execution was kept.\n"
                "Put a valid key into the connection and clear the task with on_clear='resume', or see to "
                "the "
                "execution at the service."
            ),
        ),
        (
            "denied",
            FlowPermissionError,
            (
                f"The service denied the key's right during the wait: 401 {SHOWN}\nThe execution was kept.\n"
                "Have the right given back to the role of the key's user, or the licence mended, and then "
                "clear "
                "the task with on_clear='resume', or see to the execution at the service."
            ),
        ),
        (
            "misconfigured",
            FlowConfigurationError,
            (
                f"The connection became unusable during the wait: 401 {SHOWN}\nThe execution was kept.\n"
                "Mend the connection and clear the task with on_clear='resume', or see to the execution "
                "at the "
                "service."
            ),
        ),
        (
            "gone",
            FlowExecutionGoneError,
            (
                f"The execution disappeared during the wait: 401 {SHOWN}\nThe project's clean-up settings "
                "may "
                "have purged it; how it ended is not known.\nLook into the project's clean-up settings; "
                "clear the "
                "task to start a new execution."
            ),
        ),
        (
            "unreachable",
            FlowStateUnknownError,
            (
                f"The execution's status could not be found out: 401 {SHOWN}\nThe execution was kept. Its "
                "last "
                "known status was Running.\nA retry attaches to it where Airflow keeps task state (3.3 "
                "and later)."
            ),
        ),
    ],
)
def test_the_message_of_a_wait_without_an_end(
    reason: EndReason, kind: type[FlowException], message: str
) -> None:
    event = WaitEvent(reason=reason, execution_id="e1", status="Running", detail="401")
    error = error_of_unfinished_wait(event, where=WHERE)
    assert type(error) is kind
    assert str(error) == message


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("Error", "Mend what the flow names; a retry looks again, and starts none."),
        ("Canceled", "The task only looks at it: give it the id of another one."),
        ("Interrupted", "A retry looks again, and starts none."),
    ],
)
def test_a_task_that_only_looks_is_not_said_to_start_another(status: str, advice: str) -> None:
    error = ended(status, own=False)
    assert error is not None
    assert error.advice == advice


def test_the_message_of_a_timeout() -> None:
    error = timeout_error(where=WHERE, status=None, fate="Execution e1 is Canceled.")
    assert type(error) is FlowTimeoutError
    assert str(error) == (
        f"The execution was not finished in time; its last status was not known. {SHOWN}\n"
        "Execution e1 is Canceled.\n"
        "Raise timeout, or execution_timeout, if it needs longer; a retry has a new time limit."
    )


def test_the_message_where_a_person_is_needed() -> None:
    error = person_needed_error(where=WHERE, status="UserInput", fate="Execution e1 is Canceled.")
    assert type(error) is FlowUserInputRequiredError
    assert str(error) == (
        f"The execution is in UserInput and needs a person, and on_user_input='fail'. {SHOWN}\n"
        "Execution e1 is Canceled.\nStart it with unattended=True, give answers with on_user_input='answer', "
        "or let it wait with on_user_input='wait'."
    )


def test_the_message_of_an_event_that_is_not_ours() -> None:
    with pytest.raises(FlowEventError) as refused:
        read_event({"status": "success"}, where=WHERE)
    assert str(refused.value) == (
        f"The task was resumed, but the event is not one of schema version 1. {SHOWN}\n"
        "The execution was kept.\nClear the task with on_clear='resume' to go on with the execution."
    )
