"""What an extra lacks is told by the package's own metadata."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from smartflows_provider import extras
from smartflows_provider.demo import __main__ as demo
from smartflows_provider.devserver import __main__ as devserver

DECLARED = [
    "requests>=2",
    "tzdata; sys_platform == 'win32'",
    "airflow-provider-smartflows[server]; extra == 'show'",
    "Data_Set<3; extra == 'show'",
    "pages>=1; extra == 'server'",
    "colours; extra == 'server' and sys_platform == 'win32'",
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Releases by name of what is installed; the package's metadata are the ones above."""
    releases = {"Data_Set": "2.5", "pages": "1.0"}

    def version(name: str) -> str:
        if name not in releases:
            raise PackageNotFoundError(name)
        return releases[name]

    monkeypatch.setattr(extras, "requires", lambda name: DECLARED)
    monkeypatch.setattr(extras, "version", version)
    return releases


def test_an_extra_that_is_there_lacks_nothing(installed: dict[str, str]) -> None:
    assert extras.missing("show") == []


def test_what_is_missing_is_named_also_of_an_extra_that_is_included(installed: dict[str, str]) -> None:
    installed.clear()
    assert extras.missing("show") == ["Data_Set<3", "pages>=1"]
    assert extras.missing("server") == ["pages>=1"]


def test_a_release_that_is_not_allowed_counts_as_missing(installed: dict[str, str]) -> None:
    installed["Data_Set"] = "3.0"
    assert extras.missing("show") == ["Data_Set<3"]


def test_a_prerelease_is_enough(installed: dict[str, str]) -> None:
    installed["pages"] = "1.1rc1"
    assert extras.missing("show") == []


def test_what_every_install_has_and_what_no_extra_has_is_never_missing(installed: dict[str, str]) -> None:
    installed.clear()
    assert extras.missing("") == extras.missing("nonsense") == []


def test_nothing_is_known_of_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", requires)
    assert extras.missing("demo") == []


def test_the_tests_own_environment_has_both_extras() -> None:
    assert extras.missing("demo") == extras.missing("devserver") == []


@pytest.mark.parametrize(("command", "extra"), [(demo, "demo"), (devserver, "devserver")])
def test_a_command_that_lacks_something_says_how_to_get_it(
    command: object, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "missing", lambda asked: [f"needed-by-{asked}>=1", "other"])
    assert command.main() == 2
    assert capsys.readouterr().err == (
        f"The {extra} needs what is not installed here: needed-by-{extra}>=1, other.\n"
        f"Install it with: pip install 'airflow-provider-smartflows[{extra}]'\n"
    )
