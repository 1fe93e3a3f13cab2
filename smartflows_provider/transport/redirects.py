"""Where a document download may be sent on to.

API calls never follow a redirect. A document's bytes may lie on another store, so its download may follow,
and then carries no key. Invariant: never from https to http, never to another scheme, a few hops at most.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

MAX_HOPS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def next_hop(url: str, location: str) -> str | None:
    """
    Return the address a download goes on with, or None where it must not follow.

    :param url: the address that answered with the redirect.
    :param location: its Location header.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
    except ValueError:
        return None
    if not location or parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        return None
    return target
