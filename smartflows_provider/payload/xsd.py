"""XSDs: loaded with all they include, compiled once per process, never fetched over the network.

An XSD and everything it includes, imports or redefines is read through the same path-like object, so it may
lie on object storage. Each location is resolved relative to the document that names it; an address is
refused (only the W3C's own ``xml.xsd`` is known and served from the copy that ``xmlschema`` ships).

Two engines compile the documents, each for what it does best. libxml2 (through lxml) judges: it streams,
validates at the speed of parsing, and says which elements it expected. ``xmlschema`` (pure Python, some
hundred times slower) is asked for the model only: which element comes when, and of what type.

Invariant: compiled schemas are kept by content, so a changed file is never served from the cache.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import xmlschema
from lxml import etree
from xmlschema.locations import SCHEMAS_DIR

from smartflows_provider.payload.errors import SchemaUnreadable, may_pass
from smartflows_provider.payload.names import XML_NAMESPACE

XSD_NAMESPACE = "http://www.w3.org/2001/XMLSchema"
_REFERRING = {f"{{{XSD_NAMESPACE}}}{name}" for name in ("include", "import", "redefine")}
_MODELS = {f"{{{XSD_NAMESPACE}}}{name}" for name in ("complexType", "group", "restriction", "extension")}
_CACHED_SCHEMAS = 16
_REASON_LENGTH = 300
_LOCATION_LENGTH = 1000
MAX_DOCUMENTS = 2000
"""XSDs that one includes, itself counted."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of an XSD with all it includes."""
MAX_WIDTH = 2000
"""Elements of one type, not counting those inside of them."""


class PathLike(Protocol):
    """What a path must be able to do: ``pathlib.Path`` and Airflow's ``ObjectStoragePath`` can."""

    @property
    def name(self) -> str:
        """The last part."""

    @property
    def parent(self) -> Any:
        """The folder."""

    def open(self, mode: str = ..., /) -> Any:
        """Open the file."""


