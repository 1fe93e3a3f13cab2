"""Checks XML while it streams by: well-formed, no DOCTYPE, and valid against a schema.

libxml2 parses and validates in one pass over chunks while the tree behind is cut off, so memory does not
grow with the document. Its streaming validator names no position; therefore the chunks with problems are
remembered, and only when there are some, a second pass feeds those tag by tag and counts elements.

XML that this package has written is known to be well-formed, not deep, and without long texts. It needs no
tree, on which libxml2's limits hang, and is validated in about half the time.

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
from typing import Any
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
_INTERNAL = "Internal error: "
_SLOW_PATTERN = f"{_INTERNAL}xmlSchemaValidateFacets, validating against a pattern facet"
_NO_REASON = "the validator gives no reason"
_PROLOG_LIMIT = 1024 * 1024
"""Bytes before the root element."""
_HELD_LIMIT = 64 * 1024 * 1024
"""Bytes of one piece of markup, or of a text with its references."""
_OPENING = re.compile(rb"<(?:!--|\?|!\[CDATA\[)")
_ENDS = {b"<!--": b"-->", b"<?": b"?>", b"<![CDATA[": b"]]>"}
_LONGEST_MARK = 8
"""Bytes of a mark of which the last is missing."""
_COPIED_LIMIT = 10**12
"""Bytes that the validator copies, half a minute of work."""
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

    def __init__(self, schema: Schema | None = None, *, trusted: bool = False) -> None:
        """
        Begin a document.

        :param schema: what it must follow; None checks that it is well-formed.
        :param trusted: whether it was written by this package, so that its texts are within libxml2's limit.
        """
        self._prolog: _Prolog | None = None if trusted else _Prolog()
        self._schema = schema
        self._parser: Any = _treeless_parser(schema) if trusted else None
        self._has_tree = not trusted
        self._root_tag: str | None = None
        self._root: Any = None
        self._held_back = _HeldBack()
        self._toil = _Toil()
        self._chunk = -1
        self._problems = 0
        self._bad_chunks: set[int] = set()
        self._more = False
        self._failed = False

    def feed(self, chunk: bytes) -> None:
        """
        Check the next chunk.

        :raises ForbiddenXml: if the document holds a DOCTYPE, or a text that takes minutes to compare.
        :raises NotWellFormed: at the first breach of XML's rules, if there is no schema.
        """
        self._chunk += 1
        if self._failed:
            return
        self._held_back.take(chunk)
        if self._schema is not None:
            self._toil.weigh(chunk)
        if self._prolog is None:
            self._step(lambda: self._parser.feed(chunk))
            self._cut()
        else:
            self._begin(self._prolog, chunk)

    def read(self, chunks: Iterable[bytes]) -> None:
        """Check all chunks of a document, and its end; see :meth:`feed` and :meth:`close`."""
        for chunk in chunks:
            self.feed(chunk)
        self.close()

    def close(self) -> None:
        """
        Check the end of the document.

        :raises ForbiddenXml: if the document holds a DOCTYPE.
        :raises NotWellFormed: if it ends too early, and there is no schema.
        """
        if self._failed:
            return
        if self._prolog is not None:
            self._begin(self._prolog, b"", final=True)
        self._step(self._parser.close)
        etree.clear_error_log()

    def _begin(self, prolog: _Prolog, chunk: bytes, *, final: bool = False) -> None:
        """Read on to the root element; there the parser takes over, from the document's beginning."""
        if prolog.feed(chunk, final=final):
            self._root_tag = prolog.root
            self._parser = _pull_parser(self._schema, tag=prolog.root)
            self._prolog = None
            self._step(lambda: self._parser.feed(prolog.seen))
            self._cut()

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
        again = XmlCheck()
        again.read(chunks)
        located = _locate(
            chunks,
            self._schema,
            root=again._root_tag,
            bad_chunks=self._bad_chunks,
            hide_values=hide_values,
        )
        problems = list(islice(located, SHOWN_PROBLEMS)) or [Problem(path="", line=0, reason=_NO_REASON)]
        raise SchemaViolation(problems, total=max(self._problems, len(problems)), at_least=self._more)

    def _step(self, work: Callable[[], object]) -> None:
        """Let the parser work and count what it finds."""
        etree.clear_error_log()
        try:
            work()
        except etree.XMLSyntaxError as error:
            if self._schema is None:
                raise malformed(self._parser, error) from None
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
        if not self._has_tree:
            return
        for _, element in self._parser.read_events():
            self._root = element if self._root is None else self._root
        node = self._root
        while node is not None and len(node):
            del node[:-1]
            node = node[-1]


