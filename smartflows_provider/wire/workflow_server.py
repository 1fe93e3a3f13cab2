"""How Workflow Server (OptimaJet) speaks.

Every call of its Workflow API below ``/workflowapi`` as an exchange. Facts come from the vendor's pages
"Workflow API" and the server's OpenAPI description. Every answer is an envelope, ``{success, data, error,
message}``, and a refusal usually comes with HTTP 200. The client chooses an instance's id, so a creation
whose answer was lost can be looked up. The documents show two ways to pass arguments; :class:`Dialect` says
which one a server is spoken to in. Invariants: what changes something is always a POST, because libraries
and proxies repeat a GET by themselves; :class:`~smartflows_provider.wire.errors.NotFound` is raised only
where the server has said that it has no such instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from smartflows_provider.option_words import check_words
from smartflows_provider.wire.answers import error_text, object_of, told, unreadable
from smartflows_provider.wire.errors import NotFound, RequestRefused, UnreadableAnswer, UnsendableValue
from smartflows_provider.wire.json_forms import NoForm, strict_json
from smartflows_provider.wire.messages import (
    JSON_TYPE,
    Exchange,
    Request,
    Response,
    content_type_header,
    json_body,
    query_of,
    segment,
)
from smartflows_provider.wire.run import Execution, Reference, RunPhase, RunSnapshot
from smartflows_provider.wire.text import clean_text
from smartflows_provider.wire.workflow_server_process import (
    DELETED,
    PURGED,
    InstanceStatus,
    Process,
    phase_of,
    read_process,
)
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

API_PREFIX = "/workflowapi"
TOKEN_FIELD = "token"  # noqa: S105 - the name of a field
"""Where the Api access token stands in a request's body."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a server is spoken to."""

    arguments_in: Literal["query", "body"] = "query"
    """
    ``query``: an operation's arguments in the query, process parameters as a flat JSON body, those to keep
    named by ``persist`` in the query. ``body``: arguments as keys of a JSON body, process parameters as its
    ``parameters``, a list of ``{name, value, persist}``.
    """
    tenant_id: str | None = None
    """Sent as ``tenantId`` with every operation."""

    def __post_init__(self) -> None:
        check_words(self)


DEFAULT_DIALECT = Dialect()


class CommandNotExecuted(RequestRefused):
    """The server took a command and says ``WasExecuted: false``."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that an instance takes now."""

    name: str
    localized_name: str = ""
    classifier: str = ""
    raw: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class State:
    """A state that an instance can be set to."""

    name: str
    visible_name: str = ""
    raw: Mapping[str, Any]


# --- an instance's life ------------------------------------------------------------------------------


def create_instance(
    process_id: str,
    *,
    scheme_code: str,
    parameters: Mapping[str, Any] | None = None,
    persist: Sequence[str] = (),
    identity_id: str | None = None,
    impersonated_identity_id: str | None = None,
    scheme_parameters: Mapping[str, Any] | str | None = None,
    dialect: Dialect = DEFAULT_DIALECT,
) -> Exchange[None]:
    """
    Create an instance of a scheme: ``createinstance``.

    The server refuses an id that it has already, so a repetition never makes a second instance; but it looks
    like a failure, so the request is not repeatable: ask :func:`exists` where an answer is missing.

    :param process_id: a GUID of the caller's choice.
    :param parameters: initial process parameters, by name.
    :param persist: names of those that are kept with the instance; the others last until it rests.
    :param identity_id: in whose name.
    :param impersonated_identity_id: for whom the former acts.
    :param scheme_parameters: for servers that generate schemes; JSON, as an object or as text.
    :raises RequestRefused: if the server says no; no retry helps until the cause is mended.
    """
    response = yield _operation(
        "createinstance",
        process_id,
        dialect=dialect,
        arguments={
            "schemeCode": scheme_code,
            **_identities(identity_id, impersonated_identity_id),
            **_given(schemeParameters=scheme_parameters),
        },
        parameters=parameters,
        persist=persist,
        changes=True,
        repeatable=False,
    )
    _refuse_address(response)
    _data(response)


def exists(process_id: str, *, dialect: Dialect = DEFAULT_DIALECT) -> Exchange[bool]:
    """
    Ask whether the server has an instance: ``isexistprocess``.

    :raises RequestRefused: if the server says no, or has nothing at that address.
    """
    response = yield _operation("isexistprocess", process_id, dialect=dialect)
    _refuse_address(response)
    found = _data(response)
    if not isinstance(found, bool):
        raise unreadable(response, f"has 'data' that is neither true nor false but {type(found).__name__}")
    return found


