"""Nothing outlives a process tree: not a grandchild in a group of its own, not after SIGKILL or Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from smartflows_provider.demo.database import clean_environment
from smartflows_provider.demo.processes import ProcessTree, ProgramEndedError, marked_processes, tail

PATIENCE = 30.0

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
open(sys.argv[1] + str(os.getpid()), "w").close()
time.sleep(600)
"""
"""Ignores SIGTERM and leaves a grandchild that has a session of its own and no living parent."""

OWNER = """
import sys, time
from pathlib import Path
from smartflows_provider.demo.database import clean_environment
from smartflows_provider.demo.processes import ProcessTree
folder, program = sys.argv[1:]
with ProcessTree(logs=Path(folder), grace=0.2) as tree:
    tree.start("stubborn", [sys.executable, "-c", program, folder + "/up-"], env=clean_environment({}))
    print(tree.mark, flush=True)
    time.sleep(600)
"""


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def start_stubborn(tree, folder):
    tree.start("stubborn", [sys.executable, "-c", STUBBORN, f"{folder}/up-"], env=clean_environment({}))
    wait_until(lambda: len(list(folder.glob("up-*"))) == 2)


def test_leaving_the_block_ends_programs_that_ignore_sigterm_and_their_orphans(tmp_path):
    with ProcessTree(logs=tmp_path, grace=0.2) as tree:
        start_stubborn(tree, tmp_path)
        pids = {int(path.name.removeprefix("up-")) for path in tmp_path.glob("up-*")}
        assert {process.pid for process in tree.alive()} == pids

    assert list(marked_processes(tree.mark)) == []
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_a_program_may_end_by_itself_after_sigterm(tmp_path):
    polite = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), sys.exit(0)))\n"
        # One write: an unbuffered print would let the signal in before the line's end.
        "os.write(1, b'up\\n')\n"
        "time.sleep(600)"
    )
    with ProcessTree(logs=tmp_path) as tree:
        tree.start("polite", [sys.executable, "-c", polite], env=clean_environment({}))
        wait_until(lambda: tail(tree.log_of("polite")) == "up")

    assert tail(tree.log_of("polite")) == "up\nbye"


def test_a_program_that_renames_itself_at_length_is_still_found(tmp_path):
    renamed = (
        "import setproctitle, time\n"
        "setproctitle.setproctitle('airflow worker ' * 1000)\n"
        "print('renamed', flush=True)\n"
        "time.sleep(600)"
    )
    with ProcessTree(logs=tmp_path) as tree:
        tree.start("renamed", [sys.executable, "-c", renamed], env=clean_environment({}))
        wait_until(lambda: tail(tree.log_of("renamed")) == "renamed")

        assert [process.pid for process in tree.alive()] == [tree.pid_of("renamed")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_owner_is_ended_by_a_signal(tmp_path, number):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), STUBBORN],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with owner:
        mark = owner.stdout.readline().strip()
        wait_until(lambda: len(list(tmp_path.glob("up-*"))) == 2)
        os.killpg(owner.pid, number)

    wait_until(lambda: not list(marked_processes(mark)))


def test_a_program_that_ended_by_itself_is_named_with_its_exit_code_and_output(tmp_path):
    with ProcessTree(logs=tmp_path) as tree:
        tree.start(
            "brief", [sys.executable, "-c", "print('no such port'); exit(3)"], env=clean_environment({})
        )
        with pytest.raises(ProgramEndedError, match=r"(?s)brief ended .* exit code 3.*no such port"):
            wait_until(tree.require_running)


def test_programs_see_none_of_the_callers_airflow_settings(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "Other")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    env = clean_environment({"AIRFLOW_HOME": "/here"})

    assert {name: value for name, value in env.items() if name.startswith("AIRFLOW")} == {
        "AIRFLOW_HOME": "/here"
    }
    assert "PYTHONDONTWRITEBYTECODE" not in env


def test_the_tail_of_a_missing_file_says_so(tmp_path):
    assert tail(tmp_path / "none.log") == f"({tmp_path / 'none.log'} does not exist)"


def test_one_program_is_frozen_woken_and_ended_with_its_orphans_and_the_others_live(tmp_path):
    other = [sys.executable, "-c", "import time; time.sleep(600)"]
    with ProcessTree(logs=tmp_path, grace=0.2) as tree:
        start_stubborn(tree, tmp_path)
        tree.start("other", other, env=clean_environment({}))

        def states():
            return {process.status() for process in tree.processes_of("stubborn")}

        assert tree.processes_of("stubborn")[0].pid == tree.pid_of("stubborn")

        tree.send("stubborn", signal.SIGSTOP)
        wait_until(lambda: states() == {psutil.STATUS_STOPPED})
        tree.send("stubborn", signal.SIGCONT)
        wait_until(lambda: states() == {psutil.STATUS_SLEEPING})
        tree.end("stubborn", signal.SIGKILL)

        assert not tree.processes_of("stubborn")
        assert [process.pid for process in tree.alive()] == [tree.pid_of("other")]
        tree.require_running()


def test_a_program_that_ends_alone_leaves_its_children_and_one_that_stays_is_killed(tmp_path):
    with ProcessTree(logs=tmp_path, grace=0.2) as tree:
        start_stubborn(tree, tmp_path)

        tree.end("stubborn", signal.SIGTERM, grace=0.2, alone=True)

        assert len(tree.processes_of("stubborn")) == 1


def test_a_program_that_is_started_again_writes_behind_its_earlier_output(tmp_path):
    with ProcessTree(logs=tmp_path) as tree:
        for word in ("first", "second"):
            tree.start("talker", [sys.executable, "-c", f"print('{word}')"], env=clean_environment({}))
            tree.end("talker", signal.SIGCONT, alone=True)

        assert tail(tree.log_of("talker")).split() == ["first", "second"]
