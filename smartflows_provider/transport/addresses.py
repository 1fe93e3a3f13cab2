"""Where a request goes, and through which proxy: one answer for both clients.

Each HTTP library quotes addresses and reads the environment's proxies in its own way; here ``requests``
decides for both. Invariant: a path that is quoted arrives as it was quoted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.exceptions import RequestException
from requests.utils import get_environ_proxies, select_proxy

from smartflows_provider.transport.errors import NotSent

_PLAIN_URL = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(:[1-9][0-9]*)?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_-]+")


def full_address(url: str, query: Sequence[tuple[str, str]]) -> str:
    """
    Return the address that is asked for, as it is sent.

    What nothing would be changed in is returned at once: ``requests`` takes longer than the rest of a call.

    :param url: with scheme and host; the path is quoted, or as a Location header has it.
    :param query: added to the query that the address has.
    :raises NotSent: if it is no address.
    """
    if _PLAIN_URL.fullmatch(url) and all(map(_PLAIN_WORD.fullmatch, chain.from_iterable(query))):
        return f"{url}?{'&'.join(map('='.join, query))}" if query else url
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, list(query))
    except (RequestException, ValueError) as error:
        reason = type(error).__name__
    else:
        return str(prepared.url)
    raise NotSent(f"an address cannot be used: {reason}", kind="unreachable")


def proxy_for(url: str, proxy: str | None) -> str | None:
    """
    Return the proxy that leads to an address, None for the direct way.

    :param url: where the request goes.
    :param proxy: the connection's own; without one the environment's proxies and exceptions count.
    :raises NotSent: if it is not spoken to over http or https.
    """
    found = proxy or select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    usable = found if "://" in found else f"http://{found}"
    scheme = urlsplit(usable).scheme
    if scheme not in {"http", "https"}:
        raise NotSent(f"proxies are spoken to over http or https, not {scheme!r}", kind="proxy")
    return usable