def get_process(process_id: str, *, dialect: Dialect = DEFAULT_DIALECT) -> Exchange[Process]:
    """
    Read an instance: ``getinstanceinfo``; where that is refused, ``isexistprocess`` tells why.

    :raises NotFound: if there is no such instance, or no longer.
    :raises RequestRefused: if there is one, but it is not shown.
    """
    response = yield _operation("getinstanceinfo", process_id, dialect=dialect)
    try:
        raw = _data(response)
    except (NotFound, RequestRefused) as error:
        refusal = error
    else:
        return _there(_process(response, raw, process_id=process_id))
    there = yield from exists(process_id, dialect=dialect)
    if not there:
        raise _gone(process_id)
    raise _known(refusal)


def look(
    process_id: str, *, terms: ProcessTerms, dialect: Dialect = DEFAULT_DIALECT
) -> Exchange[RunSnapshot]:
    """
    Ask how far an instance is.

    :param process_id: of an instance that was created, so that one which is missing has been purged.
    :param terms: what it is waited for.
    :raises NotFound: if it was purged, and the terms take that for a failure.
    """
    try:
        process = yield from get_process(process_id, dialect=dialect)
    except NotFound:
        status, phase = _end_of_gone(process_id, terms)
        return RunSnapshot(execution_id=process_id, status=status, phase=phase, gone=True)
    return RunSnapshot(
        execution_id=process_id,
        status=process.shown_status,
        phase=phase_of(process, terms),
        message=clean_text(process.activity),
    )


def get_execution(
    process_id: str, *, terms: ProcessTerms, dialect: Dialect = DEFAULT_DIALECT
) -> Exchange[Execution]:
    """
    Read an instance as an execution; ``raw`` is the server's object, empty where it was purged.

    :param terms: what it was waited for; :func:`look` has the rules.
    :raises NotFound: if it was purged, and the terms take that for a failure.
    """
    try:
        process = yield from get_process(process_id, dialect=dialect)
    except NotFound:
        status, phase = _end_of_gone(process_id, terms)
        return Execution(id=process_id, status=status, phase=phase, flow=Reference(id=""), raw={})
    return Execution(
        id=process_id,
        status=process.shown_status,
        phase=phase_of(process, terms),
        flow=Reference(id=process.scheme_id or process.scheme_code, name=process.scheme_code),
        raw=process.raw,
    )


def cancel(
    process_id: str, *, terms: ProcessTerms, dialect: Dialect = DEFAULT_DIALECT
) -> Exchange[RunSnapshot | None]:
    """
    Stop an instance by what the terms say, unless it has ended already. Harmless to repeat.

    The server has no operation for it: a state is set that the scheme has for the purpose, or the instance is
    deleted.

    :returns: how it stands, None where that is still to be asked.
    :raises NotFound: if there is no such instance any more.
    :raises RequestRefused: if the server does not set the state, say; and with ``none``, before anything is
        sent.
    """
    if terms.on_kill == "none":
        raise RequestRefused(f"the process {process_id} is not stopped: on_kill is 'none'")
    before = yield from look(process_id, terms=terms, dialect=dialect)
    if before.phase.is_stable:
        return before
    if terms.stop_state is None:
        # It was there just now: a repetition of the request finds it deleted.
        with suppress(NotFound):
            yield from delete_instance(process_id, dialect=dialect)
        return RunSnapshot(execution_id=process_id, status=DELETED, phase=RunPhase.CANCELED, gone=True)
    yield from set_state(
        process_id,
        state=terms.stop_state,
        identity_id=terms.identity_id,
        impersonated_identity_id=terms.impersonated_identity_id,
        dialect=dialect,
    )
    return None


def delete_instance(process_id: str, *, dialect: Dialect = DEFAULT_DIALECT) -> Exchange[None]:
    """
    Delete an instance with all that is known of it: ``deleteinstance``.

    :raises NotFound: if there is none.
    :raises RequestRefused: if there is one, but the server says no.
    """
    response = yield _operation("deleteinstance", process_id, dialect=dialect, changes=True, repeatable=True)
    try:
        _data(response)
    except (NotFound, RequestRefused) as error:
        refusal = error
    else:
        return
    there = yield from exists(process_id, dialect=dialect)
    if not there:
        raise _gone(process_id)
    raise _known(refusal)


# --- commands, states, parameters --------------------------------------------------------------------


def available_commands(
    process_id: str,
    *,
    identity_id: str | None = None,
    impersonated_identity_id: str | None = None,
    dialect: Dialect = DEFAULT_DIALECT,
) -> Exchange[list[Command]]:
    """List the commands that an instance takes now, from somebody: ``getavailablecommands``."""
    response = yield _operation(
        "getavailablecommands",
        process_id,
        dialect=dialect,
        arguments=_identities(identity_id, impersonated_identity_id),
    )
    return [
        Command(
            name=told(raw, "CommandName"),
            localized_name=told(raw, "LocalizedName"),
            classifier=told(raw, "Classifier"),
            raw=raw,
        )
        for raw in _entries(response, key="CommandName")
    ]


