"""Names of XML elements and attributes: ``local``, ``prefix:local`` and ``{namespace}local``.

Invariant: a :class:`Name` that left :func:`parse_name` is a legal XML name, so no key of a mapping and no
column of a table can inject markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from smartflows_provider.payload.errors import UnusableName, shown

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
XSI_NAMESPACE = "http://www.w3.org/2001/XMLSchema-instance"
_XMLNS_NAMESPACE = "http://www.w3.org/2000/xmlns/"
_MAX_NAME = 1000
"""Characters of a name and of a namespace; XML parsers take some thousands."""

_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NCNAME = re.compile(f"[{_START}][-.0-9\u00b7\u0300-\u036f\u203f-\u2040{_START}]*")
_NOT_IN_NAMESPACE = re.compile('[\x00-\x20\x7f<>"{}\ud800-\udfff\ufffe\uffff]')
_PATH_STEP = re.compile(r"(?:\{[^}]*\})?[^/{}]+")


class Name(NamedTuple):
    """An expanded name."""

    namespace: str
    """Empty if the name is in none."""
    local: str

    @property
    def clark(self) -> str:
        """``{namespace}local``, or the local name alone."""
        return f"{{{self.namespace}}}{self.local}" if self.namespace else self.local


def is_ncname(text: str) -> bool:
    """Tell whether a text may stand as a local name or a prefix."""
    return len(text) <= _MAX_NAME and _NCNAME.fullmatch(text) is not None


def parse_name(text: object, *, prefixes: Mapping[str, str], default: str, where: str) -> Name:
    """
    Read a name as a DAG author writes it.

    :param text: ``local``, ``prefix:local`` or ``{namespace}local``.
    :param prefixes: the prefixes that are known here.
    :param default: the namespace of a name without prefix.
    :param where: the place, for the message.
    :raises UnusableName: if it is not a string, not a legal XML name, or its prefix is not declared.
    """
    if not isinstance(text, str):
        raise UnusableName(f"{where}: a name must be a string, not {type(text).__name__} ({shown(text)})")
    namespace, local = default, text
    if text.startswith("{"):
        namespace, closed, local = text[1:].partition("}")
        if not closed:
            raise UnusableName(f"{where}: {text!r:.80} lacks the '}}' that ends its namespace")
    elif ":" in text:
        prefix, _, local = text.partition(":")
        if prefix == "xml":
            namespace = XML_NAMESPACE
        elif prefix in prefixes:
            namespace = prefixes[prefix]
        else:
            raise UnusableName(
                f"{where}: the prefix of {text!r:.80} is not declared; declare it in `namespaces`"
            )
    if not _is_namespace(namespace):
        raise UnusableName(f"{where}: {namespace!r:.80} is not usable as a namespace")
    if not is_ncname(local):
        raise UnusableName(
            f"{where}: {local!r:.80} is not a legal XML name (letters, digits, '_', '-' and '.', no spaces, "
            "not beginning with a digit); rename the field"
        )
    return Name(namespace, local)


def checked_prefixes(prefixes: Mapping[str, str], *, where: str) -> dict[str, str]:
    """
    Return declarations of prefixes after a check.

    :param prefixes: prefix to namespace; the empty prefix is the default namespace.
    :raises UnusableName: if they are no mapping, a prefix is no legal name or is reserved, or a namespace is
        not usable.
    """
    if not isinstance(prefixes, Mapping):
        raise UnusableName(f"{where}: prefixes and namespaces are a mapping, not {type(prefixes).__name__}")
    for prefix, namespace in prefixes.items():
        if not isinstance(prefix, str):
            raise UnusableName(
                f'{where}: a prefix is text, not {shown(prefix)}; the one of the default namespace is ""'
            )
        if prefix and (not is_ncname(prefix) or prefix.lower().startswith("xml")):
            raise UnusableName(f"{where}: {prefix!r:.80} cannot be declared as a prefix")
        if (
            not isinstance(namespace, str)
            or not _is_namespace(namespace)
            or namespace == XML_NAMESPACE
            or (prefix and not namespace)
        ):
            raise UnusableName(f"{where}: {namespace!r:.80} is not usable as a namespace")
    return dict(prefixes)


def split_path(path: str) -> list[str]:
    """
    Split ``rows/row`` into its names; slashes inside ``{namespace}`` do not count.

    :raises UnusableName: if there is more in it than names with slashes between.
    """
    steps = _PATH_STEP.findall(path)
    if "/".join(steps) != path.strip("/"):
        raise UnusableName(f"{path!r:.80} is not usable as a path; it takes names with slashes between")
    return steps


def _is_namespace(text: str) -> bool:
    return len(text) <= _MAX_NAME and text != _XMLNS_NAMESPACE and not _NOT_IN_NAMESPACE.search(text)
