"""From an operator's arguments to a payload that is ready to be sent.

What the hook cannot know because it belongs to no task: queries, the DAG file's folder for relative paths,
functions of the context. Invariants: everything is read on the worker, while the task runs; what a function
of the author's raises is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from smartflows_provider.hooks.payload import prepare_payload, refused
from smartflows_provider.operators.arguments import mapping_argument
from smartflows_provider.operators.sql_rows import Query
from smartflows_provider.payload.arguments import InputArguments
from smartflows_provider.payload.errors import PayloadError
from smartflows_provider.payload.options import Style

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.exceptions import RunIdentity
    from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
    from smartflows_provider.payload.correlation import Correlation
    from smartflows_provider.payload.prepared import PreparedPayload


@contextmanager
def prepare_input(
    operator: SmartFlowsRunFlowOperator,
    *,
    context: Context,
    where: RunIdentity,
    fate: str,
    correlation: Correlation | None = None,
) -> Iterator[PreparedPayload]:
    """
    Read, build and check a task's input; a temporary file is removed at the end of the block.

    :param operator: the task, its templates rendered.
    :param context: the task's context, for functions of it.
    :param where: which connection and flow, for messages.
    :param fate: what became of the run, for messages.
    :param correlation: a value to write into the XML.
    :raises FlowInputError: if the input cannot be sent; no retry helps.
    :raises FlowConfigurationError: if an argument, or the connection of ``sql``, is unusable; no retry helps.
    :raises FlowConnectionError: if a database or a storage is out of reach; a retry helps.
    """
    hide_payload = operator.hide_payload
    about_input = InputArguments(
        root=operator.root,
        row=operator.row,
        header=operator.payload_argument("header"),
        columns=operator.columns,
        xsd=operator.xsd,
        style=Style(
            none_as=operator.none_as,
            bad_characters=operator.bad_characters,
            namespaces=mapping_argument(operator.namespaces, "namespaces", where=where),
        ),
    )
    with ExitStack() as stack:
        try:
            arguments = operator.with_input(about_input, context)
        except PayloadError as error:
            raise refused(error, where=where, fate=fate, hide_payload=hide_payload) from None
        sql = operator.payload_argument("sql")
        if sql is not None:
            query = Query(
                sql=sql,
                conn_id=operator.sql_conn_id or "",
                where=where,
                fate=fate,
                hide_payload=hide_payload,
            )
            arguments = replace(arguments, rows=stack.enter_context(query.rows()))
        dag = operator.get_dag()
        yield stack.enter_context(
            prepare_payload(
                arguments,
                where=where,
                fate=fate,
                folder=Path(dag.fileloc).parent if dag is not None and dag.fileloc else None,
                hide_payload=hide_payload,
                correlation=correlation,
            )
        )
