"""Landing on a directory, on Airflow's path to one, and on an object store that keeps cut uploads."""

from __future__ import annotations

import hashlib
import resource
import tracemalloc

import pytest
from airflow.sdk import ObjectStoragePath
from fsspec.implementations import memory
from fsspec.implementations.memory import MemoryFile
from upath import UPath

from smartflows_provider.output.documents import LandedDocument, document_dir, land
from smartflows_provider.output.errors import DocumentIncomplete, DocumentTooLarge, StorageFailed

NAME = "Größe (1).pdf"


@pytest.fixture(params=["path", "airflow", "store"])
def root(request, tmp_path):
    """A storage of each kind; the memory store, as S3 does, keeps what a failed ``with open`` had written."""
    if request.param == "path":
        return tmp_path / "out"
    if request.param == "airflow":
        return ObjectStoragePath(f"file://{tmp_path}/out")
    return UPath(f"memory://bucket{tmp_path}")


def files(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_the_stream_becomes_a_file_with_size_hash_and_an_address_that_opens_it(root):
    target = document_dir(root, "85f8fe94")
    landed = land(iter([b"ab", b"", b"c"]), target, NAME, max_bytes=3, expected_size=3)
    assert landed == LandedDocument(uri=landed.uri, size=3, sha256=hashlib.sha256(b"abc").hexdigest())
    assert landed.uri.endswith(f"/out/85f8fe94/{NAME}") or landed.uri.startswith("memory://")
    assert UPath(landed.uri).read_bytes() == b"abc"
    assert files(target) == [NAME]


def test_the_address_on_a_file_system_opens_as_an_object_storage_path(tmp_path):
    for root in (tmp_path, ObjectStoragePath(f"file://{tmp_path}"), ObjectStoragePath(str(tmp_path))):
        uri = land([b"abc"], root, NAME).uri
        assert uri == f"file://{tmp_path}/{NAME}"
        with ObjectStoragePath(uri).open("rb") as file:
            assert file.read() == b"abc"


def test_a_repeated_run_replaces_the_file(root):
    for content in (b"old and longer", b"new"):
        landed = land([content], root, NAME)
    assert (files(root), UPath(landed.uri).read_bytes()) == ([NAME], b"new")


def test_an_empty_document_is_a_file_of_no_bytes(root):
    assert land([], root, NAME, expected_size=0).size == 0
    assert files(root) == [NAME]


@pytest.mark.parametrize("error", [ConnectionResetError("cut"), KeyboardInterrupt()])
def test_an_error_while_reading_is_passed_on_and_leaves_the_old_file_alone(root, error):
    land([b"old"], root, NAME)

    def cut():
        yield b"ne"
        raise error

    with pytest.raises(type(error)) as caught:
        land(cut(), root, NAME)
    assert caught.value is error
    assert files(root) == [NAME]
    assert (root / NAME).read_bytes() == b"old"


@pytest.mark.parametrize(
    ("chunks", "came"), [([b"ab"], "2 came"), ([b"ab", b"cd", b"ef"], "more came"), ([], "0 came")]
)
def test_a_stream_of_another_length_than_announced_is_kept_nowhere(root, chunks, came):
    with pytest.raises(DocumentIncomplete) as caught:
        land(chunks, root, NAME, expected_size=3)
    assert str(caught.value) == (
        f"the document {NAME!r} was announced with 3 bytes, but {came}; nothing was kept. A retry fetches it "
        "again."
    )
    assert caught.value.retry_helps
    assert files(root) == []


def test_a_stream_over_the_limit_is_stopped_and_the_message_names_the_option(root):
    def endless():
        while True:
            yield b"x" * 1000

    with pytest.raises(DocumentTooLarge) as caught:
        land(endless(), root, NAME, max_bytes=2500)
    assert str(caught.value) == (
        f"the document {NAME!r} goes on, over max_document_bytes=2,500; nothing was kept. Raise "
        "max_document_bytes, or let the flow make a smaller document."
    )
    assert files(root) == []


def test_an_announced_length_over_the_limit_is_refused_before_anything_is_read(root):
    def unread():
        pytest.fail("the stream was read")
        yield b""

    with pytest.raises(DocumentTooLarge, match=r"has 10,000,000,000 bytes, over max_document_bytes=2,500"):
        land(unread(), root, NAME, max_bytes=2500, expected_size=10_000_000_000)
    assert files(root) == []


def test_a_place_that_cannot_be_written_is_named_with_what_to_check(tmp_path):
    (tmp_path / "taken").write_text("a file")
    for root in (tmp_path, ObjectStoragePath(f"file://{tmp_path}")):
        with pytest.raises(StorageFailed) as caught:
            land([b"abc"], root / "taken", NAME)
        message = str(caught.value)
        assert message.startswith(f"file://{tmp_path}/taken/{NAME} could not be written: FileExistsError: ")
        assert message.endswith(
            "Check that documents_path exists, that its connection may write there, and that there is room."
        )
        assert caught.value.retry_helps


def test_a_disk_that_takes_no_more_is_named_and_keeps_no_part(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFailed, match="File too large"):
            land([b"x" * 60_000] * 2, tmp_path, NAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == []


def test_a_store_that_fails_in_the_middle_is_named_and_keeps_no_part(tmp_path, monkeypatch):
    class Failing(MemoryFile):
        def write(self, chunk):
            if chunk == b"too much":
                raise OSError(28, "No space left on device")
            return super().write(chunk)

    store = UPath(f"memory://bucket{tmp_path}")
    monkeypatch.setattr(memory, "MemoryFile", Failing)
    with pytest.raises(StorageFailed, match="No space left on device"):
        land([b"ok", b"too much"], store, NAME)
    assert files(store) == []


def test_an_execution_id_that_looks_like_a_path_stays_one_directory(tmp_path):
    assert document_dir(tmp_path, "../../x").parent == tmp_path


def test_memory_does_not_grow_with_the_document(tmp_path):
    chunk = b"x" * 65_536
    land([chunk], tmp_path, NAME)
    tracemalloc.start()
    land((chunk for _ in range(1000)), tmp_path, NAME)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
