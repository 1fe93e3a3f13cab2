"""The live line on a terminal and in a log file, and the words in it."""

from __future__ import annotations

import io

import pytest

from smartflows_provider.demo.live import LiveLine, current_task, describe_progress, describe_task


class Terminal(io.StringIO):
    def isatty(self):
        return True


def task(task_id, state, *, try_number=1):
    return {"task_id": task_id, "state": state, "try_number": try_number}


def test_a_log_file_gets_one_line_per_change_and_no_control_characters():
    stream = io.StringIO()

    with LiveLine(stream) as line:
        for text in ("queued", "running", "running", "deferred"):
            line.show(text)

    assert stream.getvalue() == "queued\nrunning\ndeferred\n"


def test_a_terminal_gets_one_line_that_renews_itself_and_ends_with_a_line_break():
    stream = Terminal()

    with LiveLine(stream) as line:
        line.show("a long text")
        line.show("short")

    renewed = stream.getvalue().split("\r")
    assert [part.rstrip("\n") for part in renewed] == ["", "   0 s  a long text\x1b[K", "   0 s  short\x1b[K"]
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")


def test_a_text_wider_than_the_terminal_is_cut_so_that_it_can_be_overwritten(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()

    LiveLine(stream).show("x" * 100)

    assert stream.getvalue() == "\r   0 s  " + "x" * 11 + "\x1b[K"


def test_the_line_is_ended_also_when_an_error_passes_through():
    stream = Terminal()

    def interrupted():
        with LiveLine(stream) as line:
            line.show("running")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert stream.getvalue().endswith("\n")


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (["success", "deferred", None], "deferred"),
        (["queued", "running"], "running"),
        (["deferred", "running"], "running"),
        (["success", "scheduled"], "scheduled"),
    ],
)
def test_the_task_shown_is_the_one_that_tells_most(states, shown):
    found = current_task([task(f"t{place}", state) for place, state in enumerate(states)])

    assert found is not None
    assert found["state"] == shown


def test_no_task_is_shown_when_none_is_under_way():
    assert current_task([task("a", "success"), task("b", None)]) is None


def test_a_task_is_described_with_its_attempt_from_the_second_on():
    assert describe_task(task("run_report", "deferred")) == "run_report deferred"
    assert describe_task(task("run_report", "running", try_number=2)) == "run_report running (attempt 2)"


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (
            {"status": "Running", "percentage": 40, "message": "Rendering"},
            "flow Running 40 % Rendering",
        ),
        ({"status": "Queued", "percentage": 0, "message": None}, "flow Queued 0 %"),
        ({"status": "Waiting", "message": ""}, "flow Waiting"),
        ({}, "flow in an unknown status"),
    ],
)
def test_progress_is_described_with_what_the_server_reports(progress, text):
    assert describe_progress(progress) == text
