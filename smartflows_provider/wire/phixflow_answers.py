"""What an answer of a PhixFlow endpoint means, read by the terms of its author.

An answer may be JSON, text or anything, with any HTTP code. Invariants: what holds neither a word nor a
code that the terms know is never a success where a word was asked for; a field that is missing is an error
that lists the answer's keys and never its values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartflows_provider.wire.answers import error_text, raise_for_status, unreadable
from smartflows_provider.wire.errors import OutcomeUntold, UnreadableAnswer
from smartflows_provider.wire.messages import Response
from smartflows_provider.wire.phixflow_terms import DEFAULT_STATUS_FIELD, ActionflowTerms, fold, steps
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.text import clean_text, whole_text

_WORD_LENGTH = 100
_MESSAGE_LENGTH = 2000
_KEYS_SHOWN = 20
_KEY_LENGTH = 50
_ID_LENGTH = 255
_PAGE_LENGTH = 1000
"""Bytes in which a page says that it is one."""
_NO_ID = re.compile(r"[\s<>\ufffd]")
_INDEX_LENGTH = 9
"""Digits of the largest place in a list that can be meant; int() refuses texts of some thousand digits."""
_REFUSALS = frozenset({401, 403, 429})
"""Codes by which the server itself refuses; they speak of the actionflow only where the terms name them."""
_BEFORE_THE_WORK = frozenset({*_REFUSALS, 404, 405})
"""Codes by which the server itself refuses a call: key, right, pace, address, method."""
_OPEN_ANYWHERE = 408
"""The one 4xx that leaves open in every system whether a call was taken."""
_MISSING: Any = object()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one answer says about a run."""

    status: str
    """The author's word, as the terms spell it where they know it; the HTTP code where there is no word."""
    phase: RunPhase
    message: str
    """The author's message, and which records failed; empty if there is neither."""


@dataclass(frozen=True, kw_only=True)
class FailedRecord:
    """One record that the actionflow could not process."""

    index: int
    """Its place in the list, from 0."""
    id: str
    """Its id as a text; empty if it has none."""
    message: str
    """The author's message, or the status word where there is none."""

    def __str__(self) -> str:
        name = self.id or f"number {self.index + 1}"
        return f"{name}: {self.message}" if self.message else name


def read_body(response: Response) -> Any:
    """
    Return the body of an answer: what JSON says, else the text; None for an empty one.

    :raises UnreadableAnswer: if a 2xx calls itself JSON and is not; it may have been cut off.
    """
    if not response.body.strip():
        return None
    calls_itself_json = response.content_type.endswith("json")
    if calls_itself_json and 200 <= response.status < 300:
        return response.json()
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        text = response.body.decode("utf-8", "replace").strip().removeprefix("\ufeff")
        return None if calls_itself_json else text


def is_page(response: Response) -> bool:
    """Return whether an answer is a page for people, by what it is called or how it begins."""
    if response.content_type in {"text/html", "application/xhtml+xml"}:
        return True
    begin = response.body[:_PAGE_LENGTH].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return response.content_type in {"", "text/plain"} and begin.startswith((b"<!doctype html", b"<html"))


def judge_final(response: Response, body: Any, terms: ActionflowTerms) -> Outcome:
    """
    Return what became of a run whose answer comes at its end (*Wait for result*).

    In this order: the author's failure codes; a failure word, with any code but those by which the server
    itself refuses (401, 403, 429); the author's success codes, or any 2xx, unless the answer says otherwise.

    :raises OutcomeUntold: for a 4xx that says nothing of the actionflow, and that its author may have chosen.
    :raises WireError: of the kind that the HTTP code means, for another code that says nothing of it.
    :raises UnreadableAnswer: if it is a success by its code and not by what it says: another word, a process
        id without a status, a web page, or no status where the terms name its field.
    """
    status, good = response.status, _is_good(response, terms)
    word = _word_of(response, body, terms) if _may_speak(response, terms) else ""
    phase = _phase_of(word, terms)
    if status in terms.failure_codes or phase is RunPhase.FAILED:
        return _failure(response, word, body, terms)
    if not good:
        _raise_for_call(response)
        codes = ", ".join(map(str, terms.success_codes))
        raise unreadable(response, f"came with {status}, which is none of success_codes ({codes})")
    if phase is RunPhase.SUCCEEDED:
        return _with_records(_spelled(word, terms), body, terms)
    if phase is RunPhase.ACTIVE:
        raise unreadable(
            response,
            f"says {word!r}, so it came before the end: the endpoint works in the mode 'Poll for result'",
        )
    if word and not isinstance(body, str):
        raise unreadable(
            response, f"has the status {_short(word)!r}, which is none of the words that are set"
        )
    if not word and _told_id(body, terms):
        raise unreadable(
            response,
            f"has {terms.id_field!r} but no status, as one in the mode 'Poll for result' has; if it is one "
            "in the mode 'Wait for result', set another id_field, or the status_field of its answer",
        )
    if terms.status_field is not None or _has_other_status(body):
        raise unreadable(response, _no_word(body, _status_field(terms)))
    if is_page(response) and status not in terms.success_codes:
        raise unreadable(
            response,
            "is a web page without a status, as a sign-in page is; if the endpoint's author chose it, set "
            f"success_codes to {status}",
        )
    return _with_records(str(status), body, terms)


