"""Several documents at once: order, names, failures, kills and restarts, on a disk and on S3."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from airflow.sdk import ObjectStoragePath
from support.loopback import serve
from support.loopback_server import PATIENCE, Connection, answer
from support.object_store import Bucket, bucket, s3_endpoint
from support.service import CONN_VARIABLE
from tenacity import Future, RetryCallState, Retrying

from smartflows_provider.exceptions import (
    FlowDocumentError,
    FlowNotFoundError,
    FlowOutputError,
    FlowServiceError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import results
from smartflows_provider.lifecycle.results import SIDE_BY_SIDE, go_on, land_documents
from smartflows_provider.output.extractor import DocumentRef
from smartflows_provider.output.manifest import DocumentEntry
from smartflows_provider.wire.errors import Throttled

__all__ = ["bucket", "s3_endpoint", "serve"]

PDF = "application/pdf"
log = logging.getLogger("tests.transfers")


@dataclass
class Document:
    """A document of the service under test."""

    name: str
    content: bytes = b"content"
    content_type: str = PDF
    sends: Callable[[Connection, Document], None] | None = None
    """What comes instead of the whole content."""
    known: bool = True
    """Whether the service has its metadata."""


@dataclass
class Library:
    """A service that has nothing but documents, with their places as ids."""

    documents: list[Document]
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def __call__(self, connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            self.asked.append(request.target)
            number, content = re.fullmatch(r".*/documents/(\d+)(/content)?", request.target).groups()
            document = self.documents[int(number)]
            if not content:
                described = {"id": number, "displayName": document.name, "contentType": document.content_type}
                connection.send(answer(200 if document.known else 404, json.dumps(described).encode()))
                continue
            with self._lock:
                self.at_once += 1
                self.most_at_once = max(self.at_once, self.most_at_once)
            try:
                (document.sends or whole)(connection, document)
            finally:
                with self._lock:
                    self.at_once -= 1

    @property
    def references(self) -> list[DocumentRef]:
        return [DocumentRef(id=str(number), name="", path="") for number in range(len(self.documents))]


def whole(connection: Connection, document: Document) -> None:
    connection.send(answer(200, document.content, content_type="application/octet-stream"))


def after(seconds: float) -> Callable[[Connection, Document], None]:
    def send(connection: Connection, document: Document) -> None:
        time.sleep(seconds)
        whole(connection, document)

    return send


def stalling(connection: Connection, document: Document) -> None:
    """Send the half of it and nothing more."""
    connection.send(answer(200, document.content, content_length=str(2 * len(document.content))))
    connection.wait_for_client()


def cut(times: int) -> Callable[[Connection, Document], None]:
    """Break off in the middle, so many times."""
    left = [None] * times

    def send(connection: Connection, document: Document) -> None:
        if not left:
            return whole(connection, document)
        left.pop()
        connection.send(answer(200, document.content, content_length=str(2 * len(document.content))))
        connection.reset()
        raise ConnectionResetError

    return send


def refused(connection: Connection, document: Document) -> None:
    connection.send(answer(404, b"{}"))


@pytest.fixture
def land(serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Land documents of a library, below ``tmp_path/out`` unless another place is given."""
    hooks = []

    def run(
        library: Library,
        *,
        target: Any = None,
        check: Any = go_on,
        max_bytes: int | None = None,
        extra: Mapping[str, Any] = {},
    ) -> list[DocumentEntry]:
        connection = {
            "conn_type": "smartflows",
            "host": serve(library).url,
            "password": "key",
            "extra": {"read_timeout": PATIENCE, **extra},
        }
        monkeypatch.setenv(CONN_VARIABLE, json.dumps(connection))
        hook = SmartFlowsHook()
        hooks.append(hook)
        return land_documents(
            hook,
            library.references,
            target=target if target is not None else ObjectStoragePath(f"file://{tmp_path}/out"),
            max_bytes=max_bytes,
            where=hook.identity(execution_id="85f8fe94"),
            log=log,
            check=check,
        )

    yield run
    for hook in hooks:
        hook.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def names(entries: list[DocumentEntry]) -> list[str]:
    return [str(entry["uri"]).rpartition("/")[2] for entry in entries]