@dataclass(frozen=True, kw_only=True)
class SchemaDocuments:
    """An XSD with all it refers to, as bytes whose locations name each other (``0.xsd`` and so on)."""

    contents: tuple[bytes, ...]
    """The first is the XSD itself."""
    origins: tuple[str, ...] = field(compare=False)
    """Where each came from, for messages."""

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Put the documents into a temporary folder and give the path of the first."""
        with tempfile.TemporaryDirectory(prefix="smartflows-xsd-") as folder:
            for number, content in enumerate(self.contents):
                Path(folder, f"{number}.xsd").write_bytes(content)
            yield Path(folder, "0.xsd")


class Schema:
    """A compiled XSD."""

    def __init__(self, documents: SchemaDocuments) -> None:
        """
        Compile for validation.

        :raises SchemaUnreadable: if libxml2 does not accept it as an XSD 1.0.
        """
        self._documents = documents
        with documents.on_disk() as main:
            try:
                self.validator = etree.XMLSchema(etree.parse(str(main), safe_parser()))
            except etree.XMLSchemaParseError as error:
                raise SchemaUnreadable(
                    f"{documents.origins[0]} is not a usable XSD 1.0: {self._explain(error)}"
                ) from None

    @cached_property
    def model(self) -> xmlschema.XMLSchema:
        """
        The schema's declarations, compiled when first asked for.

        :raises SchemaUnreadable: if ``xmlschema`` does not accept it.
        """
        with self._documents.on_disk() as main:
            try:
                return xmlschema.XMLSchema(str(main), allow="local", defuse="always")
            except (xmlschema.XMLSchemaException, RecursionError) as error:
                raise self.unusable(error) from None

    def unusable(self, error: xmlschema.XMLSchemaException | RecursionError) -> SchemaUnreadable:
        """Return the error for what ``xmlschema`` says of the schema."""
        reason = str(getattr(error, "message", None) or error).strip().partition("\n")[0]
        return SchemaUnreadable(f"{self.location} is not a usable XSD 1.0: {reason[:_REASON_LENGTH]}")

    @property
    def location(self) -> str:
        """Where the XSD was first read from, for messages."""
        return self._documents.origins[0]

    def _explain(self, error: etree.XMLSchemaParseError) -> str:
        for entry in error.error_log:
            name = Path(entry.filename or "").name
            number = name.removesuffix(".xsd")
            origin = self._documents.origins[int(number)] if number.isdigit() else name
            message = entry.message.replace(f"{{{XSD_NAMESPACE}}}", "xs:")[:_REASON_LENGTH]
            return f"{message} ({origin}, line {entry.line})"
        return str(error)[:_REASON_LENGTH]


def load_schema(path: str | os.PathLike[str] | PathLike) -> Schema:
    """
    Read and compile an XSD, or return it from the cache.

    :param path: a local path or a path-like object.
    :returns: the compiled schema; the same object as long as all documents are unchanged.
    :raises SchemaUnreadable: if a document is missing, not XML, holds a DOCTYPE, refers to an address, or is
        no XSD 1.0. A retry helps only where the storage was not reachable.
    """
    root: Any = Path(path) if isinstance(path, str) else path
    return _compile(_collect(root))


@lru_cache(maxsize=_CACHED_SCHEMAS)
def _compile(documents: SchemaDocuments) -> Schema:
    return Schema(documents)


def _collect(root: Any) -> SchemaDocuments:
    """Read a document and, each once, all it refers to; locations become ``<number>.xsd``."""
    numbers = {str(root): 0}
    paths = [root]
    contents: list[bytes] = []
    for path in paths:
        if len(paths) > MAX_DOCUMENTS or sum(map(len, contents)) > MAX_BYTES:
            raise SchemaUnreadable(
                f"the XSD {root} includes more than {MAX_DOCUMENTS:,} documents or {MAX_BYTES:,} bytes; look "
                "for a folder that contains itself"
            )
        tree = _read(path)
        _check_width(tree, path)
        for reference in tree.iter(*_REFERRING):
            location = reference.get("schemaLocation")
            if location is None:
                continue
            target = _resolve(path, location, namespace=reference.get("namespace"))
            if str(target) not in numbers:
                numbers[str(target)] = len(paths)
                paths.append(target)
            reference.set("schemaLocation", f"{numbers[str(target)]}.xsd")
        contents.append(etree.tostring(tree, encoding="utf-8"))
    return SchemaDocuments(contents=tuple(contents), origins=tuple(map(str, paths)))


def _read(path: Any) -> etree._Element:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - what a storage raises depends on its driver
        raise SchemaUnreadable(f"the XSD {path} cannot be read: {error}", passes=may_pass(error)) from None
    if len(content) > MAX_BYTES:
        raise SchemaUnreadable(f"the XSD {path} has more than {MAX_BYTES:,} bytes")
    try:
        root = etree.fromstring(content, safe_parser())
    except etree.XMLSyntaxError as error:
        raise SchemaUnreadable(f"the XSD {path} is not well-formed: {error.msg}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise SchemaUnreadable(f"the XSD {path} holds a DOCTYPE, which is not accepted; remove it")
    if root.tag != f"{{{XSD_NAMESPACE}}}schema":
        raise SchemaUnreadable(f"{path} is not an XSD: its root element is {root.tag}, not xs:schema")
    return root


def _check_width(tree: etree._Element, path: Any) -> None:
    """Refuse what libxml2 would compile for minutes: the time grows with the cube of a sequence's length."""
    width: Counter[Any] = Counter()
    for element in tree.iter(f"{{{XSD_NAMESPACE}}}element"):
        model = next((above for above in element.iterancestors() if above.tag in _MODELS), None)
        if model is not None:
            width[model] += 1
    if width and (widest := max(width.values())) > MAX_WIDTH:
        raise SchemaUnreadable(
            f"the XSD {path} has a type with {widest:,} elements side by side; with more than {MAX_WIDTH:,} "
            "it cannot be compiled in reasonable time"
        )


def _resolve(base: Any, location: str, *, namespace: str | None) -> Any:
    """Return the path that a schemaLocation means, relative to the document it stands in."""
    if len(location) > _LOCATION_LENGTH:
        raise SchemaUnreadable(f"the XSD {base} refers to a location of {len(location):,} characters")
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise SchemaUnreadable(f"the XSD {base} refers to {location!r}: {error}") from None
    if parts.scheme or parts.netloc:
        if namespace == XML_NAMESPACE:
            return Path(SCHEMAS_DIR, "XML", "xml.xsd")
        raise SchemaUnreadable(
            f"the XSD {base} refers to {location}; addresses are not fetched: put a copy beside the XSD and "
            "name it by a relative path"
        )
    steps = unquote(parts.path).replace("\\", "/").split("/")
    if steps[0] == "":
        raise SchemaUnreadable(
            f"the XSD {base} refers to {location!r}; name the document by a path relative to the XSD"
        )
    folder = base.parent
    for step in steps[:-1]:
        if step == "..":
            folder = folder.parent
        elif step not in {"", "."}:
            folder = folder / step
    return folder / steps[-1]


def safe_parser() -> etree.XMLParser:
    """Return a parser that reads no entities, no DTD and nothing over the network."""
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