def _raise_for_call(response: Response) -> None:
    """
    Return for any 2xx; else raise what the code means of a call that says nothing of the actionflow.

    :raises OutcomeUntold: for a 4xx that the endpoint's author may have chosen for an end of the work.
    :raises WireError: for any other.
    """
    status = response.status
    if 400 <= status < 500 and status not in _BEFORE_THE_WORK and status != _OPEN_ANYWHERE:
        raise OutcomeUntold(
            f"{response.request.label} was answered with {status}, which the endpoint's author may have "
            "chosen: if so, name it in failure_codes or success_codes",
            status=status,
            detail=error_text(response),
        )
    raise_for_status(response)


def _has_other_status(body: Any) -> bool:
    """Tell whether an answer has the default status field, but no word in it."""
    return isinstance(body, Mapping) and DEFAULT_STATUS_FIELD in body


def judge_look(response: Response, body: Any, terms: ActionflowTerms) -> Outcome:
    """
    Return what an answer to the question for a run's status says (*Poll for result*).

    :raises NotFound: if there is no such run (any more): 404 or 410, unless the terms name the code.
    :raises WireError: of the kind that the HTTP code means, if the answer does not speak of the actionflow.
    :raises UnreadableAnswer: if it has no status.
    """
    status = response.status
    gone = status in {404, 410} and status not in terms.failure_codes
    word = _word_of(response, body, terms) if _may_speak(response, terms) and not gone else ""
    phase = _phase_of(word, terms)
    if status in terms.failure_codes or phase is RunPhase.FAILED:
        return _failure(response, word, body, terms)
    if status not in terms.success_codes:
        raise_for_status(response)
    if not word:
        raise unreadable(response, _no_word(body, _status_field(terms)))
    if phase is RunPhase.SUCCEEDED:
        return _with_records(_spelled(word, terms), body, terms)
    return Outcome(status=_spelled(word, terms), phase=phase, message=_told(body, terms))


def judge_start(response: Response, body: Any, terms: ActionflowTerms) -> Outcome:
    """
    Return what the first answer of an endpoint in the mode *Poll for result* says.

    It need have no status, and only a failure is taken from it: whether ``Success`` speaks of the run or of
    the call is not documented, so the run is asked for.

    :raises OutcomeUntold: for a 4xx that says nothing of the actionflow, and that its author may have chosen.
    :raises WireError: of the kind that the HTTP code means, for another code that says nothing of it.
    """
    word = _word_of(response, body, terms) if _may_speak(response, terms) else ""
    if response.status in terms.failure_codes or _phase_of(word, terms) is RunPhase.FAILED:
        return _failure(response, word, body, terms)
    if response.status not in terms.success_codes:
        _raise_for_call(response)
    # A text that is no failure is the process id.
    status = "" if isinstance(body, str) else _spelled(word, terms)
    return Outcome(status=status or "started", phase=RunPhase.ACTIVE, message=_told(body, terms))


def process_id(response: Response, body: Any, terms: ActionflowTerms) -> str:
    """
    Return the process id of the first answer as a text.

    :raises UnreadableAnswer: if there is none, or what is there can be none: a web page, a sentence, a status
        word. The message lists the answer's keys.
    """
    if isinstance(body, str) and is_page(response):
        raise unreadable(response, "is a web page, as a sign-in page is, and no process id")
    value = body if not terms.id_field else _at(body, terms.id_field)
    if value is _MISSING or value is None:
        raise unreadable(response, _lacks(body, terms.id_field))
    text = _id_text(value)
    if not text:
        raise unreadable(response, f"has {_named(terms.id_field)} that is no id but {type(value).__name__}")
    if (problem := _no_id(text)) is not None:
        raise unreadable(response, f"has {_named(terms.id_field)} with {problem}")
    if isinstance(body, str) and _phase_of(text, terms) is not RunPhase.UNKNOWN:
        raise unreadable(response, f"is the word {text!r} and no process id")
    return text


