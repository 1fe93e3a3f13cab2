"""A DAG author's decisions are checked when the DAG is parsed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from smartflows_provider.lifecycle.options import RunOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"on_user_input": "mail"},
            "on_user_input is 'mail'; it takes one of 'wait', 'fail', 'answer', 'ask'",
        ),
        (
            {"on_user_input": "ask", "answer_timeout": 0},
            "answer_timeout is 0; it takes a number of seconds above 0",
        ),
        ({"answer_timeout": 60}, "answer_timeout goes with on_user_input='ask'"),
        ({"on_warning": "ignore"}, "on_warning is 'ignore'; it takes one of 'succeed', 'fail'"),
        ({"on_clear": "keep"}, "on_clear is 'keep'; it takes one of 'restart', 'resume'"),
        (
            {"on_input_changed": ""},
            "on_input_changed is ''; it takes one of 'attach', 'restart', 'fail'",
        ),
        (
            {"on_ambiguous_submission": "retry"},
            "on_ambiguous_submission is 'retry'; it takes one of 'look_up', 'fail', 'resubmit'",
        ),
        ({"timeout": 0}, "timeout is 0; it takes a number of seconds above 0"),
        ({"poll_interval": -1}, "poll_interval is -1; it takes a number of seconds above 0"),
        ({"max_outage": "60"}, "max_outage is '60'; it takes a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan; it takes a number of seconds above 0"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_it_takes(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RunOptions(**options)


def test_the_defaults_wait_a_week_and_stop_what_they_give_up_on() -> None:
    options = RunOptions()
    assert (options.timeout, options.cancel_on_kill, options.cancel_on_timeout) == (604_800, True, True)
