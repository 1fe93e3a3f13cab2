"""An Airflow connection read into client settings, with errors that say what to change.

Invariants: a connection of another type is not read, so that its key goes nowhere; extras are read by name
and checked; the key comes from the password alone; nothing of a connection's secrets gets into a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from smartflows_provider.exceptions import FlowConfigurationError, RunIdentity, SystemHints
from smartflows_provider.hooks.translation import NOTHING_SENT
from smartflows_provider.transport.settings import DEFAULT_CONNECTIONS, ClientSettings
from smartflows_provider.wire.grants import origin_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


W = TypeVar("W", bound=str)


class ConnectionReader:
    """
    Reads one connection's fields.

    :param connection: as Airflow holds it.
    :param extra: its extras, decoded; Airflow decodes what is no JSON to nothing.
    :param conn_type: of the system's connections.
    :param system: the vendor's name, for messages.
    :param hints: what people do about errors of the system.
    :raises FlowConfigurationError: if the connection is of another type, or the extras are no JSON object.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        extra: Mapping[str, Any],
        conn_type: str,
        system: str,
        hints: SystemHints,
    ) -> None:
        self._connection = connection
        self._extra = extra
        self.where = RunIdentity(system=system, conn_id=connection.conn_id, hints=hints)
        found = (connection.conn_type or "").strip()
        if found and found.lower() != conn_type:
            raise self.error(
                f"The connection is of the type {found!r}, and {system} takes {conn_type!r}.",
                f"Name a connection of the type {conn_type!r}, or give this one that type if its host and "
                f"password are those of {system}.",
            )
        if not isinstance(extra, Mapping) or not _is_json(connection.extra):
            raise self.error(
                "The connection's extra is not a JSON object.",
                'Give it as {"connect_timeout": 5}, say, or leave it empty.',
            )

    def error(self, what: str, advice: str) -> FlowConfigurationError:
        """Return the error for a field that cannot be used."""
        return FlowConfigurationError(what, where=self.where, fate=NOTHING_SENT, advice=advice)

    @property
    def password(self) -> str:
        """
        The key.

        :raises FlowConfigurationError: if it is empty or cannot stand in a header.
        """
        key = (self._connection.password or "").strip()
        if not key:
            raise self.error("The connection has no API key.", self.where.hints.key)
        if not key.isascii() or not key.isprintable():
            raise self.error(
                "The connection's API key holds characters that no HTTP header can carry.",
                "Copy the key again, without line breaks or quotes.",
            )
        return key

    @property
    def secret(self) -> str:
        """The password as it is, for what is no header: empty where there is none."""
        return self._connection.password or ""

    @property
    def login(self) -> str:
        """The user's name, empty where there is none."""
        return (self._connection.login or "").strip()

    def settings(self, *, api_prefix: str, **more: Any) -> ClientSettings:
        """
        Return how to reach a service, from the fields that every system's connection has.

        :param api_prefix: what the extra of that name is where it is empty.
        :param more: what the system adds, such as ``auth_headers``.
        """
        return ClientSettings(
            base_url=self.base_url(),
            api_prefix=self.path("api_prefix", api_prefix),
            verify=self.flag("verify", default=True),
            ca_bundle=self.file("ca_bundle"),
            client_cert=self.file("client_cert"),
            proxy=self.address("proxy", example="http://proxy.example.com:3128"),
            page_template=self.page_template(),
            connect_timeout=self.number("connect_timeout", 10.0, least=0.1),
            read_timeout=self.number("read_timeout", 60.0, least=0.1),
            max_connections=int(self.number("max_connections", DEFAULT_CONNECTIONS, least=1)),
            **more,
        )

    def page_template(self) -> str | None:
        """
        Return the extra ``execution_url``: where people look at a run, with a place for its id.

        :raises FlowConfigurationError: if it is no address, or would be the same one for all runs.
        """
        example = "https://flows.example.com/runs/{execution_id}"
        value = self.address("execution_url", example=example)
        if value is not None and "{execution_id}" not in value:
            raise self.error(
                "The connection's extra 'execution_url' has no {execution_id} in it.",
                f"Give it as {example}, say, or leave it empty.",
            )
        return value

    def base_url(self) -> str:
        """
        Return scheme, host and port.

        The host may come with a scheme (``https://flows.example``) or without one; then the connection's
        ``schema`` counts, and https if that is empty too. A port in the host is taken if the connection
        has none of its own.

        :raises FlowConfigurationError: if there is no host, or it holds more than scheme, host and port.
        """
        host = (self._connection.host or "").strip().rstrip("/")
        if not host:
            raise self.error("The connection has no host.", "Set the host, https://flows.example.com say.")
        scheme = (self._connection.schema or "https").strip().lower()
        if _is_ipv6(host):
            host = f"[{host}]"
        full = host if "://" in host else f"{scheme}://{host}"
        example = "Give the host as https://flows.example.com, and a path before /api in the API prefix."
        try:
            parts = urlsplit(full)
            port = self._connection.port or parts.port
        except ValueError:
            raise self.error(f"The connection's host {host!r} is not an address.", example) from None
        if parts.scheme not in {"http", "https"}:
            raise self.error(
                f"The connection's scheme is {parts.scheme!r}; only https and http work.", example
            )
        if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
            shown = parts.netloc.rpartition("@")[2] + parts.path
            raise self.error(f"The connection's host {shown!r} is not a plain host name.", example)
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{name}" + (f":{port}" if port else "")

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return an extra as text; the default where it is missing or empty."""
        value = self._extra.get(name)
        return default if value is None or not str(value).strip() else str(value).strip()

    def word(self, name: str, words: Sequence[W]) -> W:
        """Return an extra that is one of a few words; the first where it is missing or empty."""
        value = self.text(name) or words[0]
        for word in words:
            if value.lower() == word.lower():
                return word
        raise self.error(
            f"The connection's extra {name!r} is {value!r}.", f"Set it to one of {', '.join(words)}."
        )

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an extra as a yes or no."""
        value = self._extra.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in {"true", "yes", "on", "1"}:
            return True
        if word in {"false", "no", "off", "0"}:
            return False
        raise self.error(f"The connection's extra {name!r} is {value!r}.", "Set it to true or false.")

    def number(self, name: str, default: float, *, least: float) -> float:
        """Return an extra as a number of at least ``least``."""
        value = self._extra.get(name)
        if value is None or value == "":
            return default
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not least <= number < float("inf"):
            raise self.error(
                f"The connection's extra {name!r} is {value!r}.", f"Set it to a number of at least {least:g}."
            )
        return number

    def path(self, name: str, default: str) -> str:
        """Return an extra that is put before paths, without a slash at its end; ``/`` means nothing."""
        value = self.text(name) or default
        if not _PATH.fullmatch(value):
            raise self.error(
                f"The connection's extra {name!r} is {value!r}.",
                f"Give a path such as {default}; the address goes into the host.",
            )
        return f"/{value.strip('/')}" if value.strip("/") else ""

    def address(self, name: str, *, example: str) -> str | None:
        """
        Return an extra that is an address on http or https; it may hold credentials, so none is shown.

        :param example: shows a usable one.
        """
        value = self.text(name)
        if value is None:
            return None
        full = value if "://" in value else f"http://{value}"
        try:
            parts = urlsplit(full)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise self.error(
                f"The connection's extra {name!r} is not an address on http or https.",
                f"Give it as {example}, say.",
            )
        return full

    def secret_address(self, name: str, *, example: str) -> str | None:
        """
        Return an extra that is an address which a secret may go to, so that its scheme is not guessed.

        :param example: shows a usable one.
        """
        value = self.address(name, example=example)
        if value is None:
            return None
        parts = urlsplit(value)
        has_scheme = "://" in (self.text(name) or "")
        if not has_scheme or parts.query or parts.fragment or "@" in parts.netloc:
            raise self.error(
                f"The connection's extra {name!r} is not an address with a scheme and without credentials, "
                "query or fragment.",
                f"Give it as {example}, say.",
            )
        return value

    def token_address(self, *, example: str) -> tuple[str, str] | None:
        """
        Return origin and path of the extra ``token_url``, where access tokens are asked for.

        :param example: shows a usable one.
        """
        value = self.secret_address("token_url", example=example)
        if value is None:
            return None
        path = urlsplit(value).path
        if not path.strip("/"):
            raise self.error("The connection's extra 'token_url' has no path.", f"Give it as {example}, say.")
        return origin_of(value), path

    def file(self, name: str) -> str | None:
        """Return an extra that names a file on this machine."""
        value = self.text(name)
        if value is not None and not Path(value).is_file():
            raise self.error(
                f"The connection's extra {name!r} names {value!r}, which is not a file on this machine.",
                "Workers and triggerers each need the file at that path.",
            )
        return value


_PATH = re.compile(r"[A-Za-z0-9._~%/-]*")


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True
