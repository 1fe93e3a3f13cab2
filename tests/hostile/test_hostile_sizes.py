"""What is far too large is refused in bounded memory: measured in a process of its own, from the system."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

MEGABYTE = 1024 * 1024
ADDRESSES = 2048 * MEGABYTE
"""Room that the process may ask for at most, against the machine's being taken along."""


def peak_above_base(folder: Path, work: str) -> tuple[int, str]:
    """
    Run a piece of code that sets ``source`` and prepares it.

    :returns: megabytes of memory beyond what the imports and the code before the input took, and the error.
    """
    code = f"""
    import resource, sys
    from pathlib import Path
    resource.setrlimit(resource.RLIMIT_AS, ({ADDRESSES}, {ADDRESSES}))
    from smartflows_provider.output.extractor import extract
    from smartflows_provider.payload.build import MappingInput, RowsInput, XmlInput, prepare
    from smartflows_provider.payload.errors import PayloadError
    from smartflows_provider.wire.messages import Request, Response

    folder = Path({str(folder)!r})
    prepare(MappingInput(data={{"a": 1}}))
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    def report(base, error):
        print(peak() - base)
        print(error)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code) + textwrap.dedent(work)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    megabytes, _, error = ran.stdout.partition("\n")
    return int(megabytes), error


PREPARE = """
base = peak()
try:
    prepare(source)
except PayloadError as error:
    report(base, error)
else:
    report(base, "nothing was refused")
"""


def fill(path: Path, head: bytes, megabytes: int, tail: bytes) -> None:
    with path.open("wb") as file:
        file.write(head)
        for _ in range(megabytes):
            file.write(b"x" * MEGABYTE)
        file.write(tail)


XML = "XmlInput(xml=folder / 't.xml')"
ROWS = "RowsInput(rows=folder / '{}', root='r')"


@pytest.mark.parametrize(
    ("name", "around", "source", "message", "limit"),
    [
        ("t.xml", (b"<a><b>", b"</b></a>"), XML, "Text node too long", 100),
        ("t.xml", (b"<a><b c='", b"'/></a>"), XML, "a tag, a comment or a text of more than 67,108,864", 250),
        ("t.xml", (b"<a><b c='>", b">'/></a>"), XML, "a tag, a comment or a text of more than", 250),
        ("t.xml", (b"<a><!-- <b>", b"--></a>"), XML, "a tag, a comment or a text of more than", 250),
        ("t.xml", (b"<a><![CDATA[", b"]]></a>"), XML, "a tag, a comment or a text of more than", 250),
        ("t.xml", (b"<!--", b"--><a/>"), XML, "no root element in its first", 30),
        ("t.jsonl", (b'{"a": "', b'"}'), ROWS.format("t.jsonl"), "line 1: the line has more than", 100),
        ("t.csv", (b"a\n", b"\n"), ROWS.format("t.csv"), "line 2: the line has more than", 200),
    ],
)
def test_two_hundred_megabytes_in_one_piece_of_a_file_are_not_held(
    tmp_path: Path, name: str, around: tuple[bytes, bytes], *, source: str, message: str, limit: int
) -> None:
    fill(tmp_path / name, around[0], 200, around[1])
    megabytes, error = peak_above_base(tmp_path, f"source = {source}" + PREPARE)
    assert message in error
    assert megabytes < limit


@pytest.mark.parametrize(
    "source", ["MappingInput(data={'a': {'b': text}})", "RowsInput(rows=[{'a': text}], root='r')"]
)
def test_a_text_of_two_hundred_megabytes_is_refused_without_another_copy(tmp_path: Path, source: str) -> None:
    megabytes, error = peak_above_base(tmp_path, f"text = 'x' * 200_000_000\nsource = {source}" + PREPARE)
    assert "the text has 200,000,000 characters; XML parsers take 10,000,000 bytes in one" in error
    assert megabytes < 250


def test_numbers_of_a_few_bytes_do_not_become_megabytes(tmp_path: Path) -> None:
    work = """
    from decimal import Decimal
    source = RowsInput(rows=({"a": Decimal("1E+999999999")} for _ in range(1000)), root="r")
    """
    megabytes, error = peak_above_base(tmp_path, textwrap.dedent(work) + PREPARE)
    assert "row 1/a: the number has more than 4,300 digits" in error
    assert megabytes < 30


def test_an_answer_with_a_million_odd_values_costs_little_more_than_itself(tmp_path: Path) -> None:
    work = """
    raw = {"status": "Success", "model": {"k" * 1_000_000: [float("nan")] * 1_000_000}}
    base = peak()
    report(base, len(extract(raw).warnings))
    """
    megabytes, error = peak_above_base(tmp_path, work)
    assert error.strip() == "101"
    assert megabytes < 100