def execute_command(
    process_id: str,
    *,
    command: str,
    parameters: Mapping[str, Any] | None = None,
    persist: Sequence[str] = (),
    identity_id: str | None = None,
    impersonated_identity_id: str | None = None,
    dialect: Dialect = DEFAULT_DIALECT,
) -> Exchange[Mapping[str, Any]]:
    """
    Have an instance carry out a command: ``executecommand``. Not repeatable: it may move on each time.

    :param parameters: process parameters that are set with it, by name.
    :param persist: names of those that are kept with the instance.
    :returns: the ``ProcessInstance`` of the answer, empty where there is none.
    :raises CommandNotExecuted: if the server says that it was not executed.
    :raises RequestRefused: if the server does not take it, as where the instance does not offer it now.
    """
    response = yield _operation(
        "executecommand",
        process_id,
        dialect=dialect,
        arguments={"command": command, **_identities(identity_id, impersonated_identity_id)},
        parameters=parameters,
        persist=persist,
        changes=True,
    )
    data = _data(response)
    executed = data.get("WasExecuted") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(executed, bool):
        raise unreadable(response, "lacks 'WasExecuted', true or false")
    if not executed:
        raise CommandNotExecuted(
            f"the command {command!r} was not executed, says the answer to {response.request.label}",
            status=response.status,
        )
    instance = data.get("ProcessInstance")
    return instance if isinstance(instance, Mapping) else {}


def available_states(process_id: str, *, dialect: Dialect = DEFAULT_DIALECT) -> Exchange[list[State]]:
    """List the states that an instance can be set to: ``getavailablestatetoset``."""
    response = yield _operation("getavailablestatetoset", process_id, dialect=dialect)
    return [
        State(name=told(raw, "Name"), visible_name=told(raw, "VisibleName"), raw=raw)
        for raw in _entries(response, key="Name")
    ]


def set_state(
    process_id: str,
    *,
    state: str,
    parameters: Mapping[str, Any] | None = None,
    persist: Sequence[str] = (),
    identity_id: str | None = None,
    impersonated_identity_id: str | None = None,
    dialect: Dialect = DEFAULT_DIALECT,
) -> Exchange[None]:
    """
    Put an instance into a state, whatever its scheme would do next: ``setstate``.

    Not repeatable: what the scheme does on entering the state would be done again.

    :raises RequestRefused: if the server does not set it.
    """
    response = yield _operation(
        "setstate",
        process_id,
        dialect=dialect,
        arguments={"state": state, **_identities(identity_id, impersonated_identity_id)},
        parameters=parameters,
        persist=persist,
        changes=True,
    )
    _data(response)


def set_parameter(
    process_id: str, *, name: str, value: Any, dialect: Dialect = DEFAULT_DIALECT
) -> Exchange[None]:
    """
    Give a process parameter a value: ``setparameter``. Harmless to repeat.

    :param value: a text as it is; anything else as JSON.
    """
    response = yield _operation(
        "setparameter",
        process_id,
        dialect=dialect,
        arguments={"parameter": name, "value": value},
        changes=True,
        repeatable=True,
    )
    _data(response)


def get_parameter(process_id: str, *, name: str, dialect: Dialect = DEFAULT_DIALECT) -> Exchange[Any]:
    """Read the value of a process parameter: ``getparameter``."""
    response = yield _operation("getparameter", process_id, dialect=dialect, arguments={"parameter": name})
    return _data(response)


def list_schemes(*, tags: Sequence[str] = (), dialect: Dialect = DEFAULT_DIALECT) -> Exchange[list[str]]:
    """
    List the codes of the server's schemes: ``getschemelist``. It changes nothing, so it tests a connection.

    :param tags: only schemes that have one of them; separated by commas on the wire.
    """
    arguments = _given(tags=",".join(tags) or None)
    response = yield _operation("getschemelist", None, dialect=dialect, arguments=arguments)
    _refuse_address(response)
    codes = _data(response)
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise unreadable(response, "has 'data' that is no list of scheme codes")
    return [clean_text(code) for code in codes]


# --- requests ----------------------------------------------------------------------------------------


def _identities(identity_id: str | None, impersonated_identity_id: str | None) -> dict[str, Any]:
    return _given(identityId=identity_id, impersonatedIdentityId=impersonated_identity_id)


def _given(**arguments: Any) -> dict[str, Any]:
    """Return those arguments that are given."""
    return {key: value for key, value in arguments.items() if value is not None}