class _HeldBack:
    """
    Knows how much the parser holds back, because a tag, a comment and the like has not ended yet.

    libxml2 has limits for these, but looks at them only when the end has come.
    """

    def __init__(self) -> None:
        self._size = 0
        self._awaited: bytes | None = None
        self._tail = b""

    def take(self, chunk: bytes) -> None:
        """
        Take the next chunk.

        :raises ForbiddenXml: if one piece of markup, or a text, goes on for too long.
        """
        # A mark may lie across two chunks.
        data = self._tail + chunk
        self._size += len(chunk)
        at = 0
        while True:
            if self._awaited is not None:
                end = data.find(self._awaited, at)
                if end < 0:
                    break
                at = end + len(self._awaited)
                self._awaited, self._size = None, len(data) - at
            opening = _OPENING.search(data, at) if b"!" in data or b"?" in data else None
            if opening is None:
                last = data.rfind(b"<", at)
                self._size = len(data) - last if last >= 0 else self._size
                break
            at = opening.end()
            self._awaited, self._size = _ENDS[opening.group()], len(data) - opening.start()
        self._tail = data[max(at, len(data) - _LONGEST_MARK) :]
        if self._size > _HELD_LIMIT:
            raise ForbiddenXml(
                f"the XML holds a tag, a comment or a text of more than {_HELD_LIMIT:,} bytes; parsers do "
                "not take it"
            )


class _Toil:
    """
    Adds up what the validator does for long texts with many references (``&amp;`` and the like).

    libxml2's streaming validator copies the whole text again at each reference.
    """

    def __init__(self) -> None:
        self._text = 0
        self._copied = 0

    def weigh(self, chunk: bytes) -> None:
        """
        Take the next chunk.

        :raises ForbiddenXml: if the validator would be busy for minutes.
        """
        end = chunk.find(b"<")
        self._text += len(chunk) if end < 0 else end
        self._copied += self._text * chunk.count(b"&", 0, len(chunk) if end < 0 else end)
        if self._copied > _COPIED_LIMIT:
            raise ForbiddenXml(
                "the XML holds long texts with so many references (&amp;, &#13; and the like) that comparing "
                "them with the schema would take minutes; write them as CDATA sections, or leave `xsd` out"
            )
        if end >= 0:
            self._text = len(chunk) - chunk.rfind(b"<")


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

    def feed(self, chunk: bytes, *, final: bool = False) -> bool:
        """
        Read on; tell whether the root element was met.

        :raises ForbiddenXml: at a DOCTYPE, or if there is no end to what comes before the root element.
        :raises NotWellFormed: if a fault comes before the root element, or the document ends there.
        """
        if len(self.seen) > _PROLOG_LIMIT:
            raise ForbiddenXml(f"the XML has no root element in its first {_PROLOG_LIMIT:,} bytes")
        self.seen += chunk
        try:
            self._parser.Parse(chunk, final)
        except expat.ExpatError as error:
            if not self.root:
                raise self._fault(error, final=final) from None
        return bool(self.root)

    def _fault(self, error: expat.ExpatError, *, final: bool) -> NotWellFormed:
        """Return what the real parser says of the fault, or else what expat does."""
        parser = _pull_parser(None)
        try:
            parser.feed(self.seen)
            if final:
                parser.close()
        except etree.XMLSyntaxError as named:
            return malformed(parser, named)
        return NotWellFormed(expat.ErrorString(error.code), line=error.lineno, column=error.offset + 1)

    def _begin(self, name: str, _attributes: dict[str, str]) -> None:
        if not self.root:
            self.root = f"{{{name}" if "}" in name else name

    @staticmethod
    def _refuse(*_declaration: object) -> None:
        raise ForbiddenXml(
            "the XML holds a DOCTYPE, which is not accepted; remove it and expand its entities"
        )


def check_chunks(
    chunks: Iterable[bytes],
    schema: Schema | None = None,
    *,
    hide_values: bool = False,
    trusted: bool = False,
) -> None:
    """
    Check a whole document in UTF-8.

    :param chunks: a collection that can be gone through more than once.
    :param hide_values: leave data values out of the reasons.
    :param trusted: see :class:`XmlCheck`.
    :raises ForbiddenXml: a DOCTYPE. :raises NotWellFormed: broken XML. :raises SchemaViolation: with all
        problems counted and the first 20 located.
    """
    check = XmlCheck(schema, trusted=trusted)
    check.read(chunks)
    check.conclude(chunks, hide_values=hide_values)


def _violations() -> list[Any]:
    # The validator of a streaming parser reports to the thread's log, which an lxml error copies.
    found = [entry for entry in _entries(etree.LxmlError("").error_log) if entry.domain_name == "SCHEMASV"]
    slow = [entry for entry in found if _SLOW_PATTERN in entry.message]
    # What gives up on a pattern is reported by each of its callers once more.
    return [entry for entry in found if _INTERNAL not in entry.message] + slow if slow else found


def malformed(parser: Any, error: etree.XMLSyntaxError) -> NotWellFormed:
    """Return what a parser has said of a document, without its advice to programmers."""
    for entry in (*parser.feed_error_log, *_entries(error.error_log)):
        if entry.level >= etree.ErrorLevels.ERROR:
            return NotWellFormed(_ADVICE.sub("", entry.message.strip()), line=entry.line, column=entry.column)
    return NotWellFormed(str(error.msg), line=error.lineno or 0, column=error.offset or 0)


def _entries(log: Any) -> list[Any]:
    return list(log)


