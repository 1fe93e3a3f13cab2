"""The command's arguments: what they mean, and what cannot be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smartflows_provider.cli.arguments import CancelOptions, ListOptions, ShowOptions, parse
from smartflows_provider.cli.selection import Selection


def test_a_list_needs_nothing_and_means_what_is_active_on_the_default_connection() -> None:
    assert parse(["executions", "list"]) == ListOptions(
        conn_id="smartflows_default", selection=Selection(), limit=None, as_json=False
    )


def test_every_option_of_a_list_is_taken() -> None:
    given = "executions list --conn-id c --flow F --status running --status userInput --older-than 2h"
    options = parse([*given.split(), "--newer-than", "1.5d", "--everyone", "--limit", "7", "--json"])
    assert options == ListOptions(
        conn_id="c",
        selection=Selection(
            flow="F",
            statuses=frozenset({"Running", "UserInput"}),
            older_than=7200.0,
            newer_than=129_600.0,
            everyone=True,
        ),
        limit=7,
        as_json=True,
    )


def test_all_takes_what_is_over_too() -> None:
    options = parse(["executions", "list", "--all"])
    assert isinstance(options, ListOptions)
    assert options.selection == Selection(ended=True)


def test_every_option_of_show_is_taken() -> None:
    assert parse(["executions", "show", "x", "--conn-id", "c", "--input", "--json"]) == ShowOptions(
        conn_id="c", execution_id="x", with_input=True, as_json=True
    )


def test_ids_to_cancel_are_taken_once_each_and_without_a_filter() -> None:
    assert parse(["executions", "cancel", "b", "a", "b", "--yes", "--settle-seconds", "0"]) == CancelOptions(
        conn_id="smartflows_default", execution_ids=("b", "a"), selection=None, yes=True, settle_seconds=0.0
    )


def test_a_filter_to_cancel_is_taken() -> None:
    options = parse(["executions", "cancel", "--older-than", "90 m", "--everyone"])
    assert options == CancelOptions(
        conn_id="smartflows_default",
        execution_ids=(),
        selection=Selection(older_than=5400.0, everyone=True),
        yes=False,
        settle_seconds=30.0,
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("45s", 45), ("30m", 1800), ("2h", 7200), ("1d", 86_400), ("2H", 7200)]
)
def test_ages_are_read_in_seconds_minutes_hours_and_days(text: str, seconds: float) -> None:
    options = parse(["executions", "list", "--older-than", text])
    assert isinstance(options, ListOptions)
    assert options.selection.older_than == seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: AREA"),
        (["executions"], "the following arguments are required: COMMAND"),
        (["executions", "drop"], "invalid choice: 'drop'"),
        (["executions", "show"], "the following arguments are required: ID"),
        (["executions", "list", "--json=yes"], "ignored explicit argument 'yes'"),
        (["executions", "list", "--ever"], "unrecognized arguments: --ever"),
        (["executions", "list", "--all", "--status", "Error"], "not allowed with argument"),
        (["executions", "list", "--status", "Busy"], "there is no status 'Busy'; there are Queued, Running"),
        (["executions", "list", "--older-than", "2"], "'2' is no age; write 45s, 30m, 2h or 1d"),
        (["executions", "list", "--older-than=-2h"], "'-2h' is no age"),
        (["executions", "list", "--newer-than", "2w"], "'2w' is no age"),
        (["executions", "list", "--newer-than", "nanh"], "'nanh' is no age"),
        (["executions", "list", "--older-than", "2h", "--newer-than", "1h"], "no execution is both older"),
        (["executions", "list", "--limit", "0"], "'0' is no whole number above 0"),
        (["executions", "list", "--limit", "²"], "'²' is no whole number above 0"),
        (["executions", "cancel"], "name executions by id, or by at least one of --flow, --status"),
        (["executions", "cancel", "--everyone"], "name executions by id, or by at least one of --flow"),
        (["executions", "cancel", "x", "--flow", "F"], "by id or by filter, not by both"),
        (["executions", "cancel", "x", "--everyone"], "by id or by filter, not by both"),
        (
            ["executions", "cancel", "--status", "Success"],
            "an execution in Success is over; there is nothing",
        ),
        (["executions", "cancel", "--all"], "unrecognized arguments: --all"),
        (["executions", "cancel", "x", "--settle-seconds", "-1"], "'-1' is no number of seconds from 0"),
        (["executions", "cancel", "x", "--settle-seconds", "nan"], "'nan' is no number of seconds from 0"),
        (["executions", "cancel", "x", "--settle-seconds", "inf"], "'inf' is no number of seconds from 0"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(arguments)
    assert stop.value.code == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""


@pytest.mark.parametrize("command", ["list", "show", "cancel"])
def test_the_help_tells_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(["executions", command, "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    for line in ("0    done", "1    something was not found or not cancelled", "2    the arguments", "130  "):
        assert line in told


def test_the_documentation_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "oncall.md").read_text()
    for command in ("list", "show", "cancel"):
        with pytest.raises(SystemExit):
            parse(["executions", command, "--help"])
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert len(options) > 3
        assert {option for option in options if option not in text} == set()
