"""After everything has gone wrong that can: no API key is where a person or a program could read it."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

pytestmark = pytest.mark.after_all_rows


def spellings(key: str) -> set[bytes]:
    """Return how a key may be written: plain, quoted, escaped, and within longer text in base64."""
    plain = {
        key,
        quote(key, safe=""),
        quote(key),
        quote_plus(key),
        json.dumps(key)[1:-1],
        key.replace("/", "\\/"),
    }
    found = {text.encode() for text in plain}
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + key.encode())
        inner = whole[4 if before else 0 : len(whole) // 4 * 4 - 4]
        found |= {inner, base64.urlsafe_b64encode(base64.b64decode(inner))}
    return found


def searched(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield everything that Airflow has written: its files, and the rows of its database."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "service.sqlite" not in path.name:
            yield str(path), path.read_bytes()
    with sqlite3.connect(f"file:{folder / 'airflow' / 'airflow.db'}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            for number, values in enumerate(database.execute(f'SELECT * FROM "{table}"')):
                texts = [value if isinstance(value, bytes) else str(value).encode() for value in values]
                yield f"table {table}, row {number}", b"\n".join(texts)


def test_no_api_key_is_in_any_log_table_or_file(world):
    needles = {spelling for key in world.keys for spelling in spellings(key)}
    controls = [one["id"].encode() for one in world.service.executions() if one["status"] == "Success"]
    places, control_places = [], []
    for place, content in searched(world.folder):
        if any(control in content for control in controls):
            control_places.append(place)
        if b"canary" in content or any(needle in content for needle in needles):
            places.append(place)

    assert any("/logs/" in place for place in control_places), "the search finds no task log"
    assert any(place.startswith("table xcom") for place in control_places), "the search finds no XCom"
    assert places == []
