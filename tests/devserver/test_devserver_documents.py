"""A PDF's making, without a server."""

from __future__ import annotations

import gc
import warnings

import pytest

from smartflows_provider.devserver.documents import TemplateFailed, make_pdf


def test_a_pdf_leaves_no_file_open_whether_or_not_it_can_be_laid_out() -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert make_pdf("<p>Fine</p>", created_at=0).startswith(b"%PDF-")
        with pytest.raises(
            TemplateFailed, match="the HTML cannot be laid out as PDF: a PDF document holds no"
        ):
            make_pdf("<img src='x'>", created_at=0)
        gc.collect()
    assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []
