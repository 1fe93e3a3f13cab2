"""Rows of a query, read while they are sent on, so that a result of any size takes little memory.

Drivers for PostgreSQL and MySQL bring a whole result into memory unless they are asked for a cursor that
stays at the server; all others are asked for their plain one. Invariant: what a driver raises becomes an
error that names the connection and says whether a retry helps; it quotes no data, and with ``hide_payload``
nothing of the query either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook
from airflow.sdk.exceptions import AirflowRuntimeError

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowInputError,
    RunIdentity,
)
from smartflows_provider.payload.errors import first_line
from smartflows_provider.payload.tables import Row, cursor_rows

_NAMED = frozenset({"psycopg2", "psycopg"})
"""Drivers whose cursors stay at the server if they have a name."""
_UNBUFFERED = frozenset({"MySQLdb", "pymysql"})
"""Drivers that have a class of cursors that stay at the server."""
_DRIVER_ERRORS = frozenset({"DatabaseError", "InterfaceError"})
"""Names of the two classes that PEP 249 wants above all errors of a driver but warnings."""
_OUT_OF_REACH = frozenset({"OperationalError", "InterfaceError", "InternalError"})
"""Names that PEP 249 gives to errors that are not the statement's."""
_QUOTING = "DataError"
"""Name that PEP 249 gives to errors about a value, which drivers quote."""
_SQLITE_ERROR = 1
"""SQLite's code for a statement that is wrong, which its driver raises as OperationalError."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query, and what messages say about it."""

    sql: str
    conn_id: str
    where: RunIdentity
    """Which run the rows are for."""
    fate: str
    """What became of that run."""
    hide_payload: bool
    """Whether the driver's words, which may quote data, are left out."""

    @contextmanager
    def rows(self) -> Iterator[Iterator[Row]]:
        """
        Run the query and yield its rows while the connection is open.

        :raises FlowConfigurationError: if the connection is missing, or leads to no database; no retry helps.
        :raises FlowConnectionError: if the database is out of reach; a retry helps.
        :raises FlowInputError: if the database refuses the query; no retry helps.
        """
        connection = self._connect()
        # Closing the connection ends its cursor; MySQL's would first read what is left of the result.
        with closing(connection):
            yield self._read(connection)

    def _connect(self) -> Any:
        """Return a DB-API connection."""
        try:
            hook = BaseHook.get_connection(self.conn_id).get_hook()
        except AirflowNotFoundException:
            raise self._unusable("does not exist", "Create it, or correct sql_conn_id.") from None
        except AirflowRuntimeError as error:
            raise FlowConnectionError(
                f"Airflow could not be asked for the connection {self.conn_id!r} for sql: {error}",
                where=self.where,
                fate=self.fate,
                advice="Look at Airflow's API server; a retry asks again.",
            ) from None
        except (AirflowException, ImportError) as error:
            advice = "Install the provider package for its type, on workers too, or correct sql_conn_id."
            raise self._unusable(f"cannot be used here: {error}", advice) from None
        try:
            connection = hook.get_conn()
        except Exception as error:
            if not (_is_drivers(error) or isinstance(error, OSError)):
                raise
            raise FlowConnectionError(
                f"The database of the connection {self.conn_id!r} cannot be reached: {first_line(error)}",
                where=self.where,
                fate=self.fate,
                advice="If it was out of reach for a while, a retry helps; else correct the connection.",
            ) from None
        if not hasattr(connection, "cursor"):
            raise self._unusable("leads to no database that takes SQL", "Correct sql_conn_id.")
        return connection

    def _read(self, connection: Any) -> Iterator[Row]:
        try:
            cursor = open_cursor(connection)
            cursor.execute(self.sql)
            yield from cursor_rows(cursor)
        except Exception as error:
            if not _is_drivers(error):
                raise
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> FlowException:
        """Return the error for a query that a driver has raised an error of its own about."""
        quotes = self.hide_payload or _is_about_value(error)
        told = f"{_code(error)}, its words may quote data" if quotes else first_line(error)
        what = f"The query on the connection {self.conn_id!r} failed with {type(error).__name__}: {told}"
        if _may_pass(error):
            return FlowConnectionError(
                what,
                where=self.where,
                fate=self.fate,
                advice="If the database was out of reach or busy, a retry helps; else mend what it names.",
            )
        return FlowInputError(
            what, where=self.where, fate=self.fate, advice="Mend sql, or the data it reads."
        )

    def _unusable(self, what: str, advice: str) -> FlowConfigurationError:
        return FlowConfigurationError(
            f"The Airflow connection {self.conn_id!r} for sql {what}.",
            where=self.where,
            fate=self.fate,
            advice=advice,
        )


def open_cursor(connection: Any) -> Any:
    """
    Return a cursor that leaves its result at the server, where the driver has such, or else its plain one.

    :param connection: of any DB-API driver.
    """
    drivers = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    if drivers & _NAMED:
        return connection.cursor(name="smartflows_rows")
    for driver in drivers & _UNBUFFERED:
        return connection.cursor(import_module(f"{driver}.cursors").SSCursor)
    return connection.cursor()


def _kinds(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _is_drivers(error: Exception) -> bool:
    return bool(_kinds(error) & _DRIVER_ERRORS)


def _is_about_value(error: Exception) -> bool:
    """Tell whether an error is about a value, which drivers quote."""
    kinds = _kinds(error)
    # Python's driver for SQLite raises OperationalError of its own, without a code, for text not in UTF-8.
    is_own = type(error).__module__ == "sqlite3" and not hasattr(error, "sqlite_errorcode")
    return _QUOTING in kinds or (is_own and "OperationalError" in kinds)


def _may_pass(error: Exception) -> bool:
    if _is_about_value(error) or getattr(error, "sqlite_errorcode", None) == _SQLITE_ERROR:
        return False
    return bool(_kinds(error) & _OUT_OF_REACH)


def _code(error: Exception) -> str:
    """Return the database's code for an error, which holds no data."""
    names = ("sqlstate", "pgcode", "sqlite_errorname")
    found = [code for name in names if (code := getattr(error, name, None))]
    # MySQL's drivers give their number as the first argument.
    found += [code for code in error.args[:1] if isinstance(code, int)]
    return f"code {found[0]}" if found else "no code"
