"""The operator for PhixFlow.

It stays thin: the wire room knows how endpoints speak, the lifecycle brings a run about and judges its end.
This module is imported at every DAG parse, so it imports nothing heavy at its top. Invariant: what can be
refused at parse time is refused there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from smartflows_provider.operators.base import TEMPLATED
from smartflows_provider.operators.hidden_input import InputOperator
from smartflows_provider.option_words import options_of
from smartflows_provider.systems import PHIXFLOW, PHIXFLOW_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.operators.run_actionflow import ActionflowRun
    from smartflows_provider.wire.phixflow_terms import ActionflowTerms

METHODS = ("GET", "POST", "PUT", "DELETE")
MODES = ("wait", "poll")
AMBIGUOUS = ("fail", "resubmit")
DEFAULT_LIMIT_SECONDS = 60.0
"""The vendor's default for how long *Wait for result* lasts before the server aborts the work."""


class PhixFlowRunActionflowOperator(InputOperator):
    """
    Runs an actionflow through its API endpoint and takes along what it returns.

    Name the endpoint by ``application`` and ``actionflow`` (version 11), by ``actionflow`` alone (version
    10), or by ``path``. With ``mode="wait"`` (*Wait for result*) the endpoint answers at the end of the work,
    and the task holds a worker until then. With ``mode="poll"`` (*Poll for result*) it answers at once with a
    process id, and the task asks for the status, in the triggerer with ``deferrable=True``.

    PhixFlow has no call that stops a run: a run in the mode ``poll`` goes on when its task is stopped or
    gives it up, and the server aborts one in the mode ``wait`` by itself at the endpoint's limit.

    What the vendor leaves open, or to the endpoint's author, is an argument. A field of an answer is named by
    keys with dots between them (``data.status``), a place in a list by its number, and the whole answer by an
    empty text. Words are compared without regard to case.

    :param application: name of the application (templated).
    :param actionflow: name of the actionflow (templated).
    :param path: instead of names, the endpoint's path as PhixFlow shows it, or what follows the connection's
        API prefix; quoted or not (templated).
    :param phixflow_conn_id: the connection (templated).
    :param mode: ``wait`` or ``poll``, as the endpoint is set up.
    :param method: HTTP method, as the endpoint is set up; ``POST`` in version 10.
    :param parameters: ``{input parameter: text, number, truth value, date or time}`` for the query; None
        leaves one out (templated; a string is JSON).
    :param body: what JSON can say, or a string that is JSON, or with ``content_type`` any text (templated).
    :param content_type: of a body that is a text, ``text/csv; charset=utf-8`` say.
    :param timeout_ms: milliseconds that override the endpoint's own limit.
    :param endpoint_limit: seconds after which the server aborts the work in the mode ``wait``, where
        ``timeout_ms`` does not say; the vendor's default is 60.
    :param status_path: for ``poll``, where the status is asked, below the API prefix, with ``{id}`` in the
        place of the process id, and optionally ``{application}`` and ``{actionflow}``; a query may follow.
        Default ``/action/{id}/status``.
    :param status_method: for ``poll``, ``GET`` (default) or ``POST``.
    :param id_field: for ``poll``, where the first answer has the process id. Default ``processId``.
    :param status_field: where an answer has its status word. Default ``status``, which an answer in the mode
        ``wait`` need not have; a field that is named must be there. With an empty text, an answer that is a
        text must begin with a word that is set.
    :param success_words: words for a success. Default ``Success``.
    :param failure_words: words for a failure. Default ``Fail``, ``Failed`` and ``Failure``.
    :param running_words: for ``poll``, words for a run that goes on. Default ``Queued``, ``Pending``,
        ``Running`` and ``In Progress``; with any other word the task waits on too, and says so.
    :param success_codes: HTTP codes of a success. Default any 2xx.
    :param failure_codes: HTTP codes of a failure, whatever the body says. Default none; a 4xx or 5xx whose
        body has a failure word is one too, and any other is an error. 429 is always the server's own.
    :param message_field: where an answer has the author's message. Default ``message``.
    :param output_name: name of the output connection point.
    :param result_path: where an answer has the returned data, with ``{output}`` in the place of
        ``output_name``. Default the field named like the output; the whole answer without ``output_name``.
    :param records_field: where an answer has the list of records, if they are processed one by one.
    :param record_id_field: where a record has its id. Default ``id``; without one it goes by its number.
    :param record_status_field: where a record has its status word; any but a success word is a failure.
        Default ``status``.
    :param record_message_field: where a record has its message. Default ``message``.
    :param on_partial_failure: where the run succeeds and records failed, ``fail`` the task, which lists them
        (default), ``warn``, so that the manifest's warnings list them, or ``succeed``.
    :param on_ambiguous_submission: where it is open whether the actionflow has run, ``fail`` with what to
        check, or ``resubmit`` once, which may run it a second time.
    :param hide_payload: keep parameters and body out of rendered fields, and the endpoint's words out of
        messages about the call. What is written into the DAG file stays part of the serialised DAG.
    :param deferrable: wait in the triggerer, only with ``mode="poll"``; default for that from
        ``[operators] default_deferrable``.
    :param kwargs: as :class:`smartflows_provider.operators.base.RunOperator` takes them, but for
        ``cancel_on_kill`` and ``cancel_on_timeout``, and with ``mode="wait"`` for ``on_clear="resume"`` and a
        ``timeout`` below the endpoint's limit, which ``timeout_ms`` lowers.
    :returns: the manifest, see ``docs/manifest.md``. In the mode ``wait`` the endpoint need not name the run;
        then ``execution_id`` is a name that the task gives it, ``call-…``.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    system = PHIXFLOW
    conn_id_field = "phixflow_conn_id"
    template_fields: Sequence[str] = (
        "application",
        "actionflow",
        "path",
        "phixflow_conn_id",
        "parameters",
        "body",
        *TEMPLATED,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "parameters": "json",
        "body": "json",
        "outputs": "json",
    }
    PAYLOAD_FIELDS: ClassVar[Sequence[str]] = ("parameters", "body")

    def __init__(
        self,
        *,
        application: str | None = None,
        actionflow: str | None = None,
        path: str | None = None,
        phixflow_conn_id: str = PHIXFLOW_CONN_ID,
        mode: Literal["wait", "poll"] = "wait",
        method: Literal["GET", "POST", "PUT", "DELETE"] = "POST",
        parameters: Mapping[str, Any] | str | None = None,
        body: Any = None,
        content_type: str | None = None,
        timeout_ms: int | None = None,
        endpoint_limit: float = DEFAULT_LIMIT_SECONDS,
        status_path: str | None = None,
        status_method: Literal["GET", "POST"] | None = None,
        id_field: str | None = None,
        status_field: str | None = None,
        success_words: Sequence[str] | None = None,
        failure_words: Sequence[str] | None = None,
        running_words: Sequence[str] | None = None,
        success_codes: Sequence[int] | None = None,
        failure_codes: Sequence[int] | None = None,
        message_field: str | None = None,
        output_name: str | None = None,
        result_path: str | None = None,
        records_field: str | None = None,
        record_id_field: str | None = None,
        record_status_field: str | None = None,
        record_message_field: str | None = None,
        on_partial_failure: Literal["fail", "warn", "succeed"] = "fail",
        on_ambiguous_submission: Literal["fail", "resubmit"] = "fail",
        hide_payload: bool = False,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        for name in ("cancel_on_kill", "cancel_on_timeout"):
            if kwargs.pop(name, False):
                raise ValueError(
                    f"{kwargs.get('task_id')}: PhixFlow has no call that stops a run; leave out {name}."
                )
        if mode == "wait":
            kwargs["deferrable"] = False
        elif deferrable is not None:
            kwargs["deferrable"] = deferrable
        super().__init__(
            cancel_on_kill=False,
            cancel_on_timeout=False,
            hide_payload=hide_payload,
            options={"on_ambiguous_submission": on_ambiguous_submission},
            **kwargs,
        )
        self.application = application
        self.actionflow = actionflow
        self.path = path
        self.phixflow_conn_id = phixflow_conn_id
        self.mode = mode
        self.method = method
        self.parameters = parameters
        self.body = body
        self.content_type = content_type
        self.timeout_ms = timeout_ms
        self.endpoint_limit = endpoint_limit
        self.status_path = status_path
        self._answers: dict[str, Any] = {
            "mode": mode,
            "status_method": status_method,
            "id_field": id_field,
            "status_field": status_field,
            "success_words": _listed(success_words),
            "failure_words": _listed(failure_words),
            "running_words": _listed(running_words),
            "success_codes": _listed(success_codes),
            "failure_codes": _listed(failure_codes),
            "message_field": message_field,
            "output_name": output_name,
            "result_path": result_path,
            "records_field": records_field,
            "record_id_field": record_id_field,
            "record_status_field": record_status_field,
            "record_message_field": record_message_field,
            "on_partial_failure": on_partial_failure,
        }
        self._check(deferrable=deferrable)

    @property
    def limit_seconds(self) -> float:
        """Seconds after which the server aborts the work in the mode ``wait``."""
        return float(self.endpoint_limit) if self.timeout_ms is None else self.timeout_ms / 1000

    def make_run(self, context: Context) -> ActionflowRun:
        """Return one attempt of the task."""
        from smartflows_provider.operators.run_actionflow import ActionflowRun

        return ActionflowRun(self, context)

    def run_terms(self) -> dict[str, Any]:
        """Return how the endpoint's answers are read."""
        from smartflows_provider.operators.run_actionflow import terms_of

        return terms_of(self).as_dict()

    def terms(self, *, status_path: str | None, endpoint: str = "") -> ActionflowTerms:
        """
        Return how the endpoint's answers are read.

        :param status_path: with nothing but ``{id}`` left to be filled in; None is the default.
        :param endpoint: what people call it.
        :raises ValueError: for what no answer can mean.
        """
        from smartflows_provider.wire.phixflow_terms import ActionflowTerms

        given = {**self._answers, "status_path": status_path, "endpoint": endpoint}
        return ActionflowTerms(**{name: value for name, value in given.items() if value is not None})

    def _check(self, *, deferrable: bool | None) -> None:
        """Refuse at parse time what cannot work."""
        for name, words in (("mode", MODES), ("method", METHODS)):
            if getattr(self, name) not in words:
                raise ValueError(
                    f"{self.task_id}: {name} is {getattr(self, name)!r}; it takes {', '.join(words)}."
                )
        if self.options.on_ambiguous_submission not in AMBIGUOUS:
            raise ValueError(
                f"{self.task_id}: on_ambiguous_submission is {self.options.on_ambiguous_submission!r}; "
                f"it takes {', '.join(AMBIGUOUS)}."
            )
        if (self.path is None) == (self.actionflow is None) or (self.path and self.application is not None):
            raise ValueError(
                f"{self.task_id}: name the endpoint by actionflow, with or without application, or by path."
            )
        if self.timeout_ms is not None and not (_is_whole(self.timeout_ms) and self.timeout_ms > 0):
            raise ValueError(
                f"{self.task_id}: timeout_ms is {self.timeout_ms!r}; it takes whole milliseconds above 0."
            )
        if not (_is_number(self.endpoint_limit) and 0 < self.endpoint_limit < float("inf")):
            raise ValueError(
                f"{self.task_id}: endpoint_limit is {self.endpoint_limit!r}; it takes seconds above 0."
            )
        if self.mode == "wait":
            self._check_wait(deferrable=deferrable)
        with options_of(self.task_id):
            self.terms(status_path=self.filled_status_path(application="a", actionflow="a"))

    def _check_wait(self, *, deferrable: bool | None) -> None:
        """Refuse what does not go with an answer that comes at the end of the work, to who has called."""
        if deferrable:
            raise ValueError(
                f"{self.task_id}: deferrable=True does not go with mode='wait', whose answer comes at the "
                "end of the work, to the process that has called. Set the endpoint to 'Poll for result' and "
                "mode='poll', or leave deferrable out."
            )
        if not self.wait_for_completion:
            raise ValueError(
                f"{self.task_id}: wait_for_completion=False does not go with mode='wait', whose answer comes "
                "at the end of the work. Set the endpoint to 'Poll for result' and mode='poll'."
            )
        if self.options.on_clear == "resume":
            raise ValueError(
                f"{self.task_id}: on_clear='resume' does not go with mode='wait': when the task is cleared, "
                "nothing goes on. Leave on_clear out."
            )
        timeout, limit = self.options.timeout, self.limit_seconds
        if timeout < limit:
            raise ValueError(
                f"{self.task_id}: timeout is {timeout:g} s, but the endpoint may take {limit:g} s in "
                f"mode='wait'. Give timeout_ms={math.ceil(timeout * 1000)} to have the server abort the work "
                "then, or leave timeout out."
            )

    def filled_status_path(self, *, application: str, actionflow: str) -> str | None:
        """
        Return ``status_path`` with the endpoint's names in it.

        :param application: quoted.
        :param actionflow: quoted.
        """
        if not isinstance(self.status_path, str):
            return self.status_path
        return self.status_path.replace("{application}", application).replace("{actionflow}", actionflow)


def _listed(values: Any) -> Any:
    """Return a list of an author's as a tuple; what is no list as it is, to be refused by name."""
    return tuple(values) if isinstance(values, list | tuple | set | frozenset) else values


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole(value)
