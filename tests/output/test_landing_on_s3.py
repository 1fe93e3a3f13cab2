"""Landing on S3, on a server that speaks its protocol: a key shows a whole document or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from airflow.sdk import ObjectStoragePath
from landing_process import MIB, landing_halfway
from support.object_store import CREDENTIALS, Bucket, bucket, s3_endpoint

from smartflows_provider.output.documents import document_dir, land
from smartflows_provider.output.errors import DocumentTooLarge, StorageFailed
from smartflows_provider.output.extractor import Output
from smartflows_provider.output.manifest import build_manifest, fit
from smartflows_provider.output.unfinished import PART_SIZE

__all__ = ["bucket", "s3_endpoint"]

NAME = "Größe (1).pdf"
KEY = f"85f8fe94/{NAME}"
SMALL, TWO_PARTS, MANY_PARTS = 3, PART_SIZE + 1, 53 * MIB
"""Over 50 MiB the driver's own default would begin to upload in parts."""


def chunks(size: int, *, error: BaseException | None = None) -> Iterator[bytes]:
    block = b"\xa5" * 256 * 1024
    while size:
        yield block[:size]
        size -= min(size, len(block))
    if error is not None:
        raise error


@pytest.mark.parametrize("size", [0, SMALL, PART_SIZE, TWO_PARTS, MANY_PARTS])
@pytest.mark.parametrize("announced", [True, False])
def test_a_document_of_any_size_lands_whole_under_its_key(bucket: Bucket, size: int, announced: bool) -> None:
    target = document_dir(bucket.path, "85f8fe94")
    landed = land(chunks(size), target, NAME, expected_size=size if announced else None)
    assert landed.uri == f"s3://aws_loopback@{bucket.name}/{KEY}"
    assert (bucket.stored(), bucket.pending()) == ([KEY], [])
    stored = bucket.read(KEY)
    assert (len(stored), hashlib.sha256(stored).hexdigest()) == (size, landed.sha256)
    assert ObjectStoragePath(landed.uri).read_bytes() == stored


@pytest.mark.parametrize("size", [SMALL, TWO_PARTS, MANY_PARTS])
@pytest.mark.parametrize("error", [ConnectionResetError("cut"), KeyboardInterrupt()])
def test_an_error_in_the_middle_leaves_nothing_or_the_old_document(
    bucket: Bucket, size: int, error: BaseException
) -> None:
    target = document_dir(bucket.path, "85f8fe94")
    with pytest.raises(type(error)) as caught:
        land(chunks(size, error=error), target, NAME)
    assert caught.value is error
    assert (bucket.stored(), bucket.pending()) == ([], [])

    land([b"old"], target, NAME)
    with pytest.raises(type(error)):
        land(chunks(size, error=error), target, NAME)
    assert (bucket.stored(), bucket.pending(), bucket.read(KEY)) == ([KEY], [], b"old")
    land([b"new"], target, NAME)
    assert bucket.read(KEY) == b"new"


@pytest.mark.parametrize("size", [SMALL, TWO_PARTS])
def test_a_document_is_no_part_of_a_transaction_of_others(bucket: Bucket, size: int) -> None:
    files = bucket.path.fs
    with files.transaction:
        land(chunks(size), bucket.path, NAME)
        assert bucket.stored() == [NAME]
        with pytest.raises(ConnectionResetError):
            land(chunks(size, error=ConnectionResetError("cut")), bucket.path, "cut.pdf")
    assert (bucket.stored(), bucket.pending()) == ([NAME], [])
    land(chunks(size), bucket.path, NAME)
    assert list(files.transaction.files) == []


def test_a_document_over_the_limit_is_aborted(bucket: Bucket) -> None:
    with pytest.raises(DocumentTooLarge, match="goes on"):
        land(chunks(MANY_PARTS), bucket.path, NAME, max_bytes=TWO_PARTS)
    assert (bucket.stored(), bucket.pending()) == ([], [])


@pytest.mark.parametrize(
    ("size", "call"),
    [
        (SMALL, "put_object"),
        (TWO_PARTS, "create_multipart_upload"),
        (TWO_PARTS, "upload_part"),
        (TWO_PARTS, "complete_multipart_upload"),
    ],
)
def test_a_store_that_fails_at_any_step_is_named_and_keeps_nothing(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, size: int, call: str
) -> None:
    target = document_dir(bucket.path, "85f8fe94")
    driver = type(target.fs)
    asked = driver.call_s3

    def refuse(fs: object, method: str, *args: object, **kwargs: object) -> object:
        if method == call:
            raise PermissionError("Access Denied")
        return asked(fs, method, *args, **kwargs)

    monkeypatch.setattr(driver, "call_s3", refuse)
    with pytest.raises(StorageFailed) as caught:
        land(chunks(size), target, NAME)
    assert f"s3://aws_loopback@{bucket.name}/{KEY} could not be written: PermissionError" in str(caught.value)
    monkeypatch.undo()
    assert (bucket.stored(), bucket.pending()) == ([], [])


def test_a_bucket_that_is_missing_is_an_error_and_is_not_made(bucket: Bucket) -> None:
    with pytest.raises(StorageFailed, match="could not be written"):
        land([b"abc"], ObjectStoragePath("s3://aws_loopback@no-such-bucket"), NAME)
    assert [one["Name"] for one in bucket.client.list_buckets()["Buckets"] if "no-such" in one["Name"]] == []


@pytest.mark.parametrize("size", [SMALL, MANY_PARTS])
def test_a_process_that_is_killed_leaves_no_key_and_the_next_one_lands_the_same(
    bucket: Bucket, size: int
) -> None:
    storage = {
        "endpoint_url": bucket.endpoint,
        "key": CREDENTIALS["aws_access_key_id"],
        "secret": CREDENTIALS["aws_secret_access_key"],
    }
    with landing_halfway(f"s3://{bucket.name}/85f8fe94", NAME, size=size, **storage) as process:
        assert bucket.stored() == []
        process.kill()
        process.wait(30)
    assert bucket.stored() == []
    # The store's own rule for unfinished uploads removes it.
    assert bucket.pending() == ([KEY] if size == MANY_PARTS else [])
    landed = land(chunks(size), document_dir(bucket.path, "85f8fe94"), NAME)
    assert (bucket.stored(), len(bucket.read(KEY))) == ([KEY], size)
    assert landed.uri.endswith(f"/{KEY}")


def test_values_that_are_too_large_for_xcom_go_to_a_key_beside_the_documents(bucket: Bucket) -> None:
    manifest = build_manifest(
        Output(values={"text": "x" * 10_000}),
        execution_id="85f8fe94",
        flow_id="f",
        flow_name="Letter",
        status="Success",
        created_at="",
        url="",
    )
    fitting = fit(manifest, max_bytes=2_000, spill_to=document_dir(bucket.path, "85f8fe94"))
    assert fitting["values"] is None
    file = fitting["values_file"]
    assert bucket.stored() == ["85f8fe94/values.json"]
    content = ObjectStoragePath(file["uri"]).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
