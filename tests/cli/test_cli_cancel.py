"""``executions cancel`` against the embedded server."""

from __future__ import annotations

from functools import partial

import pytest
from cli_driving import Caller, Terminal, answer_list_with, begin
from support.service import LONG, cancels, panel_flow, statuses

from smartflows_provider.cli.cancelling import Cancellation, cancel_all
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.profiles import PROFILES
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook

HOUR = 3600


@pytest.fixture
def letters(server: DevServer) -> list[str]:
    """Three executions of ``Letter``, three, two and one hours old."""
    letter = panel_flow(server, {**LONG, "duration": 1_000_000})
    return [begin(server, letter, ago=hours * HOUR) for hours in (3, 2, 1)]


def test_what_would_be_cancelled_is_shown_and_asked_for(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    told = executions("cancel", letters[0], letters[1], answer="y\n")
    lines = told.out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["ID", *letters[:2]]
    assert sorted(lines[4:6]) == sorted(f"Execution {one} is Canceled." for one in letters[:2])
    assert lines[-1] == "2 of 2 executions are over."
    assert told.err == "Cancel 2 executions? [y/N] "
    assert told.code == 0
    assert statuses(server) == ["Canceled", "Canceled", "Running"]


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yess\n", "no\n", "j\n"])
def test_anything_but_a_yes_is_a_no(
    server: DevServer, executions: Caller, letters: list[str], answer: str
) -> None:
    told = executions("cancel", letters[0], answer=answer)
    assert told.code == 1
    assert told.err.startswith("Cancel 1 execution? [y/N] ")
    assert told.err.endswith("Nothing was cancelled.\n")
    assert cancels(server) == []


@pytest.mark.parametrize("answer", ["y\n", "Y\n", " yes \n", "YES"])
def test_a_yes_is_a_yes_in_any_case(
    server: DevServer, executions: Caller, letters: list[str], answer: str
) -> None:
    assert executions("cancel", letters[0], answer=answer).code == 0
    assert statuses(server) == ["Canceled", "Running", "Running"]


def test_where_nobody_can_be_asked_nothing_is_cancelled(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    told = executions("cancel", *letters)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "Error: standard input is no terminal, so nobody can be asked; add --yes to cancel unasked.\n"
    )
    assert server.requests == []
    assert executions("cancel", *letters, "--yes").code == 0
    assert statuses(server) == ["Canceled"] * 3


@pytest.mark.parametrize("name", PROFILES)
def test_a_filter_cancels_what_it_lists_in_every_profile(
    server: DevServer, executions: Caller, letters: list[str], name: str
) -> None:
    server.profile = PROFILES[name]
    server.add_key("other", "user")
    other = panel_flow(server, {**LONG, "duration": 1_000_000}, name="Other")
    begin(server, other, ago=5 * HOUR)
    begin(server, server.service.flow("Letter"), ago=5 * HOUR, key="other")
    told = executions("cancel", "--flow", "Letter", "--older-than", "90m", "--status", "running", "--yes")
    assert told.code == 0
    assert told.out.endswith("2 of 2 executions are over.\n")
    assert statuses(server) == ["Canceled", "Canceled", "Running", "Running", "Running"]
    assert executions("cancel", "--newer-than", "90m", "--yes").code == 0
    assert executions("cancel", "--older-than", "0s", "--everyone", "--yes").code == 0
    assert statuses(server) == ["Canceled"] * 5


def test_a_filter_that_nothing_meets_is_no_error(server: DevServer, executions: Caller) -> None:
    told = executions("cancel", "--older-than", "1d", "--yes")
    assert told.out.startswith("No active executions of Devserver super user on the connection ")
    assert (told.code, told.err) == (0, "")
    assert cancels(server) == []


def test_what_nobody_is_told_to_have_created_is_not_cancelled_unasked(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    entry = {"id": letters[0], "status": "Running", "createdAt": "2020-01-01T00:00:00Z"}
    answer_list_with(server, entry)
    told = executions("cancel", "--older-than", "1h", "--yes")
    assert told.code == 0
    assert "Left out: 1 execution of which the service does not tell whether this key's user" in told.err
    assert cancels(server) == []


def test_an_unknown_id_is_told_and_the_others_are_cancelled(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    told = executions("cancel", "nope", letters[0], "..", "--yes")
    assert told.code == 1
    assert "There is no execution 'nope'" in told.err
    assert "'..' is not a usable id" in told.err
    assert statuses(server) == ["Canceled", "Running", "Running"]
    assert executions("cancel", "nope", "--yes").out == ""


def test_what_is_over_already_is_told_and_left_alone(server: DevServer, executions: Caller) -> None:
    done = begin(server, panel_flow(server, {"kind": "work"}, name="Quick"), ago=60)
    told = executions("cancel", done, "--yes")
    assert (told.code, told.out) == (0, "")
    assert told.err == f"Execution {done} is Success; there is nothing to cancel.\n"
    assert cancels(server) == []


def test_a_service_that_refuses_the_cancel_is_told_for_each(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    server.inject(
        Fault(action="status", status=403, method="DELETE", path=f"{letters[1]}/progress$", count=None)
    )
    told = executions("cancel", *letters, "--yes")
    assert told.code == 1
    assert f"Execution {letters[1]} may still be running: it could not be cancelled (DELETE " in told.out
    assert told.out.endswith("2 of 3 executions are over.\nNot cancelled, for the reasons above: 1.\n")
    assert statuses(server) == ["Canceled", "Running", "Canceled"]


def test_a_service_that_is_slow_to_stop_is_waited_for(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    server.configure(cancel_seconds=2.5)
    told = executions("cancel", *letters, "--yes")
    assert told.code == 0
    assert told.out.endswith("3 of 3 executions are over.\n")


def test_what_has_not_stopped_in_time_is_told(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    server.configure(cancel_seconds=3000)
    told = executions("cancel", letters[0], "--yes", "--settle-seconds", "0")
    assert told.code == 1
    assert f"The service was asked to cancel execution {letters[0]}, still Running." in told.out
    assert told.out.endswith(
        "0 of 1 execution is over.\nAsked to stop, and not over yet: 1; `executions list` shows them.\n"
    )


def test_a_refused_key_is_one_error_whatever_the_number_of_ids(
    server: DevServer, executions: Caller, letters: list[str]
) -> None:
    server.inject(Fault(action="status", status=401, count=None))
    told = executions("cancel", *letters, "--yes")
    assert (told.code, told.out) == (1, "")
    assert told.err.count("Error: ") == 1


def test_hundreds_are_cancelled(server: DevServer, executions: Caller) -> None:
    server.configure(hold="ignored")
    letter = panel_flow(server, LONG)
    ids = [begin(server, letter, ago=60) for _ in range(300)]
    told = executions("cancel", "--flow", "Letter", "--yes")
    assert told.code == 0
    assert told.out.endswith("300 of 300 executions are over.\n")
    assert all(told.out.count(f"Execution {one} is Canceled.\n") == 1 for one in ids)
    assert set(statuses(server)) == {"Canceled"}
    assert len(cancels(server)) == 300


def test_what_ends_before_its_turn_is_told_to_be_over_and_not_cancelled(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    done = begin(server, panel_flow(server, {"kind": "work"}, name="Quick"), ago=60)
    sentences: list[str] = []
    outcome = cancel_all(hook, [done], settle_seconds=0, tell=sentences.append, on_interrupt=pytest.fail)
    assert outcome == Cancellation(over=[done])
    assert sentences == [f"Execution {done} is Success."]
    assert cancels(server) == []


class Interruption:
    """Raises what Ctrl-C raises, after so many sentences or at a pause."""

    def __init__(self, *, after: int) -> None:
        self.after = after
        self.sentences: list[str] = []

    def tell(self, sentence: str) -> None:
        self.sentences.append(sentence)
        if len(self.sentences) == self.after:
            raise KeyboardInterrupt

    def sleep(self, _: float) -> None:
        raise KeyboardInterrupt


def interrupted(
    hook: SmartFlowsHook, ids: list[str], interruption: Interruption
) -> tuple[Cancellation, list[str]]:
    said: list[str] = []
    done = cancel_all(
        hook,
        ids,
        settle_seconds=3000,
        tell=interruption.tell,
        on_interrupt=partial(said.append, "interrupted"),
        sleep=interruption.sleep,
    )
    assert said == ["interrupted"]
    assert done.interrupted
    return done, interruption.sentences


def test_ctrl_c_while_asking_ends_no_request_in_the_middle_and_tells_what_was_done(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    server.configure(hold="ignored")
    letter = panel_flow(server, LONG)
    ids = [begin(server, letter) for _ in range(100)]
    done, sentences = interrupted(hook, ids, Interruption(after=5))
    assert done.untouched
    assert sorted([*done.over, *done.untouched]) == sorted(ids)
    assert len(sentences) == len(done.over) == statuses(server).count("Canceled") == len(cancels(server))


def test_ctrl_c_while_waiting_tells_what_was_asked(
    server: DevServer, hook: SmartFlowsHook, letters: list[str]
) -> None:
    server.configure(cancel_seconds=3000)
    done, sentences = interrupted(hook, letters, Interruption(after=-1))
    assert sorted(done.asked) == sorted(letters)
    assert sorted(sentences) == sorted(
        f"The service was asked to cancel execution {one}, still Running." for one in letters
    )


def test_ctrl_c_at_the_question_cancels_nothing(
    server: DevServer, executions: Caller, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Terminal) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Terminal, "readline", interrupt)
    told = executions("cancel", *letters, answer="")
    assert told.code == 130
    assert told.err == "Cancel 3 executions? [y/N] \nInterrupted; nothing more is done.\n"
    assert cancels(server) == []


def test_ctrl_c_has_an_exit_code_of_its_own(
    executions: Caller, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> Cancellation:
        return Cancellation(over=letters[:1], untouched=letters[1:], interrupted=True)

    monkeypatch.setattr("smartflows_provider.cli.commands.cancel_all", interrupt)
    told = executions("cancel", *letters, "--yes")
    assert told.code == 130
    assert told.out.endswith(
        "1 of 3 executions are over.\nNot asked to stop: 2; run the command again for them.\n"
    )
