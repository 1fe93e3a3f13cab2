"""Addresses of PhixFlow endpoints, below a connection's prefix.

An endpoint is named by application and actionflow (version 11), by actionflow alone (version 10), or by
a path, because a URL alias may replace the names. Invariants: every address is quoted exactly once, stays
below the prefix, and holds no query but the one a status address was given.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from smartflows_provider.wire.errors import UnusableId
from smartflows_provider.wire.messages import segment, utf8

API_PREFIX = "/phixflow/api/1"
"""The instance, usually ``phixflow``, and the interface; a setting of the connection."""
_ID = "{id}"
_PLACE = re.compile(r"[{}]")


def endpoint_path(
    *,
    application: str | None = None,
    actionflow: str | None = None,
    path: str | None = None,
    prefix: str = API_PREFIX,
) -> str:
    """
    Return where an endpoint is called, quoted, below the connection's prefix.

    Version 11 has ``/action/<application>/<actionflow>/trigger``, version 10 the same without application,
    which works in 11 as well (vendor's page on API endpoints).

    :param application: name of the application, as people read it.
    :param actionflow: name of the actionflow, as people read it.
    :param path: instead of names, a path that starts with a slash, quoted or not. It is taken below the
        prefix; one that begins with the prefix, as PhixFlow shows it, is taken as it is.
    :param prefix: of the connection.
    :raises UnusableId: if it cannot be an address; nothing was sent, and no retry helps.
    :raises ValueError: if it is not either names or a path.
    """
    if path is None:
        if actionflow is None:
            raise ValueError("an endpoint is named by its actionflow, with or without application, or a path")
        names = (actionflow,) if application is None else (application, actionflow)
        return f"/action/{'/'.join(map(segment, names))}/trigger"
    if application is not None or actionflow is not None:
        raise ValueError("an endpoint is named by a path or by application and actionflow, not by both")
    root = prefix.rstrip("/")
    below = path.removeprefix(root) if path.startswith(f"{root}/") else path
    if "?" in below:
        raise UnusableId(f"the path {path!r} has a query; input parameters are given for themselves")
    return _quoted(below)


def check_status_path(template: str) -> None:
    """
    Return if a template can be the address of a run's status.

    :raises ValueError: if not; the message says why.
    """
    if not isinstance(template, str) or _ID not in template:
        raise ValueError(f"status_path is {template!r}, but must be a path with {_ID} in it")
    if _PLACE.search(template.replace(_ID, "")):
        raise ValueError(f"status_path is {template!r}, but can have no place other than {_ID}")
    try:
        status_address(template, "1")
    except UnusableId as error:
        raise ValueError(f"status_path: {error}") from None


def status_address(template: str, process_id: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """
    Return where a run's status is asked: the quoted path, and the query.

    :param template: a path with ``{id}`` in it, or in the query that follows it.
    :raises UnusableId: if the id cannot be part of an address; nothing was sent.
    """
    path, _, query = template.partition("?")
    quoted_id = segment(process_id)
    utf8(query, "the query of status_path")
    pairs = parse_qsl(query, keep_blank_values=True)
    filled = tuple((name, value.replace(_ID, process_id)) for name, value in pairs)
    return _quoted(path, quoted_id), filled


def _quoted(path: str, quoted_id: str = "") -> str:
    """
    Return a path with every segment quoted once.

    :param quoted_id: what stands in place of ``{id}``, if the path has such a place.
    """
    if not path.startswith("/") or path.startswith("//"):
        raise UnusableId(f"the path {path!r} must start with one slash, without a server before it")
    if "#" in path:
        raise UnusableId(f"the path {path!r} has a fragment, which is never sent")
    done = []
    for part in path[1:].split("/"):
        pieces = part.split(_ID) if quoted_id else [part]
        plain = [quote(unquote_to_bytes(utf8(piece, "a path")), safe="") for piece in pieces]
        whole = quoted_id.join(plain)
        if whole in {"", ".", ".."}:
            raise UnusableId(f"the path {path!r} has a part that is empty or consists of dots only")
        done.append(whole)
    return "/" + "/".join(done)
