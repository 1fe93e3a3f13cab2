"""Checks XML while it streams by: well-formed, no DOCTYPE, and valid against a schema.

libxml2 parses and validates in one pass over chunks while the tree behind is cut off, so memory does not
grow with the document. Its streaming validator names no position; therefore the chunks with problems are
remembered, and only when there are some, a second pass feeds those tag by tag and follows the path.

Invariants: nothing outside the document is ever read (no DTD, no entities, no network, no
``xsi:schemaLocation``); libxml2's own limits stay on (depth 256, 10 MB per text); lxml's error log of the
thread is used and left empty.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Literal
from xml.parsers import expat

from lxml import etree

from smartflows_provider.payload.errors import (
    SHOWN_PROBLEMS,
    ForbiddenXml,
    NotWellFormed,
    Problem,
    SchemaViolation,
)
from smartflows_provider.payload.xsd import Schema

_TAG_END = re.compile(rb"[^>]*>|[^>]+")
_ADVICE = re.compile(r",? (use|try) XML_PARSE_HUGE( option)?")
"""What libxml2 tells programmers, not authors of documents."""
_NO_REASON = "the validator gives no reason"
_PROLOG_LIMIT = 1024 * 1024
"""Bytes before the root element."""
_LOG_LIMIT = 100
"""Entries that lxml's error log of a thread holds."""
_COUNTED_PROBLEMS = 1000
"""Where counting stops; a document that wrong is not read to its end."""


class XmlCheck:
    """
    A push check: feed chunks of UTF-8, close, conclude.

    Without a schema a fault is raised where it is met. With one, libxml2 keeps quiet about what is not
    well-formed, so a fault only marks the check as failed, and :meth:`conclude` finds out more.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        """
        Begin a document.

        :param schema: what it must follow; None checks that it is well-formed.
        """
        self._prolog: _Prolog | None = _Prolog()
        self._schema = schema
        self._parser: Any = None
        self._root: Any = None
        self._chunk = -1
        self._problems = 0
        self._bad_chunks: set[int] = set()
        self._more = False
        self._failed = False

    def feed(self, chunk: bytes) -> None:
        """
        Check the next chunk.

        :raises ForbiddenXml: if the document holds a DOCTYPE.
        :raises NotWellFormed: at the first breach of XML's rules, if there is no schema.
        """
        self._chunk += 1
        if self._failed:
            return
        if self._prolog is not None and self._prolog.feed(chunk):
            self._parser = _pull_parser(self._schema, events=("start",), tag=self._prolog.root or None)
            chunk = self._prolog.seen
            self._prolog = None
        if self._parser is not None:
            self._step(lambda: self._parser.feed(chunk))
            self._cut()

    def close(self) -> None:
        """
        Check the end of the document.

        :raises NotWellFormed: if it ends too early, and there is no schema.
        """
        if self._failed:
            return
        if self._prolog is not None:
            self._parser = _pull_parser(self._schema, events=("start",))
            self._step(lambda: self._parser.feed(self._prolog.seen if self._prolog else b""))
        self._step(self._parser.close)
        etree.clear_error_log()

    def conclude(self, chunks: Iterable[bytes], *, hide_values: bool = False) -> None:
        """
        Raise what was found, after finding out where.

        :param chunks: the same document in the same chunks once more.
        :param hide_values: leave data values out of the reasons.
        :raises NotWellFormed: if the document is not well-formed.
        :raises SchemaViolation: if it does not follow the schema; all problems are counted, up to a
            limit that the message then names, and the first 20 located.
        """
        if self._schema is None or not (self._failed or self._problems):
            return
        check_chunks(chunks)
        located = _locate(chunks, self._schema, bad_chunks=self._bad_chunks, hide_values=hide_values)
        problems = list(islice(located, SHOWN_PROBLEMS)) or [Problem(path="", line=0, reason=_NO_REASON)]
        raise SchemaViolation(problems, total=max(self._problems, len(problems)), at_least=self._more)

    def _step(self, work: Callable[[], object]) -> None:
        """Let the parser work and count what it finds."""
        etree.clear_error_log()
        try:
            work()
        except etree.XMLSyntaxError as error:
            if self._schema is None:
                raise _malformed(self._parser, error) from None
            self._failed = True
        found = len(_violations())
        self._problems += found
        if found:
            self._bad_chunks.add(self._chunk)
        if found >= _LOG_LIMIT or self._problems >= _COUNTED_PROBLEMS:
            self._more = True
        if self._problems >= _COUNTED_PROBLEMS:
            self._failed = True

    def _cut(self) -> None:
        """Drop what is complete: all but the last child on the way down to the open element."""
        for _, element in self._parser.read_events():
            self._root = element if self._root is None else self._root
        node = self._root
        while node is not None and len(node):
            del node[:-1]
            node = node[-1]


class _Prolog:
    """What comes before the root element, read by expat, which can be stopped at a DOCTYPE's first word."""

    def __init__(self) -> None:
        self.seen = b""
        """All bytes so far."""
        self.root = ""
        """The root element's name, ``{namespace}local``."""
        self._parser = expat.ParserCreate("utf-8", "}")
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._begin

    def feed(self, chunk: bytes) -> bool:
        """Read on; tell whether the root element, or a fault that the real parser shall name, was met."""
        self.seen += chunk
        if len(self.seen) - len(chunk) > _PROLOG_LIMIT:
            raise ForbiddenXml(f"the XML has no root element in its first {_PROLOG_LIMIT:,} bytes")
        try:
            self._parser.Parse(chunk, False)
        except expat.ExpatError:
            return True
        return bool(self.root)

    def _begin(self, name: str, _attributes: dict[str, str]) -> None:
        if not self.root:
            self.root = f"{{{name}" if "}" in name else name

    @staticmethod
    def _refuse(*_declaration: object) -> None:
        raise ForbiddenXml(
            "the XML holds a DOCTYPE, which is not accepted; remove it and expand its entities"
        )


