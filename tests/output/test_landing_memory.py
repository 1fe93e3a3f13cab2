"""What landing a large document costs in memory, as the operating system counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.object_store import CREDENTIALS, Bucket, bucket, s3_endpoint
from support.peak_memory import run_script

__all__ = ["bucket", "s3_endpoint"]

HERE = Path(__file__).parent
MIB = 1024 * 1024


def memory_for(place: str, *, size: int, **storage: Any) -> int:
    """Return the bytes that landing a document takes at most, above what the process holds before."""
    result = run_script(HERE / "memory_process.py", place, size, storage)
    assert result["size"] == size
    return result["bytes"]


@pytest.mark.parametrize("size", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.full)])
def test_a_document_on_a_disk_takes_less_than_30_megabytes(tmp_path: Path, size: int) -> None:
    assert memory_for(str(tmp_path), size=size) < 30_000_000
    assert (tmp_path / "Report.pdf").stat().st_size == size


@pytest.mark.full
def test_a_document_on_s3_takes_less_than_30_megabytes(bucket: Bucket) -> None:
    storage = {
        "endpoint_url": bucket.endpoint,
        "key": CREDENTIALS["aws_access_key_id"],
        "secret": CREDENTIALS["aws_secret_access_key"],
    }
    assert memory_for(f"s3://{bucket.name}/out", size=150 * MIB, **storage) < 30_000_000