def _operation(
    name: str,
    process_id: str | None,
    *,
    dialect: Dialect,
    arguments: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    persist: Sequence[str] = (),
    changes: bool = False,
    repeatable: bool | None = None,
) -> Request:
    """
    Return the request for an operation.

    :param process_id: None for operations that are about no instance.
    :param arguments: the operation's own.
    :param parameters: process parameters.
    :param persist: names of parameters that are kept.
    :param changes: whether it is more than a question, and so a POST; others are where they have a body.
    :param repeatable: whether twice does no harm; by default only for questions.
    :raises UnsendableValue: for a value that is no JSON, or a name that cannot be kept.
    """
    given = {**(arguments or {}), **_given(tenantId=dialect.tenant_id)}
    missing = [entry for entry in persist if entry not in (parameters or {})]
    if missing:
        raise UnsendableValue(f"persist names {missing[0]!r}, which is none of the parameters")
    query: tuple[tuple[str, str], ...] = ()
    if dialect.arguments_in == "query":
        if any("," in entry for entry in persist):
            raise UnsendableValue("a parameter that is kept has a comma in its name, which parts the names")
        kept = {"persist": ",".join(persist)} if persist else {}
        query = query_of(**{key: _query_text(value, key) for key, value in given.items()}, **kept)
        body = dict(parameters or {})
    else:
        body = given
        if parameters:
            body["parameters"] = [
                {"name": key, "value": value, "persist": key in persist} for key, value in parameters.items()
            ]
    posted = changes or bool(body)
    return Request(
        method="POST" if posted else "GET",
        path=f"/{name}" if process_id is None else f"/{name}/{segment(process_id)}",
        query=query,
        headers=content_type_header(JSON_TYPE) if posted else (),
        body=json_body(body, f"what goes with {name}") if posted else None,
        repeatable=not changes if repeatable is None else repeatable,
    )


def _query_text(value: Any, name: str) -> str:
    """Return a value as the query carries it: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return strict_json(value)
    except NoForm as error:
        raise UnsendableValue(f"{name} cannot be sent as JSON: {error}") from None


# --- answers -----------------------------------------------------------------------------------------


def is_failure(response: Response) -> bool:
    """Tell of an answer whether it is a refusal: no 2xx, or an envelope that says so."""
    if not 200 <= response.status < 300:
        return True
    try:
        raw = response.json()
    except UnreadableAnswer:
        return False
    return isinstance(raw, Mapping) and raw.get("success") is False


def _data(response: Response) -> Any:
    """
    Return what an answer's envelope holds.

    :raises RequestRefused: for ``success: false``, with ``error`` and ``message``.
    :raises UnreadableAnswer: if it is no envelope. :raises WireError: for any answer other than 2xx.
    """
    raw = object_of(response)
    success = raw.get("success")
    if success is True:
        return raw.get("data")
    if success is False:
        as_json = replace(response, headers={"content-type": "application/json"})
        raise RequestRefused(
            f"{response.request.label} was refused",
            status=response.status,
            detail=error_text(as_json) or "the server does not say why",
        )
    raise unreadable(response, "lacks 'success', true or false")


def _refuse_address(response: Response) -> None:
    """A 404 to a call that is not about a known instance is about the address, and no run is gone."""
    if response.status in {404, 410}:
        raise RequestRefused(
            f"{response.request.label} was answered with {response.status}: the server has no Workflow API "
            "there; check the connection's host, port and API prefix",
            status=response.status,
            detail=error_text(response),
        )


def _end_of_gone(process_id: str, terms: ProcessTerms) -> tuple[str, RunPhase]:
    """
    Return status and phase of an instance that was created and is there no more.

    :raises NotFound: if the terms take that for a failure.
    """
    if terms.gone_means == "failure":
        raise _gone(process_id)
    return (DELETED, RunPhase.CANCELED) if terms.gone_means == "stopped" else (PURGED, RunPhase.SUCCEEDED)


def _there(process: Process) -> Process:
    if process.status == InstanceStatus.NOT_FOUND:
        raise _gone(process.id)
    return process


def _gone(process_id: str) -> NotFound:
    return NotFound(f"the server has no process {process_id!r}, or no longer")


def _known(refusal: NotFound | RequestRefused) -> RequestRefused:
    """Return the refusal of an operation on an instance that the server does have."""
    if isinstance(refusal, RequestRefused):
        return refusal
    return RequestRefused(
        f"{refusal}, although the server says that the process exists", status=refusal.status
    )


def _process(response: Response, raw: Any, *, process_id: str) -> Process:
    found = read_process(raw, process_id=process_id)
    if found is None:
        raise unreadable(response, "lacks 'InstanceStatus', a whole number")
    return found


def _entries(response: Response, *, key: str) -> list[Mapping[str, Any]]:
    """
    Return a list of objects that each have a name.

    :param key: where the name stands.
    """
    data = _data(response)
    if not isinstance(data, list):
        raise unreadable(response, f"has 'data' that is no list but {type(data).__name__}")
    for entry in data:
        if not isinstance(entry, Mapping) or not isinstance(entry.get(key), str) or not entry[key]:
            raise unreadable(response, f"has an entry without {key!r}")
    return data
