"""The hash beside the transfer: the same as any, whatever the chunks, and no thread stays."""

from __future__ import annotations

import hashlib
import random
import threading

import pytest

from smartflows_provider.output.hashing import StreamHash

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([], id="nothing"),
        pytest.param([0, 1, 0], id="one byte"),
        pytest.param([MIB], id="just small"),
        pytest.param([MIB, 1], id="just not small"),
        pytest.param([MIB, 256 * 1024], id="one block"),
        pytest.param([16 * 1024 + 1] * 400, id="small chunks"),
        pytest.param([9 * MIB + 7, 3], id="a chunk larger than all blocks together"),
        pytest.param(random.Random(4).choices(range(700_000), k=40), id="any chunks"),
    ],
)
def test_hash_is_that_of_all_bytes_whatever_the_chunks(sizes: list[int]) -> None:
    source = random.Random(7)
    chunks = [source.randbytes(size) for size in sizes]
    with StreamHash() as digest:
        for chunk in chunks:
            digest.update(chunk)
    assert digest.hexdigest == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_no_thread_outlives_a_stream_that_breaks_off() -> None:
    before = threading.active_count()

    def read() -> None:
        with StreamHash() as digest:
            digest.update(bytes(3 * MIB))
            assert threading.active_count() == before + 1
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError, match="cut"):
        read()
    assert threading.active_count() == before
