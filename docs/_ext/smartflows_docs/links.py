"""Makes names of the package's classes in the text lead to their entry in the reference.

The pages say `SmartFlowsRunFlowOperator` as text, so that they can be read without the site too. Only names
that the reference has once are links, and only outside of headings, links and the entries themselves.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

KINDS = ("class", "exception")
NO_PLACE = (nodes.reference, nodes.title, addnodes.desc_signature, addnodes.pending_xref)
"""Nodes within which no link may be."""


class LinkNames(SphinxPostTransform):
    """Turns literals that name a class into references."""

    default_priority: ClassVar[int] = 300

    def run(self, **_: Any) -> None:
        """Go through one document."""
        objects = [one for one in self.env.domains.python_domain.get_objects() if one[2] in KINDS]
        often = Counter(name.rpartition(".")[2] for name, *_ in objects)
        places = {
            short: (document, anchor)
            for name, _, _, document, anchor, _ in objects
            if often[short := name.rpartition(".")[2]] == 1
        }
        for literal in list(self.document.findall(nodes.literal)):
            place = places.get(literal.astext())
            if place is None or _taken(literal):
                continue
            document, anchor = place
            literal.replace_self(
                make_refnode(self.app.builder, self.env.docname, document, anchor, literal.deepcopy())
            )


def _taken(node: nodes.Node) -> bool:
    """Tell whether a node stands where no link may be."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, NO_PLACE):
            return True
        parent = parent.parent
    return False
