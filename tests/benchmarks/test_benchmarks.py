"""The frame of the benchmarks, and their rows in a small size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import work
from benchmarks.__main__ import main, measure_group
from benchmarks.comparison import Figure, Result, Row, measure
from benchmarks.groups import GROUPS
from benchmarks.sheet import Reading, readings
from benchmarks.table import block, plain, sheet_of, with_block
from benchmarks.work import Sample, Work

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
ON_AIRFLOW = {"triggerer", "kill", "workers"}
"""Groups that start Airflow; they have tests of their own."""
TAKE = "tests.benchmarks.bench_samples:take"
SLOW = {"waiting", "growth"}
"""Groups whose figures take time to come about, and average over many waits in one run."""
ROW = Row(
    name="rows",
    ours=Work("ours:do"),
    theirs=Work("theirs:do"),
    amount=100,
    unit="rows",
    least_ratio=0.8,
    most_memory=40.0,
)


def result(*, ratio: float, memory: float | None) -> Result:
    return Result(
        row=ROW,
        ours=Figure(2.0, 1.5, 3.0),
        theirs=Figure(1.0, 1.0, 1.0),
        ratio=Figure(ratio, 0.1, 9.0),
        memory=None if memory is None else Figure(memory, 1.0, 99.0),
    )


def test_memory_is_the_peak_of_a_process_of_its_own_above_its_base():
    ballast = bytearray(200_000_000)
    small, large = (Work(TAKE, (("megabytes", size),)).measure() for size in (1, 60))
    assert small.memory is not None
    assert large.memory is not None
    assert small.memory < 10_000_000
    assert 55_000_000 < large.memory < 70_000_000
    assert len(ballast) == 200_000_000


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(work, "_STATUS", tmp_path / "none")
    work._do(TAKE, {"megabytes": 1})
    assert '"memory": null' in capsys.readouterr().out


def test_work_that_fails_is_an_error_whose_reason_is_shown(capfd):
    with pytest.raises(subprocess.CalledProcessError):
        Work("tests.benchmarks.bench_samples:fail", (("reason", "no such thing"),)).measure()
    assert "no such thing" in capfd.readouterr().err


def test_sides_take_turns_a_shared_work_is_done_once_and_ratios_are_of_one_run(monkeypatch):
    done = []
    seconds = {"bare": iter([10.0, 1.0, 4.0]), "one": iter([5.0, 2.0, 4.0]), "two": iter([1.0, 1.0, 1.0])}

    def take(self: Work) -> Sample:
        done.append(self.target)
        return Sample(seconds=next(seconds[self.target]), memory=2_000_000)

    monkeypatch.setattr(Work, "measure", take)
    bare = Work("bare")
    rows = [Row(name=name, ours=Work(name), theirs=bare, amount=1, unit="row") for name in ("one", "two")]
    lines: list[str] = []
    one, two = measure(rows, runs=3, tell=lines.append)
    assert done == ["bare", "one", "two", "two", "one", "bare", "bare", "one", "two"]
    assert one.ratio == Figure(1.0, 0.5, 2.0)
    assert two.ratio == Figure(4.0, 1.0, 10.0)
    assert one.memory == Figure(2.0, 2.0, 2.0)
    assert len(lines) == 9


@pytest.mark.parametrize(
    ("ratio", "memory", "margin", "missed"),
    [
        (0.8, 40.0, 1.0, []),
        (0.79, None, 1.0, ["rows: the ratio is 0.79, the goal 0.8"]),
        (0.61, 1.0, 0.75, []),
        (9.0, 41.0, 0.75, ["rows: it takes 41 MB, the goal is 40.0"]),
    ],
)
def test_goals_that_are_missed_are_named(ratio, memory, margin, missed):
    assert result(ratio=ratio, memory=memory).missed(margin=margin) == missed


def test_goal_of_a_figure_is_widened_by_the_margin_unless_it_is_exact():
    slow = Reading(name="imports", figure=Figure(32.0, 20.0, 50.0), unit="ms", digits=1, most=30.0)
    lost = Reading(name="lost", figure=Figure(1.0, 0.0, 1.0), unit="triggers", most=0.0, exact=True)
    free = Reading(name="free", figure=Figure(99.0, 99.0, 99.0), unit="ms")
    sheet = readings([slow, lost, free], runs=3)
    assert sheet.missed() == [
        "imports: 32.0 ms, the goal is ≤ 30",
        "lost: 1 triggers, the goal is ≤ 0",
    ]
    assert sheet.missed(margin=0.75) == ["lost: 1 triggers, the goal is ≤ 0"]
    assert sheet.lines[0] == ("imports", "32.0 (20.0 to 50.0) ms", "≤ 30")
    assert sheet.lines[2] == ("free", "99 ms", "")


def test_table_shows_median_lowest_and_highest():
    head, line = plain(sheet_of([result(ratio=0.5, memory=None)], runs=5)).splitlines()
    assert head.split("  ")[-1] == "speed"
    assert line.split("  ")[0] == "rows"
    assert "2.00 (1.50 to 3.00)" in line
    assert "0.50 (0.10 to 9.00)" in line
    assert "unknown" in line
    assert line.endswith("50 rows/s")


def test_block_takes_the_place_of_the_old_one_and_leaves_the_rest():
    page = "a\n<!-- one -->\nold\n<!-- end of one -->\nb\n<!-- two -->\nkept\n<!-- end of two -->\n"
    told = block(sheet_of([result(ratio=1.0, memory=1.0)], runs=5), command="make bench", packages=["lxml"])
    renewed = with_block(page, "one", told)
    assert "old" not in renewed
    assert "| rows | 2.00 (1.50 to 3.00) | 1.00 (1.00 to 1.00) | 1.00 (0.10 to 9.00) | ≥ 0.8 |" in renewed
    assert "`make bench`, the median of 5 runs" in renewed
    assert renewed.startswith("a\n")
    assert renewed.endswith("b\n<!-- two -->\nkept\n<!-- end of two -->\n")
    assert with_block(renewed, "one", told) == renewed
    with pytest.raises(ValueError, match="the page has no place for three"):
        with_block(page, "three", told)


def test_page_has_a_place_for_every_group():
    for name in GROUPS:
        assert with_block(PAGE.read_text(), name, "x") != PAGE.read_text()


def test_group_that_does_not_exist_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "paylod"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "there is no group paylod; there are payload, output, " in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.benchmark
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", sorted(GROUPS.keys() - ON_AIRFLOW))
def test_goals_are_reached_in_a_smaller_size_with_a_margin_for_busy_machines(name):
    # What else runs on the machine can spoil a measurement, but not three of them.
    for _ in range(3):
        missed = measure_group(name, runs=1 if name in SLOW else 3, scale=0.3).missed(margin=0.75)
        if not missed:
            break
    assert missed == []
