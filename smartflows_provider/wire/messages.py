"""Requests and answers as values, and the conversation between protocol code and a client.

A system's module describes every call as a generator that yields :class:`Request` values, is sent the
:class:`Response` to each, and returns a domain value (``Exchange[T]``). The blocking and the async client
both drive such a generator, so no call, no fallback and no paging loop is written twice. Invariant:
nothing in here knows a host or a key; a request carries a path that is already quoted.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote

from smartflows_provider.wire.errors import UnreadableAnswer, UnsendableValue, UnusableId
from smartflows_provider.wire.json_forms import NoForm, strict_json

T = TypeVar("T")

JSON_TYPE = 'application/json; charset="utf-8"'

Body: TypeAlias = bytes | Path
"""What a request carries: bytes in memory, or a file that is streamed with its length."""

_LONGEST_LENGTH = 18
"""Digits of the largest size that can be meant; int() refuses texts of some thousand digits."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request relative to a connection's base address."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """Below the API prefix, starting with a slash, quoted."""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: Body | None = field(default=None, repr=False)
    repeatable: bool = True
    """Whether sending it twice does no harm. A start is not."""
    hold_seconds: float = 0.0
    """How long the service may keep the answer back (long poll); the read limit grows by this."""

    @property
    def label(self) -> str:
        """Method and path without the query, for messages."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Response:
    """A whole answer, its body already within the size limit."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)
    request: Request

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def announced_size(self) -> int | None:
        """Bytes of the body as ``Content-Length`` says; None if it does not, or counts packed ones."""
        length = self.headers.get("content-length", "").strip()
        if not (length.isascii() and length.isdigit()) or len(length) > _LONGEST_LENGTH:
            return None
        packing = self.headers.get("content-encoding", "identity").strip().lower()
        return int(length) if packing == "identity" else None

    def json(self) -> Any:
        """
        Return the decoded JSON body.

        :raises UnreadableAnswer: if the body is not JSON (a login page, a truncated answer); a retry
            helps where the cause is in between (proxy, restart).
        """
        try:
            return json.loads(self.body)
        except RecursionError:
            raise UnreadableAnswer(
                f"the answer to {self.request.label} is JSON that is nested too deeply to be read "
                f"({len(self.body)} bytes)",
                status=self.status,
            ) from None
        except ValueError:
            kind = self.content_type or "no content type"
            raise UnreadableAnswer(
                f"the answer to {self.request.label} is not JSON ({kind}, {len(self.body)} bytes, "
                f"begins with {self.body[:60]!r})",
                status=self.status,
            ) from None


Exchange: TypeAlias = Generator[Request, Response, T]
"""Protocol code of one call: yields requests, is sent the answers, returns the result."""


def segment(value: str) -> str:
    """
    Quote an id so that it stays one path segment whatever it holds.

    :param value: an id or name from outside.
    :raises UnusableId: if it is no text, empty, half a character, or ``.`` or ``..``, which no quoting can
        protect.
    """
    try:
        quoted = quote(value, safe="") if isinstance(value, str) else ""
    except UnicodeEncodeError:
        quoted = ""
    if quoted in {"", ".", ".."}:
        raise UnusableId(f"{value!r} is not a usable id")
    return quoted


def query_of(**pairs: str | None) -> tuple[tuple[str, str], ...]:
    """
    Return a query of those parameters that are given.

    :raises UnsendableValue: for half a character.
    """
    given = tuple((key, value) for key, value in pairs.items() if value is not None)
    for key, value in given:
        utf8(value, key)
    return given


def content_type_header(content_type: str) -> tuple[tuple[str, str], ...]:
    """Return the header that names what a body is."""
    return (("Content-Type", content_type),)


def json_body(value: Mapping[str, Any], what: str) -> bytes:
    """
    Return a JSON object as a body.

    :param what: names the value in messages.
    :raises UnsendableValue: if it cannot be written as JSON in UTF-8; it names the member that cannot.
    """
    try:
        text = strict_json(value)
    except NoForm as error:
        raise UnsendableValue(f"{what} cannot be sent as JSON", detail=str(error)) from None
    return utf8(text, what)


def utf8(text: str, what: str) -> bytes:
    """
    Return a text in UTF-8.

    :raises UnsendableValue: for half a character; the message names what the text is.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UnsendableValue(f"{what} cannot be sent: half a character at position {error.start}") from None
