"""The table of the fault suite: what it adds up, and when it calls a row good."""

from __future__ import annotations

import pytest
from faults.rows import Outcome
from faults.table import lines_of, load, render, verdict, write


def outcome(**changes):
    return Outcome(**{"fault": "worker killed", "mode": "sync", "expected": 1, "started": 1, **changes})


def test_runs_of_a_row_are_added_up_and_modes_are_kept_apart():
    lines = lines_of([outcome(), outcome(orphaned=1), outcome(mode="deferrable")])

    assert [(line["mode"], line["runs"], line["started"], line["orphaned"]) for line in lines] == [
        ("sync", 2, 2, 1),
        ("deferrable", 1, 1, 0),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "ok"),
        ({"orphaned": 1}, "ok"),
        ({"doubled": 1, "started": 2}, "1 doubled"),
        ({"orphaned": 1, "unnamed": 1}, "1 orphaned unnamed"),
        ({"lost": 1}, "1 lost"),
        ({"problem": "no message"}, "1 not as expected"),
        ({"lost": 1, "problem": "no manifest"}, "1 lost, 1 not as expected"),
    ],
)
def test_a_row_is_good_only_if_nothing_is_doubled_lost_or_orphaned_without_a_message(changes, said):
    [line] = lines_of([outcome(**changes)])

    assert verdict(line) == said


def test_rows_that_a_session_did_not_run_keep_their_results(tmp_path):
    write("3.3.2", [outcome(), outcome(fault="other")], folder=tmp_path)
    write("3.3.2", [outcome(lost=1)], folder=tmp_path)

    lines = {line["fault"]: line["lost"] for line in load(tmp_path)["3.3.2"]}
    assert lines == {"worker killed": 1, "other": 0}


def test_results_of_several_airflows_stand_side_by_side(tmp_path):
    write("3.3.2", [outcome()], folder=tmp_path)
    write("3.4.0", [outcome(), outcome(fault="only there", doubled=1, started=2)], folder=tmp_path)

    text = render(load(tmp_path))

    assert "| fault | mode | 3.3.2: runs |" in text
    assert "| worker killed | sync | 1 | 1 (1) | 0 (0) | 0 | ok | 1 | 1 (1) | 0 (0) | 0 | ok |" in text
    assert "| only there | sync | - | - | - | - | - | 1 | 2 (1) | 0 (0) | 0 | 1 doubled |" in text
    assert "Airflow 3.4.0: 2 rows, 2 runs, 1 doubled, 0 lost" in text
    assert (tmp_path / "3.4.0.md").read_text(encoding="utf-8") == text
