"""What the answers mean, from literal JSON of the interface's documentation."""

from __future__ import annotations

from typing import Any

import pytest
from wire_driving import FLOW_ID, ID, Reply, drive, execution_of, progress_of, reply

from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.documents import Document, DocumentStream, read_document_head
from smartflows_provider.wire.errors import NotFound, RequestRefused, UnreadableAnswer
from smartflows_provider.wire.messages import Response
from smartflows_provider.wire.run import RunPhase

STATUSES = {
    "Queued": RunPhase.ACTIVE,
    "Running": RunPhase.ACTIVE,
    "Waiting": RunPhase.ACTIVE,
    "UserInput": RunPhase.NEEDS_PERSON,
    "SelectFlow": RunPhase.NEEDS_PERSON,
    "Success": RunPhase.SUCCEEDED,
    "Warning": RunPhase.WARNED,
    "Error": RunPhase.FAILED,
    "Canceled": RunPhase.CANCELED,
    "Interrupted": RunPhase.INTERRUPTED,
}
STABLE = {"Success", "Warning", "Error", "Canceled", "Interrupted"}


@pytest.mark.parametrize(("word", "phase"), STATUSES.items())
def test_every_documented_status_is_read_in_any_case_and_with_spaces(word: str, phase: RunPhase) -> None:
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in word)
    for spelling in (word, word.lower(), word.upper(), spaced, spaced.strip().capitalize(), f" {word}\n"):
        driven = drive(wire.progress(ID), reply(progress_of(spelling)))
        assert (driven.result.status, driven.result.phase) == (word, phase), spelling
        assert driven.result.phase.is_stable is (word in STABLE)
        assert drive(wire.get_execution(ID), reply(execution_of(spelling))).result.status == word


@pytest.mark.parametrize("word", ["Succeeded", "Cancelled", "Paused", "Success!", "成功"])
def test_an_undocumented_status_is_kept_as_it_came_and_never_stable(word: str) -> None:
    snapshot = drive(wire.progress(ID), reply(progress_of(word))).result
    assert (snapshot.status, snapshot.phase) == (word, RunPhase.UNKNOWN)
    assert not snapshot.phase.is_stable


def test_a_progress_shows_percentage_and_message() -> None:
    snapshot = drive(wire.progress(ID), reply(progress_of("Running"))).result
    assert (snapshot.execution_id, snapshot.percentage, snapshot.message) == (ID, 40, "Composing")
    assert snapshot.form == {}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (0, 0),
        (100, 100),
        (33.9, 33),
        (None, None),
        ("40", None),
        (True, None),
        (-1, None),
        (101, None),
        (float("nan"), None),
        (float("inf"), None),
        ([], None),
    ],
)
def test_a_percentage_is_read_only_where_it_is_one(given: object, read: int | None) -> None:
    snapshot = drive(wire.progress(ID), reply(progress_of("Running", percentage=given))).result
    assert snapshot.percentage == read


def test_a_progress_needs_no_more_than_id_and_status() -> None:
    snapshot = drive(wire.progress("7"), reply({"id": 7, "status": "Running"})).result
    assert (snapshot.execution_id, snapshot.percentage, snapshot.message) == ("7", None, "")


def test_a_form_comes_only_with_a_status_that_needs_a_person() -> None:
    form = {
        "schema": {"properties": {"name": {"type": "string"}}},
        "form": [{"items": [{"key": "name", "title": "Name", "description": "", "type": "string"}]}],
        "model": {"name": "Ada"},
    }
    asking = drive(wire.progress(ID), reply(progress_of("UserInput", **form))).result
    assert asking.form == form
    finished = drive(wire.progress(ID), reply(progress_of("Success", **form))).result
    assert finished.form == {}


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    snapshot = drive(wire.start(flow_id=FLOW_ID), reply(progress_of("Queued"), status=status)).result
    assert snapshot.execution_id == ID


def test_an_execution_shows_its_references_and_keeps_the_whole_object() -> None:
    state = {"warnings": ["w"], "stages": [{}]}
    execution = drive(wire.get_execution(ID), reply(execution_of("Warning", state=state))).result
    assert execution.flow == wire.Reference(id=FLOW_ID, name="Letter")
    assert execution.created_by == wire.Reference(id="u1", name="Ada")
    assert execution.created_at == "2024-05-02T08:15:30.123Z"
    assert execution.modified_at == "2024-05-02T08:16:00.000Z"
    assert (execution.phase, execution.raw["state"]) == (RunPhase.WARNED, state)


@pytest.mark.parametrize("flow", [None, [], "Letter", {"displayName": "Letter"}, {"id": {}}])
def test_an_execution_without_a_usable_flow_has_an_empty_reference(flow: object) -> None:
    execution = drive(wire.get_execution(ID), reply(execution_of(flow=flow, createdBy=None))).result
    assert (execution.flow, execution.created_by) == (wire.Reference(id=""), None)


def test_a_document_shows_name_and_type() -> None:
    raw = {"id": "d1", "displayName": "Offer.pdf", "contentType": "application/pdf", "language": "en"}
    document = drive(wire.get_document("d1"), reply(raw)).result
    assert document == Document(id="d1", name="Offer.pdf", content_type="application/pdf", raw=raw)


