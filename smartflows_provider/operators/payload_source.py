"""From an operator's arguments to a payload that is ready to be sent.

What the payload room cannot know because it knows no Airflow: connections for SQL, the DAG file's folder for
relative paths, functions of the context. Invariant: everything is read on the worker, while the task runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.sdk import ObjectStoragePath

from smartflows_provider.exceptions import FlowConfigurationError, FlowInputError, RunIdentity
from smartflows_provider.lifecycle.begin import NOTHING_STARTED
from smartflows_provider.operators.rows_function import RowsFunction
from smartflows_provider.payload.build import (
    MappingInput,
    NoInput,
    PayloadInput,
    RecordsInput,
    RowsInput,
    XmlInput,
    prepare,
)
from smartflows_provider.payload.correlation import Correlation
from smartflows_provider.payload.errors import PayloadError, UnsupportedInput
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
    correlation: Correlation | None = None


@contextmanager
def prepare_input(
    arguments: InputArguments,
    *,
    context: Mapping[str, Any],
    dag_file: str | None,
    where: RunIdentity,
    fate: str = NOTHING_STARTED,
) -> Iterator[PreparedPayload]:
    """
    Read, build and check the input; a temporary file is removed at the end of the block.

    :param arguments: of the operator.
    :param context: the task's context, for ``rows`` that are a function of it.
    :param dag_file: path of the DAG file; relative paths are taken from its folder.
    :param where: which connection and flow, for messages.
    :param fate: what became of the run, for messages.
    :raises FlowInputError: if the input cannot be sent; no retry helps.
    :raises FlowConfigurationError: if the connection of ``sql`` does not exist; no retry helps.
    """
    with ExitStack() as stack:
        try:
            source = _source(arguments, context=context, dag_file=dag_file, stack=stack)
            payload = stack.enter_context(
                prepare(
                    source,
                    xsd=_located(arguments.xsd, dag_file),
                    hide_values=arguments.hide_values,
                    correlation=arguments.correlation,
                )
            )
        except PayloadError as error:
            raise _refused(str(error), where, fate) from None
        except (OSError, ImportError) as error:
            raise _refused(f"The input cannot be read: {error}", where, fate) from None
        except AirflowNotFoundException:
            raise FlowConfigurationError(
                f"The Airflow connection {arguments.sql_conn_id!r} for sql does not exist.",
                where=where,
                fate=fate,
                advice="Create it, or correct sql_conn_id.",
            ) from None
        yield payload


def _source(
    arguments: InputArguments, *, context: Mapping[str, Any], dag_file: str | None, stack: ExitStack
) -> PayloadInput:
    if arguments.xml is not None:
        return XmlInput(xml=arguments.xml)
    if arguments.data is not None:
        return MappingInput(data=_object(arguments.data, "data"), root=arguments.root)
    if arguments.records is not None:
        return RecordsInput(records=_object(arguments.records, "records"))
    rows = arguments.rows
    if arguments.sql is not None:
        rows = stack.enter_context(_query(arguments.sql, arguments.sql_conn_id or ""))
    if rows is None:
        return NoInput()
    if isinstance(rows, RowsFunction):
        rows = rows.function(context)
    return RowsInput(
        rows=_rows(rows, dag_file),
        root=arguments.root,
        row=arguments.row or "row",
        header=arguments.header or {},
    )


def _rows(rows: Any, dag_file: str | None) -> Any:
    """Return rows as something to read them from."""
    if isinstance(rows, str) and rows.lstrip().startswith("["):
        # A template may give a list as its JSON text.
        return _json(rows, "rows")
    located = _located(rows, dag_file)
    if hasattr(located, "open") or (
        isinstance(located, Iterable) and not isinstance(located, Mapping | bytes)
    ):
        return located
    raise UnsupportedInput(
        f"rows is {_kind(rows)}; it takes a list of mappings, the path of a CSV or JSON-lines file, or a "
        "function of the context that returns one of these"
    )


@contextmanager
def _query(sql: str, conn_id: str) -> Iterator[Iterator[Mapping[str, Any]]]:
    """Run a query and yield its rows while the connection is open."""
    hook = BaseHook.get_connection(conn_id).get_hook()
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        yield cursor_rows(cursor)


def _located(path: Any, dag_file: str | None) -> Any:
    """Return a path given as text as a path object; a relative one is taken from the DAG file's folder."""
    if isinstance(path, str) and "://" in path:
        return ObjectStoragePath(path)
    if isinstance(path, str | PurePath) and str(path) not in {"", "."}:
        return (Path(dag_file).parent if dag_file else Path()) / path
    return path if not isinstance(path, str | PurePath) else None


def _object(value: Any, name: str) -> Mapping[str, Any]:
    decoded = _json(value, name) if isinstance(value, str) else value
    if not isinstance(decoded, Mapping):
        raise UnsupportedInput(f"{name} is {_kind(decoded)}; it takes a mapping, or JSON text of one")
    return decoded


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnsupportedInput(f"{name} is text, but not JSON: {error}") from error


def _kind(value: Any) -> str:
    return "empty" if value is None or value == "" else f"of type {type(value).__name__}"


def _refused(what: str, where: RunIdentity, fate: str) -> FlowInputError:
    return FlowInputError(
        f"{what[:1].upper()}{what[1:]}",
        where=where,
        fate=fate,
        advice="Mend the input; what the flow takes is described by the XSD of its primary data set.",
    )
