"""Texts from a service, made fit for messages, logs, databases and XCom.

JSON can carry what they cannot: half of a character, and NUL.
"""

from __future__ import annotations

_REPLACEMENT = "\ufffd"


def clean_text(text: str) -> str:
    """Return the text with lone surrogates and NUL, which databases refuse, replaced by U+FFFD."""
    return whole_text(text).replace("\x00", _REPLACEMENT)


def printable(message: str) -> str:
    """Return a message with escapes for half characters, as ids may hold them, which would break consoles."""
    return message.encode(errors="backslashreplace").decode()


def whole_text(text: str) -> str:
    """Return the text with lone surrogates replaced by U+FFFD, and all else as it is."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
