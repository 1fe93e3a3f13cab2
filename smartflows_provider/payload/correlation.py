"""A value of our own in the input, by which an execution proves to be the one that was asked for.

Where the answer to a start is lost, executions of the same flow and the same second look alike; one that
echoes a value which nobody else has is ours. The author names the element or attribute that carries it.
Invariants: the value is written where nothing else stands; an input keeps its fingerprint whatever the
value is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from smartflows_provider.payload.errors import UnsupportedInput
from smartflows_provider.payload.names import is_ncname, split_path
from smartflows_provider.payload.xml_check import malformed
from smartflows_provider.payload.xml_text import XmlSource, xml_chunks
from smartflows_provider.payload.xsd import safe_parser


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Which value is written where."""

    path: str
    """Names below the root element, with slashes between them; the last may be an ``@attribute``."""
    value: str
    """Letters and digits."""

    @property
    def steps(self) -> Sequence[str]:
        """
        The names of the path.

        :raises UnsupportedInput: if there are none, or an attribute is not the last.
        """
        steps = split_path(self.path)
        if not steps or any(step.startswith("@") for step in steps[:-1]):
            raise UnsupportedInput(
                f"correlation_path is {self.path!r}; it names an element below the root, such as "
                "'header/reference', or an attribute, such as '@reference'"
            )
        return steps

    def taken(self) -> UnsupportedInput:
        """Return the error for a place that the input fills itself."""
        return UnsupportedInput(
            f"correlation_path names {self.path!r}, which the input fills itself; leave it empty, the task "
            "writes a value of its own there"
        )

    def check_beside(self, row: str) -> None:
        """
        Refuse a place among rows, whose elements are written as they come.

        :param row: the name of a row's element, or a path such as ``rows/row``.
        :raises UnsupportedInput: if the path leads there.
        """
        first = self.steps[0]
        if not first.startswith("@") and _local(first) in map(_local, split_path(row)[:1]):
            raise UnsupportedInput(
                f"correlation_path is {self.path!r}, but the rows are there; name a place beside them"
            )


def _local(step: str) -> str:
    """Return a step without namespace or prefix."""
    return step.rpartition("}")[2].rpartition(":")[2]


def in_mapping(content: Any, correlation: Correlation) -> Mapping[str, Any]:
    """
    Return the root's content with the value at its place; elements on the way are added.

    :param content: of the root element; it is not changed.
    :raises UnsupportedInput: if something else stands there.
    """
    *way, last = correlation.steps
    root: dict[str, Any] = _opened(content, correlation)
    here = root
    for step in way:
        here[step] = _opened(here.get(step), correlation)
        here = here[step]
    if here.get(last) not in (None, ""):
        raise correlation.taken()
    here[last] = correlation.value
    return root


def _opened(content: Any, correlation: Correlation) -> dict[str, Any]:
    if content is None or content == "":
        return {}
    if not isinstance(content, Mapping):
        raise UnsupportedInput(
            f"correlation_path is {correlation.path!r}, but a value or a list stands on the way to it"
        )
    return dict(content)


def in_xml(source: XmlSource, correlation: Correlation) -> bytes:
    """
    Return XML with the value at its place, which must be there and empty. The whole XML is held in memory.

    :param source: as for :func:`xml_chunks`; names of the path are compared without namespaces.
    :raises UnsupportedInput: if the place is missing, not the only one, or not empty.
    :raises NotWellFormed: if it is no XML.
    """
    parser = safe_parser()
    try:
        root = etree.fromstring(b"".join(xml_chunks(source)), parser=parser)
    except etree.XMLSyntaxError as error:
        raise malformed(parser, error) from None
    *way, last = correlation.steps
    elements = [root]
    for step in way if last.startswith("@") else [*way, last]:
        name = _local(step)
        if not is_ncname(name):
            raise UnsupportedInput(f"correlation_path is {correlation.path!r}; {name!r} is no legal name")
        elements = [child for parent in elements for child in parent.iterchildren(f"{{*}}{name}")]
    if len(elements) != 1:
        raise UnsupportedInput(
            f"correlation_path is {correlation.path!r}, but the XML has {len(elements)} such elements; it "
            "must have one"
        )
    (element,) = elements
    if last.startswith("@"):
        if not is_ncname(last[1:]):
            raise UnsupportedInput(
                f"correlation_path is {correlation.path!r}; its attribute is no legal name"
            )
        if element.get(last[1:]):
            raise correlation.taken()
        element.set(last[1:], correlation.value)
    else:
        if len(element) or (element.text or "").strip():
            raise correlation.taken()
        element.text = correlation.value
    return etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=True)