def test_a_document_without_a_name_goes_by_its_id() -> None:
    assert drive(wire.get_document("d1"), reply({"id": "d1"})).result.name == "d1"


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ({"content-length": "12"}, 12),
        ({}, None),
        ({"content-length": "12", "content-encoding": "gzip"}, None),
        ({"content-length": "²"}, None),
        ({"content-length": "-1"}, None),
        ({"content-length": "9" * 5000}, None),
    ],
)
def test_a_documents_size_is_what_was_announced_of_the_plain_bytes(
    headers: dict[str, str], size: int | None
) -> None:
    head = Response(
        status=200,
        headers={"content-type": "Application/PDF; v=1", **headers},
        request=wire.document_content("d"),
    )
    stream = read_document_head(head, [b"x"])
    assert stream == DocumentStream(content_type="application/pdf", size=size, chunks=[b"x"])


def test_a_document_that_is_gone_is_an_error_at_its_head() -> None:
    head = Response(status=410, request=wire.document_content("d"))
    with pytest.raises(NotFound, match=r"^GET /documents/d/content was answered with 410$"):
        read_document_head(head, [b""])


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"id": "u1", "displayName": "Ada", "email": "a@b.c"}, "Ada"),
        ({"id": "u1", "userName": "ada"}, "ada"),
        ({"id": "u1", "email": "a@b.c"}, "a@b.c"),
        ({"id": "u1"}, ""),
    ],
)
def test_a_user_goes_by_the_first_name_there_is(raw: dict[str, str], name: str) -> None:
    assert drive(wire.current_user(), reply(raw)).result.name == name


def test_an_event_brings_the_decoded_answer_or_none() -> None:
    assert drive(wire.send_event("cb"), reply({"resumed": True})).result == {"resumed": True}
    assert drive(wire.send_event("cb"), Reply(status=204)).result is None
    plain = Reply(headers={"content-type": "text/plain"}, body=b"OK")
    assert drive(wire.send_event("cb"), plain).result is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            Reply(headers={"content-type": "text/html; charset=utf-8"}, body=b"<html>Sign in</html>"),
            "is not JSON (text/html, 20 bytes, begins with b'<html>Sign in</html>')",
        ),
        (Reply(body=b""), "is not JSON (no content type, 0 bytes, begins with b'')"),
        (
            Reply(headers={"content-type": "application/json"}, body=b'{"id": "4f7c1a9e", "sta'),
            'is not JSON (application/json, 23 bytes, begins with b\'{"id": "4f7c1a9e", "sta\')',
        ),
        (
            Reply(headers={"content-type": "application/json"}, body=b"[" * 100_000),
            "is JSON that is nested too deeply to be read (100000 bytes)",
        ),
        (reply([1]), "is not an object but list"),
        (reply("Running"), "is not an object but str"),
        (reply(None), "is not an object but NoneType"),
        (reply({"status": "Running"}), "lacks 'id' or 'status'"),
        (reply({"id": ID}), "lacks 'id' or 'status'"),
        (reply({"id": ID, "status": 3}), "lacks 'id' or 'status'"),
        (reply({"id": ID, "status": "  "}), "lacks 'id' or 'status'"),
        (reply({"id": "", "status": "Running"}), "lacks 'id' or 'status'"),
        (reply({"id": {"a": 1}, "status": "Running"}), "lacks 'id' or 'status'"),
        (reply({"id": True, "status": "Running"}), "lacks 'id' or 'status'"),
    ],
)
def test_an_answer_that_is_not_the_documented_one_is_said_to_be_unreadable(
    answer: Reply, message: str
) -> None:
    for exchange, label in [
        (wire.progress(ID), f"GET /flows/executions/{ID}/progress"),
        (wire.get_execution(ID), f"GET /flows/executions/{ID}"),
        (wire.get_outputs(ID), f"GET /flows/executions/{ID}/status"),
        (wire.start(flow_id=FLOW_ID), "POST /flows/executions"),
        (wire.start_unattended(flow=FLOW_ID), "POST /flows/executions/start"),
    ]:
        with pytest.raises(UnreadableAnswer) as caught:
            drive(exchange, answer)
        assert str(caught.value) == f"the answer to {label} {message}"
        assert caught.value.status == 200


@pytest.mark.parametrize("exchange", [wire.get_flow("f"), wire.get_document("f")], ids=["flow", "document"])
def test_things_without_an_id_are_unreadable(exchange: Any) -> None:
    with pytest.raises(UnreadableAnswer, match=r"lacks an 'id'$"):
        drive(exchange, reply({"id": None, "displayName": "x"}))


def test_a_cancel_of_what_no_address_knows_is_not_found() -> None:
    with pytest.raises(NotFound, match=f"^DELETE /flows/executions/{ID} was answered with 404$"):
        drive(wire.cancel(ID), Reply(status=404), Reply(status=404))
    with pytest.raises(NotFound, match=f"^DELETE /flows/executions/{ID} was answered with 404$"):
        drive(wire.cancel(ID), Reply(status=405), Reply(status=404))


def test_a_cancel_of_what_the_only_address_does_not_know_is_not_found() -> None:
    with pytest.raises(NotFound, match=f"^DELETE /flows/executions/{ID}/progress was answered with 404$"):
        drive(wire.cancel(ID), Reply(status=404), Reply(status=405))


def test_a_cancel_that_no_address_offers_is_refused() -> None:
    with pytest.raises(RequestRefused, match=f"^DELETE /flows/executions/{ID} was answered with 405$"):
        drive(wire.cancel(ID), Reply(status=405), Reply(status=405))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00.500Z", 60.5),
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T02:01:00+02:00", 60.0),
        ("", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_a_time_is_read_as_utc_where_it_names_no_zone(text: str, seconds: float | None) -> None:
    assert read_moment(text) == seconds