def known_id(body: Any, terms: ActionflowTerms) -> str:
    """Return the process id of an answer that need have none; empty where it has none that can be used."""
    text = _told_id(body, terms)
    return text if _no_id(text) is None else ""


def _told_id(body: Any, terms: ActionflowTerms) -> str:
    """Return what an answer that need have no process id has in its place."""
    return _id_text(_at(body, terms.id_field)) if terms.id_field else ""


def _id_text(value: Any) -> str:
    """Return a text or a whole number as an id; empty for anything else."""
    return "" if isinstance(value, bool | float) else whole_text(_scalar(value)).strip()


def _no_id(text: str) -> str | None:
    """Return what a text has that no id has, None if it can be one."""
    if len(text) > _ID_LENGTH:
        return f"{len(text):,} characters, which is no id"
    return None if text.isprintable() and not _NO_ID.search(text) else "characters that no id has"


def result_of(body: Any, terms: ActionflowTerms) -> Any:
    """
    Return the data that an actionflow returned.

    :param body: of the answer that ended the run.
    :raises UnreadableAnswer: if it is not where the terms say; the message lists the answer's keys.
    """
    value = _walk(body, terms.result_steps)
    if value is _MISSING:
        raise UnreadableAnswer(f"the actionflow's answer {_lacks(body, '.'.join(terms.result_steps))}")
    return value


def failed_records(body: Any, terms: ActionflowTerms) -> list[FailedRecord]:
    """
    Return the records that the actionflow could not process.

    A record whose status is not one of the success words has failed; so nothing unknown passes.

    :param body: of the answer that ended the run.
    :returns: nothing if the terms name no ``records_field``.
    :raises UnreadableAnswer: if the list, or a record's status, is not where the terms say.
    """
    if terms.records_field is None:
        return []
    what = "the actionflow's answer"
    records = _at(body, terms.records_field)
    if records is _MISSING:
        raise UnreadableAnswer(f"{what} {_lacks(body, terms.records_field)}")
    if not isinstance(records, list):
        raise UnreadableAnswer(
            f"{what} has {_named(terms.records_field)} that is no list but {type(records).__name__}"
        )
    found = []
    for index, record in enumerate(records):
        status = _at(record, terms.record_status_field)
        word = _scalar(status)
        if not word.strip():
            lacks = _no_word(record, terms.record_status_field)
            raise UnreadableAnswer(f"record number {index + 1} of {what} {lacks}")
        if _phase_of(word, terms) is not RunPhase.SUCCEEDED:
            message = _scalar(_at(record, terms.record_message_field)).strip() or _short(word)
            found.append(
                FailedRecord(
                    index=index,
                    id=clean_text(_scalar(_at(record, terms.record_id_field)))[:_WORD_LENGTH],
                    message=clean_text(message)[:_MESSAGE_LENGTH],
                )
            )
    return found


def _failure(response: Response, word: str, body: Any, terms: ActionflowTerms) -> Outcome:
    return Outcome(
        status=_spelled(word, terms) or str(response.status),
        phase=RunPhase.FAILED,
        message=message_of(body, terms),
    )


# --- words and codes ---------------------------------------------------------------------------------


def _is_good(response: Response, terms: ActionflowTerms) -> bool:
    if terms.success_codes:
        return response.status in terms.success_codes
    return 200 <= response.status < 300


def _may_speak(response: Response, terms: ActionflowTerms) -> bool:
    """Return whether the body of an answer with this code is read for a status word."""
    named = response.status in terms.success_codes or response.status in terms.failure_codes
    return named or (response.status not in _REFUSALS and not 300 <= response.status < 400)


def _word_of(response: Response, body: Any, terms: ActionflowTerms) -> str:
    """Return the status word of an answer: a text's first word that the terms know, or the field's."""
    if isinstance(body, str):
        known = (*terms.failure_words, *terms.running_words, *terms.success_words)
        text = body.lstrip()
        for word in sorted(known, key=len, reverse=True):
            if _begins_with(text, word):
                return word
        return "" if is_page(response) else text[:_WORD_LENGTH]
    return _scalar(_at(body, _status_field(terms))).strip()


def _status_field(terms: ActionflowTerms) -> str:
    return DEFAULT_STATUS_FIELD if terms.status_field is None else terms.status_field


