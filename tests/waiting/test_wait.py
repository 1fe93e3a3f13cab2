"""A wait's decisions, with a clock that only the test moves."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smartflows_provider.waiting.clock import Moment
from smartflows_provider.waiting.failures import PollFailure, PollFailureKind
from smartflows_provider.waiting.wait import AskAgain, Decision, End, Note, Wait, WaitPolicy
from smartflows_provider.wire.run import RunPhase, RunSnapshot
from smartflows_provider.wire.smart_flows import ExecutionStatus, phase_of

START = 1_000_000.0


class Watched:
    """A wait and its clock: ``saw`` and ``failed`` ask a question that takes ``took`` seconds."""

    def __init__(
        self, *, deadline: float = 3600.0, draw: float = 0.5, longest_hold: float = 30.0, **policy: Any
    ) -> None:
        self.now = START
        self.jumped = 0.0
        self.hold: float | None = 0.0
        self.longest_hold = longest_hold
        self.wait = Wait(
            WaitPolicy(deadline=START + deadline, **policy),
            execution_id="e1",
            began=self.moment,
            draw=lambda: draw,
        )

    @property
    def moment(self) -> Moment:
        return Moment(wall=self.now, steady=self.now - self.jumped)

    def next_hold(self) -> float | None:
        return self.wait.next_hold(self.moment, longest=self.longest_hold)

    def jump(self, seconds: float) -> None:
        """Put the wall clock forward, or back."""
        self.now += seconds
        self.jumped += seconds

    def saw(
        self, status: str, *, took: float = 0.0, message: str = "", percentage: int | None = None, **more: Any
    ) -> Decision:
        self.hold, asked = self.next_hold(), self.moment
        self.now += took
        snapshot = RunSnapshot(
            execution_id="e1",
            status=status,
            phase=phase_of(status),
            message=message,
            percentage=percentage,
            **more,
        )
        return self.wait.saw(snapshot, asked=asked, hold=self.hold, now=self.moment)

    def failed(
        self,
        text: str = "broken",
        *,
        kind: PollFailureKind = "passing",
        took: float = 0.0,
        retry_after: float | None = None,
    ) -> Decision:
        asked = self.moment
        self.now += took
        failure = PollFailure(kind=kind, text=text, retry_after=retry_after)
        return self.wait.failed(failure, asked=asked, now=self.moment)

    def sleep(self, decision: Decision) -> None:
        assert isinstance(decision, AskAgain)
        self.now += decision.seconds


def said(decision: Decision) -> list[str]:
    return [note.text for note in decision.notes]


# --- statuses ---


@pytest.mark.parametrize("status", ["Success", "Warning", "Error", "Canceled", "Interrupted"])
def test_a_stable_status_ends_the_wait(status: str) -> None:
    decision = Watched().saw(status)
    assert isinstance(decision, End)
    assert (decision.reason, decision.status, decision.execution_id) == ("finished", status, "e1")


@pytest.mark.parametrize("status", ["Queued", "Running", "Waiting"])
def test_an_active_status_is_waited_for(status: str) -> None:
    assert isinstance(Watched().saw(status), AskAgain)


@pytest.mark.parametrize("status", ["UserInput", "SelectFlow"])
def test_where_a_person_is_needed_the_wait_ends_if_it_shall(status: str) -> None:
    decision = Watched(stop_for_person=True).saw(status)
    assert isinstance(decision, End)
    assert (decision.reason, decision.status) == ("needs_person", status)
    assert isinstance(Watched(stop_for_person=False).saw(status), AskAgain)


FORM = {"form": {"schema": {"title": "Approval"}}, "asks": "Approval"}


def question(status: str = "UserInput", **more: Any) -> str:
    return RunSnapshot(execution_id="e1", status=status, phase=phase_of(status), **more).question


def test_while_a_person_is_asked_elsewhere_the_same_question_is_waited_for() -> None:
    watched = Watched(asked=question(**FORM))
    for _ in range(3):
        watched.sleep(watched.saw("UserInput", **FORM))


@pytest.mark.parametrize(
    ("status", "more", "reason"),
    [
        ("UserInput", {"form": {"schema": {"title": "Other"}}}, "needs_person"),
        ("SelectFlow", FORM, "needs_person"),
        ("Running", {}, "moved_on"),
        ("Waiting", {}, "moved_on"),
        ("Success", {}, "finished"),
        ("Canceled", {}, "finished"),
    ],
)
def test_a_run_that_no_longer_asks_the_same_ends_the_wait_for_the_person(
    status: str, more: Any, reason: str
) -> None:
    decision = Watched(asked=question(**FORM)).saw(status, **more)
    assert isinstance(decision, End)
    assert decision.reason == reason


def test_a_run_that_goes_on_is_told_before_the_deadline() -> None:
    decision = Watched(asked=question(**FORM), deadline=0.0).saw("Running")
    assert isinstance(decision, End)
    assert decision.reason == "moved_on"


def test_a_word_that_nobody_knows_ends_no_wait_for_a_person() -> None:
    watched = Watched(asked=question(**FORM))
    watched.sleep(watched.saw("Pondering"))


def test_what_a_person_is_asked_is_told_once_and_again_where_it_changes() -> None:
    watched = Watched(stop_for_person=False)
    assert said(watched.saw("UserInput", percentage=40, message="Stopped", **FORM)) == [
        "Execution e1: UserInput, 40 %, Stopped, asks a person: Approval"
    ]
    assert said(watched.saw("UserInput", percentage=40, message="Stopped", **FORM)) == []
    assert said(watched.saw("UserInput", percentage=40, message="Greeting", asks="Greeting")) == [
        "Execution e1: UserInput, 40 %, Greeting"
    ]


def test_every_documented_status_is_covered_here() -> None:
    covered = {"Success", "Warning", "Error", "Canceled", "Interrupted", "Queued", "Running", "Waiting"}
    assert {str(status) for status in ExecutionStatus} == covered | {"UserInput", "SelectFlow"}


def test_an_unknown_word_is_waited_for_warned_of_once_and_named_at_the_deadline() -> None:
    watched = Watched(deadline=100)
    first = watched.saw("Paused")
    assert isinstance(first, AskAgain)
    assert first.notes[0] == Note(
        level=logging.WARNING,
        text="The service reports the status 'Paused', which is not documented; waiting on.",
    )
    again = watched.saw("Paused")
    assert isinstance(again, AskAgain)
    assert again.notes == ()
    watched.now = START + 100
    end = watched.saw("Paused")
    assert isinstance(end, End)
    assert (end.reason, end.status, end.phase) == ("deadline", "Paused", RunPhase.UNKNOWN)


def test_a_second_unknown_word_is_warned_of_too() -> None:
    watched = Watched()
    watched.saw("Paused")
    assert any("'Sleeping'" in text for text in said(watched.saw("Sleeping")))


# --- deadline ---


@pytest.mark.parametrize("status", ["Success", "Error", "Canceled"])
def test_a_stable_status_beats_the_deadline(status: str) -> None:
    watched = Watched(deadline=10)
    watched.now = START + 11
    decision = watched.saw(status)
    assert isinstance(decision, End)
    assert (decision.reason, decision.status) == ("finished", status)


def test_a_person_who_is_needed_beats_the_deadline() -> None:
    watched = Watched(deadline=10)
    watched.now = START + 11
    decision = watched.saw("UserInput")
    assert isinstance(decision, End)
    assert decision.reason == "needs_person"


def test_at_the_deadline_the_wait_ends_with_the_last_status() -> None:
    watched = Watched(deadline=10)
    watched.saw("Running")
    watched.now = START + 10
    decision = watched.saw("Waiting")
    assert isinstance(decision, End)
    assert (decision.reason, decision.status, decision.detail) == ("deadline", "Waiting", "")


def test_no_hold_and_no_pause_reach_past_the_deadline() -> None:
    watched = Watched(deadline=20, longest_hold=30)
    for _ in range(1000):
        hold = watched.next_hold()
        assert hold <= max(1.0, START + 20 - watched.now)
        decision = watched.saw("Running", took=hold)
        if isinstance(decision, End):
            break
        watched.sleep(decision)
    assert isinstance(decision, End)
    assert decision.reason == "deadline"
    assert START + 20 <= watched.now <= START + 21


def test_a_wait_that_begins_after_its_deadline_looks_once_without_a_hold() -> None:
    watched = Watched(deadline=-5)
    assert watched.next_hold() == 1.0
    assert isinstance(watched.saw("Running"), End)


# --- long polls and pauses ---


def test_after_a_hold_that_was_honoured_the_next_question_follows_at_once() -> None:
    watched = Watched()
    watched.saw("Running")
    decision = watched.saw("Running", took=2.0)
    assert isinstance(decision, AskAgain)
    assert (watched.hold, decision.seconds) == (2.0, 0.0)


def test_a_hold_is_no_longer_than_the_poll_interval_so_that_newcomers_are_not_kept_waiting() -> None:
    watched = Watched(poll_interval=12, longest_hold=300)
    watched.now += 1000
    assert watched.next_hold() == 12.0
    short = Watched(poll_interval=1, longest_hold=300)
    short.now += 1000
    assert short.next_hold() == 2.0


def test_where_a_hold_is_ignored_the_pause_grows_to_the_poll_interval() -> None:
    watched = Watched(deadline=1e6, poll_interval=60)
    pauses = []
    for _ in range(200):
        decision = watched.saw("Running", took=0.01)
        assert isinstance(decision, AskAgain)
        pauses.append(decision.seconds)
        watched.sleep(decision)
    assert pauses[1] == 1.125
    assert pauses == sorted(pauses)
    assert pauses[-1] == 54.0


def test_a_rejected_hold_is_not_asked_for_again() -> None:
    watched = Watched()
    assert watched.next_hold() == 2.0
    decision = watched.saw("Running", hold_refused=True)
    assert isinstance(decision, AskAgain)
    assert decision.seconds > 0
    watched.now += 500
    assert watched.next_hold() is None


def test_short_polls_are_paced_by_pauses_although_they_name_a_second() -> None:
    watched = Watched(longest_hold=0)
    watched.saw("Running", took=1.0)
    watched.now = START + 300
    decision = watched.saw("Running", took=1.0)
    assert isinstance(decision, AskAgain)
    assert watched.hold == 1.0
    assert decision.seconds == pytest.approx(30.1 * 1.125)


def test_after_a_change_the_next_question_is_near() -> None:
    watched = Watched(longest_hold=0)
    watched.saw("Running", message="One")
    watched.now = START + 500
    decision = watched.saw("Running", message="Two")
    assert isinstance(decision, AskAgain)
    assert decision.seconds == 2.0


def test_a_short_poll_interval_bounds_every_pause() -> None:
    watched = Watched(poll_interval=0.2, draw=1.0)
    watched.saw("Running")
    watched.now = START + 1000
    decision = watched.saw("Running")
    assert isinstance(decision, AskAgain)
    assert decision.seconds == pytest.approx(0.2)


# --- notes ---


def test_progress_is_told_when_it_changes_and_only_then() -> None:
    watched = Watched()
    assert said(watched.saw("Running", message="Reading", percentage=10)) == [
        "Execution e1: Running, 10 %, Reading"
    ]
    assert said(watched.saw("Running", message="Reading", percentage=10)) == []
    assert said(watched.saw("Running", message="Writing\n it all", percentage=10)) == [
        "Execution e1: Running, 10 %, Writing it all"
    ]
    assert said(watched.saw("Running", message="Writing\n it all", percentage=20)) == [
        "Execution e1: Running, 20 %, Writing\n it all".replace("\n ", " ")
    ]
    assert said(watched.saw("Success", percentage=100)) == ["Execution e1: Success, 100 %"]


def test_an_answer_that_tells_no_more_than_the_status_is_no_news_where_that_is_known() -> None:
    watched = Watched()
    watched.saw("Running", message="Reading", percentage=10)
    assert said(watched.saw("Running")) == []
    assert said(watched.saw("Waiting")) == ["Execution e1: Waiting"]


def test_a_failure_between_equal_answers_does_not_repeat_the_progress() -> None:
    watched = Watched()
    watched.saw("Running", message="Reading")
    watched.failed()
    assert said(watched.saw("Running", message="Reading")) == []


# --- failures ---


def test_a_passing_failure_is_told_and_asked_again_after() -> None:
    decision = Watched().failed("the line broke")
    assert decision == AskAgain(
        seconds=1.0,
        notes=(Note(level=logging.WARNING, text="Could not ask for the status: the line broke"),),
    )


def test_pauses_grow_over_an_outage_up_to_a_minute() -> None:
    watched = Watched(deadline=1e6, max_outage=1e5, draw=1.0)
    pauses = []
    for _ in range(12):
        decision = watched.failed()
        assert isinstance(decision, AskAgain)
        pauses.append(decision.seconds)
    assert pauses[:6] == [2, 4, 8, 16, 32, 60]
    assert set(pauses[6:]) == {60}


def test_retry_after_is_honoured_up_to_five_minutes() -> None:
    watched = Watched(draw=0.0)
    first, second = watched.failed(retry_after=17), watched.failed(retry_after=86_400)
    assert isinstance(first, AskAgain)
    assert isinstance(second, AskAgain)
    assert (first.seconds, second.seconds) == (17, 300)


def test_a_pause_after_a_failure_ends_at_the_deadline() -> None:
    decision = Watched(deadline=5).failed(retry_after=100)
    assert isinstance(decision, AskAgain)
    assert decision.seconds == 5


def test_an_outage_longer_than_allowed_ends_as_unreachable_with_the_last_status() -> None:
    watched = Watched(max_outage=60)
    watched.saw("Running")
    assert isinstance(watched.failed("first", took=10), AskAgain)
    watched.now += 50
    assert isinstance(watched.failed("not yet"), AskAgain)
    watched.now += 0.5
    decision = watched.failed("refused")
    assert isinstance(decision, End)
    assert (decision.reason, decision.status) == ("unreachable", "Running")
    assert decision.detail == "no status for 60 s, last: refused"


def test_an_answer_in_between_starts_the_outage_anew() -> None:
    watched = Watched(max_outage=60)
    for _ in range(5):
        watched.failed()
        watched.now += 59
        assert isinstance(watched.failed(), AskAgain)
        watched.saw("Running")


def test_an_answer_in_between_starts_the_backoff_anew() -> None:
    watched = Watched(draw=1.0)
    for _ in range(4):
        watched.failed()
    watched.saw("Running")
    decision = watched.failed()
    assert isinstance(decision, AskAgain)
    assert decision.seconds == 2


def test_a_service_that_fails_at_the_deadline_is_asked_for_half_a_minute_more_and_then_unreachable() -> None:
    watched = Watched(deadline=10)
    watched.saw("Running")
    watched.now = START + 10
    while isinstance(decision := watched.failed("down"), AskAgain):
        watched.sleep(decision)
    assert isinstance(decision, End)
    assert watched.now == START + 40
    assert (decision.reason, decision.status, decision.detail) == (
        "unreachable",
        "Running",
        "no status for 30 s, last: down",
    )


@pytest.mark.parametrize(("status", "reason"), [("Success", "finished"), ("Running", "deadline")])
def test_a_failure_that_passes_at_the_deadline_does_not_decide_it(status: str, reason: str) -> None:
    watched = Watched(deadline=10)
    watched.now = START + 10
    watched.sleep(watched.failed("a blip"))
    decision = watched.saw(status)
    assert isinstance(decision, End)
    assert decision.reason == reason


# --- clocks that jump ---


@pytest.mark.parametrize("seconds", [-7200.0, 7200.0])
def test_a_clock_that_jumps_makes_no_outage_longer_or_shorter(seconds: float) -> None:
    watched = Watched(deadline=1e6, max_outage=100)
    watched.failed("down")
    watched.jump(seconds)
    assert isinstance(watched.failed("down"), AskAgain)
    watched.now += 101
    decision = watched.failed("down")
    assert isinstance(decision, End)
    assert (decision.reason, decision.detail) == ("unreachable", "no status for 101 s, last: down")


@pytest.mark.parametrize("seconds", [-7200.0, 7200.0])
def test_a_clock_that_jumps_changes_neither_holds_nor_pauses(seconds: float) -> None:
    pauses = []
    for jump in (0.0, seconds):
        watched = Watched(deadline=1e6, longest_hold=30)
        watched.saw("Running")
        watched.now += 20
        watched.jump(jump)
        decision = watched.saw("Running", took=0.1)
        assert isinstance(decision, AskAgain)
        pauses.append((watched.hold, decision.seconds))
    assert pauses[0] == pytest.approx(pauses[1])


def test_a_deadline_is_a_time_of_the_wall_clock_and_is_met_where_that_is_put_forward() -> None:
    watched = Watched(deadline=3600)
    watched.saw("Running")
    watched.jump(3600)
    decision = watched.saw("Running")
    assert isinstance(decision, End)
    assert decision.reason == "deadline"


@pytest.mark.parametrize("kind", ["refused", "denied"])
def test_a_refusal_has_the_connection_read_again_once_and_then_ends_the_wait(kind: PollFailureKind) -> None:
    watched = Watched()
    first = watched.failed("401", kind=kind)
    assert first == AskAgain(
        seconds=0.0,
        refresh=True,
        notes=(Note(level=logging.WARNING, text="Could not ask for the status: 401"),),
    )
    second = watched.failed("401 again", kind=kind)
    assert isinstance(second, End)
    assert (second.reason, second.detail) == (kind, "401 again")


def test_a_refusal_after_an_answer_has_the_connection_read_again_each_time() -> None:
    watched = Watched()
    for _ in range(3):
        decision = watched.failed(kind="refused")
        assert isinstance(decision, AskAgain)
        assert decision.refresh
        watched.saw("Running")


@pytest.mark.parametrize("part", [0.5, 0.6, 0.79, 1.0])
def test_an_answer_that_was_held_for_less_than_was_wished_is_followed_by_a_question_at_once(
    part: float,
) -> None:
    watched = Watched()
    watched.now += 60
    for _ in range(10):
        decision = watched.saw("Running", took=30.0 * part)
    assert watched.hold == 30.0
    assert decision == AskAgain(seconds=0.0)


@pytest.mark.parametrize("kind", ["gone", "misconfigured"])
def test_a_missing_execution_and_an_unusable_connection_end_the_wait_at_once(kind: PollFailureKind) -> None:
    watched = Watched()
    watched.saw("Running")
    decision = watched.failed("no such thing", kind=kind)
    assert isinstance(decision, End)
    assert (decision.reason, decision.status, decision.detail) == (kind, "Running", "no such thing")


def test_a_connection_that_airflow_does_not_find_is_asked_for_again_for_a_minute() -> None:
    watched = Watched()
    watched.saw("Running")
    seconds = 0.0
    while isinstance(decision := watched.failed("no such connection", kind="missing"), AskAgain):
        assert seconds < 60
        assert [note.text for note in decision.notes] == ["Could not ask for the status: no such connection"]
        watched.now += decision.seconds
        seconds += decision.seconds
    assert seconds >= 60
    assert (decision.reason, decision.status, decision.detail) == (
        "misconfigured",
        "Running",
        "no such connection",
    )


def test_a_connection_that_airflow_finds_again_is_no_matter() -> None:
    watched = Watched(max_outage=3600.0)
    for _ in range(2):
        assert isinstance(watched.failed("no such connection", kind="missing"), AskAgain)
        watched.now += 50
        assert isinstance(watched.failed("Airflow's API server is away", kind="passing"), AskAgain)
        watched.now += 50


def test_a_connection_is_not_missed_for_longer_than_an_outage_may_last() -> None:
    watched = Watched(max_outage=5.0)
    assert isinstance(watched.failed("no such connection", kind="missing"), AskAgain)
    watched.now += 5.0
    assert watched.failed("no such connection", kind="missing").reason == "misconfigured"


def test_a_long_explanation_is_cut_to_what_an_event_carries() -> None:
    decision = Watched().failed("x" * 5000, kind="gone")
    assert isinstance(decision, End)
    assert len(decision.detail) == 1000


# --- all histories ---


class AnyHistory(RuleBasedStateMachine):
    """Answers, failures and time in any order; what must hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.watched = Watched(deadline=500, max_outage=100)
        self.last_status: str | None = None
        self.decision: Decision | None = None
        self.decided_at = START

    @rule(seconds=st.floats(min_value=0, max_value=200))
    def time_passes(self, seconds: float) -> None:
        self.watched.now += seconds

    @rule(seconds=st.floats(min_value=-7200, max_value=7200))
    def the_clock_jumps(self, seconds: float) -> None:
        self.watched.jump(seconds)

    @rule(
        status=st.sampled_from([*map(str, ExecutionStatus), "Paused", "success!", ""]),
        took=st.floats(min_value=0, max_value=40),
        hold_refused=st.booleans(),
    )
    def an_answer_comes(self, status: str, took: float, hold_refused: bool) -> None:
        self.last_status = status
        self.decision = self.watched.saw(status, took=took, hold_refused=hold_refused)
        self.decided_at = self.watched.now

    @rule(
        kind=st.sampled_from(["passing", "refused", "denied", "missing", "gone", "misconfigured"]),
        took=st.floats(min_value=0, max_value=40),
    )
    def a_question_fails(self, kind: PollFailureKind, took: float) -> None:
        self.decision = self.watched.failed(kind=kind, took=took)
        self.decided_at = self.watched.now
        assert not (isinstance(self.decision, End) and self.decision.reason in {"finished", "needs_person"})

    @invariant()
    def an_end_is_what_was_seen(self) -> None:
        decision = self.decision
        if isinstance(decision, AskAgain):
            assert 0 <= decision.seconds <= 330
        if isinstance(decision, End):
            assert decision.status == self.last_status
            if decision.reason == "finished":
                assert decision.phase is not None
                assert decision.phase.is_stable
            if decision.reason == "deadline":
                assert self.decided_at >= START + 500


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(derandomize=True, max_examples=40, stateful_step_count=20, deadline=None)
