"""What a page tells its reader to type: each command is there, and its arguments are good.

Invariant: a command that is not known is an error, so none gets onto a page without a check of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import pytest
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf
from airflow.sdk import Connection
from packaging.requirements import Requirement
from support.pages import ROOT

from smartflows_provider.cli import arguments as executions
from smartflows_provider.devserver import __main__ as devserver
from smartflows_provider.devserver.profiles import PROFILES
from smartflows_provider.get_provider_info import get_provider_info

DISTRIBUTION = "airflow-provider-smartflows"
PINNED = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
OTHER_VARIABLES = ("AIRFLOW_HOME", "AIRFLOW_VAR_", "OTEL_EXPORTER_OTLP_")
"""Environment variables that Airflow knows without a section."""
OTHER_TYPES = ("aws", "sqlite")
"""Connection types of others that pages name."""
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(code: str) -> Iterator[list[str]]:
    """Return the words of each command of a block: what follows `$`; all else is output."""
    for line in code.splitlines():
        if line.startswith("$ "):
            yield shlex.split(line[2:], comments=True)


def check(words: list[str]) -> None:
    """
    Hold one command against what there is.

    :raises AssertionError: if it cannot work.
    """
    for start, of_start in CHECKS.items():
        known = start.split()
        if words[: len(known)] == known:
            of_start(words[len(known) :])
            return
    raise AssertionError(f"no test knows the command {shlex.join(words)}")


def _make(words: list[str]) -> None:
    assert words[0] in TARGETS, words[0]


def _pip(words: list[str]) -> None:
    for word in words:
        wanted = Requirement(word)
        if wanted.name == DISTRIBUTION:
            assert wanted.extras <= set(EXTRAS), word
        else:
            assert wanted.name in PINNED, word


def _export(words: list[str]) -> None:
    for assignment in words:
        name, _, value = assignment.partition("=")
        setting = re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", name)
        if name.startswith("AIRFLOW_CONN_"):
            connection(name.removeprefix("AIRFLOW_CONN_").lower(), value)
        elif setting:
            option(setting[1].lower(), setting[2].lower())
        else:
            assert name.startswith(OTHER_VARIABLES), name


def option(section: str, name: str) -> None:
    """Hold a setting against those that Airflow has."""
    assert name in conf.configuration_description[section]["options"], f"[{section}] {name}"


def connection(conn_id: str, text: str) -> None:
    """Read a connection as Airflow does, and its fields as the hook of its type does."""
    read = Connection.from_json(text, conn_id) if text.startswith("{") else Connection.from_uri(text, conn_id)
    declared: list[dict[str, Any]] = get_provider_info()["connection-types"]
    forms = {one["connection-type"]: one for one in declared}
    if read.conn_type not in forms:
        assert read.conn_type in OTHER_TYPES, read.conn_type
        return
    form = forms[read.conn_type]
    assert read.password, f"{conn_id} has no key"
    assert set(read.extra_dejson) <= set(form["conn-fields"]), f"{conn_id} has fields that are none"
    with patch.dict(os.environ, {f"AIRFLOW_CONN_{conn_id.upper()}": text}):
        settings = resolve_name(form["hook-class-name"])(conn_id).settings
    assert settings.base_url.startswith(("http://", "https://"))


def _executions(words: list[str]) -> None:
    executions.parse(words)


def _devserver(words: list[str]) -> None:
    options = parsed(devserver.main, words)
    for profile in options.profile:
        assert profile in PROFILES or "=" in profile, profile


class ParsedError(Exception):
    """Carries what a program has read from its arguments out of it, before it does anything."""


def parsed(main: Callable[[list[str]], int], words: list[str]) -> Namespace:
    """
    Return what a program reads from its arguments.

    :raises SystemExit: if it cannot use them.
    """
    parse = ArgumentParser.parse_args

    def stop(parser: ArgumentParser, arguments: list[str]) -> None:
        raise ParsedError(parse(parser, arguments))

    with patch.object(ArgumentParser, "parse_args", stop), pytest.raises(ParsedError) as raised:
        main(words)
    options: Namespace = raised.value.args[0]
    return options


def _airflow(words: list[str]) -> None:
    options = get_parser().parse_args(words)
    given = getattr(options, "conn_json", None)
    if given is not None:
        connection(options.conn_id, given)


def _module(words: list[str]) -> None:
    assert find_spec(words[0]), words[0]


def _with_arguments(words: list[str]) -> None:
    assert len(words) > 1, words


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _make,
    "pip install": _pip,
    "export": _export,
    "python -m smartflows_provider.devserver": _devserver,
    "python -m smartflows_provider": _executions,
    "python -m": _module,
    "airflow": _airflow,
    "curl": _with_arguments,
    "cp": _with_arguments,
}
