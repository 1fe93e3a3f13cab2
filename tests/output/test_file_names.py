from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.output import file_names
from smartflows_provider.output.file_names import DOCUMENTS_NAME, MAX_BYTES, VALUES_NAME, FileNames, safe_name

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("Monthly report.pdf", PDF, "Monthly report.pdf"),
        ("Monthly report", PDF, "Monthly report.pdf"),
        ("Monthly report", "Application/PDF; charset=binary", "Monthly report.pdf"),
        ("Report v1.2", PDF, "Report v1.2.pdf"),
        ("Report.PDF", PDF, "Report.PDF"),
        ("scan.jpeg", "image/jpeg", "scan.jpeg"),
        ("Brief", DOCX, "Brief.docx"),
        ("Brief.docx", "application/zip", "Brief.docx"),
        ("data", "text/xml", "data.xml"),
        ("data", "application/xml", "data.xml"),
        ("archive.tar.gz", "application/gzip", "archive.tar.gz"),
        ("data", "application/octet-stream", "data"),
        ("data", "application/x-unheard-of", "data"),
        ("data", "", "data"),
    ],
)
def test_the_extension_comes_from_the_content_type_where_the_name_has_no_known_one(
    name, content_type, expected
):
    assert FileNames().give(name, content_type=content_type) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "_._etc_passwd"),
        ("..", "document"),
        (".", "document"),
        ("", "document"),
        (" \t\n", "document"),
        ("/", "_"),
        ("C:\\Temp\\x.pdf", "C__Temp_x.pdf"),
        (".hidden.pdf", "hidden.pdf"),
        ("trailing. . ", "trailing"),
        ("a\x00b\x1fc\ud800.pdf", "a_b c_.pdf"),
        ("line\r\nbreak.pdf", "line break.pdf"),
        ("rtl\u202efdp.exe", "rtlfdp.exe"),
        ("what?#50% [x]*.pdf", "what__50_ _x__.pdf"),
        ("con", "_con"),
        ("CON.pdf", "_CON.pdf"),
        ("lpt1 .txt", "_lpt1.txt"),
        ("console.pdf", "console.pdf"),
        ("Übersicht Größe 日本.pdf", "Übersicht Größe 日本.pdf"),
        (unicodedata.normalize("NFD", "Größe.pdf"), "Größe.pdf"),
    ],
)
def test_a_name_is_never_a_path_and_fits_every_storage(name, expected):
    assert safe_name(name) == expected


def test_a_long_name_is_cut_and_keeps_its_extension_and_whole_letters():
    assert safe_name("x" * 300 + ".pdf") == "x" * (MAX_BYTES - 4) + ".pdf"
    assert FileNames().give("ü" * 300, content_type=PDF) == "ü" * 98 + ".pdf"


def test_equal_names_are_numbered_also_when_only_their_case_differs():
    folder = FileNames()
    names = [folder.give(name, content_type=PDF) for name in ("a.pdf", "A.pdf", "a", "a_2.pdf", "a.pdf")]
    assert names == ["a.pdf", "A_2.pdf", "a_3.pdf", "a_2_2.pdf", "a_4.pdf"]


def test_a_number_fits_into_a_name_of_full_length():
    folder = FileNames()
    folder.give("x" * 300 + ".pdf")
    assert folder.give("x" * 300 + ".pdf") == "x" * (MAX_BYTES - 6) + "_2.pdf"


def test_names_of_the_files_for_what_is_too_large_are_never_given_away():
    assert safe_name(VALUES_NAME.upper()) == "VALUES_2.JSON"
    assert safe_name(DOCUMENTS_NAME) == "documents_2.json"


def test_numbering_many_equal_names_looks_at_each_number_once(monkeypatch):
    made = []
    shortened = file_names._shortened
    monkeypatch.setattr(
        file_names, "_shortened", lambda stem, tail: made.append(tail) or shortened(stem, tail)
    )
    folder = FileNames()
    names = [folder.give("Letter.pdf") for _ in range(2000)]
    assert (names[0], names[-1], len(set(names))) == ("Letter.pdf", "Letter_2000.pdf", 2000)
    assert len(made) < 4 * 2000


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    name=st.text(max_size=300) | st.from_regex(r"[./\\: ]{0,6}(con|nul)?[./\\: ]{0,6}", fullmatch=True),
    content_type=st.sampled_from(["", PDF, "text/plain", "application/xml"]),
)
def test_any_name_is_safe_stays_the_same_when_made_safe_again_and_is_numbered(name, content_type):
    folder = FileNames()
    once = folder.give(name, content_type=content_type)
    assert 0 < len(once.encode()) <= MAX_BYTES
    assert not re.search(r'[/\\:*?"<>|\x00-\x1f]|^\.|[. ]$|\.\.', once)
    assert FileNames().give(once, content_type=content_type) == once
    again = folder.give(name, content_type=content_type)
    assert again.casefold() != once.casefold()