def test_a_storage_that_cannot_be_reached_is_an_error_of_the_document_tree(
    land: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError("the role may not be assumed")

    monkeypatch.setattr(ObjectStoragePath, "fs", property(refuse))
    library = Library([Document("a.pdf")])
    with pytest.raises(
        FlowDocumentError, match=r"s3://bucket/x could not be written: PermissionError: the role"
    ):
        land(library, target=ObjectStoragePath("s3://bucket/x"))
    assert library.asked == []


def test_four_come_at_once_and_no_more(land: Any) -> None:
    together = threading.Barrier(SIDE_BY_SIDE)

    def meet(connection: Connection, document: Document) -> None:
        together.wait(PATIENCE)
        whole(connection, document)

    library = Library([Document(f"{number}.pdf", sends=meet) for number in range(12)])
    assert len(land(library)) == 12
    assert library.most_at_once == SIDE_BY_SIDE


def test_a_connection_that_allows_one_at_a_time_gets_one_at_a_time(land: Any) -> None:
    library = Library([Document(f"{number}.pdf", sends=after(0.02)) for number in range(5)])
    land(library, extra={"max_connections": 1})
    assert library.most_at_once == 1


HOSTILE = [
    "../../x", "con", "", "x" * 300, "...", "..", ".", "a/b\\c", "\u202efdp.exe", "Report", "report",
    "REPORT", "Report", "Report", " ", "\x00\r\n", "%2e%2e%2fx", "?versionId=1", "nul.txt", "values.json",
    "日本" * 100,
]  # fmt: skip


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_order_names_and_hashes_are_the_same_whatever_comes_first(
    land: Any, out: Path, bucket: Bucket, place: str
) -> None:
    def library(pause: Callable[[int], float]) -> Library:
        return Library(
            [
                Document(name, content=f"content {number}".encode(), sends=after(pause(number)))
                for number, name in enumerate(HOSTILE)
            ]
        )

    target = ObjectStoragePath(f"file://{out}") if place == "disk" else bucket.path / "out"
    early = land(library(lambda number: number % 4 * 0.03), target=target)
    late = land(library(lambda number: (3 - number % 4) * 0.03), target=target)
    assert early == late
    assert [entry["id"] for entry in early] == [str(number) for number in range(len(HOSTILE))]
    for number, entry in enumerate(early):
        content = ObjectStoragePath(entry["uri"]).read_bytes()
        assert content == f"content {number}".encode()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    stored = files(out) if place == "disk" else [key.removeprefix("out/") for key in bucket.stored()]
    assert sorted(names(early)) == sorted(stored)
    assert len({name.casefold() for name in stored}) == len(HOSTILE)
    assert not [name for name in stored if name.startswith(".") or "/" in name or len(name.encode()) > 200]


def test_a_name_does_not_depend_on_what_the_transfer_calls_the_bytes(land: Any, out: Path) -> None:
    (entry,) = land(Library([Document("Report", content_type="")]))
    assert files(out) == ["Report"]
    assert entry["content_type"] == "application/octet-stream"


def test_the_first_failure_stops_the_others_and_names_the_document(land: Any, out: Path) -> None:
    began = time.monotonic()
    others = [Document(f"{number}.pdf", content=b"x" * 100_000, sends=stalling) for number in range(8)]
    with pytest.raises(FlowNotFoundError) as failed:
        land(Library([others[0], Document("Letter", sends=refused), *others[1:]]))
    assert time.monotonic() - began < 10
    assert str(failed.value).startswith(
        "Document 'Letter': GET /documents/1/content was answered with 404 [Smart Flows, connection "
        "'smartflows_default', execution 85f8fe94]\nNothing at the service was changed."
    )
    assert files(out) == []


def test_whole_files_stay_when_another_document_fails(land: Any, out: Path) -> None:
    def once_the_other_is_there(connection: Connection, document: Document) -> None:
        while files(out) != ["good.pdf"]:
            time.sleep(0.01)
        refused(connection, document)

    with pytest.raises(FlowNotFoundError, match="Document 'bad'"):
        land(Library([Document("good.pdf"), Document("bad", sends=once_the_other_is_there)]))
    assert files(out) == ["good.pdf"]


def test_nothing_is_fetched_where_a_document_is_not_known(land: Any, out: Path) -> None:
    library = Library([Document("a"), Document("b", known=False)])
    with pytest.raises(FlowNotFoundError, match="Document '1': GET /documents/1 was"):
        land(library)
    assert not [target for target in library.asked if target.endswith("/content")]
    assert files(out) == []


def test_a_document_over_the_limit_is_refused_by_its_length_and_while_it_comes(land: Any, out: Path) -> None:
    def unannounced(connection: Connection, document: Document) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")

    def announced(connection: Connection, document: Document) -> None:
        connection.send(answer(200, b"", content_length=str(10 * 10**9)))
        connection.wait_for_client()

    for sends, words in ((announced, "has 10,000,000,000 bytes"), (unannounced, "goes on")):
        with pytest.raises(FlowOutputError, match=f"'big.pdf' {words}, over max_document_bytes=100,000"):
            land(Library([Document("big.pdf", sends=sends)]), max_bytes=100_000)
    assert files(out) == []


# --- being stopped ---


class Killed(Exception):
    """What a check raises."""


def interrupted(signum: int, frame: object) -> None:
    raise AirflowTaskTimeout


@pytest.mark.parametrize("by", ["check", "timeout", "keyboard"])
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_task_that_is_stopped_stops_all_transfers_and_leaves_no_half_file(
    land: Any, out: Path, bucket: Bucket, by: str, place: str
) -> None:
    content = b"x" * 6_000_000
    library = Library([Document(f"{number}.pdf", content=content, sends=stalling) for number in range(6)])
    stopped_at: list[float] = []

    def check() -> None:
        if library.at_once < SIDE_BY_SIDE or stopped_at:
            return
        time.sleep(0.3)
        stopped_at.append(time.monotonic())
        if by == "check":
            raise Killed
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler if by == "keyboard" else interrupted)
    try:
        with pytest.raises((Killed, AirflowTaskTimeout, KeyboardInterrupt)):
            land(library, target=None if place == "disk" else bucket.path, check=check)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - stopped_at[0] < 4
    assert (files(out), bucket.stored(), bucket.pending()) == ([], [], [])


