"""Landing on a file system in processes that are killed, or still write while the next attempt runs."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

import pytest
from landing_process import MIB, landing_halfway

from smartflows_provider.output import unfinished
from smartflows_provider.output.documents import land
from smartflows_provider.output.errors import StorageFailed
from smartflows_provider.output.storage import clear_left_overs

NAME = "Report.pdf"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def parts(directory: Path) -> list[str]:
    return [name for name in names(directory) if name.startswith(".") and name.endswith(".part")]


def test_a_killed_process_leaves_the_old_file_and_a_hidden_part_that_the_next_run_removes(
    tmp_path: Path,
) -> None:
    land([b"old"], tmp_path, NAME)
    with landing_halfway(str(tmp_path), NAME, size=3 * MIB) as process:
        process.kill()
        process.wait(30)
    assert len(parts(tmp_path)) == 1
    assert (tmp_path / NAME).read_bytes() == b"old"
    clear_left_overs(tmp_path)
    assert land([b"new"], tmp_path, NAME).size == 3
    assert names(tmp_path) == [NAME]


def test_the_part_of_a_process_that_still_writes_is_kept(tmp_path: Path) -> None:
    with landing_halfway(str(tmp_path), NAME, size=3 * MIB):
        clear_left_overs(tmp_path)
        assert len(parts(tmp_path)) == 1
        land([b"new"], tmp_path, NAME)
        assert (tmp_path / NAME).read_bytes() == b"new"


def test_files_of_others_and_missing_folders_are_left_alone(tmp_path: Path) -> None:
    for name in (".hidden", "a.part", NAME):
        (tmp_path / name).write_bytes(b"x")
    clear_left_overs(tmp_path)
    clear_left_overs(tmp_path / "missing")
    assert names(tmp_path) == [".hidden", NAME, "a.part"]


def test_a_part_that_is_taken_for_a_left_over_before_it_is_locked_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, taken = unfinished.fcntl.flock, []

    def be_late(file: object, operation: int) -> None:
        if not taken:
            taken.extend(tmp_path.glob(".*.part"))
            taken[0].unlink()
        flock(file, operation)

    monkeypatch.setattr(unfinished.fcntl, "flock", be_late)
    land([b"abc"], tmp_path, NAME)
    assert taken
    assert names(tmp_path) == [NAME]


def test_a_storage_without_locks_is_written_to_and_keeps_its_left_overs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(unfinished.fcntl, "flock", refuse)
    (tmp_path / ".1.part").write_bytes(b"x")
    clear_left_overs(tmp_path)
    land([b"abc"], tmp_path, NAME)
    assert names(tmp_path) == [".1.part", NAME]


def test_left_overs_are_removed_also_where_only_who_may_write_may_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = unfinished.fcntl.flock

    def as_nfs_does(file: IO[bytes], operation: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(file, operation)

    monkeypatch.setattr(unfinished.fcntl, "flock", as_nfs_does)
    (tmp_path / ".1.part").write_bytes(b"x")
    clear_left_overs(tmp_path)
    assert names(tmp_path) == []


def test_a_file_system_that_refuses_the_bytes_only_at_the_end_shows_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = os.close

    def as_nfs_does(number: int) -> None:
        close(number)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    land([b"old"], tmp_path, NAME)
    with monkeypatch.context() as full:
        full.setattr(unfinished.os, "close", as_nfs_does)
        with pytest.raises(StorageFailed, match="Disk quota exceeded"):
            land([b"new"], tmp_path, NAME)
    assert names(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"old"


def test_a_part_that_somebody_has_removed_is_an_error_and_no_half_file(tmp_path: Path) -> None:
    def chunks():
        yield b"ab"
        for part in tmp_path.glob(".*.part"):
            part.unlink()
        yield b"c"

    with pytest.raises(StorageFailed, match="FileNotFoundError"):
        land(chunks(), tmp_path, NAME)
    assert names(tmp_path) == []


def test_a_new_file_has_the_rights_that_the_process_gives_to_new_files(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x")
    land([b"abc"], tmp_path, NAME)
    assert (tmp_path / NAME).stat().st_mode == (tmp_path / "other").stat().st_mode
