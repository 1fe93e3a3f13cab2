"""File names for documents whose names come from elsewhere.

Invariants: the result is one path segment on every storage and operating system, never hidden, never empty,
at most 200 bytes in UTF-8; names of one folder differ in more than their case; the same names in the same
order always give the same results.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from smartflows_provider.output.numbering import Numbering

VALUES_NAME: Final = "values.json"
"""The file that takes values too large for XCom; no document gets this name."""
DOCUMENTS_NAME: Final = "documents.json"
"""The file that takes a list of documents too large for XCom; no document gets this name either."""
MAX_BYTES: Final = 200
"""Length limit of a name in UTF-8; file systems take 255."""
_READ_LETTERS = 4 * MAX_BYTES

# Separators, what Windows forbids, and what globs and URIs read as their own.
_UNSAFE = re.compile(r"""[/\\:*?"<>|\[\]{}#%]""")
_REPLACED_CATEGORIES = frozenset({"Cc", "Cn", "Co", "Cs", "Zl", "Zp"})
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_DOTS = re.compile(r"\.{2,}")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,15}$")

# Only Python's own table: the machine's mime.types would make names differ between workers.
_TYPES = mimetypes.MimeTypes(filenames=())
_EXTENSIONS: Mapping[str, str] = {
    "application/rtf": ".rtf",
    "application/vnd.ms-outlook": ".msg",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/xml": ".xml",
    "text/xml": ".xml",
}
for _content_type, _extension in _EXTENSIONS.items():
    _TYPES.add_type(_content_type, _extension)


class FileNames:
    """The names of one folder's documents, given one after the other."""

    def __init__(self) -> None:
        self._used = {VALUES_NAME, DOCUMENTS_NAME}
        self._names = Numbering()

    def give(self, name: str, *, content_type: str = "") -> str:
        """
        Return the next document's file name.

        :param name: the document's name as the service gives it; anything at all.
        :param content_type: the document's media type; gives the extension where the name has no known one.
        :returns: a name not given before; one that differs only in case, too, has got a number.
        """
        stem, extension = _parts(name, content_type)
        given = self._names.number(
            _shortened(stem, extension).casefold(),
            make=lambda number: _shortened(stem, number + extension),
            is_taken=lambda made: made.casefold() in self._used,
        )
        self._used.add(given.casefold())
        return given


def safe_name(name: str) -> str:
    """
    Return a name for a folder or a file that stands alone.

    :param name: anything at all.
    """
    return FileNames().give(name)


def _parts(name: str, content_type: str) -> tuple[str, str]:
    """Return what stands before a safe name's number, and what stands after it."""
    whole = _clean(name) or "document"
    if not any(_TYPES.guess_type(f"_{_extension_in(whole)}")):
        whole += _extension_of(content_type)
    if _RESERVED.match(whole):
        whole = f"_{whole}"
    extension = _extension_in(whole)
    return whole.removesuffix(extension), extension


def _clean(name: str) -> str:
    kept = "".join(
        "_" if unicodedata.category(letter) in _REPLACED_CATEGORIES else letter
        for letter in unicodedata.normalize("NFC", " ".join(name[:_READ_LETTERS].split()))
        if unicodedata.category(letter) != "Cf"
    )
    return _DOTS.sub(".", _UNSAFE.sub("_", kept)).strip(" .")


def _extension_in(name: str) -> str:
    found = _EXTENSION.search(name)
    return found[0] if found else ""


def _extension_of(content_type: str) -> str:
    """Return the extension of a media type; nothing where the type does not say what the bytes are."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/octet-stream":
        return ""
    return _EXTENSIONS.get(media_type) or _TYPES.guess_extension(media_type) or ""


def _shortened(stem: str, tail: str) -> str:
    room = MAX_BYTES - len(tail.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + tail
