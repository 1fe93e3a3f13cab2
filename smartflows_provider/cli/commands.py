"""What the commands do: ask the service, show, ask the person, cancel.

The decisions are in the modules beside this one; here they meet the hook and the screen. Invariants: an
error of the tree becomes its message and an exit code, never a traceback; nothing is cancelled before the
person, or ``--yes``, has said so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, assert_never

from airflow.providers.common.compat.sdk import AirflowException

from smartflows_provider.cli.arguments import CancelOptions, ListOptions, Options, ShowOptions
from smartflows_provider.cli.cancelling import AT_A_TIME, Cancellation, cancel_all
from smartflows_provider.cli.connecting import OnCallHook
from smartflows_provider.cli.details import details, lines
from smartflows_provider.cli.screen import Screen
from smartflows_provider.cli.selection import Selected, Selection, is_too_old, select, unwanted_statuses
from smartflows_provider.cli.table import as_object, table
from smartflows_provider.cli.text import count
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowException,
    FlowNotFoundError,
    FlowRequestRefusedError,
)
from smartflows_provider.waiting.holding import SHORTEST_NAMED
from smartflows_provider.wire.run import Execution, RunSnapshot
from smartflows_provider.wire.smart_flows import User, current_user, find_executions

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes; ``arguments.EXIT_CODES`` explains them."""


def run(options: Options, screen: Screen) -> int:
    """
    Carry a command out.

    :param options: of the command line.
    :param screen: where it is shown and asked.
    :returns: the exit code.
    """
    try:
        with OnCallHook(options.conn_id) as hook:
            match options:
                case ListOptions():
                    return _list(options, hook, screen)
                case ShowOptions():
                    return _show(options, hook, screen)
                case CancelOptions():
                    return _cancel(options, hook, screen)
                case _:
                    assert_never(options)
    except AirflowException as error:
        screen.note(f"Error: {error}")
        return FAILED


def _list(options: ListOptions, hook: OnCallHook, screen: Screen) -> int:
    selected, user = _find(hook, options.selection)
    executions, now = selected.executions[: options.limit], time.time()
    if options.as_json:
        _show_json([as_object(execution, now=now) for execution in executions], screen)
    else:
        if executions:
            screen.show(*table(executions, now=now, width=screen.width), "")
        screen.show(_found(selected, options.selection, user, hook.conn_id))
    if len(executions) < len(selected.executions):
        screen.note(f"Not shown because of --limit: {len(selected.executions) - len(executions)} more.")
    _note_left_out(selected, screen)
    return DONE


def _show(options: ShowOptions, hook: OnCallHook, screen: Screen) -> int:
    execution = hook.get_execution(options.execution_id)
    snapshot: RunSnapshot | None = None
    try:
        snapshot = hook.get_progress(options.execution_id, hold_seconds=SHORTEST_NAMED)
    except FlowException as error:
        screen.note(f"Its progress is not known. {error}")
    told = details(
        execution,
        snapshot=snapshot,
        url=hook.execution_url(execution.id),
        now=time.time(),
        with_input=options.with_input,
    )
    if options.as_json:
        _show_json(told, screen)
    else:
        screen.show(*lines(told))
    return DONE


def _cancel(options: CancelOptions, hook: OnCallHook, screen: Screen) -> int:
    if not options.yes and not screen.can_ask:
        screen.note(
            "Error: standard input is no terminal, so nobody can be asked; add --yes to cancel unasked."
        )
        return UNUSABLE
    hook.get_conn()
    missing = False
    if options.selection is not None:
        selected, user = _find(hook, options.selection)
        executions: Sequence[Execution] = selected.executions
        _note_left_out(selected, screen)
        if not executions:
            screen.show(_found(selected, options.selection, user, hook.conn_id))
    else:
        executions, missing = _named(hook, options.execution_ids, screen)
    if executions:
        screen.show(*table(executions, now=time.time(), width=screen.width), "")
        if not options.yes and not screen.ask(f"Cancel {count(len(executions), 'execution')}?"):
            screen.note("Nothing was cancelled.")
            return FAILED
        done = cancel_all(
            hook,
            [execution.id for execution in executions],
            settle_seconds=options.settle_seconds,
            tell=screen.show,
            on_interrupt=partial(screen.note, "Interrupted; the requests under way are waited for."),
        )
        screen.show("", *_summary(done))
        if done.interrupted:
            return INTERRUPTED
        missing = missing or bool(done.asked or done.failed)
    return FAILED if missing else DONE