# --- restarts ---


def test_a_transfer_that_is_cut_starts_again_and_the_log_says_so(
    land: Any, out: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_backoff", lambda state: 0.01)
    (entry,) = land(Library([Document("a.pdf", sends=cut(3))]))
    assert (out / "a.pdf").read_bytes() == b"content"
    assert entry["size"] == 7
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 3
    for number, line in enumerate(lines):
        assert re.fullmatch(
            r"Document 'a\.pdf': the answer to GET /documents/0/content from \S+ broke off: .*\. "
            rf"It is fetched again from its beginning in 0\.0 s, attempt {number + 2} of 4\.",
            line,
        )


def test_a_transfer_that_is_always_cut_fails_with_a_retry(
    land: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_backoff", lambda state: 0.01)
    library = Library([Document("a.pdf", sends=cut(99))])
    with pytest.raises(FlowServiceError, match=r"Document 'a\.pdf': the answer to .* broke off"):
        land(library)
    assert len(library.asked) == 1 + results.TRANSFER_ATTEMPTS
    assert files(out) == []


def test_the_pause_that_the_service_asks_for_is_made_within_reason() -> None:
    for asked, pause in ((7.0, 7.0), (9999.0, results.LONGEST_PAUSE)):
        state = RetryCallState(Retrying(), None, (), {})
        state.outcome = Future(1)
        state.outcome.set_exception(Throttled("busy", status=429, retry_after=asked))
        assert results._pause(state) == pause


def test_an_html_page_instead_of_a_document_is_refused(land: Any, out: Path) -> None:
    def page(connection: Connection, document: Document) -> None:
        connection.send(answer(200, b"<html>", content_type="text/html"))

    with pytest.raises(FlowDocumentError, match="an HTML page came"):
        land(Library([Document("a.pdf", sends=page)]))
    assert files(out) == []
