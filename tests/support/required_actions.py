"""Airflow's Required Actions as a task and its trigger meet them: a form per task instance, and a person."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from airflow.sdk.api.datamodels._generated import HITLUser
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    CreateHITLDetailPayload,
    GetHITLDetailResponse,
    HITLDetailRequestResult,
    UpdateHITLDetail,
)

from smartflows_provider.lifecycle import form_watch

ADA = HITLUser(id="1", name="Ada")


@dataclass
class Detail:
    """What Airflow has on record for a task instance, and shows."""

    ti_id: UUID
    options: list[str]
    subject: str
    body: str | None
    params: dict[str, Any]
    assigned_users: list[HITLUser]
    chosen_options: list[str] | None = None
    params_input: dict[str, Any] = field(default_factory=dict)
    responded_by_user: HITLUser | None = None

    @property
    def response_received(self) -> bool:
        return self.chosen_options is not None


@dataclass
class RequiredActions:
    """The forms of all task instances, and the person who looks at them."""

    keeps_first: bool = False
    """Whether a task instance's first form stays, as before Airflow 3.4."""
    ti_id: UUID = field(default_factory=uuid4)
    asked: list[Detail] = field(default_factory=list)
    """Each form that was given, as it was shown then."""
    details: dict[UUID, Detail] = field(default_factory=dict)
    person: Callable[[Detail], object] | None = None
    """What the person does about a form that has just been shown, in another thread."""
    looks: int = 0
    broken: Exception | None = None
    """Raised to whoever looks at a form, once."""

    def send(self, msg: Any) -> Any:
        """Take what a task or trigger tells its supervisor."""
        if isinstance(msg, CreateHITLDetailPayload):
            return self._shown(msg)
        if isinstance(msg, GetHITLDetailResponse):
            self.looks += 1
            broken, self.broken = self.broken, None
            if broken is not None:
                raise broken
            return self.details[msg.ti_id]
        if isinstance(msg, UpdateHITLDetail):
            return self._respond(self.details[msg.ti_id], msg.chosen_options, msg.params_input, None)
        raise NotImplementedError(msg)

    def answer(self, detail: Detail, **values: Any) -> None:
        """Send a form with values, as a person does; what is not given is sent as the form shows it."""
        shown = {key: param["value"] for key, param in detail.params.items()}
        self._respond(detail, detail.options, {**shown, **values}, ADA)

    def _shown(self, msg: CreateHITLDetailPayload) -> HITLDetailRequestResult:
        detail = self.details.get(msg.ti_id)
        if detail is None or not self.keeps_first:
            detail = Detail(
                ti_id=msg.ti_id,
                options=msg.options,
                subject=msg.subject,
                body=msg.body,
                params=msg.params or {},
                assigned_users=msg.assigned_users or [],
            )
            self.details[msg.ti_id] = detail
        detail.chosen_options, detail.params_input, detail.responded_by_user = None, {}, None
        self.asked.append(detail)
        if self.person is not None:
            threading.Timer(0.1, self.person, [detail]).start()
        return HITLDetailRequestResult(
            ti_id=detail.ti_id,
            options=detail.options,
            subject=detail.subject,
            body=detail.body,
            params=detail.params,
            assigned_users=detail.assigned_users,
        )

    def _respond(
        self, detail: Detail, options: list[str], values: dict[str, Any], user: HITLUser | None
    ) -> Detail:
        if detail.response_received:
            raise RuntimeError("409: the form was answered already")
        detail.params_input, detail.responded_by_user = values, user
        detail.chosen_options = options
        return detail


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> Iterator[RequiredActions]:
    """Airflow's forms in place of a supervisor's; they are looked at often."""
    found = RequiredActions()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", found, raising=False)
    monkeypatch.setattr(form_watch, "LOOK_INTERVAL", 0.05)
    yield found
    found.person = None
