"""``@task.smart_flow``: a function that returns the input of a flow.

The task is :class:`SmartFlowsRunFlowOperator` with another source for its input, nothing more. Invariant: the
function is called on the worker, and only where the input is needed: not after a deferral, and not by a retry
that attaches to the execution of an earlier attempt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    determine_kwargs,
    task_decorator_factory,
)

from smartflows_provider.operators.hidden_input import HIDDEN
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.option_words import check_word, options_of
from smartflows_provider.payload.options import INPUT_KINDS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from smartflows_provider.payload.arguments import InputArguments
    from smartflows_provider.payload.options import InputKind


class SmartFlowDecoratedOperator(DecoratedOperator, SmartFlowsRunFlowOperator):
    """
    Runs a flow whose input a function returns.

    What the function returns is read by its type: a mapping is ``data``; text, bytes and lxml elements are
    ``xml``; a path object is ``xml`` or ``rows`` by its suffix; a DB-API cursor and every other iterable,
    such as the generator that a function with ``yield`` returns, is ``rows``; None is no input.

    :param python_callable: the function.
    :param op_args: its positional arguments (templated).
    :param op_kwargs: its keyword arguments (templated).
    :param input_as: ``xml``, ``data``, ``rows`` or ``records``: what the function returns, where its type
        does not tell, as for the records of a plug-in.
    :param multiple_outputs: push each key of the manifest as an XCom of its own, too.

    All other parameters but ``xml``, ``data``, ``rows``, ``sql`` and ``records`` are those of
    :class:`SmartFlowsRunFlowOperator`.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(
            name
            for name in SmartFlowsRunFlowOperator.template_fields
            if name not in {*SmartFlowsRunFlowOperator.INPUTS, "sql_conn_id"}
        ),
    )
    template_ext: Sequence[str] = ()
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **SmartFlowsRunFlowOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.smart_flow"

    PAYLOAD_FIELDS: ClassVar[Sequence[str]] = (
        *SmartFlowsRunFlowOperator.PAYLOAD_FIELDS,
        "op_args",
        "op_kwargs",
    )

    def __init__(
        self, *, python_callable: Callable[..., Any], input_as: InputKind | None = None, **kwargs: Any
    ) -> None:
        self.input_as = input_as
        super().__init__(python_callable=python_callable, **kwargs)

    def with_input(self, arguments: InputArguments, context: Context) -> InputArguments:
        """
        Call the function and return arguments with what it returns.

        :param arguments: about the input.
        :param context: the task's context; the function takes from it what it names as parameters.
        """
        op_args: Sequence[Any] = self.payload_argument("op_args")
        values = {**context, **self.payload_argument("op_kwargs")}
        returned = self.python_callable(*op_args, **determine_kwargs(self.python_callable, op_args, values))
        return arguments.holding(returned, kind=self.input_as)

    def _out_of_sight(self, name: str, value: Any) -> Any:
        """Return what stands for a hidden argument; the function's keep their number and names."""
        if name == "op_args":
            return [HIDDEN for _ in value]
        if name == "op_kwargs":
            return dict.fromkeys(value, HIDDEN)
        return super()._out_of_sight(name, value)

    def _check_input(self) -> None:
        """Refuse at parse time an input that cannot work."""
        given = self._given()
        if given:
            raise ValueError(f"{self.task_id}: the function returns the input; leave {given[0]} out.")
        with options_of(self.task_id):
            check_word("input_as", self.input_as, (None, *INPUT_KINDS))
        if self.correlation_path is not None and self.input_as == "records":
            raise ValueError(f"{self.task_id}: correlation_path names a place in XML, and records are none.")


def smart_flow_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """
    Make a task that runs a flow with what a function returns as its input.

    :param python_callable: the function, where the decorator is used without parentheses.
    :param multiple_outputs: push each key of the manifest as an XCom of its own, too. A function that is
        annotated to return a mapping does not ask for that: the mapping is the input.
    :param kwargs: of :class:`SmartFlowDecoratedOperator`.
    :raises ValueError: for an async function, mapped or not.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        # Not left to the operator: of a mapped task there is none before it runs.
        _refuse_async(function, name=kwargs.get("task_id") or function.__name__)
        return task_decorator_factory(
            python_callable=function,
            multiple_outputs=multiple_outputs,
            decorated_operator_class=SmartFlowDecoratedOperator,
            **kwargs,
        )

    return cast("TaskDecorator", decorate if python_callable is None else decorate(python_callable))


def _refuse_async(function: Callable[..., Any], *, name: str) -> None:
    plain = inspect.unwrap(function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise ValueError(f"{name}: the function is async; @task.smart_flow takes a plain one.")
