"""The terms on which a flow's status is waited for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartflows_provider.wire.ocp_status import FlowStatus, StatusTerms, read_status
from smartflows_provider.wire.run import RunPhase


@pytest.mark.parametrize("target", list(FlowStatus))
def test_the_target_is_a_success_and_the_other_documented_statuses_are_waited_through(
    target: FlowStatus,
) -> None:
    terms = StatusTerms(target=target)
    for status in FlowStatus:
        expected = RunPhase.SUCCEEDED if status is target else RunPhase.ACTIVE
        assert terms.phase_of(status) is expected
    assert terms.phase_of("starting") is RunPhase.UNKNOWN


def test_a_failure_ends_the_wait() -> None:
    terms = StatusTerms(target="started", failure=("stopped", "not-deployed"))
    assert terms.phase_of("stopped") is terms.phase_of("not-deployed") is RunPhase.FAILED


def test_terms_are_the_same_after_their_way_through_the_database() -> None:
    for terms in (StatusTerms(), StatusTerms(target=FlowStatus.NOT_DEPLOYED, failure=("started",))):
        assert StatusTerms.from_dict(json.loads(json.dumps(terms.as_dict()))) == terms


def test_terms_of_another_version_are_read_as_far_as_they_go() -> None:
    assert StatusTerms.from_dict({}) == StatusTerms(target="started", failure=())
    assert StatusTerms.from_dict({"target": "stopped", "later": 1}) == StatusTerms(target="stopped")


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"target": "running"}, r"target is 'running'; it takes one of 'started', 'stopped', 'not-deployed'"),
        ({"failure": ("off",)}, r"failure is \('off',\); it takes a tuple of any of 'started', "),
        ({"failure": "stopped"}, r"failure is 'stopped'; it takes a tuple"),
        ({"failure": ([],)}, r"failure is \(\[\],\); it takes a tuple"),
        (
            {"target": "stopped", "failure": ("stopped",)},
            "'stopped' is waited for, so it cannot be a failure",
        ),
    ],
)
def test_terms_that_cannot_be_are_refused(choices: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StatusTerms(**choices)


@pytest.mark.parametrize("word", ["Started", "STARTED", " started "])
def test_a_documented_status_is_known_in_any_case(word: str) -> None:
    assert read_status(word) == "started"


@pytest.mark.parametrize("word", ["starting", "", "start ed!", "\u017ftarted"])
def test_any_other_word_stays_what_it_is(word: str) -> None:
    assert read_status(word) == word
