"""The matrix of Airflow versions: what is chosen, installed, run, counted, told and written."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from packaging.version import Version

from matrix import __main__ as command
from matrix import page, trial
from matrix.environment import InstallError, ready
from matrix.minors import MINORS, Minor, UnknownMinorError, chosen, version_named
from matrix.selection import (
    LAYERS,
    LEFT_OUT,
    QUICK,
    QUICK_FILES,
    WHOLE_DAGS,
    UnknownLayerError,
    layer_of,
    selected,
)
from matrix.trial import Availability, Trial, read_report
from smartflows_provider.version_compat import FEATURES

ROOT = Path(__file__).resolve().parents[2]

# --- which versions ---


def test_the_list_has_each_minor_once_with_a_version_of_it_and_later_days_for_later_ones() -> None:
    names = [minor.name for minor in MINORS]
    assert names == sorted(set(names), key=Version)
    for minor in MINORS:
        assert Version(minor.airflow).release[:2] == Version(minor.name).release
    days = [date.fromisoformat(minor.newest) for minor in MINORS]
    assert days == sorted(set(days))


def test_the_oldest_of_the_list_is_the_oldest_that_the_package_takes() -> None:
    assert f'"apache-airflow>={MINORS[0].name}"' in (ROOT / "pyproject.toml").read_text()


def test_versions_are_chosen_by_name_in_the_lists_order_and_all_without_one() -> None:
    assert chosen([]) == MINORS
    assert [minor.name for minor in chosen(["3.4", "3.1"])] == ["3.1", "3.4"]


def test_a_version_that_is_not_in_the_list_is_named_beside_those_that_are() -> None:
    with pytest.raises(UnknownMinorError, match=r"^2\.9 is not in the list: 3\.1, 3\.2, "):
        chosen(["3.1", "2.9"])
    with pytest.raises(UnknownMinorError, match=r"^newest is not in the list"):
        version_named("newest")


def test_an_exact_version_is_installed_as_of_its_minors_day() -> None:
    beta = version_named("3.4.0b1")
    assert (beta.name, beta.airflow, beta.newest) == ("3.4.0b1", "3.4.0b1", MINORS[-1].newest)
    assert version_named("3.1") == MINORS[0]


# --- which tests ---


def test_every_test_file_is_in_a_layer_or_left_out_with_a_reason() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    left_out = {file for file in files if layer_of(file) is None}
    assert set(selected(ROOT, LAYERS)) == files - left_out
    assert {layer_of(file) for file in files} == {*LAYERS, None}
    for place, reason in LEFT_OUT.items():
        assert reason
        assert (ROOT / place).exists(), place
        assert any(file.startswith(place) for file in left_out), place


def test_layers_part_the_tests_among_them() -> None:
    parts = [set(selected(ROOT, [layer])) for layer in LAYERS]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert "tests/dags/test_ocp_example.py" in parts[LAYERS.index("dag")]
    assert all((ROOT / place).exists() for place in WHOLE_DAGS)


def test_the_quick_part_is_of_the_layers() -> None:
    assert selected(ROOT, [QUICK]) == QUICK_FILES
    assert set(QUICK_FILES) < set(selected(ROOT, LAYERS))


def test_a_word_that_is_no_layer_is_named_beside_those_that_are() -> None:
    with pytest.raises(UnknownLayerError, match=r"^slow is no layer: unit, contract, dag; or quick$"):
        selected(ROOT, ["unit", "slow"])


# --- the environment ---

MINOR = Minor(name="3.9", airflow="3.9.1", newest="2031-02-03")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a uv that notes how it is called; it fails where a file says so."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    uv = tmp_path / ".venv" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(
        '#!/bin/sh\necho "$@" >> calls\nfor last; do :; done\n'
        'if [ "$1" = venv ]; then mkdir -p "$last/bin"; fi\n'
        'if [ -e broken ] && [ "$1" = pip ]; then echo "no such release"; exit 2; fi\n'
    )
    uv.chmod(uv.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def made(project: Path, minor: Minor = MINOR, said: list[str] | None = None) -> Path:
    return ready(minor, python="python3.12", root=project, say=(said if said is not None else []).append)


def calls(project: Path) -> list[str]:
    path = project / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_an_environment_is_made_with_nothing_newer_than_the_day(project: Path) -> None:
    said: list[str] = []
    assert made(project, said=said) == project / ".venv-3.9" / "bin" / "python"
    venv, install = calls(project)
    assert venv == f"venv --quiet --clear --python python3.12 {project}/.venv-3.9"
    assert "--exclude-newer 2031-02-03 apache-airflow==3.9.1 -e .[test]" in install
    assert said == ["installing Airflow 3.9.1 and the project into .venv-3.9 (about a minute)"]


def test_an_environment_that_is_there_is_not_made_again(project: Path) -> None:
    made(project)
    said: list[str] = []
    made(project, said=said)
    assert len(calls(project)) == 2
    assert said == []


@pytest.mark.parametrize("what", ["day", "version", "project"])
def test_an_environment_is_made_anew_where_something_has_changed(project: Path, what: str) -> None:
    made(project)
    minor = MINOR
    if what == "project":
        (project / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    elif what == "day":
        minor = replace(MINOR, newest="2031-02-04")
    else:
        minor = replace(MINOR, airflow="3.9.2")
    made(project, minor)
    assert len(calls(project)) == 4


def test_an_environment_whose_installation_failed_is_made_again(project: Path) -> None:
    (project / "broken").touch()
    with pytest.raises(InstallError, match="ended with exit code 2:\nno such release"):
        made(project)
    (project / "broken").unlink()
    made(project)
    assert len(calls(project)) == 4


def test_without_uv_it_is_said_what_for_and_how_to_get_it(project: Path) -> None:
    (project / ".venv" / "bin" / "uv").unlink()
    with pytest.raises(InstallError, match=r"uv is missing\. Only uv .*--exclude-newer.*`make setup`"):
        made(project)


# --- what came of it ---

REPORT = """<testsuites><testsuite>
<testcase file="tests/hooks/test_a.py" name="test_one" />
<testcase file="tests/hooks/test_a.py" name="test_two[x]"><failure message="no" /></testcase>
<testcase file="tests/dags/test_b.py" name="test_three" />
<testcase file="tests/conformance/test_c.py" name="test_four"><skipped message="needs Airflow 9" /></testcase>
<testcase file="tests/conformance/test_c.py" name="test_five"><skipped message="needs Airflow 9" /></testcase>
<testcase file="tests/dags/test_b.py" name="test_six"><error message="no fixture" /></testcase>
</testsuite></testsuites>"""
HERE = Availability(name="sleeps | late", before="it wakes", here=True)
MISSING = Availability(name="dreams", before="it counts sheep", here=False)


def report(text: str = REPORT, *, minor: Minor = MINOR, problem: str = "") -> Trial:
    return read_report(
        text, minor=minor, python="3.12.1", features=(HERE, MISSING), seconds=61.4, problem=problem
    )


def test_a_report_is_counted_by_layer_with_failures_by_name_and_skips_by_reason() -> None:
    found = report()
    assert found.counts == {
        "unit": {"passed": 1, "failed": 1},
        "dag": {"passed": 1, "failed": 1},
        "contract": {"skipped": 2},
    }
    assert found.failures == ("tests/hooks/test_a.py::test_two[x]", "tests/dags/test_b.py::test_six")
    assert found.skips == {"needs Airflow 9": 2}
    assert not found.passed


PASSED = '<testsuites><testcase file="tests/hooks/test_a.py" name="t" /></testsuites>'


@pytest.mark.parametrize(
    ("text", "problem", "passed"),
    [(PASSED, "", True), (PASSED, "exit code 4", False), ("<testsuites/>", "", False)],
)
def test_a_version_has_passed_only_if_tests_ran_and_nothing_went_wrong(
    text: str, problem: str, passed: bool
) -> None:
    assert report(text, problem=problem).passed is passed


def test_the_screen_names_what_failed_was_skipped_and_is_not_there() -> None:
    told = page.screen([report(), replace(report(PASSED), minor=MINORS[0])], layers=["unit"])
    assert re.search(r"3\.9 +3\.9\.1 +3\.12\.1 +2 +2 +2 +61 +FAILED", told)
    assert re.search(r"3\.1 +3\.1\.8 +3\.12\.1 +1 +0 +0 +61 +ok", told)
    assert "  failed: tests/hooks/test_a.py::test_two[x]" in told
    assert "  2 skipped: needs Airflow 9" in told
    assert told.endswith("\n3 passed, 2 failed, 2 skipped, over 2 versions of Airflow")
    assert "  1 of 2 features available\n  not here: dreams; it counts sheep" in told


def trials(text: str = PASSED) -> list[Trial]:
    return [replace(report(text), minor=minor) for minor in MINORS]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("before\n<!-- versions -->\nold\n<!-- end of versions -->\nafter\n")
    marks = ("tested versions", "features by version")
    text = "\n".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->" for name in marks)
    (tmp_path / "docs" / "versions.md").write_text(text)
    return tmp_path


def test_a_run_renews_the_tables_between_their_marks_only(pages: Path) -> None:
    page.renew(pages, trials(), layers=LAYERS)
    readme, versions = (pages / "README.md").read_text(), (pages / "docs" / "versions.md").read_text()
    assert readme.startswith("before\n<!-- versions -->\n| Airflow |")
    assert readme.endswith("<!-- end of versions -->\nafter\n")
    assert "old" not in readme + versions
    assert "| dreams | no | no | no | no | it counts sheep |" in versions


def run(monkeypatch: pytest.MonkeyPatch, pages: Path, *arguments: str, text: str = PASSED) -> int:
    monkeypatch.setattr(command, "ready", lambda minor, **_: Path("python"))
    monkeypatch.setattr(trial, "run", lambda minor, **_: replace(report(text), minor=minor))
    monkeypatch.setattr(page, "renew", lambda *_, layers: (pages / "renewed").write_text(" ".join(layers)))
    return command.main(arguments)


def test_only_a_run_of_all_versions_that_passed_renews_the_pages(
    monkeypatch: pytest.MonkeyPatch, pages: Path
) -> None:
    assert run(monkeypatch, pages, "3.1") == 0
    assert run(monkeypatch, pages, text=REPORT) == 1
    assert not (pages / "renewed").exists()
    assert run(monkeypatch, pages) == 0
    assert (pages / "renewed").read_text() == "unit contract dag"


def test_the_table_of_what_was_tested_names_the_command_that_tested_it() -> None:
    assert page.tested(trials(), layers=LAYERS).startswith(
        "Tests that passed, by layer, `make matrix`:\n\n| "
    )
    assert '`make matrix MATRIX_LAYERS="quick"`' in page.tested(trials(), layers=[QUICK])


def test_a_version_that_cannot_be_installed_fails_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(minor: Minor, **_: object) -> Path:
        if minor == MINORS[0]:
            raise InstallError("no such release")
        return Path("python")

    monkeypatch.setattr(command, "ready", broken)
    monkeypatch.setattr(trial, "run", lambda minor, **_: replace(report(PASSED), minor=minor))
    assert command.main(["3.1", "3.2"]) == 1
    told = capsys.readouterr().out
    assert "no such release" in told
    assert re.search(r"3\.2 .* ok", told)


def test_a_wrong_word_is_refused_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ready", lambda *_, **__: pytest.fail("installed"))
    for arguments in (["3.0"], ["--layers", "slow"], ["--interpreter", "2.9.1"]):
        with pytest.raises(SystemExit) as raised:
            command.main(arguments)
        assert raised.value.code == 2
    assert "is no layer" in capsys.readouterr().err


def test_the_interpreter_of_a_version_is_all_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ready", lambda minor, **_: Path(f"/v/{minor.airflow}/bin/python"))
    assert command.main(["--interpreter", "3.4"]) == 0
    assert capsys.readouterr().out == f"/v/{MINORS[-1].airflow}/bin/python\n"


# --- the pages as they are ---


def block(path: str, name: str) -> list[list[str]]:
    text = (ROOT / path).read_text()
    (found,) = re.findall(f"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", text, re.DOTALL)
    table = [line for line in found.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("README.md", "versions"),
        ("docs/versions.md", "tested versions"),
        ("docs/versions.md", "features by version"),
    ],
)
def test_each_table_is_well_formed(path: str, name: str) -> None:
    head, line, *rows = block(path, name)
    assert rows
    assert set(line) == {"---"}
    assert all(len(row) == len(head) == len(line) for row in rows)


def test_the_tables_have_the_versions_of_the_list() -> None:
    supported = block("README.md", "versions")[2:]
    assert [row[:2] for row in supported] == [[one.name, one.airflow] for one in MINORS]
    tested = block("docs/versions.md", "tested versions")[2:]
    assert [(row[0], row[2]) for row in tested] == [(one.airflow, one.newest) for one in MINORS]
    assert block("docs/versions.md", "features by version")[0][1:-1] == [one.name for one in MINORS]


def test_the_table_of_features_says_what_the_package_asks_airflow_for() -> None:
    rows = block("docs/versions.md", "features by version")[2:]
    expected = [
        [
            one.name,
            *("yes" if Version(minor.name) >= Version(one.since) else "no" for minor in MINORS),
            one.before,
        ]
        for one in FEATURES
    ]
    assert rows == expected


def test_the_environments_are_no_part_of_the_repository() -> None:
    assert ".venv-*/" in (ROOT / ".gitignore").read_text().splitlines()