def _begins_with(text: str, word: str) -> bool:
    """Return whether a text begins with a word that ends there, as in ``Fail: no such customer``."""
    begin = text[: len(word)]
    return fold(begin) == fold(word) and not text[len(word) : len(word) + 1].isalnum()


def _phase_of(word: str, terms: ActionflowTerms) -> RunPhase:
    folded = fold(word)
    if folded in map(fold, terms.failure_words):
        return RunPhase.FAILED
    if folded in map(fold, terms.success_words):
        return RunPhase.SUCCEEDED
    if folded in map(fold, terms.running_words):
        return RunPhase.ACTIVE
    return RunPhase.UNKNOWN


def _spelled(word: str, terms: ActionflowTerms) -> str:
    """Return a status word as the terms spell it; one they do not know as it came."""
    known = (*terms.failure_words, *terms.running_words, *terms.success_words)
    return next((one for one in known if fold(one) == fold(word)), _short(word))


def _short(word: str) -> str:
    return clean_text(word)[:_WORD_LENGTH]


def message_of(body: Any, terms: ActionflowTerms) -> str:
    """Return the author's message as one line; a text is one by itself."""
    text = body if isinstance(body, str) else _scalar(_at(body, terms.message_field))
    line = " ".join(clean_text(text).split())
    return "".join(letter for letter in line if letter.isprintable())[:_MESSAGE_LENGTH]


def _told(body: Any, terms: ActionflowTerms) -> str:
    """Return the message of a run that did not fail: a text is its result, and no message."""
    return "" if isinstance(body, str) else message_of(body, terms)


def _with_records(status: str, body: Any, terms: ActionflowTerms) -> Outcome:
    """Return the outcome of a run that succeeded, but for records that failed."""
    message = _told(body, terms)
    failed = failed_records(body, terms)
    if not failed:
        return Outcome(status=status, phase=RunPhase.SUCCEEDED, message=message)
    phases = {"fail": RunPhase.FAILED, "warn": RunPhase.WARNED, "succeed": RunPhase.SUCCEEDED}
    told = records_told(failed, of=len(_at(body, terms.records_field or "")))
    return Outcome(
        status=status,
        phase=phases[terms.on_partial_failure],
        message=f"{message} - {told}" if message else told,
    )


_RECORDS_SHOWN = 5


def records_told(failed: Sequence[FailedRecord], *, of: int) -> str:
    """Return a sentence about the records that failed, naming the first few."""
    named = "; ".join(" ".join(str(record).split()) for record in failed[:_RECORDS_SHOWN])
    more = f"; and {len(failed) - _RECORDS_SHOWN} more" if len(failed) > _RECORDS_SHOWN else ""
    return f"{len(failed)} of {of} records failed ({named}{more})"[:_MESSAGE_LENGTH]


# --- fields ------------------------------------------------------------------------------------------


def _at(body: Any, path: str) -> Any:
    return _walk(body, steps(path))


def _walk(body: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if isinstance(body, Mapping):
            body = body.get(key, _MISSING)
        elif isinstance(body, list) and key.isascii() and key.isdigit() and len(key) <= _INDEX_LENGTH:
            body = body[int(key)] if int(key) < len(body) else _MISSING
        else:
            return _MISSING
        if body is _MISSING:
            return _MISSING
    return body


def _scalar(value: Any) -> str:
    """Return a word, number or truth value as a text, as JSON writes it; empty for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return ""
    return str(value) if isinstance(value, str | int | float) else ""


_MOST_BITS = 1024
"""Of a number that is an id or a word; str() refuses numbers of some thousand digits."""


def _named(path: str) -> str:
    return f"{path!r}" if path else "a body"


def _no_word(body: Any, path: str) -> str:
    """Return what goes on "the answer": that it lacks a field, or has something else than a word there."""
    value = _at(body, path)
    if isinstance(body, str) and not path:
        return "is a text that begins with none of the words that are set"
    if value is _MISSING or not path:
        return _lacks(body, path)
    return f"has {path!r} that is no word but {'empty' if value in ('', None) else type(value).__name__}"


def _lacks(body: Any, path: str) -> str:
    """Return what goes on "the answer": that it lacks a field, and which keys it has."""
    if not isinstance(body, Mapping):
        kind = "empty" if body is None else "a text" if isinstance(body, str) else type(body).__name__
        return f"lacks {_named(path)}: it is {kind}, not an object"
    keys = sorted(clean_text(str(key))[:_KEY_LENGTH] for key in body)
    more = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    there = ", ".join(map(repr, keys[:_KEYS_SHOWN])) or "none at all"
    return f"lacks {_named(path)}; its keys are {there}{more}"
