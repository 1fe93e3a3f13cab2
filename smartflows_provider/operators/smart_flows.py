"""The operators for Smart Flows.

They stay thin: the payload room makes the input, the lifecycle brings the run about and judges its end, the
output room makes the manifest. This module is imported at every DAG parse, so it imports nothing heavy at
its top. Invariant: the same manifest, errors and XComs whether the task waits on a worker or in the
triggerer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from smartflows_provider.lifecycle.options import DEFAULT_TIMEOUT
from smartflows_provider.links import FlowExecutionLink
from smartflows_provider.operators.addresses import no_template_file
from smartflows_provider.operators.base import (
    DEFAULT_MAX_XCOM_BYTES,
    FlowOperator,
    LandingOperator,
)
from smartflows_provider.operators.hidden_input import InputOperator
from smartflows_provider.operators.input_checks import check_one_input, check_rows
from smartflows_provider.operators.rows_function import RowsFunction
from smartflows_provider.option_words import options_of
from smartflows_provider.payload.options import Style, is_address
from smartflows_provider.systems import SMART_FLOWS, SMART_FLOWS_CONN_ID

if TYPE_CHECKING:
    from os import PathLike

    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.hooks.smart_flows import SmartFlowsHook
    from smartflows_provider.lifecycle.options import (
        OnAmbiguousSubmission,
        OnClear,
        OnInputChanged,
        OnUserInput,
        OnWarning,
    )
    from smartflows_provider.operators.run_flow import FlowRun
    from smartflows_provider.output.manifest import DocumentEntry, Manifest
    from smartflows_provider.payload.arguments import InputArguments
    from smartflows_provider.payload.options import BadCharacters, NoneAs


class _SmartFlowsOperator(FlowOperator):
    """What the operators share: the connection."""

    system = SMART_FLOWS
    conn_id_field = "smart_flows_conn_id"
    hook: SmartFlowsHook

    def __init__(self, *, smart_flows_conn_id: str = SMART_FLOWS_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.smart_flows_conn_id = smart_flows_conn_id


class SmartFlowsRunFlowOperator(_SmartFlowsOperator, InputOperator):
    """
    Runs a flow and takes its output along.

    Starts an execution, waits for its end without holding a worker (``deferrable``), lands its documents
    and returns the manifest. Right after the start it pushes the XComs ``execution_id`` and
    ``execution_url``. On Airflow 3.3 and later a retry attaches to the execution that an earlier attempt
    has started.

    Events of the task's ``outlets`` say what was landed: an ``AssetAlias`` gets each document as an asset, an
    ``Asset`` what is known of the run.

    The input is one of ``xml``, ``data``, ``rows``, ``sql`` and ``records``, or none for flows that start
    from the execution panel. ``rows`` and ``sql`` are read on the worker, a few rows at a time.

    :param flow: id or name of the flow (templated). A name is looked up, because ids differ between
        environments. None opens an execution in which a person selects the flow.
    :param unattended: run without asking anybody; form fields take their defaults (templated).
    :param dataset_id: the plug-in's data set, with ``records`` (templated).
    :param smart_flows_conn_id: the connection (templated).
    :param xml: the input as XML: a string, bytes, an lxml element, a path object such as
        ``ObjectStoragePath``, or a URL that it takes (templated; any other string that ends in ``.xml`` is a
        template file).
    :param data: the input as a mapping of element names to values (templated; a string is JSON, and one
        that ends in ``.json`` is a template file).
    :param rows: the input as rows: a list of mappings, or of lists with ``columns``, an XComArg, the path of
        a CSV, JSON-lines or Parquet file, or a function of the context that returns rows or a DB-API cursor
        (templated).
    :param sql: a query whose rows are the input (templated; one that ends in ``.sql`` is a template file).
    :param sql_conn_id: the connection for ``sql`` (templated).
    :param records: plug-in records: ``{"id": [...], "entity": ..., "userId": ...,
        "organizationUniqueName": ...}`` (templated).
    :param root: name of the root element, for ``data``, ``rows`` and ``sql`` (templated).
    :param row: name of each row's element, for ``rows`` and ``sql`` (templated).
    :param header: elements before the rows, and attributes of the root as ``@name``, for ``rows`` and
        ``sql`` (templated).
    :param columns: names of the fields, for ``rows`` that are lists (templated).
    :param none_as: what None becomes in ``data``, ``rows`` and ``sql``: no element (``absent``), one with
        ``xsi:nil="true"`` (``nil``), or an empty one (``empty``).
    :param namespaces: ``{prefix: namespace}``, declared on the root element; the prefix ``""`` is the default
        for names without one (templated).
    :param bad_characters: where a value holds a character that XML cannot carry, ``fail``, or ``replace`` it
        by U+FFFD.
    :param xsd: path of the flow's XSD; the input is brought into its order and checked against it before
        anything is sent. A relative path is taken from the DAG file's folder (templated).
    :param hide_payload: keep the input out of rendered fields, and out of messages about the start. Input
        that is written into the DAG file stays part of the serialised DAG, and what the flow itself says in
        its errors and warnings is shown.
    :param wait_for_completion: False returns right after the start.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``.
    :param timeout: seconds from submission until the execution must be finished.
    :param poll_interval: seconds, the longest pause between two looks at the execution.
    :param max_outage: seconds for which the service may be out of reach before the task gives up, and
        keeps the execution.
    :param resume_on_worker: False lets a deferred task succeed without another worker process where a worker
        would have nothing left to do, see ``docs/processes.md``; True always resumes it on a worker.
    :param on_user_input: where a person is needed, ``wait`` until somebody answers in the flow's own panel,
        ``fail``, ``answer`` with ``answers``, or ``ask`` people in Airflow, under *Required Actions*; see
        ``docs/people.md``.
    :param answers: ``{field key or title: value}``; with ``ask`` what the form begins with (templated).
    :param assignees: who may answer, with ``ask``: ids of Airflow's users, or ``{"id", "name"}``; None for
        all who may see the task (templated).
    :param answer_timeout: seconds for which an answer is waited for, with ``ask``; None for as long as
        ``timeout`` allows.
    :param on_warning: ``succeed`` or ``fail`` where the execution ends with warnings.
    :param on_clear: a cleared task cancels the execution it had and starts anew (``restart``), or goes on
        with it (``resume``).
    :param on_input_changed: a retry whose input has changed goes on with the execution (``attach``),
        cancels it and starts anew (``restart``), or fails (``fail``).
    :param on_ambiguous_submission: where it is open whether an execution was started, ``look_up`` the one
        that echoes a value of this task's own (with ``correlation_path``) and go on with it, or ``fail``
        with what to check, as ``look_up`` does where none proves to be it; or ``resubmit`` once, which may
        start a second one.
    :param correlation_path: the element of the input in which the task writes a value of its own, new in each
        attempt: names below the root element, with slashes between them, the last may be an ``@attribute``
        (``header/reference``). It is left empty by the input, and must be there if that is ``xml``.
    :param durable: remember the execution between attempts (Airflow 3.3 and later).
    :param cancel_on_kill: cancel the execution when a person stops the task.
    :param cancel_on_timeout: cancel an execution that this task gives up on.
    :param outputs: ``{name: JMESPath over the values}``, keeps and renames values (templated).
    :param values_by_title: replace keys that are GUIDs by their titles.
    :param documents_path: where documents are landed, below a folder named by the execution: a path or
        URL that ``ObjectStoragePath`` takes (templated). None lists the documents without fetching them.
    :param max_document_bytes: size limit for each document; None for no limit.
    :param max_xcom_bytes: size limit for the manifest; larger values and longer lists of documents go to
        files below ``documents_path``.
    :returns: the manifest, see ``docs/manifest.md``.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = (
        "flow",
        "unattended",
        "dataset_id",
        "smart_flows_conn_id",
        "xml",
        "data",
        "rows",
        "sql",
        "sql_conn_id",
        "records",
        "root",
        "row",
        "header",
        "columns",
        "namespaces",
        "xsd",
        "answers",
        "assignees",
        "outputs",
        "documents_path",
    )
    template_ext: Sequence[str] = (".xml", ".json", ".sql")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "xml": "xml",
        "data": "json",
        "rows": "json",
        "sql": "sql",
        "records": "json",
        "header": "json",
        "columns": "json",
        "namespaces": "json",
        "answers": "json",
        "assignees": "json",
        "outputs": "json",
    }
    INPUTS: ClassVar[Sequence[str]] = ("xml", "data", "rows", "sql", "records")
    PAYLOAD_FIELDS: ClassVar[Sequence[str]] = (*INPUTS, "header", "answers")

    def __init__(
        self,
        *,
        flow: str | None = None,
        unattended: bool | str = False,
        dataset_id: str | None = None,
        smart_flows_conn_id: str = SMART_FLOWS_CONN_ID,
        xml: str | bytes | PathLike[str] | Any | None = None,
        data: Mapping[str, Any] | str | None = None,
        rows: Iterable[Any] | str | PathLike[str] | Callable[[Context], Iterable[Any]] | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        records: Mapping[str, Any] | str | None = None,
        root: str | None = None,
        row: str | None = None,
        header: Mapping[str, Any] | None = None,
        columns: Sequence[str] | str | None = None,
        none_as: NoneAs = "absent",
        namespaces: Mapping[str, str] | None = None,
        bad_characters: BadCharacters = "fail",
        xsd: str | PathLike[str] | None = None,
        hide_payload: bool = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        timeout: float = DEFAULT_TIMEOUT,
        poll_interval: float = 60.0,
        max_outage: float = 600.0,
        resume_on_worker: bool = False,
        on_user_input: OnUserInput = "wait",
        answers: Mapping[str, Any] | None = None,
        assignees: Sequence[str | Mapping[str, str]] | str | None = None,
        answer_timeout: float | None = None,
        on_warning: OnWarning = "succeed",
        on_clear: OnClear = "restart",
        on_input_changed: OnInputChanged = "attach",
        on_ambiguous_submission: OnAmbiguousSubmission = "look_up",
        correlation_path: str | None = None,
        durable: bool = True,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        outputs: Mapping[str, str] | None = None,
        values_by_title: bool = False,
        documents_path: str | PathLike[str] | None = None,
        max_document_bytes: int | None = None,
        max_xcom_bytes: int = DEFAULT_MAX_XCOM_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            smart_flows_conn_id=smart_flows_conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            timeout=timeout,
            poll_interval=poll_interval,
            max_outage=max_outage,
            resume_on_worker=resume_on_worker,
            on_clear=on_clear,
            on_input_changed=on_input_changed,
            durable=durable,
            cancel_on_kill=cancel_on_kill,
            cancel_on_timeout=cancel_on_timeout,
            outputs=outputs,
            documents_path=documents_path,
            max_xcom_bytes=max_xcom_bytes,
            hide_payload=hide_payload,
            options={
                "on_user_input": on_user_input,
                "answer_timeout": answer_timeout,
                "on_warning": on_warning,
                "on_ambiguous_submission": on_ambiguous_submission,
            },
            **kwargs,
        )
        self.flow = flow
        self.unattended = unattended
        self.dataset_id = dataset_id
        self.xml = xml
        self.data = data
        self.rows = RowsFunction(rows) if callable(rows) else rows
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.records = records
        self.root = root
        self.row = row
        self.header = header
        self.columns = columns
        self.none_as = none_as
        self.namespaces = namespaces
        self.bad_characters = bad_characters
        self.xsd = xsd
        self.answers = answers
        self.assignees = assignees
        self.correlation_path = correlation_path
        self.values_by_title = values_by_title
        self.max_document_bytes = max_document_bytes
        with options_of(self.task_id):
            Style(none_as=none_as, bad_characters=bad_characters)
        self._declared = self._given()
        self._check_input()
        self._check_arguments()

    def make_run(self, context: Context) -> FlowRun:
        """Return one attempt of the task."""
        from smartflows_provider.operators.run_flow import FlowRun

        return FlowRun(self, context)

    def with_input(self, arguments: InputArguments, context: Context) -> InputArguments:
        """
        Return arguments with the input filled in; called on the worker, and only where the input is needed.

        :param arguments: about the input.
        :param context: the task's context, for functions of it.
        :raises UnsupportedInput: if the input that the author has named turns out to be None.
        """
        from smartflows_provider.payload.errors import UnsupportedInput

        given = {name: self.payload_argument(name) for name in self.INPUTS}
        if isinstance(given["rows"], RowsFunction):
            given["rows"] = given["rows"].function(context)
        for name in self._declared:
            if given[name] is None:
                raise UnsupportedInput(
                    f"{name} is None now that the task runs; look at the task, the template or the function "
                    "that it comes from"
                )
        del given["sql"]
        return replace(arguments, **given)

    def resolve_template_files(self) -> None:
        """Load template files as Airflow does; an address is none."""
        addresses = {
            name: value for name in self.template_fields if is_address(value := getattr(self, name, None))
        }
        for name in addresses:
            setattr(self, name, None)
        super().resolve_template_files()
        for name, value in addresses.items():
            setattr(self, name, value)

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render as Airflow does; an address is no template file, whatever it ends in."""
        return super().render_template(no_template_file(content), *args, **kwargs)

    def _given(self) -> list[str]:
        """Name the inputs that are given."""
        return [name for name in self.INPUTS if getattr(self, name) is not None]

    def _check_input(self) -> None:
        """Refuse at parse time an input that cannot work."""
        given = self._given()
        with options_of(self.task_id):
            check_one_input(given, kinds=self.INPUTS)
            check_rows(
                self.rows is not None or self.sql is not None,
                rows=self.rows,
                row=self.row,
                root=self.root,
                xsd=self.xsd,
                kinds=("rows", "sql"),
                instead="a function of the context that returns rows, a list, or a path",
            )
        if self.sql is not None and not self.sql_conn_id:
            raise ValueError(f"{self.task_id}: sql needs sql_conn_id, the connection to query.")
        if self.correlation_path is not None and (not given or self.records is not None):
            raise ValueError(
                f"{self.task_id}: correlation_path names a place in XML; it goes with xml, data, rows or sql."
            )

    def _check_arguments(self) -> None:
        """Refuse at parse time what cannot work."""
        if self.unattended is True and (self.flow is None or self.dataset_id is not None):
            raise ValueError(f"{self.task_id}: an unattended start needs flow and takes no dataset_id.")
        if self.options.on_user_input == "answer" and self.answers is None:
            raise ValueError(f"{self.task_id}: on_user_input='answer' needs answers.")
        if self.options.on_user_input != "ask" and self.assignees is not None:
            raise ValueError(f"{self.task_id}: assignees goes with on_user_input='ask'.")


class _FetchingOperator(_SmartFlowsOperator, LandingOperator):
    """What the operators share that bring documents of an execution that is not theirs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.killed = False
        """Whether the task was told to stop."""

    def on_kill(self) -> None:
        """Stop the transfers when the task is being stopped; whole files stay, half ones do not appear."""
        self.killed = True


