"""From an operator's arguments to a payload that is ready to be sent.

What the payload room cannot know because it knows no Airflow: connections for SQL, the DAG file's folder for
relative paths, functions of the context. Invariant: everything is read on the worker, while the task runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.sdk import ObjectStoragePath

from smartflows_provider.exceptions import FlowConfigurationError, FlowInputError, RunIdentity
from smartflows_provider.payload.build import (
    MappingInput,
    NoInput,
    PayloadInput,
    RecordsInput,
    RowsInput,
    XmlInput,
    prepare,
)
from smartflows_provider.payload.errors import PayloadError
from smartflows_provider.payload.tables import cursor_rows

if TYPE_CHECKING:
    from smartflows_provider.payload.prepared import PreparedPayload


@dataclass(frozen=True, kw_only=True)
class InputArguments:
    """An operator's arguments about its input, templates rendered; at most one of the first five is set."""

    xml: Any = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)
    rows: Any = field(default=None, repr=False)
    sql: str | None = None
    records: Any = field(default=None, repr=False)
    header: Mapping[str, Any] | None = field(default=None, repr=False)
    sql_conn_id: str | None = None
    root: str | None = None
    row: str | None = None
    xsd: Any = None
    hide_values: bool = False


@contextmanager
def prepare_input(
    arguments: InputArguments, *, context: Mapping[str, Any], dag_file: str | None, where: RunIdentity
) -> Iterator[PreparedPayload]:
    """
    Read, build and check the input; a temporary file is removed at the end of the block.

    :param arguments: of the operator.
    :param context: the task's context, for ``rows`` that are a function of it.
    :param dag_file: path of the DAG file; relative paths are taken from its folder.
    :param where: which connection and flow, for messages.
    :raises FlowInputError: if the input cannot be sent; nothing was started.
    """
    with ExitStack() as stack:
        try:
            source = _source(arguments, context=context, dag_file=dag_file, stack=stack, where=where)
            payload = stack.enter_context(
                prepare(source, xsd=_located(arguments.xsd, dag_file), hide_values=arguments.hide_values)
            )
        except PayloadError as error:
            raise _refused(str(error), where) from None
        except OSError as error:
            raise _refused(f"The input cannot be read: {error}", where) from None
        yield payload


def _source(
    arguments: InputArguments,
    *,
    context: Mapping[str, Any],
    dag_file: str | None,
    stack: ExitStack,
    where: RunIdentity,
) -> PayloadInput:
    if arguments.xml is not None:
        return XmlInput(xml=arguments.xml)
    if arguments.data is not None:
        return MappingInput(data=_object(arguments.data, "data", where), root=arguments.root)
    if arguments.records is not None:
        return RecordsInput(records=_object(arguments.records, "records", where))
    rows = arguments.rows
    if arguments.sql is not None:
        rows = stack.enter_context(_query(arguments.sql, arguments.sql_conn_id or "", where))
    if rows is None:
        return NoInput()
    if callable(rows):
        rows = rows(context)
    if isinstance(rows, str):
        # A template file of rows arrives as its content, any other text is a path.
        rows = _json(rows, "rows", where) if rows.lstrip().startswith("[") else _located(rows, dag_file)
    return RowsInput(
        rows=rows, root=arguments.root, row=arguments.row or "row", header=arguments.header or {}
    )


@contextmanager
def _query(sql: str, conn_id: str, where: RunIdentity) -> Iterator[Iterator[Mapping[str, Any]]]:
    """Run a query and yield its rows while the connection is open."""
    try:
        hook = BaseHook.get_connection(conn_id).get_hook()
    except AirflowNotFoundException:
        raise FlowConfigurationError(
            f"The Airflow connection {conn_id!r} for sql does not exist.",
            where=where,
            fate="Nothing was started.",
            advice="Create it, or correct sql_conn_id.",
        ) from None
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        yield cursor_rows(cursor)


def _located(path: Any, dag_file: str | None) -> Any:
    """Return a path given as text as a path object; a relative one is taken from the DAG file's folder."""
    if not isinstance(path, str) or not path:
        return path or None
    if "://" in path:
        return ObjectStoragePath(path)
    base = Path(dag_file).parent if dag_file else Path()
    return base / path


def _object(value: Any, name: str, where: RunIdentity) -> Mapping[str, Any]:
    decoded = _json(value, name, where) if isinstance(value, str) else value
    if not isinstance(decoded, Mapping):
        raise _refused(f"{name} is {type(decoded).__name__}; it takes a mapping, or JSON text of one.", where)
    return decoded


def _json(text: str, name: str, where: RunIdentity) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _refused(f"{name} is text, but not JSON: {error}.", where) from None


def _refused(what: str, where: RunIdentity) -> FlowInputError:
    return FlowInputError(
        what,
        where=where,
        fate="Nothing was started.",
        advice="Mend the input; what the flow takes is described by the XSD of its primary data set.",
    )
