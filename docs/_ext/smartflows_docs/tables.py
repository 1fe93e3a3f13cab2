"""A table of a directive's own, its cells in Markdown as on the pages."""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class TableDirective(SphinxDirective):
    """A directive that is replaced by one table."""

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[nodes.Node]:
        """
        Return the nodes of a table.

        :param heads: of the columns.
        :param rows: of cells in Markdown, as many in each as there are heads.
        """
        lines = [_row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows)]
        source, _ = self.get_source_info()
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source=source), self.content_offset, holder)
        return list(holder.children)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
