"""Having Airflow ask a person, by its own human-in-the-loop forms.

The one place that speaks to Airflow about them, on a worker and, for what only reads or closes a form, in a
triggerer. Invariant: what Airflow has on record is looked at, not assumed, because some of its versions keep
the first form of a task instance whatever they are given later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.sdk.api.datamodels._generated import HITLUser
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail, update_hitl_detail_response

from smartflows_provider.lifecycle.airflow_form import SEND
from smartflows_provider.waiting.event import FormAnswer

if TYPE_CHECKING:
    from smartflows_provider.lifecycle.airflow_form import AirflowForm

ELSEWHERE = "Answered in the flow's own panel"
TOO_LATE = "Not answered in time"
CLOSED = frozenset({ELSEWHERE, TOO_LATE})
"""What stands on record as the chosen option of a form that is not to be answered any more."""


def ask_person(ti_id: UUID | str, form: AirflowForm, *, assignees: Sequence[Mapping[str, str]]) -> bool:
    """
    Have Airflow show a form for a task instance; an answer to an earlier one is forgotten.

    :param ti_id: the task instance; called on its worker only.
    :param form: what is asked.
    :param assignees: ``{"id", "name"}`` of those who may answer; empty for all who may see the task.
    :returns: whether that is what Airflow shows now, and to whom; if not it still shows an earlier form.
    """
    assigned = [HITLUser(id=user["id"], name=user["name"]) for user in assignees]
    shown: Any = task_runner.SUPERVISOR_COMMS.send(
        msg=CreateHITLDetailPayload(
            ti_id=UUID(str(ti_id)),
            options=[SEND],
            subject=form.subject,
            body=form.body,
            params={key: dict(param) for key, param in form.params.items()},
            assigned_users=assigned,
        )
    )
    same = form.is_shown_as(subject=shown.subject, body=shown.body, params=shown.params or {})
    return same and {user.id for user in shown.assigned_users or ()} == {user.id for user in assigned}


def given_answer(ti_id: UUID | str) -> FormAnswer | None:
    """
    Return what a person has answered so far, None for nothing; one of :data:`CLOSED` is nobody's choice.

    :param ti_id: the task instance; asks Airflow.
    """
    found: Any = get_hitl_detail_content_detail(UUID(str(ti_id)))
    if not (found.response_received and found.chosen_options):
        return None
    user = found.responded_by_user
    return FormAnswer(
        chosen=tuple(found.chosen_options),
        values=dict(found.params_input or {}),
        by="" if user is None else str(user.name or user.id),
    )


def close_form(ti_id: UUID | str, why: str) -> None:
    """
    Note that a form is not to be answered any more; fails for one that was answered.

    :param ti_id: the task instance; asks Airflow.
    :param why: one of :data:`CLOSED`.
    """
    update_hitl_detail_response(UUID(str(ti_id)), chosen_options=[why], params_input={})
