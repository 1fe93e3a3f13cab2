"""What an author decides once for a whole input.

Operators check these options at every DAG parse, so this module imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from smartflows_provider.option_words import check_words

InputKind: TypeAlias = Literal["xml", "data", "rows", "records"]
"""The argument that holds an input."""

INPUT_KINDS: tuple[InputKind, ...] = get_args(InputKind)

NoneAs: TypeAlias = Literal["absent", "nil", "empty"]
"""What None becomes: no element, an element with ``xsi:nil="true"``, or an empty element."""

BadCharacters: TypeAlias = Literal["fail", "replace"]
"""What to do with characters that XML cannot carry: an error, or U+FFFD in their place."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^<\n]+")


def is_address(value: object) -> bool:
    """Tell whether a value is the address of a file, ``s3://bucket/input.xml`` say, which is never XML."""
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


@dataclass(frozen=True, kw_only=True)
class Style:
    """How values become XML, the same for mappings and rows; its words are checked when it is made."""

    none_as: NoneAs = "absent"
    """What None becomes."""
    bad_characters: BadCharacters = "fail"
    """What to do with characters that XML cannot carry."""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """Prefix to namespace; the empty prefix is the default for names without one."""

    def __post_init__(self) -> None:
        check_words(self)
