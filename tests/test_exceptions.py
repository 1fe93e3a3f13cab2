"""What every error of the tree promises."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.errors import KINDS, every_kind

import smartflows_provider
from smartflows_provider import exceptions
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowException,
    FlowRetryPolicy,
    RunIdentity,
)

WHERE = RunIdentity(system="Smart Flows", conn_id="c", flow="Letter", execution_id="4", url="https://f/4")


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


def test_the_policy_says_on_an_older_airflow_which_one_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exceptions, "AIRFLOW_V_3_3_PLUS", False)
    with pytest.raises(FlowConfigurationError, match=r"needs Airflow 3\.3 or later"):
        FlowRetryPolicy()
