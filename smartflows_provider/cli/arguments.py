"""The command's arguments, read into values.

Invariant: what leaves here can be carried out as it stands; every contradiction is a usage error before
Airflow is loaded or the service is asked.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smartflows_provider.cli.selection import Selection
from smartflows_provider.systems import SMART_FLOWS_CONN_ID
from smartflows_provider.wire.smart_flows import ExecutionStatus, phase_of, read_status

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhd])", re.ASCII)
SETTLE_SECONDS = 30.0
"""How long cancelled executions may take to stop, unless ``--settle-seconds`` says otherwise."""
EXIT_CODES = """exit codes:
  0    done
  1    something was not found or not cancelled, you said no, or there was an error
  2    the arguments cannot be used, or nobody can be asked
  130  interrupted with Ctrl-C; what was done is said
"""


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """``executions list``."""

    conn_id: str
    selection: Selection
    limit: int | None
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """``executions show``."""

    conn_id: str
    execution_id: str
    with_input: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class CancelOptions:
    """``executions cancel``, either by ids or by a selection."""

    conn_id: str
    execution_ids: tuple[str, ...]
    selection: Selection | None
    yes: bool
    settle_seconds: float


Options = ListOptions | ShowOptions | CancelOptions


def parse(arguments: Sequence[str] | None = None) -> Options:
    """
    Read the command line.

    :param arguments: None for the process' own.
    :raises SystemExit: with code 2 for what cannot be used, with 0 after ``--help``.
    """
    parser, commands = _parsers()
    given = parser.parse_args(arguments)
    command = commands[given.command]
    if given.command == "show":
        return ShowOptions(
            conn_id=given.conn_id,
            execution_id=given.execution_id,
            with_input=given.input,
            as_json=given.json,
        )
    selection = Selection(
        flow=given.flow,
        statuses=frozenset(given.status),
        older_than=given.older_than,
        newer_than=given.newer_than,
        everyone=given.everyone,
        ended=given.command == "list" and given.all,
    )
    if (
        selection.older_than is not None
        and selection.newer_than is not None
        and selection.older_than > selection.newer_than
    ):
        command.error("no execution is both older than --older-than and newer than --newer-than")
    if given.command == "list":
        return ListOptions(conn_id=given.conn_id, selection=selection, limit=given.limit, as_json=given.json)
    _check_cancel(command, given.execution_ids, selection)
    return CancelOptions(
        conn_id=given.conn_id,
        execution_ids=tuple(dict.fromkeys(given.execution_ids)),
        selection=None if given.execution_ids else selection,
        yes=given.yes,
        settle_seconds=given.settle_seconds,
    )


def _check_cancel(
    command: argparse.ArgumentParser, execution_ids: Sequence[str], selection: Selection
) -> None:
    filtered = selection != Selection(everyone=selection.everyone)
    if execution_ids and (filtered or selection.everyone):
        command.error("name executions by id or by filter, not by both")
    if not execution_ids and not filtered:
        command.error(
            "name executions by id, or by at least one of --flow, --status, --older-than, --newer-than"
        )
    over = sorted(status for status in selection.statuses if phase_of(status).is_stable)
    if over:
        command.error(f"an execution in {over[0]} is over; there is nothing to cancel")


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    style: dict[str, Any] = {
        "epilog": EXIT_CODES,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    parser = argparse.ArgumentParser(
        prog="python -m smartflows_provider",
        description="Smart Flows from the command line, for the one on call.",
        **style,
    )
    area = parser.add_subparsers(metavar="AREA", required=True).add_parser(
        "executions",
        help="see and cancel executions",
        description="See and cancel the executions of a connection's key.",
        **style,
    )
    actions = area.add_subparsers(metavar="COMMAND", dest="command", required=True)
    commands = {
        name: actions.add_parser(name, help=brief, description=description, **style)
        for name, brief, description in (
            ("list", "show active executions", "Show executions that are not over, oldest first."),
            ("show", "show one execution", "Show how one execution stands, and why."),
            (
                "cancel",
                "cancel executions",
                "Cancel executions by id or by filter. What would be cancelled is shown, and you are asked.",
            ),
        )
    }
    for command in commands.values():
        command.add_argument(
            "--conn-id", default=SMART_FLOWS_CONN_ID, help="Airflow connection (default: %(default)s)"
        )
    _add_filters(commands["list"])
    commands["list"].add_argument("--limit", type=_positive, metavar="N", help="show only the N oldest")
    _add_json(commands["list"])
    commands["show"].add_argument("execution_id", metavar="ID", help="of the execution")
    commands["show"].add_argument("--input", action="store_true", help="print the input too")
    _add_json(commands["show"])
    commands["cancel"].add_argument("execution_ids", nargs="*", metavar="ID", help="of an execution")
    _add_filters(commands["cancel"], with_all=False)
    commands["cancel"].add_argument("--yes", action="store_true", help="do not ask")
    commands["cancel"].add_argument(
        "--settle-seconds",
        type=_seconds,
        default=SETTLE_SECONDS,
        metavar="N",
        help="how long to wait until all have stopped (default: %(default)g)",
    )
    return parser, commands


def _add_filters(command: argparse.ArgumentParser, *, with_all: bool = True) -> None:
    words = command.add_mutually_exclusive_group()
    words.add_argument(
        "--status",
        action="append",
        default=[],
        type=_status,
        metavar="WORD",
        help=f"in this status, repeatable; words: {', '.join(ExecutionStatus)}",
    )
    if with_all:
        words.add_argument("--all", action="store_true", help="also those that are over")
    command.add_argument("--flow", metavar="NAME_OR_ID", help="of this flow")
    command.add_argument("--older-than", type=_span, metavar="AGE", help="created before: 45s, 30m, 2h, 1d")
    command.add_argument("--newer-than", type=_span, metavar="AGE", help="created since: 45s, 30m, 2h, 1d")
    command.add_argument(
        "--everyone", action="store_true", help="not only those that this key's user has created"
    )


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="JSON, for scripts")


def _status(text: str) -> str:
    word = read_status(text)
    if word not in set(ExecutionStatus):
        raise argparse.ArgumentTypeError(
            f"there is no status {text!r}; there are {', '.join(ExecutionStatus)}"
        )
    return word


def _span(text: str) -> float:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 45s, 30m, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0")
    return seconds
