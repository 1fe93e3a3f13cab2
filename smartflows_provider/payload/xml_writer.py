"""Writes XML 1.0 in UTF-8 as it comes, with namespaces, in constant memory.

Own code because lxml's incremental writer takes about twice as long per element, and a payload may have ten
million of them; lxml reads back what this writes in the tests. Invariants: names are given as
:class:`~smartflows_provider.payload.names.Name`, text is escaped here and nowhere else, every name is bound
to its namespace with as few declarations as the nesting allows, and equal calls write equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Protocol

from smartflows_provider.payload.names import XML_NAMESPACE, XSI_NAMESPACE, Name

_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = {
    **_TEXT,
    **str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"}),
}
_BUFFERED = 64 * 1024
"""Characters that are collected before they go to the sink as one."""


class ByteSink(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


def escape_text(text: str) -> str:
    """Escape a text to stand between tags; carriage returns survive parsing."""
    if "&" in text or "<" in text or ">" in text or "\r" in text:
        return text.translate(_TEXT)
    return text


def escape_attribute(text: str) -> str:
    """Escape a text to stand between double quotes; white space survives parsing."""
    return text.translate(_ATTRIBUTE)


class XmlWriter:
    """Start tags, text and end tags, one after the other."""

    def __init__(self, sink: ByteSink, *, prefixes: Mapping[str, str] | None = None) -> None:
        """
        Begin a document.

        :param sink: takes UTF-8 in pieces of some kilobytes, each text whole.
        :param prefixes: prefix to namespace; declared on the root element. The empty prefix is the default
            namespace.
        """
        self._sink = sink
        self._pieces = ['<?xml version="1.0" encoding="UTF-8"?>\n']
        self._collected = 0
        self._scopes: list[dict[str, str]] = [{"xml": XML_NAMESPACE, "": ""}]
        self._tags: list[str] = []
        self._wanted = dict(prefixes or {})

    def start(
        self,
        name: Name,
        attributes: Iterable[tuple[Name, str]] = (),
        *,
        prefixes: Mapping[str, str] | None = None,
    ) -> None:
        """
        Write a start tag.

        :param attributes: names and texts; the names must differ.
        :param prefixes: further prefixes to declare here.
        """
        outer = self._scopes[-1]
        scope = {**outer, **self._wanted, **(prefixes or {})}
        self._wanted = {}
        tag, markup = self._start_tag(name, attributes, outer=outer, scope=scope)
        self._scopes.append(outer if scope == outer else scope)
        self._tags.append(tag)
        self._put(markup)

    def end(self) -> None:
        """Write the end tag of the element that is open."""
        self._scopes.pop()
        self._put(f"</{self._tags.pop()}>")

    def text(self, text: str) -> None:
        """Write text, escaped."""
        self._put(escape_text(text))

    def markup(self, markup: str) -> None:
        """Write what is already XML, such as tags from :meth:`tags` around escaped text."""
        self._put(markup)

    def tags(
        self, name: Name, attributes: Iterable[tuple[Name, str]] = (), *, parent: Name | None = None
    ) -> tuple[str, str]:
        """
        Return the tags that an element has here, to be written with :meth:`markup`.

        :param attributes: see :meth:`start`.
        :param parent: an element between the one that is open and this; it declares no prefixes.
        """
        outer = dict(self._scopes[-1])
        if parent is not None:
            self._element_tag(parent, outer)
        tag, markup = self._start_tag(name, attributes, outer=outer, scope=dict(outer))
        return markup, f"</{tag}>"

    def close(self) -> None:
        """Hand the rest to the sink."""
        self._put("\n")
        self._flush()

    def _start_tag(
        self,
        name: Name,
        attributes: Iterable[tuple[Name, str]],
        *,
        outer: Mapping[str, str],
        scope: dict[str, str],
    ) -> tuple[str, str]:
        """Return an element's tag name and its start tag; the scope takes what that has to declare."""
        tag = self._element_tag(name, scope)
        parts = [(self._attribute_tag(key, scope), value) for key, value in attributes]
        declared = [
            (f"xmlns:{prefix}" if prefix else "xmlns", namespace)
            for prefix, namespace in scope.items()
            if outer.get(prefix) != namespace
        ]
        written = "".join(f' {key}="{escape_attribute(value)}"' for key, value in (*declared, *parts))
        return tag, f"<{tag}{written}>"

    @staticmethod
    def _element_tag(name: Name, scope: dict[str, str]) -> str:
        if scope[""] == name.namespace:
            return name.local
        prefix = _prefix_of(name.namespace, scope)
        if prefix is None:
            scope[""] = name.namespace
            return name.local
        return f"{prefix}:{name.local}"

    @staticmethod
    def _attribute_tag(name: Name, scope: dict[str, str]) -> str:
        if not name.namespace:
            return name.local
        prefix = _prefix_of(name.namespace, scope)
        if prefix is None:
            free = (f"ns{number}" for number in count(1))
            prefix = (
                "xsi" if name.namespace == XSI_NAMESPACE else next(one for one in free if one not in scope)
            )
            scope[prefix] = name.namespace
        return f"{prefix}:{name.local}"

    def _put(self, piece: str) -> None:
        self._pieces.append(piece)
        self._collected += len(piece)
        if self._collected >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        self._sink.write("".join(self._pieces).encode())
        self._pieces.clear()
        self._collected = 0


def _prefix_of(namespace: str, scope: Mapping[str, str]) -> str | None:
    if not namespace:
        return None
    return next((prefix for prefix, bound in scope.items() if prefix and bound == namespace), None)
