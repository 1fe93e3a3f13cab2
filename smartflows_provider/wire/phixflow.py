"""How PhixFlow's actionflow endpoints speak.

The calls below ``/phixflow/api/1`` as exchanges: trigger an endpoint and wait for its answer, or trigger it
and ask for the status. Wire facts come from the vendor's page on API endpoints; what it leaves to the
endpoint's author, or open, stands in :class:`~.phixflow_terms.ActionflowTerms`. Invariants: a trigger is
never marked repeatable, whatever its method; a status word nobody set is never a success. No call stops a
run: the vendor documents none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

from smartflows_provider.wire.answers import raise_for_status, unreadable
from smartflows_provider.wire.errors import NotFound, RequestRefused, UnsendableValue
from smartflows_provider.wire.json_forms import NoForm, plain_form
from smartflows_provider.wire.messages import (
    JSON_TYPE,
    Exchange,
    Request,
    Response,
    content_type_header,
    json_body,
    query_of,
    utf8,
)
from smartflows_provider.wire.phixflow_answers import (
    Outcome,
    is_page,
    judge_final,
    judge_look,
    judge_start,
    known_id,
    process_id,
    read_body,
)
from smartflows_provider.wire.phixflow_paths import status_address
from smartflows_provider.wire.phixflow_terms import ActionflowTerms
from smartflows_provider.wire.run import Execution, Reference, RunPhase, RunSnapshot

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "DELETE"]
DEFAULT_LIMIT_SECONDS = 60.0
"""How long *Wait for result* lasts before the server aborts the work, unless its author chose otherwise."""
TIMEOUT_PARAMETER = "timeout"
"""The query parameter, in milliseconds, that overrides the endpoint's own limit."""


class ActionflowFailed(RequestRefused):
    """The first answer of *Poll for result* says that the actionflow failed; nothing is left to ask for."""


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """One call of an endpoint."""

    path: str
    """From :func:`~.phixflow_paths.endpoint_path`."""
    method: Method = "POST"
    """``POST`` in version 10; not documented for 11."""
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Input parameters of the actionflow by name; None values are left out."""
    body: Any = field(default=None, repr=False)
    """Free: bytes and files go as they are, None is no body, anything else is sent as JSON."""
    content_type: str | None = None
    """Of bytes and files, which need one."""
    timeout_ms: int | None = None
    """Overrides the endpoint's own limit, in milliseconds."""

    @property
    def limit_seconds(self) -> float:
        """After how long the server aborts the work in the mode *Wait for result*, as far as is known."""
        return DEFAULT_LIMIT_SECONDS if self.timeout_ms is None else self.timeout_ms / 1000

    def request(self, *, hold_seconds: float = 0.0) -> Request:
        """
        Return the call as a request.

        :param hold_seconds: how long the answer may take.
        :raises UnsendableValue: if an input cannot be sent; no retry helps.
        """
        is_plain = isinstance(self.body, bytes | Path)
        if is_plain and not self.content_type:
            raise UnsendableValue("a body of bytes needs its content type")
        kind = self.content_type if is_plain and self.content_type else JSON_TYPE
        return Request(
            method=self.method,
            path=self.path,
            query=query_of(**self._parameters()),
            headers=() if self.body is None else content_type_header(kind),
            body=self.body if is_plain or self.body is None else json_body(self.body, "the body"),
            repeatable=False,
            hold_seconds=hold_seconds,
        )

    def _parameters(self) -> dict[str, str]:
        given = {name: _parameter(name, value) for name, value in self.query.items() if value is not None}
        if TIMEOUT_PARAMETER in given:
            raise UnsendableValue(
                f"the input parameter {TIMEOUT_PARAMETER!r} is PhixFlow's own time limit in milliseconds; "
                "give it as timeout_ms, by which it is also known here how long the work may take"
            )
        if self.timeout_ms is None:
            return given
        if self.timeout_ms < 1:
            raise UnsendableValue(f"the time limit is {self.timeout_ms} ms, but must be at least 1")
        return {**given, TIMEOUT_PARAMETER: str(self.timeout_ms)}


def trigger_and_wait(
    trigger: Trigger, *, terms: ActionflowTerms, hold_seconds: float | None = None
) -> Exchange[Execution]:
    """
    Call an endpoint in the mode *Wait for result*; its answer comes at the end of the run.

    :param hold_seconds: how long the answer may take; None is the trigger's own limit.
    :returns: a run that has ended. ``raw`` has ``body`` (what JSON says, else the text), ``code`` (HTTP),
        ``message`` and ``terms``; the id is empty where the answer has none.
    :raises UnsendableValue: if an input cannot be sent; nothing was.
    :raises UnreadableAnswer: if the answer is not what the terms say; a retry runs the actionflow again.
    :raises OutcomeUntold: for a 4xx that its author may have chosen.
    :raises WireError: of the kind that the HTTP code means, if the answer does not speak of the actionflow.
    """
    hold = trigger.limit_seconds if hold_seconds is None else hold_seconds
    response = yield trigger.request(hold_seconds=hold)
    answer = read_body(response)
    outcome = judge_final(response, answer, terms)
    return _execution(known_id(answer, terms), outcome, answer, response.status, terms)


