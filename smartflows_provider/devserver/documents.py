"""Render a flow's values and documents from its Jinja2 templates.

An HTML document is its template, filled in; a PDF is the same HTML laid out by fpdf2 with a font that
knows Latin, Greek and Cyrillic. Invariants: the same input gives the same bytes; a template reaches
nothing but what it is given, and a value it lacks is an error and no gap; no value becomes markup; the
layout opens no file and no address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from fpdf import FPDF, HTML2FPDF, FontFace, TextStyle
from fpdf.fonts import TTFFont
from jinja2.sandbox import ImmutableSandboxedEnvironment

from smartflows_provider.devserver.inputs import plain

CONTENT_TYPES: Mapping[str, str] = {"html": "text/html;charset=UTF-8", "pdf": "application/pdf"}
"""Content type of a document by its format."""

_EXPRESSION = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)
_FONT = "Roboto"


class TemplateFailed(Exception):
    """A template that could not be filled in; the text says where and why."""


class Templates:
    """The templates of one flow."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.DictLoader(dict(sources)),
            autoescape=jinja2.select_autoescape(default=True, default_for_string=False),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(self, name: str, context: Mapping[str, Any]) -> str:
        """
        Return a template file, filled in.

        :raises TemplateFailed: if it cannot be.
        """
        try:
            return self._environment.get_template(name).render(context)
        except Exception as error:
            raise TemplateFailed(f"template {name}: {error}") from error

    def text(self, template: str, context: Mapping[str, Any]) -> str:
        """
        Return a short template, filled in.

        :raises TemplateFailed: if it cannot be.
        """
        try:
            return self._environment.from_string(template).render(context)
        except Exception as error:
            raise TemplateFailed(f"{template!r}: {error}") from error

    def expression(self, expression: str, context: Mapping[str, Any]) -> Any:
        """
        Return what an expression gives, made of plain values.

        :raises TemplateFailed: if it fails, or gives nothing.
        """
        try:
            value = self._environment.compile_expression(expression, undefined_to_none=False)(context)
        except Exception as error:
            raise TemplateFailed(f"{expression!r}: {error}") from error
        if isinstance(value, jinja2.Undefined):
            raise TemplateFailed(f"{expression!r} is undefined")
        return plain(value)

    def values(self, template: Any, context: Mapping[str, Any]) -> Any:
        """
        Return nested values with every string in them filled in.

        A string that is a single ``{{ expression }}`` becomes what the expression gives, type included.

        :raises TemplateFailed: if one cannot be.
        """
        if isinstance(template, Mapping):
            return {str(key): self.values(entry, context) for key, entry in template.items()}
        if isinstance(template, list):
            return [self.values(entry, context) for entry in template]
        if not isinstance(template, str):
            return template
        whole = _EXPRESSION.fullmatch(template.strip())
        return self.expression(whole[1].strip(), context) if whole else self.text(template, context)


class _Layout(HTML2FPDF):
    """HTML to lay out, without images: fpdf2 would open any file or address that one names."""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Lay a tag out, or refuse an image."""
        if tag == "img":
            raise TemplateFailed("a PDF document holds no images, so the template must have no <img>")
        super().handle_starttag(tag, attrs)


class _Pages(FPDF):
    """Pages with their number at the foot."""

    HTML2FPDF_CLASS = _Layout

    def footer(self) -> None:
        """Write the page's number."""
        self.set_y(-12)
        self.set_font(_FONT, size=8)
        self.set_text_color(110)
        self.cell(0, 6, f"Page {self.page_no()} of {{nb}}", align="R")


def make_pdf(html: str, *, created_at: float) -> bytes:
    """
    Return the HTML as a PDF, A4 upright.

    :param html: headings, paragraphs, lists and tables, as fpdf2 reads them, and no image. Where one
        column of a table has a width all need one; ``<thead>`` is repeated on every page.
    :param created_at: epoch seconds written as the document's date.
    :raises TemplateFailed: if fpdf2 cannot lay it out.
    """
    pdf = _Pages(format="A4")
    pdf.set_creation_date(datetime.fromtimestamp(created_at, UTC))
    pdf.set_producer("Smart Flows devserver")
    pdf.set_margins(18, 18, 18)
    pdf.set_auto_page_break(True, margin=20)
    for style, name in (("", "Regular"), ("I", "Regular"), ("B", "Bold"), ("BI", "Bold")):
        pdf.add_font(_FONT, style, _font_file(name))
    pdf.set_font(_FONT, size=10)
    title = re.search(r"<title>(.*?)</title>", html, re.DOTALL)
    if title:
        pdf.set_title(unescape(title[1].strip()))
    pdf.add_page()
    try:
        pdf.write_html(re.sub(r"<head>.*?</head>", "", html, flags=re.DOTALL), tag_styles=_STYLES)
        return bytes(pdf.output())
    except Exception as error:
        raise TemplateFailed(f"the HTML cannot be laid out as PDF: {error}") from error
    finally:
        for font in pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.close()


_HEADING: Mapping[str, Any] = {"color": "#1f3b63", "font_family": _FONT, "font_style": "B"}
_STYLES: Mapping[str, FontFace] = {
    "h1": TextStyle(**_HEADING, font_size_pt=20, b_margin=0.6),
    "h2": TextStyle(**_HEADING, font_size_pt=13, t_margin=4, b_margin=0.8),
}


def _font_file(name: str) -> Path:
    return Path(str(files("smartflows_provider.devserver") / "fonts" / f"Roboto-{name}.ttf"))
