"""The project that the server plays: its flows, executions and documents, without HTTP.

Every method is one act of a caller or a look, checked against the caller's rights. Invariants: an act is
stored before anybody learns of it; what a caller may not do, or cannot do now, is a :class:`Refused` that
says why and changes nothing. Safe to use from any thread.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from smartflows_provider.devserver.documents import CONTENT_TYPES, TemplateFailed, Templates, make_pdf
from smartflows_provider.devserver.engine import (
    Effect,
    Look,
    Progressed,
    StepFailed,
    Stimulus,
    Story,
    look_at,
)
from smartflows_provider.devserver.flows import (
    DocumentStep,
    EventStep,
    FailStep,
    Flow,
    FormField,
    FormStep,
    InterruptStep,
    OutputStep,
    Step,
    WarningStep,
)
from smartflows_provider.devserver.inputs import InputRefused, check_xml, read_records, read_xml
from smartflows_provider.devserver.keys import User, check_may_change, check_may_see, may_see
from smartflows_provider.devserver.profiles import Profile
from smartflows_provider.devserver.store import Record, Store, StoredDocument, with_story
from smartflows_provider.wire.smart_flows import ExecutionStatus

_NAMESPACE = uuid.UUID("0e3c7a52-7b2e-4a3c-8a54-5f1f5c5d9a21")


class Refused(Exception):
    """
    An act that is not carried out.

    :param message: why, in a sentence.
    :param status: the HTTP status that says it.
    :param problems: details, a sentence each.
    """

    def __init__(self, message: str, *, status: int, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.problems = problems


class Service:
    """
    One project.

    :param flows: its flows.
    :param store: its memory, which may hold executions already.
    :param profile: how it behaves where that is open; may be replaced at any time.
    """

    def __init__(self, *, flows: Iterable[Flow], store: Store, profile: Profile) -> None:
        self.profile = profile
        self.store = store
        self._lock = threading.RLock()
        self._flows = {flow.id: flow for flow in flows}
        self._memories: dict[str, _Memory] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._ahead = float(store.setting("ahead") or 0.0)

    # --- time -----------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the server's time, epoch seconds."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the server's clock ahead, so that executions proceed without anybody waiting."""
        with self._lock:
            self._ahead += seconds
            self.store.remember("ahead", repr(self._ahead))
        self.wake()

    # --- flows ----------------------------------------------------------------------------------------

    def add_flow(self, flow: Flow) -> None:
        """Add a flow, or replace the one with its id; executions keep the definition they began with."""
        with self._lock:
            self._flows[flow.id] = flow

    def flows(self) -> list[Flow]:
        """Return all flows, by name."""
        with self._lock:
            return sorted(self._flows.values(), key=lambda flow: flow.name)

    def flow(self, id_or_name: str) -> Flow:
        """
        Return the one flow with this id or name.

        :raises Refused: 404 if there is none, 400 if several have the name.
        """
        with self._lock:
            if id_or_name in self._flows:
                return self._flows[id_or_name]
            named = [flow for flow in self._flows.values() if flow.name == id_or_name]
        if not named:
            raise Refused(f"There is no flow '{id_or_name}'.", status=404)
        if len(named) > 1:
            raise Refused(f"{len(named)} flows are named '{id_or_name}'; use the id.", status=400)
        return named[0]

    def flow_by_id(self, flow_id: str) -> Flow:
        """
        Return the flow with this id.

        :raises Refused: 404 if there is none.
        """
        flow = self._flows.get(flow_id)
        if flow is None:
            raise Refused(f"There is no flow with the id '{flow_id}'.", status=404)
        return flow

    # --- acts -----------------------------------------------------------------------------------------

    def start(
        self,
        flow: Flow | None,
        *,
        user: User,
        body: bytes = b"",
        content_type: str = "",
        dataset_id: str | None = None,
        unattended: bool = False,
    ) -> Record:
        """
        Start an execution.

        :param flow: None opens it in ``SelectFlow``.
        :param content_type: of the body, with or without parameters.
        :raises Refused: 400 if the input does not suit the flow.
        """
        check_may_change(user)
        media = content_type.partition(";")[0].strip().lower() if body else ""
        if flow is not None:
            _check_input(flow, body, media)
        now = self.now()
        story = Story(
            started_at=now if flow else None, created_at=now, unattended=unattended, speed=self.profile.speed
        )
        record = Record(
            id=str(uuid.uuid4()),
            digest=flow.digest if flow else None,
            owner_id=user.id,
            owner_name=user.name,
            dataset_id=dataset_id,
            content_type=media,
            story=story,
        )
        self.store.add(record, flow=flow, body=body)
        return record

    def answer(self, execution_id: str, values: Any, *, user: User) -> Record:
        """
        Answer the form an execution waits at, or select the flow of one in ``SelectFlow``.

        :param values: ``{form key: value}``; to select a flow ``{"flow": id or name}``.
        :raises Refused: 400 if an answer does not suit the form, 409 if the execution does not ask.
        """
        check_may_change(user)
        if not isinstance(values, Mapping):
            raise Refused("The answers must be a JSON object.", status=400)
        with self._lock:
            record, look = self.record(execution_id, user=user), self.look(execution_id)
            if look.status == ExecutionStatus.SELECT_FLOW:
                return self._select(record, values)
            step = look.waits_at
            if not isinstance(step, FormStep):
                raise Refused(f"The execution asks for no input; its status is {look.status}.", status=409)
            return self._resume(record, step, _check_answers(step, values))

    def send_event(
        self, callback_id: str, *, text: str, execution_id: str | None, user: User
    ) -> tuple[Record, Step]:
        """
        Resume the execution that waits for a callback.

        :param callback_id: an execution's own, or one that a flow's executions share.
        :param execution_id: which one, where several wait.
        :raises Refused: 404 if none waits for it, 400 if several do.
        """
        check_may_change(user)
        with self._lock:
            waiting = [
                (record, look.waits_at)
                for record in self.store.records()
                if not record.purged and execution_id in {None, record.id}
                for look in [self.look(record.id)]
                if isinstance(look.waits_at, EventStep)
                and callback_id in callbacks_of(record.id, look.waits_at)
            ]
            if not waiting:
                raise Refused(f"No execution waits for the callback '{callback_id}'.", status=404)
            if len(waiting) > 1:
                raise Refused(
                    f"{len(waiting)} executions wait for the callback '{callback_id}'; name one with "
                    "'executionId'.",
                    status=400,
                )
            record, step = waiting[0]
            check_may_see(user, owner_id=record.owner_id)
            return self._resume(record, step, text), step

    def cancel(self, execution_id: str, *, user: User) -> Record:
        """Cancel an execution; one that is stable, or cancelled already, stays as it is."""
        check_may_change(user)
        with self._lock:
            record, look = self.record(execution_id, user=user), self.look(execution_id)
            if look.is_stable or record.story.cancel_at is not None:
                return record
            record = with_story(record, cancel_at=self.now() + self.profile.cancel_seconds)
            self.store.change(record)
        self.wake(execution_id)
        return record

    def purge(self, execution_id: str) -> None:
        """Do what the project's clean-up does: execution and documents can no longer be found."""
        with self._lock:
            record = self.store.record(execution_id)
            if record is None:
                raise KeyError(execution_id)
            self.store.change(replace(record, purged=True))
        self.wake(execution_id)

    # --- looks ----------------------------------------------------------------------------------------

    def record(self, execution_id: str, *, user: User) -> Record:
        """
        Return an execution.

        :raises Refused: 404 if there is none, the profile's status if it was cleaned up.
        :raises Denied: 403 if the user may not see it.
        """
        record = self.store.record(execution_id)
        if record is None:
            raise Refused(f"There is no execution '{execution_id}'.", status=404)
        check_may_see(user, owner_id=record.owner_id)
        if record.purged:
            raise Refused(f"The execution '{execution_id}' was cleaned up.", status=self.profile.purged)
        return record

    def records(self, *, user: User, flow: Flow | None = None) -> list[Record]:
        """Return the executions that the user may see, the newest first."""
        return [
            record
            for record in reversed(self.store.records())
            if not record.purged
            and may_see(user, owner_id=record.owner_id)
            and (flow is None or self._runs(record, flow))
        ]

    def flow_of(self, record: Record) -> Flow | None:
        """Return the definition an execution runs by; None in ``SelectFlow``."""
        return self.store.flow(record.digest) if record.digest else None

    def look(self, execution_id: str) -> Look:
        """Return where an execution stands, rendering what it has produced."""
        memory = self._memory(execution_id)
        with memory.lock:
            record = self.store.record(execution_id)
            if record is None:
                raise KeyError(execution_id)
            if memory.final is not None:
                return memory.final
            memory.flow = self.flow_of(record)
            look = look_at(memory.flow, record.story, effects=memory, now=self.now())
            if look.is_stable:
                memory.final = look
            return look

    def data_of(self, record: Record) -> Any:
        """Return an execution's input as plain values, None where it has none."""
        flow = self.flow_of(record)
        return self._memory(record.id).data(flow) if record.content_type and flow else None

    def document(self, document_id: str, *, user: User) -> tuple[StoredDocument, Record]:
        """
        Return a document and the execution that made it.

        :raises Refused: 404 if there is none, the profile's status if it was cleaned up.
        """
        document = self.store.document(document_id)
        if document is None:
            raise Refused(f"There is no document '{document_id}'.", status=404)
        return document, self.record(document.execution, user=user)

    # --- waiting --------------------------------------------------------------------------------------

    @contextmanager
    def watched(self, execution_id: str, wake: Callable[[], None]) -> Iterator[None]:
        """Call ``wake`` whenever somebody does something to the execution, from any thread."""
        with self._lock:
            self._watchers.setdefault(execution_id, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._watchers[execution_id].remove(wake)
                if not self._watchers[execution_id]:
                    del self._watchers[execution_id]

    def wake(self, execution_id: str | None = None) -> None:
        """Wake those who watch an execution, or all."""
        with self._lock:
            watchers = [
                wake
                for watched, wakes in self._watchers.items()
                if execution_id in {None, watched}
                for wake in wakes
            ]
        for wake in watchers:
            wake()

    # --- inside ---------------------------------------------------------------------------------------

    def _memory(self, execution_id: str) -> _Memory:
        with self._lock:
            if execution_id not in self._memories:
                self._memories[execution_id] = _Memory(execution_id, self.store)
            return self._memories[execution_id]

    def _runs(self, record: Record, flow: Flow) -> bool:
        """Return whether an execution is one of a flow, in whatever definition."""
        its_own = self.flow_of(record)
        return its_own is not None and its_own.id == flow.id

    def _select(self, record: Record, values: Mapping[str, Any]) -> Record:
        if set(values) != {"flow"}:
            raise Refused("The answer must name the flow: {'flow': id or name}.", status=400)
        flow = self.flow(str(values["flow"]))
        _check_input(flow, self.store.input_of(record.id), record.content_type)
        record = replace(with_story(record, started_at=self.now()), digest=flow.digest)
        self.store.change(record, flow=flow)
        self.wake(record.id)
        return record

    def _resume(self, record: Record, step: Step, value: Any) -> Record:
        stimuli = {**record.story.stimuli, step.id: Stimulus(at=self.now(), value=value)}
        record = with_story(record, stimuli=stimuli)
        self.store.change(record)
        self.wake(record.id)
        return record


class _Memory:
    """What an execution's steps produced; each is worked out once."""

    def __init__(self, execution_id: str, store: Store) -> None:
        self.lock = threading.RLock()
        self.flow: Flow | None = None
        self.final: Look | None = None
        self._id = execution_id
        self._store = store
        self._wanted: dict[str, bool] = {}
        self._effects: dict[str, Effect | StepFailed] = {}
        self._data: Any = None
        self._templates: Templates | None = None

    def wanted(self, step: Step, so_far: Progressed) -> bool:
        if not step.when:
            return True
        if step.id not in self._wanted:
            try:
                value = self._tools().expression(step.when, self._context(so_far))
            except TemplateFailed as error:
                raise StepFailed(f"condition {error}") from error
            self._wanted[step.id] = bool(value)
        return self._wanted[step.id]

    def of(self, step: Step, so_far: Progressed, *, at: float) -> Effect:
        known = self._effects.get(step.id)
        if known is None:
            try:
                known = self._work_out(step, so_far, at)
            except TemplateFailed as error:
                known = StepFailed(str(error))
            self._effects[step.id] = known
        if isinstance(known, StepFailed):
            raise known
        return known

    def data(self, flow: Flow | None) -> Any:
        """Return the input as plain values, empty where there is none."""
        with self.lock:
            if self._data is None and flow is not None:
                body = self._store.input_of(self._id)
                if flow.start_from == "program":
                    self._data = read_xml(body, flow.xsd)
                else:
                    self._data = read_records(body) if body else {}
            return self._data

    def _work_out(self, step: Step, so_far: Progressed, at: float) -> Effect:
        if isinstance(step, OutputStep):
            return Effect(model=self._tools().values(step.values, self._context(so_far)))
        if isinstance(step, WarningStep | FailStep | InterruptStep):
            return Effect(text=self._tools().text(step.message, self._context(so_far)))
        if isinstance(step, DocumentStep):
            return Effect(model=self._document(step, so_far, at))
        return Effect()

    def _document(self, step: DocumentStep, so_far: Progressed, at: float) -> dict[str, Any]:
        document_id = str(uuid.uuid5(_NAMESPACE, f"{self._id}/{step.id}"))
        document = self._store.document(document_id)
        if document is None:
            context = self._context(so_far)
            html = self._tools().page(step.template, context)
            document = StoredDocument(
                id=document_id,
                execution=self._id,
                name=self._tools().text(step.file_name, context),
                template=step.template,
                content_type=CONTENT_TYPES[step.format],
                created_at=at,
                content=html.encode() if step.format == "html" else make_pdf(html, created_at=at),
            )
            self._store.add_document(document)
        model: dict[str, Any] = {"id": document_id, "displayName": document.name, "type": "document"}
        for key in reversed(step.place):
            model = {key: model}
        return model

    def _tools(self) -> Templates:
        if self._templates is None:
            self._templates = Templates(self.flow.templates if self.flow else {})
        return self._templates

    def _context(self, so_far: Progressed) -> dict[str, Any]:
        return {
            "data": self.data(self.flow),
            "answers": so_far.answers,
            "events": so_far.events,
            "outputs": so_far.model,
            "execution": {"id": self._id},
        }


def callbacks_of(execution_id: str, step: EventStep) -> list[str]:
    """Return the callback ids that resume an execution at a step: its own first, then a shared one."""
    own = str(uuid.uuid5(_NAMESPACE, f"{execution_id}/{step.id}/callback"))
    return [own, step.callback] if step.callback else [own]


_TAKES: Mapping[str, str] = {
    "panel": "starts from the execution panel and takes no input",
    "plugin": "starts from a plug-in and takes its JSON",
    "program": "starts from another program and takes XML",
}


def _check_input(flow: Flow, body: bytes, media: str) -> None:
    kind = "panel"
    if body:
        kind = {"json": "plugin", "xml": "program"}.get(media.rpartition("/")[2].rpartition("+")[2], "other")
    came = {
        "panel": "came without a body",
        "plugin": "came with JSON",
        "program": "came with XML",
        "other": f"came with a body of the content type '{media or 'none'}'",
    }[kind]
    if kind != flow.start_from:
        raise Refused(
            f"The flow '{flow.name}' {_TAKES[flow.start_from]}, but the request {came}.", status=400
        )
    try:
        if kind == "program":
            check_xml(body, flow.xsd)
        elif kind == "plugin":
            read_records(body)
    except InputRefused as error:
        problems = [f"line {line}: {reason}" if line else reason for line, reason in error.problems]
        raise Refused(str(error), status=400, problems=problems) from error


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _check_answers(step: FormStep, values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {entry.key: entry for entry in step.fields}
    problems = [f"there is no field '{key}'" for key in values if key not in fields]
    problems += [problem for entry in step.fields if (problem := _problem(entry, values.get(entry.key)))]
    if problems:
        raise Refused("The answers do not suit the form.", status=400, problems=problems)
    return {key: values.get(key) for key in fields}


def _problem(entry: FormField, value: Any) -> str | None:
    if value is None:
        return f"'{entry.key}' ({entry.title}) is required" if entry.required else None
    is_bool = isinstance(value, bool)
    if not isinstance(value, _TYPES[entry.type]) or (is_bool and entry.type != "boolean"):
        return f"'{entry.key}' ({entry.title}) must be of type {entry.type}"
    if entry.choices and value not in entry.choices:
        return f"'{entry.key}' ({entry.title}) must be one of {', '.join(map(str, entry.choices))}"
    return None