def trigger_and_poll(trigger: Trigger, *, terms: ActionflowTerms) -> Exchange[RunSnapshot]:
    """
    Call an endpoint in the mode *Poll for result*; it answers at once with a process id.

    :returns: the run, active; what becomes of it :func:`look` tells.
    :raises ActionflowFailed: if the answer says that the actionflow failed.
    :raises UnsendableValue: if an input cannot be sent; nothing was.
    :raises UnreadableAnswer: if the answer has no process id; the run may have started.
    :raises OutcomeUntold: for a 4xx that its author may have chosen; the run may have started.
    :raises WireError: of the kind that the HTTP code means, if the answer does not speak of the actionflow.
    """
    response = yield trigger.request()
    answer = read_body(response)
    outcome = judge_start(response, answer, terms)
    if outcome.phase is RunPhase.FAILED:
        raise ActionflowFailed(
            f"{response.request.label} was answered with {outcome.status}",
            status=response.status,
            detail=outcome.message,
        )
    return RunSnapshot(
        execution_id=process_id(response, answer, terms),
        status=outcome.status,
        phase=outcome.phase,
        message=outcome.message,
    )


def started(run: RunSnapshot, *, terms: ActionflowTerms) -> Execution:
    """Return a run of which nothing is known but what its start has brought; ``raw`` has no body."""
    outcome = Outcome(status=run.status, phase=run.phase, message=run.message)
    return _execution(run.execution_id, outcome, None, 0, terms)


def look(process_id: str, *, terms: ActionflowTerms) -> Exchange[RunSnapshot]:
    """
    Ask how a run of an endpoint in the mode *Poll for result* is: by default ``GET /action/{id}/status``.

    The address is not documented and a term.

    :raises NotFound: if there is no such run (any more).
    :raises UnreadableAnswer: if the answer has no status where the terms say; it lists the answer's keys.
    :raises WireError: of the kind that the HTTP code means, if the answer does not speak of the actionflow.
    """
    execution = yield from get_execution(process_id, terms=terms)
    return RunSnapshot(
        execution_id=execution.id,
        status=execution.status,
        phase=execution.phase,
        message=execution.raw["message"],
    )


def get_execution(process_id: str, *, terms: ActionflowTerms) -> Exchange[Execution]:
    """
    Ask for a run as :func:`look` does, and keep the answer.

    :returns: ``raw`` as in :func:`trigger_and_wait`.
    """
    path, query = status_address(terms.status_path, process_id)
    response = yield Request(method=terms.status_method, path=path, query=query)
    answer = read_body(response)
    return _execution(process_id, judge_look(response, answer, terms), answer, response.status, terms)


def answered(value: T) -> Exchange[T]:
    """Return a call that asks nobody, for what is known already."""
    yield from ()
    return value


def cancel(process_id: str) -> Exchange[RunSnapshot | None]:
    """
    Say that a run cannot be stopped; nothing is sent.

    :raises RequestRefused: always: the vendor documents no such call.
    """
    yield from ()
    raise RequestRefused(f"PhixFlow has no call that stops a run, so process {process_id} was not stopped")


def probe(path: str | None) -> Exchange[int]:
    """
    Ask the server for something harmless, to see whether it is there and takes the key.

    :param path: an address below the prefix that a GET may ask; None asks for the prefix itself, where any
        answer but a refusal of the key will do, since the vendor documents no call for this.
    :returns: the HTTP code.
    :raises UnreadableAnswer: for a 2xx that is a web page, as a sign-in page is, or broken JSON.
    :raises WireError: of the kind that the code means.
    """
    response = yield Request(method="GET", path="/" if path is None else path)
    if path is not None or response.status not in {400, 404, 405, 410}:
        raise_for_status(response)
        if read_body(response) is not None and is_page(response):
            raise unreadable(response, "is a web page, as a sign-in page is")
    return response.status


def _parameter(name: Any, value: Any) -> str:
    """
    Return the value of an input parameter as a text; truth values as JSON writes them.

    :raises UnsendableValue: if it is neither a text nor a number, truth value, date or time.
    """
    if not isinstance(name, str):
        raise UnsendableValue(f"the name of an input parameter is {name!r}, but must be a text")
    utf8(name, "the name of an input parameter")
    what = f"the input parameter {name!r}"
    finite = (
        value.is_finite() if isinstance(value, Decimal) else not isinstance(value, float) or isfinite(value)
    )
    if not finite:
        raise UnsendableValue(f"{what} is no number, but {value}")
    try:
        # A Decimal keeps its digits; JSON would make it a number.
        plain = str(value) if isinstance(value, Decimal) else plain_form(value)
        if isinstance(plain, bool):
            return "true" if plain else "false"
        if isinstance(plain, str | int | float):
            return str(plain)
    except NoForm:
        pass
    except ValueError:
        raise UnsendableValue(f"{what} is a number of too many digits") from None
    raise UnsendableValue(
        f"{what} is {type(value).__name__}, but the query takes a text, number, truth value, date or time; "
        "put what has parts into the body"
    )


def _execution(
    process_id: str, outcome: Outcome, answer: Any, code: int, terms: ActionflowTerms
) -> Execution:
    return Execution(
        id=process_id,
        status=outcome.status,
        phase=outcome.phase,
        flow=Reference(id=terms.endpoint, name=terms.endpoint),
        raw={"body": answer, "code": code, "message": outcome.message, "terms": terms.as_dict()},
    )


def answer_lost(execution_id: str) -> Exchange[Any]:
    """
    Tell that a run in the mode *Wait for result* cannot be asked about; nothing is sent.

    :raises NotFound: always.
    """
    yield from ()
    raise NotFound(f"the answer about {execution_id} came to a process that has ended, and is not kept")


def may_be_failure(response: Response) -> bool:
    """Tell that any answer may be a refusal: its author chooses code and body."""
    del response
    return True
