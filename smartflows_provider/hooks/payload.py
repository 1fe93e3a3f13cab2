"""From arguments about an input to a payload that is ready to be sent, with errors that name the run.

What the payload room cannot know because it knows no Airflow: object storage behind paths given as text, and
the error tree. Invariants: nothing is left behind by an input that could not be prepared, or for which nobody
waits any more; with ``hide_payload`` no message holds a word of the input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, TypedDict

from airflow.sdk import ObjectStoragePath

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowInputError,
    RunIdentity,
)
from smartflows_provider.hooks.translation import NOTHING_SENT
from smartflows_provider.payload.arguments import InputArguments
from smartflows_provider.payload.build import prepare
from smartflows_provider.payload.correlation import Correlation
from smartflows_provider.payload.errors import PayloadError, SourceUnreadable
from smartflows_provider.payload.options import INPUT_KINDS, BadCharacters, NoneAs, Style, is_address
from smartflows_provider.payload.prepared import PreparedPayload


class InputOptions(TypedDict, total=False):
    """The keyword arguments about an input; see :meth:`SmartFlowsHook.start`."""

    xml: str | bytes | PathLike[str] | Any
    data: Mapping[str, Any] | str
    rows: Any
    records: Mapping[str, Any] | str
    root: str
    row: str
    header: Mapping[str, Any] | str
    columns: Any
    xsd: str | PathLike[str]
    none_as: NoneAs
    namespaces: Mapping[str, str]
    bad_characters: BadCharacters
    hide_payload: bool


def read_options(inputs: InputOptions, *, body: object, where: RunIdentity) -> tuple[InputArguments, bool]:
    """
    Return a hook's arguments about an input, and whether its words are kept out of messages.

    :param inputs: the arguments.
    :param body: what was given as a body, beside which there can be no other input.
    :param where: which connection and flow, for messages.
    :raises FlowConfigurationError: for two inputs, unknown arguments and unknown words.
    """
    about: dict[str, Any] = dict(inputs)
    hide_payload = bool(about.pop("hide_payload", False))
    style = {name: about.pop(name) for name in ("none_as", "namespaces", "bad_characters") if name in about}
    given = ["body"] if body is not None else []
    given += [name for name in INPUT_KINDS if about.get(name) is not None]
    if len(given) > 1:
        raise _unusable(f"the input is given twice, as {' and '.join(given)}", where)
    try:
        return InputArguments(**about, style=Style(**style)), hide_payload
    except (TypeError, ValueError) as error:
        raise _unusable(str(error), where) from None


def _unusable(what: str, where: RunIdentity) -> FlowConfigurationError:
    return FlowConfigurationError(
        f"The arguments about the input are unusable: {what}.",
        where=where,
        fate=NOTHING_SENT,
        advice="Correct them where start or astart is called.",
    )


def located(path: Any, *, folder: Path | None = None) -> Any:
    """
    Return a path given as text as a path object, None for an empty one, and all else as it is.

    :param folder: from which relative paths are taken; None for the working directory.
    :raises SourceUnreadable: if an address names a storage that is not known here.
    """
    if isinstance(path, str) and "://" in path:
        try:
            return ObjectStoragePath(path)
        except (ValueError, ImportError, TypeError) as error:
            reason = f"leads to no storage that is known here: {error}"
            raise SourceUnreadable(
                f"{path!r} {reason}", unquoted=None if is_address(path) else "the path is not one of a file"
            ) from None
    if not isinstance(path, str | PurePath):
        return path
    return None if str(path) in {"", "."} else (folder or Path()) / path


def prepare_payload(
    arguments: InputArguments,
    *,
    where: RunIdentity,
    fate: str,
    folder: Path | None = None,
    hide_payload: bool = False,
    correlation: Correlation | None = None,
) -> PreparedPayload:
    """
    Read, build and check an input.

    :param arguments: about the input.
    :param where: which connection and flow, for messages.
    :param fate: what became of the run, for messages.
    :param folder: from which relative paths are taken; None for the working directory.
    :param hide_payload: leave the input's words out of messages.
    :param correlation: a value to write into the XML.
    :returns: the payload; close it, or use it as a context manager, to remove its file.
    :raises FlowInputError: if the input cannot be sent; no retry helps.
    :raises FlowConnectionError: if the storage it is on is out of reach; a retry helps.
    """
    locate = partial(located, folder=folder)
    try:
        return prepare(
            arguments.read(locate=locate),
            xsd=locate(arguments.xsd),
            hide_values=hide_payload,
            correlation=correlation,
        )
    except PayloadError as error:
        raise refused(error, where=where, fate=fate, hide_payload=hide_payload) from None


async def aprepare_payload(
    arguments: InputArguments,
    *,
    where: RunIdentity,
    fate: str,
    folder: Path | None = None,
    hide_payload: bool = False,
) -> PreparedPayload:
    """Prepare an input as :func:`prepare_payload` does, in a thread, so that the event loop goes on."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="smartflows-payload")
    preparing = thread.submit(
        copy_context().run,
        partial(prepare_payload, arguments, where=where, fate=fate, folder=folder, hide_payload=hide_payload),
    )
    thread.shutdown(wait=False)
    try:
        return await asyncio.wrap_future(preparing)
    except asyncio.CancelledError:
        # The thread cannot be stopped; what it makes is thrown away.
        preparing.add_done_callback(_discard)
        raise


def _discard(prepared: Future[PreparedPayload]) -> None:
    if not prepared.cancelled() and prepared.exception() is None:
        prepared.result().close()


def refused(error: PayloadError, *, where: RunIdentity, fate: str, hide_payload: bool) -> FlowException:
    """Return what a DAG author sees of an input that cannot be sent."""
    text = error.unquoted if hide_payload else str(error)
    what = f"{text[:1].upper()}{text[1:]}"
    if error.passes:
        return FlowConnectionError(what, where=where, fate=fate, advice="A retry reads the input again.")
    return FlowInputError(
        what,
        where=where,
        fate=fate,
        advice="Mend the input; what the flow takes is described by the XSD of its primary data set.",
    )
