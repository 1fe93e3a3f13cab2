"""XML that an author already has, as chunks of UTF-8.

The service is told that the XML is UTF-8, so other encodings are converted, which a byte order mark or the
XML declaration names; the declaration then says UTF-8. Text that is UTF-8 already goes out byte for byte.
Invariant: nothing is parsed here, and only a few kilobytes are held at a time.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeAlias

from lxml import etree

from smartflows_provider.payload.errors import NotWellFormed, UnsupportedInput, reading
from smartflows_provider.payload.prepared import CHUNK

XmlSource: TypeAlias = Any
"""``str``, ``bytes``, an lxml element or tree, or a path-like object with ``open``."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BARE = ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be"))
"""How a declaration begins without byte order mark (XML 1.0, appendix F)."""
_DECLARED_BYTES = re.compile(
    rb"""\A<\?xml\s[^>]*?\bencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["'][^>]*\?>"""
)
_DECLARED_TEXT = re.compile(r"""\A(<\?xml\s[^>]*?\bencoding\s*=\s*)(["'])[A-Za-z][A-Za-z0-9._-]*["']""")


_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})
"""What Python calls encodings beside those of XML."""
_NAME_LENGTH = 40
"""Characters of an encoding's name; the longest known has 24."""
_DECLARATION_LENGTH = 1000
"""Bytes of an XML declaration."""


def xml_chunks(source: XmlSource) -> Iterator[bytes]:
    """
    Yield XML as UTF-8.

    :param source: text, bytes, an lxml element or tree, or a path-like object.
    :raises UnsupportedInput: if it is of another type. :raises NotWellFormed: if its encoding is unknown or
        its bytes do not follow it. :raises SourceUnreadable: if the file cannot be read.
    """
    if isinstance(source, str):
        yield from _text_chunks(_slices(source.removeprefix("\ufeff")))
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        yield from _byte_chunks(data[at : at + CHUNK] for at in range(0, len(data), CHUNK))
    elif isinstance(source, etree._ElementTree):  # noqa: SLF001 - lxml has no public name for its tree
        yield from xml_chunks(source.getroot())
    elif etree.iselement(source):
        yield from _byte_chunks(
            [etree.tostring(source, encoding="UTF-8", xml_declaration=True, with_tail=False)]
        )
    elif hasattr(source, "open"):
        yield from _byte_chunks(_read(source))
    else:
        raise UnsupportedInput(
            f"XML of type {type(source).__name__} cannot be sent; give str, bytes, an lxml element or a path"
        )


def _read(path: Any) -> Iterator[bytes]:
    with reading(path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _slices(text: str) -> Iterator[str]:
    for at in range(0, len(text), CHUNK):
        yield text[at : at + CHUNK]


def _byte_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks as UTF-8; the first must hold the declaration."""
    rest = iter(chunks)
    first = next(rest, b"")
    encoding, mark = _encoding(first)
    if encoding == "utf-8":
        yield first[mark:]
        yield from rest
        return
    yield from _text_chunks(_decoded(first[mark:], rest, encoding))


def _encoding(first: bytes) -> tuple[str, int]:
    """Return the codec's name and the length of the byte order mark."""
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            return encoding, len(mark)
    for begin, encoding in _BARE:
        if first.startswith(begin):
            return encoding, 0
    declared = _DECLARED_BYTES.match(first[:_DECLARATION_LENGTH])
    if declared is None:
        return "utf-8", 0
    name = declared.group(1).decode("ascii")
    try:
        found = codecs.lookup(name)
        known = len(name) <= _NAME_LENGTH and found.name not in _NO_CHARSETS
        # Codecs of something else than text, such as hex, are found but cannot encode.
        "".encode(found.name if known else "utf-8")
    except LookupError:
        known = False
    if not known:
        raise NotWellFormed(f"the encoding {name[:_NAME_LENGTH]!r} is not known", line=1, column=1)
    return ("utf-8" if found.name in {"utf-8", "ascii"} else found.name), 0


def _decoded(first: bytes, rest: Iterable[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    try:
        for chunk in chain([first], rest):
            text = decoder.decode(chunk)
            line += text.count("\n")
            yield text
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].decode(encoding, "ignore").count("\n")
        raise NotWellFormed(f"the bytes are not {encoding}: {error.reason}", line=line, column=0) from None


def _text_chunks(texts: Iterable[str]) -> Iterator[bytes]:
    """Encode texts; the declaration in the first says UTF-8 from now on."""
    line = 1
    for number, text in enumerate(texts):
        told = _DECLARED_TEXT.sub(r"\1\2UTF-8\2", text) if number == 0 else text
        try:
            yield told.encode()
        except UnicodeEncodeError as error:
            reason = f"XML cannot carry the character U+{ord(told[error.start]):04X}"
            raise NotWellFormed(reason, line=line + told.count("\n", 0, error.start), column=0) from None
        line += told.count("\n")