def check_chunks(chunks: Iterable[bytes], schema: Schema | None = None, *, hide_values: bool = False) -> None:
    """
    Check a whole document in UTF-8.

    :param chunks: a collection that can be gone through more than once.
    :raises ForbiddenXml: a DOCTYPE. :raises NotWellFormed: broken XML. :raises SchemaViolation: with all
        problems counted and the first 20 located.
    """
    check = XmlCheck(schema)
    for chunk in chunks:
        check.feed(chunk)
    check.close()
    check.conclude(chunks, hide_values=hide_values)


def _violations() -> list[Any]:
    # The validator of a streaming parser reports to the thread's log, which an lxml error copies.
    return [entry for entry in _entries(etree.LxmlError("").error_log) if entry.domain_name == "SCHEMASV"]


def _malformed(parser: Any, error: etree.XMLSyntaxError) -> NotWellFormed:
    for entry in (*parser.feed_error_log, *_entries(error.error_log)):
        if entry.level >= etree.ErrorLevels.ERROR:
            return NotWellFormed(_ADVICE.sub("", entry.message.strip()), line=entry.line, column=entry.column)
    return NotWellFormed(str(error.msg), line=error.lineno or 0, column=error.offset or 0)


def _entries(log: Any) -> list[Any]:
    return list(log)


def _pull_parser(
    schema: Schema | None, *, events: tuple[Literal["start", "end"], ...], tag: str | None = None
) -> Any:
    # With False, a parser that validates lets truncated documents pass (lxml 6.1). There is nothing to
    # resolve in either case: a DOCTYPE was refused before.
    resolve: Any = "internal" if schema else False
    return etree.XMLPullParser(
        events=events,
        tag=tag,
        schema=schema.validator if schema else None,
        resolve_entities=resolve,
        no_network=True,
        load_dtd=False,
    )


def _locate(
    chunks: Iterable[bytes], schema: Schema, *, bad_chunks: set[int], hide_values: bool
) -> Iterator[Problem]:
    """Go through a document again and yield its problems with line and path."""
    parser = _pull_parser(schema, events=("start", "end"))
    place = _Place()
    line = 1
    for number, chunk in enumerate(chunks):
        for piece in _TAG_END.findall(chunk) if number in bad_chunks else [chunk]:
            tag_at = max(piece.rfind(b"<"), 0)
            tag_line = line + piece.count(b"\n", 0, tag_at)
            line += piece.count(b"\n")
            etree.clear_error_log()
            parser.feed(piece)
            log = _violations()
            path, namespace = place.follow(parser.read_events())
            for entry in log:
                reason = _reason(entry, namespace=namespace, hide_values=hide_values)
                yield Problem(path=path, line=tag_line, reason=reason)
    # A document of a few bytes is judged when it ends.
    etree.clear_error_log()
    with suppress(etree.XMLSyntaxError):
        parser.close()
    log = _violations()
    path, namespace = place.follow(parser.read_events())
    for entry in log:
        reason = _reason(entry, namespace=namespace, hide_values=hide_values)
        yield Problem(path=path, line=line, reason=reason)


class _Place:
    """The path of the element at hand, followed through start and end events."""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._counts: list[Counter[str]] = [Counter()]

    def follow(self, events: Iterable[tuple[str, Any]]) -> tuple[str, str]:
        """Take the events of a piece; return path and namespace of the last element in them."""
        path, namespace = "/".join(["", *self._steps]), ""
        for event, element in events:
            if event == "start":
                name = etree.QName(element)
                self._counts[-1][name.localname] += 1
                nth = f"[{self._counts[-1][name.localname]}]" if self._steps else ""
                self._steps.append(f"{name.localname}{nth}")
                self._counts.append(Counter())
                path, namespace = "/".join(["", *self._steps]), name.namespace or ""
            else:
                path, namespace = "/".join(["", *self._steps]), etree.QName(element).namespace or ""
                self._steps.pop()
                self._counts.pop()
                parent = element.getparent()
                element.clear(keep_tail=True)
                if parent is not None:
                    del parent[:-1]
        return path, namespace


_LEAD = re.compile(r"^Element '[^']*'(?:, (?=attribute)|: )")
_ATTRIBUTE = re.compile(r"^(attribute '[^']*': )")
_TYPE = re.compile(r"(type '[^']+')\.$")
_STRUCTURAL = re.compile(r"SCHEMAV_(ELEMENT_CONTENT|CVC_ELT_\d|CVC_COMPLEX_TYPE_.*|CVC_ASSESS_.*|MISC)")
_REASON_LENGTH = 300


def _reason(entry: Any, *, namespace: str, hide_values: bool) -> str:
    """Return libxml2's message without the element's name, which the path says, and without namespaces."""
    message = " ".join(_LEAD.sub("", entry.message).split())
    if hide_values and not _STRUCTURAL.fullmatch(entry.type_name):
        kept = _ATTRIBUTE.match(message)
        wanted = _TYPE.search(message)
        message = (kept.group(1) if kept else "") + (
            f"the value (hidden) does not fit the {wanted.group(1)}"
            if wanted
            else "the value (hidden) is not allowed"
        )
    message = message.replace(f"{{{namespace}}}", "") if namespace else message
    return message[:_REASON_LENGTH].removesuffix(".")
