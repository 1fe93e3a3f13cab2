"""The hook of a person who is at no task: its connection is looked up wherever Airflow keeps it.

A task asks Airflow's API server for connections; a person on a scheduler's or worker's host has none, and
the task SDK then looks into environment variables and secrets backends alone. Here Airflow's own look-up
follows, the one of ``airflow connections get``, which reads the metadata database too. Invariant: a
database that cannot be read is told apart from a connection that does not exist.
"""

from __future__ import annotations

from airflow.models.connection import Connection as StoredConnection
from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, Connection
from airflow.secrets.metastore import MetastoreBackend
from cryptography.fernet import InvalidToken
from sqlalchemy.exc import SQLAlchemyError

from smartflows_provider.exceptions import FlowConfigurationError, RunIdentity
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.hooks.translation import NOTHING_SENT
from smartflows_provider.systems import SMART_FLOWS_LABEL


class OnCallHook(SmartFlowsHook):
    """Speaks to one Smart Flows project, outside of any task."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """
        Return a connection from the environment, a secrets backend or Airflow's metadata database.

        :raises AirflowNotFoundException: if there is none.
        :raises FlowConfigurationError: if there may be one in the database or in a secrets backend, but it
            cannot be read.
        """
        try:
            return super().get_connection(conn_id)
        except AirflowNotFoundException:
            return _stored(conn_id)


def _stored(conn_id: str) -> Connection:
    try:
        stored = StoredConnection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        _check_database(conn_id)
        raise
    return Connection(
        conn_id=conn_id,
        conn_type=stored.conn_type,
        host=stored.host,
        schema=stored.schema,
        login=stored.login,
        password=stored.password,
        port=stored.port,
        extra=stored.extra,
    )


def _check_database(conn_id: str) -> None:
    """
    Return if the database can be read and does not hold the connection.

    The look-up passes over whatever fails, so what failed is found out by asking the database again.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    try:
        unreadable = MetastoreBackend().get_connection(conn_id) is not None
    except SQLAlchemyError as error:
        # The error's own text may quote the database's address, and with it a password.
        raise FlowConfigurationError(
            f"The Airflow connection {conn_id!r} is neither in the environment nor in a secrets backend, and "
            f"Airflow's metadata database cannot be read from this host ({type(error).__name__}).",
            where=_where(conn_id),
            fate=NOTHING_SENT,
            advice=f"Set the environment variable {variable} to the JSON or the URI form of the connection "
            "(if it is set, it cannot be read), or run this where Airflow's scheduler or API server runs; "
            "`airflow db check` tells whether the database can be reached.",
        ) from None
    except (InvalidToken, AirflowException):
        unreadable = True
    if unreadable:
        raise FlowConfigurationError(
            f"Airflow's metadata database holds the connection {conn_id!r}, but it cannot be read here.",
            where=_where(conn_id),
            fate=NOTHING_SENT,
            advice="Most often this host's [core] fernet_key is not the one that the connection was stored "
            f"with. Run this with that key, or set the environment variable {variable}.",
        )


def _where(conn_id: str) -> RunIdentity:
    return RunIdentity(system=SMART_FLOWS_LABEL, conn_id=conn_id)
