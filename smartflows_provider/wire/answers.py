"""What the answers of all flow systems have in common: HTTP statuses, error bodies, objects with ids.

Vendors document little of how they refuse, so every safe form is read: error bodies as JSON, HTML, text or
nothing. Invariants: only 2xx passes; an error's text is one line that holds nothing of the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from smartflows_provider.wire.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    RedirectAnswered,
    RequestRefused,
    ServiceFault,
    Throttled,
    UnreadableAnswer,
    WireError,
)
from smartflows_provider.wire.messages import Response
from smartflows_provider.wire.retry_after import read_retry_after
from smartflows_provider.wire.text import clean_text, whole_text


def raise_for_status(response: Response) -> None:
    """
    Return for any 2xx; else raise what the status means.

    :raises KeyRefused: 401. :raises AccessDenied: 403. :raises NotFound: 404, 410. :raises Throttled: 429.
    :raises ServiceFault: 5xx, 408. :raises RequestRefused: another 4xx. :raises RedirectAnswered: 3xx.
    """
    status = response.status
    if 200 <= status < 300:
        return
    label = response.request.label
    message = f"{label} was answered with {status}"
    if 300 <= status < 400:
        target = _redirect_target(response.headers.get("location", ""))
        raise RedirectAnswered(f"{message}, a redirect to {target}", status=status)
    kinds: dict[int, type[WireError]] = {
        401: KeyRefused, 403: AccessDenied, 404: NotFound, 408: ServiceFault, 410: NotFound, 429: Throttled,
    }  # fmt: skip
    kind = kinds.get(status, ServiceFault if status >= 500 else RequestRefused)
    retry_after = read_retry_after(response.headers)
    raise kind(message, status=status, retry_after=retry_after, detail=error_text(response))


_ERROR_TEXT_LIMIT = 2000
_ADDRESS_LIMIT = 200
_ERROR_DEPTH = 8
"""Levels of an error body that are read."""


def _redirect_target(location: str) -> str:
    """Return a redirect's address without what may be secret: user, query and fragment."""
    if not location:
        return "an address it does not name"
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return _one_line(f"{parts.scheme}://{host}{parts.path}" if host else parts.path)[:_ADDRESS_LIMIT]


def _one_line(text: str) -> str:
    """Return a foreign text without line breaks and control characters."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def error_text(response: Response) -> str:
    """
    Return what an error body says: one line of at most 2,000 characters, to be put into a sentence.

    Full stops at its end are left out; it is empty for HTML or nothing.
    """
    if response.content_type.endswith("json"):
        try:
            body = json.loads(response.body)
        except (ValueError, RecursionError):
            return ""
        return "; ".join(line.rstrip(".") for line in _error_lines(body))[:_ERROR_TEXT_LIMIT]
    if response.content_type == "text/plain":
        return _one_line(response.body.decode("utf-8", "replace")).rstrip(".")[:_ERROR_TEXT_LIMIT]
    return ""


def _error_lines(body: Any, depth: int = 0) -> Iterator[str]:
    """Yield the sentences of an error body; its form is not documented, so common keys are read."""
    if depth > _ERROR_DEPTH:
        return
    if isinstance(body, str):
        yield _one_line(body)
    elif isinstance(body, list):
        for entry in body:
            yield from _error_lines(entry, depth + 1)
    elif isinstance(body, Mapping):
        lines = [
            line
            for key in ("message", "detail", "error_description", "title", "error", "errors", "causes")
            if body.get(key)
            for line in _error_lines(body[key], depth + 1)
        ]
        yield from dict.fromkeys(lines)


def object_of(response: Response) -> Mapping[str, Any]:
    """
    Return the JSON object of a good answer.

    :raises UnreadableAnswer: if it is no object. :raises WireError: for any answer other than 2xx.
    """
    raise_for_status(response)
    raw = response.json()
    if not isinstance(raw, Mapping):
        raise unreadable(response, f"is not an object but {type(raw).__name__}")
    return raw


def unreadable(response: Response, what: str) -> UnreadableAnswer:
    """Return the error for a 2xx that is not the documented one; ``what`` goes on "the answer to …"."""
    return UnreadableAnswer(f"the answer to {response.request.label} {what}", status=response.status)


def identifier(raw: Any) -> str:
    """
    Return the ``id`` of an object, a text or a number; empty where there is none.

    It is kept as it is, so that it can be asked for; one with half a character never can.
    """
    value = raw.get("id") if isinstance(raw, Mapping) else None
    return whole_text(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def told(raw: Mapping[str, Any], key: str) -> str:
    """Return a text of an object; empty where there is none."""
    return clean_text(str(raw.get(key) or ""))


def read_moment(text: str) -> float | None:
    """Return a time of the service as epoch seconds; one without a zone is UTC, None for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None
