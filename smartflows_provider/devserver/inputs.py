"""What comes in with a start: XML against the flow's XSD, plug-in JSON, or nothing.

Validation is lxml's, because it knows line numbers; the values that templates read are decoded by
``xmlschema``, so that they have the schema's types and what may repeat is always a list. Invariant: no
entity is expanded, no DTD is read, and nothing is fetched, whatever the XML says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from io import BytesIO
from typing import Any

import xmlschema
from lxml import etree

from smartflows_provider.devserver.json_values import NotJson, read_json

MAX_PROBLEMS = 100
"""So many problems of one input are named."""

_XS = "{http://www.w3.org/2001/XMLSchema}"


class XsdRefused(ValueError):
    """A schema that cannot be used; the text says why."""


class InputRefused(ValueError):
    """Input that cannot be used; ``problems`` says line by line why."""

    def __init__(self, message: str, problems: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(message)
        self.problems = problems


@lru_cache(maxsize=256)
def compile_xsd(xsd: str) -> etree.XMLSchema:
    """
    Return the schema for validation.

    :raises XsdRefused: if the text is no schema, or takes in another file.
    """
    try:
        tree = etree.fromstring(xsd.encode(), _parser())
        for name in ("include", "import", "redefine"):
            if tree.find(f"{_XS}{name}[@schemaLocation]") is not None:
                raise XsdRefused(f"the XSD must stand alone, but has an xs:{name}")
        return etree.XMLSchema(tree)
    except (etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
        raise XsdRefused(f"the XSD cannot be used: {error}") from error


def check_xml(body: bytes, xsd: str) -> None:
    """
    Return if the XML is well-formed and valid.

    :raises InputRefused: if not; the problems hold line and reason.
    """
    parser = _parser()
    try:
        tree = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        problems = _problems(parser.error_log) or [(0, str(error))]
        raise InputRefused("The XML is not well-formed.", problems) from error
    docinfo: Any = tree.getroottree().docinfo
    if docinfo.doctype:
        raise InputRefused("The XML must not have a document type declaration.")
    schema = compile_xsd(xsd)
    if not schema.validate(tree):
        raise InputRefused("The XML does not match the flow's schema.", _problems(schema.error_log))


def read_xml(body: bytes, xsd: str) -> Any:
    """
    Return valid XML as plain values of the schema's types, ready for templates and JSON.

    Children are keys, attributes are keys with ``@`` before them, text beside attributes is ``$``; an
    element that may occur more than once is a list; decimals are floats.
    """
    decoded = _decoder(xsd).decode(BytesIO(body), validation="lax")
    return plain(decoded[0] if isinstance(decoded, tuple) else decoded)


def read_records(body: bytes) -> dict[str, Any]:
    """
    Return a plug-in's JSON: ``{"id": […], "entity", "userId", "organizationUniqueName"}``.

    :raises InputRefused: if it is not such an object.
    """
    try:
        raw = read_json(body)
    except NotJson as error:
        raise InputRefused(f"The body {error}.") from error
    if not isinstance(raw, dict):
        raise InputRefused("The body must be a JSON object.")
    ids = raw.get("id")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise InputRefused("'id' must be an array of record ids.")
    missing = [key for key in ("entity", "userId") if not isinstance(raw.get(key), str)]
    if missing:
        raise InputRefused(f"The body lacks {' and '.join(map(repr, missing))}.")
    return raw


def plain(value: Any) -> Any:
    """
    Return the value with nothing in it that JSON cannot hold.

    A number that is none, or is infinite, becomes the text that an XML schema has for it.
    """
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _problems(error_log: Any) -> list[tuple[int, str]]:
    return [(entry.line, entry.message) for entry in error_log][:MAX_PROBLEMS]


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


@lru_cache(maxsize=256)
def _decoder(xsd: str) -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(xsd, allow="none")