def _show_json(value: Any, screen: Screen) -> None:
    # DEL is the one control character that JSON leaves as it is.
    screen.show(*json.dumps(value, indent=2).replace("\x7f", "\\u007f").splitlines())


def _find(hook: OnCallHook, selection: Selection) -> tuple[Selected, User | None]:
    user = None if selection.everyone else hook.run(current_user())
    flow_id = None if selection.flow is None else hook.find_flow(selection.flow).id
    now = time.time()
    found = select(
        _ask_for(hook, selection, flow_id, now=now),
        selection,
        flow_id=flow_id,
        user_id=user.id if user else "",
        now=now,
    )
    return found, user


def _ask_for(hook: OnCallHook, selection: Selection, flow_id: str | None, *, now: float) -> list[Execution]:
    """
    Return what the service has, the newest first until they are too old.

    A service that does not take the filter is asked for everything.
    """
    where, until = unwanted_statuses(selection), partial(is_too_old, selection=selection, now=now)
    if where is not None:
        try:
            return hook.run(find_executions(where=where, until=until))
        except (FlowRequestRefusedError, FlowNotFoundError):
            pass
    return hook.run(find_executions(flow=flow_id, until=until))


def _named(hook: OnCallHook, execution_ids: Sequence[str], screen: Screen) -> tuple[list[Execution], bool]:
    """Return the executions that are not over, and whether an id could not be found."""
    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        answers = list(pool.map(partial(_one, hook), execution_ids))
    active, missing = [], False
    for answer in answers:
        if isinstance(answer, FlowException):
            screen.note(f"Error: {answer}")
            missing = True
        elif answer.phase.is_stable:
            screen.note(f"Execution {answer.id} is {answer.status}; there is nothing to cancel.")
        else:
            active.append(answer)
    return active, missing


def _one(hook: OnCallHook, execution_id: str) -> Execution | FlowException:
    try:
        return hook.get_execution(execution_id)
    except (FlowNotFoundError, FlowConfigurationError) as error:
        return error


def _found(selected: Selected, selection: Selection, user: User | None, conn_id: str) -> str:
    kind = "execution" if selection.ended or selection.statuses else "active execution"
    number = len(selected.executions)
    what = count(number, kind) if number else f"No {kind}s"
    filtered = selection != Selection(everyone=selection.everyone, ended=selection.ended)
    whose = f" of {user.name or user.id or 'this key'}" if user else ""
    return f"{what}{whose} on the connection {conn_id!r}{', as filtered' if filtered else ''}."


def _note_left_out(selected: Selected, screen: Screen) -> None:
    if selected.unclaimed:
        screen.note(
            f"Left out: {count(selected.unclaimed, 'execution')} of which the service does not tell whether "
            "this key's user has created them; --everyone includes them."
        )
    if selected.undated:
        screen.note(
            f"Left out: {count(selected.undated, 'execution')} of which the service does not tell the age; "
            "without --older-than and --newer-than they are included."
        )


def _summary(done: Cancellation) -> list[str]:
    number = len(done.over) + len(done.asked) + len(done.failed) + len(done.untouched)
    told = [f"{len(done.over)} of {count(number, 'execution')} {'is' if number == 1 else 'are'} over."]
    if done.asked:
        told.append(f"Asked to stop, and not over yet: {len(done.asked)}; `executions list` shows them.")
    if done.failed:
        told.append(f"Not cancelled, for the reasons above: {len(done.failed)}.")
    if done.untouched:
        told.append(f"Not asked to stop: {len(done.untouched)}; run the command again for them.")
    return told
