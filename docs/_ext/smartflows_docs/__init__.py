"""What the site reads from the package instead of repeating it.

Invariant: a new module, class, connection field, error or figure shows up without an edit of a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartflows_docs.connection_fields import ConnectionFields
from smartflows_docs.error_classes import ErrorClasses
from smartflows_docs.figures import PeerFigures
from smartflows_docs.links import LinkNames
from smartflows_docs.outside import lead_to_stand_ins, show_names
from smartflows_docs.patterns import drop_unmatched
from smartflows_docs.reference import skip_exchanges, write_pages

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DIRECTIVES = {
    "connection-fields": ConnectionFields,
    "error-classes": ErrorClasses,
    "peer-figures": PeerFigures,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx what is here."""
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_post_transform(LinkNames)
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", skip_exchanges)
    app.connect("source-read", drop_unmatched)
    app.connect("source-read", lead_to_stand_ins)
    app.connect("missing-reference", show_names)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
