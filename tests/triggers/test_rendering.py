"""Templates in the triggerer: what a worker would make of them, or nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from airflow.utils.types import DagRunType
from pydantic import BaseModel

from smartflows_provider.triggers.rendering import NotRenderedError, render

XCOMS = {("start", "execution_id", -1): "e1", ("start", "return_value", -1): {"execution_id": "e1", "n": 5}}
NEVER = object()


def pull(
    task_ids: str,
    dag_id: Any = None,
    key: str = "return_value",
    *,
    map_indexes: Any = NEVER,
    default: Any = None,
) -> Any:
    """Answer as the triggerer does, which never answers where no index is given."""
    assert map_indexes is not NEVER
    return XCOMS.get((task_ids, key, map_indexes))


class ToldRun(BaseModel):
    """A DAG run as the triggerer is told of it."""

    conf: dict[str, Any]
    run_type: DagRunType = DagRunType.MANUAL
    run_id: str = ""
    note: str | None = None
    triggering_user_name: str | None = None
    clear_number: int = 0
    consumed_asset_events: list[str] = []


def context() -> dict[str, Any]:
    ti = SimpleNamespace(xcom_pull=pull, run_id="r1", max_tries=3)
    dag_run = ToldRun(conf={"id": "e9"}, run_type=DagRunType.MANUAL, run_id="r1", consumed_asset_events=[])
    return {
        "ti": ti,
        "task_instance": ti,
        "ds": "2027-01-15",
        "dag_run": dag_run,
        "triggering_asset_events": {},
        "task_reschedule_count": 0,
    }


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("e1", "e1"),
        ("{{ ti.xcom_pull('start', key='execution_id') }}", "e1"),
        ("{{ ti.xcom_pull(task_ids='start', key='execution_id', map_indexes=-1) }}", "e1"),
        ("{{ task_instance.xcom_pull(task_ids='start', dag_id='d', key='execution_id') }}", "e1"),
        ("{{ ti.xcom_pull('start')['execution_id'] }}", "e1"),
        ("{{ ti.xcom_pull('start').execution_id | upper }}", "E1"),
        ("{{ dag_run.conf['id'] }}", "e9"),
        ("{{ ti.run_id }}-{{ ds }}", "r1-2027-01-15"),
        ("{{ dag_run.run_id }}", "r1"),
        ("{{ ti.xcom_pull('start', key='execution_id', default='e0', map_indexes=-1) }}", "e1"),
        ("{% if ds %}e1{% endif %}", "e1"),
    ],
)
def test_what_the_triggerer_knows_is_rendered(template: str, expected: str) -> None:
    assert render(template, context()) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ ti.xcom_pull('nobody') }}",
        "{{ ti.xcom_pull('start') }}",
        "{{ ti.xcom_pull('start')['n'] }}",
        "{{ ti.xcom_pull(['start', 'start']) }}",
        "{{ ti.xcom_pull() }}",
        "{{ ti.xcom_pull('start', map_indexes=7) }}",
        "{{ None }}",
        "{{ 5 }}",
        "{{ dag_run.run_type }}",
        "{{ 'user' if dag_run.triggering_user_name else 'nobody' }}",
        "{{ dag_run.note or 'nothing' }}",
        "{{ 'again' if dag_run.clear_number else 'first' }}",
        "{{ 'assets' if dag_run.consumed_asset_events else 'none' }}",
        "{{ 'assets' if triggering_asset_events else 'none' }}",
        "{% for event in triggering_asset_events %}x{% endfor %}e1",
        "{{ 'again' if task_reschedule_count > 0 else 'first' }}",
        "{{ 'cleared' if ti.max_tries > 2 else 'new' }}",
        "{{ ti.xcom_pull('start', key='x', default='e0') }}",
        "{{ ti.xcom_pull('start', key='execution_id', include_prior_dates=True) }}",
        "{{ ti.xcom_pull('start', 'd', 'execution_id', True) }}",
    ],
)
def test_what_a_worker_may_see_otherwise_is_not(template: str) -> None:
    with pytest.raises(NotRenderedError):
        render(template, context())


@pytest.mark.parametrize(
    "template",
    [
        "{{ my_macro('x') }}",
        "{{ my_macro }}",
        "x{{ nothing ~ 'y' }}",
        "{{ ds | my_filter }}",
        "{{ dag_run.conf['other'] }}",
        "{{ ti.xcom_pull('start')['other'] }}",
        "{{ ti.__class__ }}",
        "{{ ",
    ],
)
def test_what_the_triggerer_does_not_know_is_an_error(template: str) -> None:
    with pytest.raises((jinja2.TemplateError, NotRenderedError)):
        render(template, context())
