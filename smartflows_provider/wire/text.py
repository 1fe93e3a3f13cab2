"""Texts from a service, made fit for logs, databases and XCom.

JSON can carry what they cannot: half of a character, and NUL.
"""

from __future__ import annotations

_REPLACEMENT = "\ufffd"


def clean_text(text: str) -> str:
    """Return the text with lone surrogates and NUL, which databases refuse, replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return paired.replace("\x00", _REPLACEMENT)
