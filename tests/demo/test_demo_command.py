"""The command behind `make demo`, interrupted while it starts Airflow."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from smartflows_provider.demo import command
from smartflows_provider.demo.command import main, pdf_paths
from smartflows_provider.demo.database import clean_environment
from smartflows_provider.demo.processes import marked_processes
from smartflows_provider.demo.stack import NotReadyError

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 60.0


def mark_of(demo):
    """Return the mark that the demo's watching process was given, or None while it has not been started."""
    for child in psutil.Process(demo.pid).children():
        arguments = child.cmdline()
        if "smartflows_provider.demo.reaper" in arguments:
            return arguments[-1]
    return None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_every_process_and_removes_the_runs_files(number, code):
    with subprocess.Popen(
        [sys.executable, "-m", "smartflows_provider.demo"],
        cwd=ROOT,
        env=clean_environment({"PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        deadline = time.monotonic() + PATIENCE
        mark = None
        while mark is None or len(list(marked_processes(mark))) < 5:
            assert demo.poll() is None, demo.stdout.read()
            assert time.monotonic() < deadline, "the components were not started"
            mark = mark_of(demo)
            time.sleep(0.1)
        homes = {process.environ().get("AIRFLOW_HOME") for process in marked_processes(mark)}
        [run_folder] = [Path(home).parent for home in homes if home]
        assert run_folder.exists()
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=PATIENCE)

    assert demo.returncode == code
    assert output.endswith("\nending all processes\n")
    assert list(marked_processes(mark)) == []
    assert not run_folder.exists()
    assert not (ROOT / ".demo" / "reports" / run_folder.name).exists()


def test_only_pdf_documents_are_named_and_their_addresses_become_paths():
    documents = [
        {"content_type": "application/pdf", "uri": "file:///tmp/a b/100%25.pdf"},
        {"content_type": "text/html", "uri": "file:///tmp/page.html"},
    ]

    assert [str(path) for path in pdf_paths({"documents": documents})] == ["/tmp/a b/100%25.pdf"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()

    assert main(["--folder", str(tmp_path / "file" / "below")]) == 2

    assert (
        f"cannot write to its folder: [Errno 20] Not a directory: '{tmp_path}/file" in capsys.readouterr().err
    )


def test_the_help_says_where_everything_goes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "(default: .demo in the current directory)" in " ".join(capsys.readouterr().out.split())


def test_a_folder_is_meant_from_where_the_command_was_called(tmp_path, monkeypatch, capsys):
    asked = {}

    @contextlib.contextmanager
    def scenario(**given):
        asked.update(given)
        given["folder"].mkdir(parents=True)
        raise NotReadyError("no Airflow")
        yield

    monkeypatch.setattr(command, "scenario", scenario)
    monkeypatch.setattr(command.signal, "signal", lambda number, handler: None)
    monkeypatch.chdir(tmp_path)

    assert main(["--folder", "here"]) == 1

    base = tmp_path / "here"
    assert asked["folder"].parent == base / "runs"
    assert asked["cache"] == base / "cache"
    told = capsys.readouterr().out
    assert told.startswith(f"everything that the demo writes goes to {base}\n")
    assert "The demo could not go on: no Airflow" in told
    assert f"All logs of this run are kept in {asked['folder']}" in told
    assert list((base / "reports").iterdir()) == []
