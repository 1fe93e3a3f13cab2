"""What leads out of the site, and what in it leads nowhere on purpose.

The pages can be read without the site, where the README is beside them; on the site other pages stand for it.
Docstrings name classes of rooms that the reference leaves out.
"""

from __future__ import annotations

import re
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

_README = re.compile(r"\]\(\.\./README\.md(#[\w-]+)?\)")
_STAND_INS = {"#connection": "connections.md", "#a-flow-in-your-dag": "quickstart.md"}


def lead_to_stand_ins(_app: Sphinx, _docname: str, content: list[str]) -> None:
    """Let links to the README lead to the page that has the section, else to the first page."""
    content[0] = _README.sub(lambda found: f"]({_STAND_INS.get(found[1], 'index.md')})", content[0])


def show_names(_app: Sphinx, _env: Any, node: Any, shown: nodes.Element) -> nodes.Element | None:
    """
    Show a name of ours that the reference has not, without a link.

    :returns: None for a name that there is nowhere, which Sphinx then warns of.
    """
    name = node.get("reftarget", "")
    if not name.startswith("smartflows_provider."):
        return None
    try:
        resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return shown