class SmartFlowsGetOutputOperator(_FetchingOperator):
    """
    Takes the output of a finished execution along, whoever started it.

    :param execution_id: the execution (templated).
    :param smart_flows_conn_id: the connection (templated).
    :param outputs: ``{name: JMESPath over the values}``, keeps and renames values (templated).
    :param values_by_title: replace keys that are GUIDs by their titles.
    :param on_warning: ``succeed`` or ``fail`` where the execution ended with warnings.
    :param documents_path: where documents are landed; None lists them only (templated).
    :param max_document_bytes: size limit for each document; None for no limit.
    :param max_xcom_bytes: size limit for the manifest; larger values and longer lists of documents go to
        files below ``documents_path``.
    :returns: the manifest, as :class:`SmartFlowsRunFlowOperator` returns it.
    :raises FlowStateUnknownError: if the execution is not finished; a retry asks again.
    :raises FlowException: for executions that ended badly, and for what stands in the way.
    """

    template_fields: Sequence[str] = ("execution_id", "smart_flows_conn_id", "outputs", "documents_path")
    template_fields_renderers: ClassVar[dict[str, str]] = {"outputs": "json"}
    operator_extra_links = (FlowExecutionLink(),)

    def __init__(
        self,
        *,
        execution_id: str,
        outputs: Mapping[str, str] | None = None,
        values_by_title: bool = False,
        on_warning: OnWarning = "succeed",
        documents_path: str | PathLike[str] | None = None,
        max_document_bytes: int | None = None,
        max_xcom_bytes: int = DEFAULT_MAX_XCOM_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
        self.outputs = outputs
        self.values_by_title = values_by_title
        self.on_warning = on_warning
        self.documents_path = documents_path
        self.max_document_bytes = max_document_bytes
        self.max_xcom_bytes = max_xcom_bytes
        if on_warning not in {"succeed", "fail"}:
            raise ValueError(f"{self.task_id}: on_warning is {on_warning!r}; it takes 'succeed' or 'fail'.")

    def execute(self, context: Context) -> Manifest:
        """Return the manifest of the execution."""
        from smartflows_provider.operators.on_execution import take_output_of

        with self.hook:
            results = take_output_of(self, context)
        return self._taken(results, context)


class SmartFlowsDownloadDocumentsOperator(_FetchingOperator):
    """
    Lands documents on storage, in constant memory.

    Give an execution, whose output is searched for documents, or the documents' ids.

    :param documents_path: where they are landed, below a folder named by the execution, or ``documents``
        where ids are given (templated). In that folder a document replaces one of its name that another
        task, or another mapped task instance, has landed: give each a path of its own where names repeat.
    :param execution_id: a finished execution (templated).
    :param document_ids: ids of documents (templated).
    :param smart_flows_conn_id: the connection (templated).
    :param max_document_bytes: size limit for each document; None for no limit.
    :returns: ``[{"id", "name", "content_type", "size", "sha256", "uri"}]``, as in the manifest.
    :raises FlowDocumentError: if a transfer broke off; a retry helps and writes the same names.
    :raises FlowOutputError: if a document is over the limit; no retry helps.
    """

    template_fields: Sequence[str] = (
        "documents_path",
        "execution_id",
        "document_ids",
        "smart_flows_conn_id",
    )

    def __init__(
        self,
        *,
        documents_path: str | PathLike[str],
        execution_id: str | None = None,
        document_ids: Sequence[str] | str | None = None,
        max_document_bytes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.documents_path = documents_path
        self.execution_id = execution_id
        self.document_ids = document_ids
        self.max_document_bytes = max_document_bytes
        if (execution_id is None) == (document_ids is None):
            raise ValueError(f"{self.task_id}: give either execution_id or document_ids.")

    def execute(self, context: Context) -> list[DocumentEntry]:
        """Land the documents and return their entries."""
        from smartflows_provider.operators.on_execution import download_for

        with self.hook:
            landing = download_for(self)
        self._landed(landing, context)
        return list(landing.documents)


class SmartFlowsAnswerFormOperator(_SmartFlowsOperator):
    """
    Answers the form of an execution that needs a person; the execution then goes on.

    :param execution_id: the execution (templated).
    :param answers: ``{field key or title: value}`` (templated); fields without an answer keep the form's
        defaults.
    :param smart_flows_conn_id: the connection (templated).
    :returns: the status after the answer, in the service's word.
    :raises FlowStateUnknownError: if the execution asks nothing; a retry looks again.
    :raises FlowUserInputRequiredError: if the answers do not fit the form; no retry helps.
    :raises FlowRequestRefusedError: if the service refuses the answer; no retry helps.
    """

    template_fields: Sequence[str] = ("execution_id", "answers", "smart_flows_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"answers": "json"}

    def __init__(self, *, execution_id: str, answers: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
        self.answers = answers

    def execute(self, context: Context) -> str:
        """Answer the form, and those that follow at once."""
        del context
        from smartflows_provider.operators.on_execution import answer_for

        with self.hook:
            return answer_for(self)


class SmartFlowsSendEventOperator(_SmartFlowsOperator):
    """
    Resumes an execution that waits for an external event.

    :param callback_id: the flow's callback (templated).
    :param execution_id: which execution, where several wait for the callback (templated).
    :param text: what the flow gets to read (templated).
    :param smart_flows_conn_id: the connection (templated).
    :raises FlowNotFoundError: if nothing waits for the callback; a retry may come in time.
    :raises FlowServiceError: if it is open whether the event has arrived; look before you send it again.
    """

    template_fields: Sequence[str] = ("callback_id", "execution_id", "text", "smart_flows_conn_id")

    def __init__(
        self, *, callback_id: str, execution_id: str | None = None, text: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.callback_id = callback_id
        self.execution_id = execution_id
        self.text = text

    def execute(self, context: Context) -> None:
        """Send the event, once."""
        del context
        from smartflows_provider.operators.on_execution import send_event_for

        with self.hook:
            send_event_for(self)


class SmartFlowsCancelExecutionOperator(_SmartFlowsOperator):
    """
    Cancels an execution and waits until it has stopped.

    Succeeds also where the execution had ended by itself, or no longer exists.

    :param execution_id: the execution (templated).
    :param settle_seconds: how long to wait for it to stop.
    :param smart_flows_conn_id: the connection (templated).
    :returns: a sentence that says what became of the execution.
    :raises FlowStateUnknownError: if it did not stop in time, or cannot be asked; a retry asks again.
    """

    template_fields: Sequence[str] = ("execution_id", "smart_flows_conn_id")

    def __init__(self, *, execution_id: str, settle_seconds: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
        self.settle_seconds = settle_seconds

    def execute(self, context: Context) -> str:
        """Cancel, and wait for the end."""
        del context
        from smartflows_provider.operators.on_execution import cancel_for

        with self.hook:
            return cancel_for(self)
