"""XML that exists already: what it may come as, and how it becomes UTF-8."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from lxml import etree
from upath import UPath

from smartflows_provider.payload.errors import NotWellFormed, UnsupportedInput
from smartflows_provider.payload.xml_text import xml_chunks

TEXT = "<a>é€</a>"


def utf8(source) -> bytes:
    return b"".join(xml_chunks(source))


@pytest.mark.parametrize(
    "source",
    [
        TEXT,
        TEXT.encode(),
        bytearray(TEXT.encode()),
        f"\ufeff{TEXT}",
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    ],
)
def test_xml_without_declaration_becomes_utf8(source):
    assert utf8(source) == TEXT.encode()


@pytest.mark.parametrize("encoding", ["iso-8859-15", "windows-1252", "utf-16", "utf-16-le", "UTF-8", "utf8"])
def test_declared_encoding_is_honoured_and_the_declaration_then_says_utf8(encoding):
    declared = f"<?xml version='1.0' encoding='{encoding}' standalone='yes'?>\n{TEXT}"
    wanted = (
        declared
        if encoding.lower().startswith("utf") and "16" not in encoding
        else declared.replace(encoding, "UTF-8")
    )
    assert utf8(declared.encode(encoding)).decode() == wanted
    assert etree.fromstring(utf8(declared.encode(encoding))).text == "é€"


def test_text_is_utf8_whatever_it_declares():
    assert utf8(f'<?xml version="1.0" encoding="iso-8859-1"?>{TEXT}') == (
        f'<?xml version="1.0" encoding="UTF-8"?>{TEXT}'.encode()
    )


def test_element_and_tree_are_written_without_doctype_and_tail():
    root = etree.fromstring(b"<!DOCTYPE r><r><a>\xc3\xa9</a>tail</r>")
    head = b"<?xml version='1.0' encoding='UTF-8'?>\n"
    assert utf8(root[0]) == head + "<a>é</a>".encode()
    assert utf8(root.getroottree()) == head + "<r><a>é</a>tail</r>".encode()


@pytest.mark.parametrize("storage", ["local", "memory"])
def test_file_on_any_storage_is_read_in_pieces(tmp_path: Path, storage):
    path = tmp_path / "a.xml" if storage == "local" else UPath("memory://xml/a.xml")
    content = f"<?xml version='1.0' encoding='utf-16'?><a>{'é€' * 100_000}</a>"
    path.write_bytes(content.encode("utf-16"))
    chunks = list(xml_chunks(path))
    assert b"".join(chunks).decode() == content.replace("utf-16", "UTF-8")
    assert max(map(len, chunks)) < 200_000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            b"<?xml version='1.0' encoding='klingon'?><a/>",
            "line 1, column 1: the encoding 'klingon' is not known",
        ),
        (
            b"<?xml version='1.0' encoding='rot13'?><a/>",
            "line 1, column 1: the encoding 'rot13' is not known",
        ),
        (
            b"<?xml version='1.0' encoding='euc-jp'?>\n<a>\xff</a>",
            "line 2: the bytes are not euc_jp: illegal",
        ),
        ("<a>\n\ud800</a>", "line 2: XML cannot carry the character U+D800"),
    ],
)
def test_bytes_that_do_not_follow_their_encoding_are_an_error(source, message):
    with pytest.raises(NotWellFormed) as caught:
        utf8(source)
    assert str(caught.value).startswith(f"the XML is not well-formed at {message}")


def test_other_types_are_refused():
    with pytest.raises(UnsupportedInput) as caught:
        utf8(5)
    assert str(caught.value) == ("XML of type int cannot be sent; give str, bytes, an lxml element or a path")