def _pull_parser(schema: Schema | None, *, tag: str | None = None) -> Any:
    """Return a parser that tells of elements with this tag, and of all if there is none."""
    return etree.XMLPullParser(
        events=("start",),
        tag=tag,
        schema=schema.validator if schema else None,
        resolve_entities=_resolve_entities(schema),
        no_network=True,
        load_dtd=False,
    )


class _NoTree:
    """A parser's target that takes nothing: the parser keeps no tree and calls no Python."""

    def close(self) -> None:
        """Give no result."""


def _treeless_parser(schema: Schema | None) -> Any:
    target: Any = _NoTree()
    return etree.XMLParser(
        target=target,
        schema=schema.validator if schema else None,
        resolve_entities=_resolve_entities(schema),
        no_network=True,
        load_dtd=False,
    )


def _resolve_entities(schema: Schema | None) -> Any:
    """
    Return the parser's option for a document without DOCTYPE, where there is nothing to resolve.

    With False, a parser that validates lets truncated documents pass, and takes longer (lxml 6.1).
    """
    return "internal" if schema else False


def _locate(
    chunks: Iterable[bytes], schema: Schema, *, root: str | None, bad_chunks: set[int], hide_values: bool
) -> Iterator[Problem]:
    """Go through a document again and yield its problems with line and path."""
    parser = _pull_parser(schema, tag=root)
    trail = _Trail()
    line = 1
    for number, chunk in enumerate(chunks):
        for piece in _TAG_END.findall(chunk) if number in bad_chunks else [chunk]:
            tag_line = line + piece.count(b"\n", 0, max(piece.rfind(b"<"), 0))
            line += piece.count(b"\n")
            etree.clear_error_log()
            parser.feed(piece)
            found = _violations()
            trail.advance(parser.read_events())
            yield from (_problem(one, trail, line=tag_line, hide_values=hide_values) for one in found)
    # A document of a few bytes is judged when it ends.
    etree.clear_error_log()
    with suppress(etree.XMLSyntaxError):
        parser.close()
    found = _violations()
    trail.advance(parser.read_events())
    yield from (_problem(one, trail, line=line, hide_values=hide_values) for one in found)


class _Trail:
    """The way from the root down the last children, where the parser stands; what lies behind is cut off."""

    def __init__(self) -> None:
        self._root: Any = None
        self._levels: list[tuple[Any, Counter[Any]]] = []

    def advance(self, events: Iterable[tuple[str, Any]]) -> None:
        """Follow the parser, and count and drop the elements that are complete."""
        for _, element in events:
            self._root = element if self._root is None else self._root
        node = self._root
        depth = 0
        while node is not None:
            if depth == len(self._levels) or self._levels[depth][0] is not node:
                self._levels[depth:] = [(node, Counter())]
            if not len(node):
                break
            self._levels[depth][1].update(child.tag for child in node[:-1])
            del node[:-1]
            node = node[-1]
            depth += 1
        del self._levels[depth + 1 :]

    def path_of(self, tag: str) -> str:
        """Return the path of the deepest element on the trail with this tag, or else of the whole trail."""
        nodes = [node for node, _ in self._levels if isinstance(node.tag, str)]
        end = max((at for at, node in enumerate(nodes, 1) if node.tag == tag), default=len(nodes))
        steps = [etree.QName(nodes[0]).localname] if nodes else []
        for (_, before), node in zip(self._levels, nodes[1:end], strict=False):
            steps.append(f"{etree.QName(node).localname}[{before[node.tag] + 1}]")
        return "/".join(["", *steps])


_LEAD = re.compile(r"^Element '([^']*)'(?:, (?=attribute)|: )")
_ATTRIBUTE = re.compile(r"^(attribute '[^']*': )")
_TYPE = re.compile(r"(type '[^']+')\.$")
_STRUCTURAL = re.compile(r"SCHEMAV_(ELEMENT_CONTENT|CVC_ELT_\d|CVC_COMPLEX_TYPE_.*|CVC_ASSESS_.*|MISC)")
_REASON_LENGTH = 300


def _problem(entry: Any, trail: _Trail, *, line: int, hide_values: bool) -> Problem:
    """Read libxml2's message; the path says the element's name, and its namespace is left out."""
    lead = _LEAD.match(entry.message)
    tag = lead.group(1) if lead else ""
    message = " ".join(entry.message[lead.end() if lead else 0 :].split())
    if hide_values and not _STRUCTURAL.fullmatch(entry.type_name):
        kept = _ATTRIBUTE.match(message)
        wanted = _TYPE.search(message)
        fault = f"does not fit the {wanted.group(1)}" if wanted else "is not allowed"
        message = f"{kept.group(1) if kept else ''}the value (hidden) {fault}"
    if _SLOW_PATTERN in message:
        message = "comparing the value with the pattern of its type takes too long"
    namespace = tag[: tag.find("}") + 1]
    if namespace:
        message = message.replace(namespace, "")
    return Problem(path=trail.path_of(tag), line=line, reason=message[:_REASON_LENGTH].removesuffix("."))
