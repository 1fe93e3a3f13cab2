"""JSON text read strictly, so that nothing it says is lost or guessed.

The standard reader keeps the last of two equal keys, takes ``NaN`` for a number, rounds numbers to floats,
and raises errors of four kinds. Invariants: numbers keep all their digits; the only error that leaves is
:class:`NotJson`, whose text gives the reason without values.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any, NoReturn


class NotJson(ValueError):
    """The text is not JSON, or cannot be read without loss; the error's text is the reason."""

    def __init__(self, reason: str, *, unquoted: str | None = None) -> None:
        """
        Keep the reason.

        :param unquoted: the same without words of the input; None where the reason quotes none.
        """
        super().__init__(reason)
        self.unquoted = reason if unquoted is None else unquoted


def read_json(text: str | bytes) -> Any:
    """
    Return what a JSON text says; numbers with a point or an exponent become ``Decimal``.

    :param text: as text, or as bytes in UTF-8.
    :raises NotJson: if it is not JSON, a key comes twice in one object, or something in it is too large.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except NotJson:
        raise
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg}, at character {error.pos + 1}") from None
    except UnicodeDecodeError:
        raise NotJson("the bytes are not UTF-8") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except (ValueError, ArithmeticError):
        # What is left are numbers: int() and Decimal() refuse what is beyond their limits.
        raise NotJson("a number has thousands of digits, or an exponent beyond all use") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise NotJson(
            f"the key {twice!r:.80} comes twice in one object", unquoted="a key comes twice in one object"
        )
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise NotJson(f"{word} is no JSON number")


# Made once: a decoder with options of its own takes as long to make as a short line takes to read.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object)
