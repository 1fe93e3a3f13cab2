"""The figures that the demo prints come from Airflow's records: here are such records."""

from __future__ import annotations

import pytest

from smartflows_provider.demo.measures import measure

TASK = {
    "task_id": "run_report",
    "map_index": -1,
    "end_date": "2026-03-01T10:00:12.000000Z",
    "scheduled_when": "2026-03-01T10:00:08.500000Z",
}


def event(name, second, *, task_id="run_report", map_index=-1):
    return {
        "event": name,
        "when": f"2026-03-01T10:00:{second:06.3f}000Z",
        "task_id": task_id,
        "map_index": map_index,
    }


DEFERRED_ONCE = [event("running", 1), event("deferred", 2), event("running", 9), event("success", 12)]


def test_a_deferral_ends_when_the_triggerer_hands_the_task_back():
    usage = measure(TASK, DEFERRED_ONCE)

    assert usage.deferred_seconds == pytest.approx(6.5)
    assert usage.worker_processes == 2


def test_a_hand_back_outside_the_deferral_is_not_taken_for_its_end():
    usage = measure({**TASK, "scheduled_when": "2026-03-01T10:00:00.000000Z"}, DEFERRED_ONCE)

    assert usage.deferred_seconds == pytest.approx(7)


def test_several_deferrals_add_up():
    events = [
        event("running", 1),
        event("deferred", 2),
        event("running", 4),
        event("deferred", 5),
        event("running", 9),
        event("success", 12),
    ]

    usage = measure(TASK, events)

    assert usage.deferred_seconds == pytest.approx(2 + 3.5)
    assert usage.worker_processes == 3


def test_a_task_that_ends_in_the_triggerer_was_deferred_until_its_end_and_used_one_process():
    usage = measure({**TASK, "scheduled_when": None}, DEFERRED_ONCE[:2])

    assert usage.deferred_seconds == pytest.approx(10)
    assert usage.worker_processes == 1


def test_a_task_that_was_never_deferred_has_no_deferred_time():
    usage = measure(TASK, [event("running", 1), event("success", 12)])

    assert usage.deferred_seconds == 0
    assert usage.worker_processes == 1


def test_the_order_of_the_events_does_not_matter():
    assert measure(TASK, DEFERRED_ONCE[::-1]) == measure(TASK, DEFERRED_ONCE)


def test_events_of_other_tasks_and_other_places_do_not_count():
    others = [event("running", 3, task_id="announce"), event("running", 4, map_index=1)]

    assert measure(TASK, [*DEFERRED_ONCE, *others]) == measure(TASK, DEFERRED_ONCE)


def test_nothing_is_claimed_without_records():
    usage = measure(TASK, [])

    assert usage.deferred_seconds is None
    assert usage.worker_processes is None


def test_a_deferral_whose_end_is_not_recorded_has_an_unknown_length():
    usage = measure({**TASK, "scheduled_when": None, "end_date": None}, DEFERRED_ONCE[:2])

    assert usage.deferred_seconds is None
    assert usage.worker_processes == 1
