"""What an instance's status means, and the terms it is watched by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.workflow_server_process import (
    InstanceStatus,
    Process,
    phase_of,
    read_process,
    why_failed,
)
from smartflows_provider.wire.workflow_server_terms import ProcessTerms, check_on_kill

A, S, F, C, U = RunPhase.ACTIVE, RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELED, RunPhase.UNKNOWN
NONE: dict[str, Any] = {}
NAMED = {"success_states": ("Approved",), "failure_states": ("Rejected",)}
ACTIVITY = {"success_activities": ("Approve",)}
IDLE = {"wait_for": "idle"}
STOP = {"on_kill": "set_state:Stopped"}


@pytest.mark.parametrize(
    ("status", "state", "terms", "phase"),
    [
        (0, "", NONE, A),
        (1, "Draft", NONE, A),
        (2, "Draft", NONE, A),
        (3, "Draft", NONE, S),
        (4, "Draft", NONE, F),
        (5, "Draft", NONE, F),
        (254, "Draft", NONE, U),
        (255, "Draft", NONE, U),
        (6, "Draft", NONE, U),
        (-1, "", NONE, U),
        # states that mean something, whatever else goes on
        (0, "Approved", NAMED, S),
        (1, "Approved", NAMED, S),
        (2, "Approved", NAMED, S),
        (3, "Approved", NAMED, S),
        (1, "Rejected", NAMED, F),
        (2, "Rejected", NAMED, F),
        (3, "Rejected", NAMED, F),
        (254, "Rejected", NAMED, F),
        # an end by an error, or a word nobody documented, is no success wherever it stands
        (4, "Approved", NAMED, F),
        (5, "Approved", NAMED, F),
        (254, "Approved", NAMED, U),
        (7, "Approved", NAMED, U),
        # finished elsewhere
        (3, "Draft", NAMED, F),
        (3, "", NAMED, F),
        (3, "Draft", ACTIVITY, F),
        (3, "Draft", {"failure_states": ("Rejected",)}, S),
        # names count as they are written
        (1, "approved", NAMED, A),
        (3, "approved", NAMED, F),
        # at rest
        (2, "Draft", IDLE, S),
        (1, "Draft", IDLE, A),
        (2, "Draft", NAMED, A),
        (2, "Draft", {**IDLE, "failure_states": ("Rejected",)}, S),
        # stopped
        (1, "Stopped", STOP, C),
        (2, "Stopped", STOP, C),
        (3, "Stopped", STOP, C),
        (3, "Stopped", {**STOP, **NAMED}, C),
        (5, "Stopped", STOP, F),
        (3, "Stopped", {**STOP, "failure_states": ("Stopped",)}, F),
        (3, "Stopped", {"on_kill": "delete"}, S),
    ],
)
def test_a_status_and_a_state_mean_a_phase(
    status: int, state: str, terms: dict[str, Any], phase: RunPhase
) -> None:
    process = Process(id="p", status=status, state=state, raw={})
    assert phase_of(process, ProcessTerms(**terms)) is phase


@pytest.mark.parametrize(("status", "phase"), [(1, S), (2, S), (3, S), (4, F), (5, F), (254, U)])
def test_an_activity_means_success_without_any_state(status: int, phase: RunPhase) -> None:
    process = Process(id="p", status=status, activity="Approve", raw={})
    assert phase_of(process, ProcessTerms(**ACTIVITY)) is phase


@pytest.mark.parametrize(
    ("status", "state", "shown"),
    [
        (0, "", "Initialized"),
        (1, "", "Running"),
        (2, "Approval", "Idled (Approval)"),
        (3, "Rejected", "Finalized (Rejected)"),
        (4, "", "Terminated"),
        (5, "Draft", "Error (Draft)"),
        (254, "", "Unknown"),
        (255, "", "NotFound"),
        (6, "Draft", "InstanceStatus 6 (Draft)"),
        (2, "x" * 300, f"Idled ({'x' * 100})"),
    ],
)
def test_people_are_shown_the_word_and_the_state(status: int, state: str, shown: str) -> None:
    assert Process(id="p", status=status, state=state, raw={}).shown_status == shown


def test_every_documented_status_has_a_word() -> None:
    words = {status.value: status.word for status in InstanceStatus}
    assert words == {
        0: "Initialized",
        1: "Running",
        2: "Idled",
        3: "Finalized",
        4: "Terminated",
        5: "Error",
        254: "Unknown",
        255: "NotFound",
    }


@pytest.mark.parametrize(
    "how", [{"success_states": ("Approved", "Booked"), "success_activities": ("Done",)}, {"wait_for": "idle"}]
)
def test_terms_survive_json(how: dict[str, Any]) -> None:
    terms = ProcessTerms(
        failure_states=("Rejected",),
        passed_states_count=False,
        on_kill="set_state:Stopped",
        on_purged="fail",
        identity_id="ada",
        impersonated_identity_id="bob",
        **how,
    )
    assert ProcessTerms.from_dict(json.loads(json.dumps(terms.as_dict()))) == terms
    assert ProcessTerms.from_dict(ProcessTerms().as_dict()) == ProcessTerms()


def test_terms_of_another_release_are_read() -> None:
    read = ProcessTerms.from_dict({"success_states": ["Approved"], "of_tomorrow": {"a": 1}})
    assert read == ProcessTerms(success_states=("Approved",))
    assert ProcessTerms.from_dict({}) == ProcessTerms()


@pytest.mark.parametrize("value", ["none", "delete", "set_state:Stopped", "set_state:In review: late"])
def test_an_on_kill_is_none_delete_or_a_state(value: str) -> None:
    assert check_on_kill(value) == value
    assert ProcessTerms(on_kill=value).on_kill == value


@pytest.mark.parametrize(
    "value", ["", "cancel", "set_state", "set_state:", "set_state: ", "Delete", None, 3, ["none"]]
)
def test_another_on_kill_is_refused_with_what_there_is(value: Any) -> None:
    with pytest.raises(ValueError, match=r"it takes 'none', 'delete', or 'set_state:' with the name"):
        check_on_kill(value)


def test_the_state_that_stops_is_what_stands_behind_the_colon() -> None:
    assert ProcessTerms(on_kill="set_state:A: b").stop_state == "A: b"
    assert ProcessTerms(on_kill="delete").stop_state is None


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"success_states": "Approved"}, "success_states is 'Approved'; it takes a list of names"),
        ({"failure_states": (1,)}, r"failure_states is \(1,\); it takes a list of names"),
        ({"success_activities": ("",)}, r"success_activities is \('',\); it takes a list of names"),
        ({"passed_states_count": "no"}, "passed_states_count is 'no'; it takes one of True, False"),
        ({"wait_for": "ever"}, "wait_for is 'ever'; it takes one of 'finalized', 'idle'"),
        (
            {"on_kill": "delete", "on_purged": "succeed"},
            "on_kill='delete' and on_purged='succeed' do not go together",
        ),
        (
            {"wait_for": "idle", "success_states": ("Done",)},
            "wait_for='idle' does not go with success_states or success_activities: .* leave one of the two",
        ),
        ({"wait_for": "idle", "success_activities": ("Done",)}, "wait_for='idle' does not go with"),
        (
            {"on_kill": "set_state:Done", "success_states": ("Approved", "Done")},
            "on_kill sets the state 'Done', which is one of success_states: a process that was stopped would",
        ),
        ({"on_purged": "ignore"}, "on_purged is 'ignore'; it takes one of 'succeed', 'fail'"),
    ],
)
def test_terms_that_mean_nothing_are_refused(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProcessTerms(**terms)


@pytest.mark.parametrize(
    ("terms", "means"),
    [
        ({}, "success"),
        ({"on_kill": "set_state:Out"}, "success"),
        ({"on_kill": "delete"}, "stopped"),
        ({"on_kill": "delete", "success_states": ("Done",)}, "stopped"),
        ({"success_states": ("Done",)}, "failure"),
        ({"success_activities": ("Done",)}, "failure"),
        ({"failure_states": ("Rejected",)}, "failure"),
        ({"success_states": ("Done",), "on_purged": "succeed"}, "success"),
        ({"on_purged": "fail"}, "failure"),
        ({"on_kill": "delete", "on_purged": "fail"}, "failure"),
    ],
)
def test_an_instance_that_is_gone_is_a_success_only_where_its_end_is_all_that_counts(
    terms: dict[str, Any], means: str
) -> None:
    assert ProcessTerms(**terms).gone_means == means


def test_an_instance_that_came_through_the_state_that_stops_it_is_no_success() -> None:
    shown = {
        "Id": "p",
        "InstanceStatus": 3,
        "ActivityName": "Closed",
        "StateName": "Closed",
        "Transitions": [{"ToStateName": "Withdrawn"}, {"ToStateName": "Closed"}, None],
    }
    process = read_process(shown, process_id="p")
    assert process is not None
    assert phase_of(process, ProcessTerms(on_kill="set_state:Withdrawn")) is RunPhase.CANCELED
    assert phase_of(process, ProcessTerms()) is RunPhase.SUCCEEDED
    named = ProcessTerms(on_kill="set_state:Withdrawn", success_states=("Closed",))
    assert phase_of(process, named) is RunPhase.SUCCEEDED


def been(*places: str, status: int = 1, times: Sequence[str | None] | None = None) -> Process:
    """Return an instance that has come through places; each is the name of a state and of an activity."""
    ways = [
        {"FromStateName": one, "FromActivityName": one, "ToStateName": next_one, "ToActivityName": next_one}
        for one, next_one in pairwise(places)
    ]
    if times is not None:
        ways = [{**way, "TransitionTime": time} for way, time in zip(ways, times, strict=True)]
    shown = {
        "InstanceStatus": status,
        "StateName": places[-1],
        "ActivityName": places[-1],
        "Transitions": ways,
    }
    process = read_process(shown, process_id="p")
    assert process is not None
    return process


ALL = {**NAMED, "on_kill": "set_state:Stopped"}


@pytest.mark.parametrize(
    ("places", "terms", "running", "finalized"),
    [
        (("Draft", "Approved", "Filed"), NAMED, S, S),
        (("Approved", "Filed"), NAMED, S, S),
        (("Draft", "Approve", "Filed"), ACTIVITY, S, S),
        (("Draft", "Rejected", "Filed"), NAMED, A, F),
        (("Draft", "Rejected", "Filed"), {"failure_states": ("Rejected",)}, A, F),
        (("Draft", "Stopped", "Filed"), STOP, A, C),
        (("Draft", "Stopped", "Filed"), ALL, A, C),
        # the last of them decides
        (("Rejected", "Draft", "Approved", "Filed"), ALL, S, S),
        (("Approved", "Draft", "Rejected", "Filed"), ALL, A, F),
        (("Approved", "Stopped", "Filed"), ALL, A, C),
        (("Stopped", "Approved", "Filed"), ALL, S, S),
        # where it stands goes before what it has come through
        (("Approved", "Rejected"), ALL, F, F),
        (("Rejected", "Approved"), ALL, S, S),
        (("Approved", "Stopped"), ALL, C, C),
        # it counts in the sensor of an instance that comes round again only as it stands
        (("Draft", "Approved", "Draft"), {**NAMED, "passed_states_count": False}, A, F),
        (
            ("Draft", "Rejected", "Draft"),
            {"failure_states": ("Rejected",), "passed_states_count": False},
            A,
            S,
        ),
    ],
)
def test_a_place_that_was_left_between_two_looks_counts(
    places: tuple[str, ...], terms: dict[str, Any], running: RunPhase, finalized: RunPhase
) -> None:
    assert phase_of(been(*places), ProcessTerms(**terms)) is running
    assert phase_of(been(*places, status=2), ProcessTerms(**terms)) is running
    assert phase_of(been(*places, status=3), ProcessTerms(**terms)) is finalized
    assert phase_of(been(*places, status=5), ProcessTerms(**terms)) is F
    if F not in {running, finalized}:
        assert phase_of(been(*places, status=254), ProcessTerms(**terms)) is U


@pytest.mark.parametrize(
    ("times", "phase"),
    [
        (["2026-11-27T10:00:00Z", "2026-11-27T11:00:00Z", "2026-11-27T12:00:00Z"], S),
        (["2026-11-27T12:00:00.1234567", "2026-11-27T11:00:00", "2026-11-27T10:00:00"], F),
        # what cannot be compared leaves the server's order
        (["2026-11-27T12:00:00", "2026-11-27T11:00:00Z", "2026-11-27T10:00:00"], S),
        (["late", "2026-11-27T11:00:00", "2026-11-27T10:00:00"], S),
        ([None, None, None], S),
        (None, S),
    ],
)
def test_transitions_count_in_the_order_of_their_times(
    times: Sequence[str | None] | None, phase: RunPhase
) -> None:
    assert (
        phase_of(been("Draft", "Rejected", "Approved", "Filed", status=3, times=times), ProcessTerms(**NAMED))
        is phase
    )


def test_what_is_no_name_in_a_transition_means_nothing() -> None:
    ways = [{"ToStateName": ["Approved"], "ToActivityName": 7}, {}, {"ToStateName": None}]
    process = read_process({"InstanceStatus": 3, "Transitions": ways}, process_id="p")
    assert process is not None
    assert phase_of(process, ProcessTerms(**NAMED)) is F


def test_a_failure_that_was_come_through_is_told() -> None:
    told = why_failed(been("Draft", "Rejected", "Filed", status=3), ProcessTerms(**NAMED))
    assert told == "It has finished in the state 'Filed', and came through one of failure_states: 'Rejected'"
