"""Everything a client needs to know about a connection, as one value.

Both clients take the same settings, so that they verify the same certificates, use the same proxy and
give up after the same time. Invariants: the values that hold secrets never appear in ``repr``; TLS is
verified unless somebody switched that off by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import certifi

from smartflows_provider import __version__
from smartflows_provider.wire.messages import Response

USER_AGENT = f"airflow-provider-smartflows/{__version__}"
DEFAULT_CONNECTIONS = 32
"""Questions about runs that are under way at once, at most, unless a connection says otherwise."""
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class HiddenHeaders(dict[str, str]):
    """Headers whose values no ``repr`` shows, nor an error reporter that captures the locals of frames."""

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, "***"))


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """How to reach one service."""

    base_url: str
    """Scheme, host and port, without a slash at the end."""
    api_prefix: str
    """What stands before every call's path, ``/api/v1`` say."""
    auth_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every API call, and never to another address."""
    verify: bool = True
    """Whether the server's certificate is checked."""
    ca_bundle: str | None = None
    """PEM file with trusted authorities; None takes the usual environment variables, then certifi."""
    client_cert: str | None = None
    """Path of a PEM file with the client's certificate and key."""
    proxy: str | None = field(default=None, repr=False)
    """URL of a proxy, possibly with credentials; None takes the usual environment variables."""
    connect_timeout: float = 10.0
    """Seconds until a connection must stand."""
    read_timeout: float = 60.0
    """Seconds without a byte until an answer counts as lost, on top of what the service may hold it."""
    max_connections: int = DEFAULT_CONNECTIONS
    """How many questions about runs are under way at once, at most."""
    long_poll_seconds: float = 30.0
    """How long the service is allowed to hold an answer about a run's progress; 0 for never."""
    batch_status: bool = False
    """Whether many runs are asked for in one call, where more wait than there are connections."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Size limit for an API answer, after decompression; documents have their own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "auth_headers", HiddenHeaders(self.auth_headers))

    def url(self, path: str) -> str:
        """Return the address of a quoted API path."""
        return f"{self.base_url}{self.api_prefix}{path}"

    def without_secrets(self, response: Response) -> Response:
        """
        Return an answer that can be shown.

        Some services repeat a key that they refuse; their words get into messages.

        :param response: any answer; only those other than 2xx are changed.
        """
        if 200 <= response.status < 300:
            return response
        body = response.body
        for secret in self.auth_headers.values():
            body = body.replace(secret.encode(), b"***")
        return replace(response, body=body)

    @property
    def ca_file(self) -> str:
        """The file of trusted authorities that both clients use."""
        if self.ca_bundle:
            return self.ca_bundle
        return next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), certifi.where())
