"""Lets a `toctree` name pages by a pattern that may match none, which Sphinx warns about.

A page that comes with a feature of its own then has its place before it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sphinx.util.matching import patfilter

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def drop_unmatched(app: Sphinx, docname: str, content: list[str]) -> None:
    """Leave out of the index the lines that are a pattern and match no page."""
    if docname != app.config.root_doc:
        return
    names = app.project.docnames
    content[0] = "\n".join(
        line for line in content[0].split("\n") if not line.endswith("*") or patfilter(names, line)
    )
