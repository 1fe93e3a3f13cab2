"""A PDF's making, without a server."""

from __future__ import annotations

import psutil
import pytest

from smartflows_provider.devserver.documents import TemplateFailed, make_pdf


def test_a_pdf_leaves_no_font_open_whether_or_not_it_can_be_laid_out() -> None:
    before = _open_fonts()
    assert make_pdf("<p>Fine</p>", created_at=0).startswith(b"%PDF-")
    with pytest.raises(TemplateFailed, match="the HTML cannot be laid out as PDF: a PDF document holds no"):
        make_pdf("<img src='x'>", created_at=0)
    assert _open_fonts() <= before


def _open_fonts() -> int:
    return sum(file.path.endswith(".ttf") for file in psutil.Process().open_files())
