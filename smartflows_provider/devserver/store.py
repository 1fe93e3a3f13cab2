"""What the server remembers, in SQLite.

Everything is committed before the answer that depends on it goes out, so a server that is killed and
started again on the same file goes on where it was. Executions are held in memory too, because every
look needs them; the file is written first. Invariant: what is in memory is in the file.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from smartflows_provider.devserver.engine import Stimulus, Story
from smartflows_provider.devserver.flows import Flow, read_flow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS definitions (digest TEXT PRIMARY KEY, source TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS executions (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, record TEXT NOT NULL, input BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, execution TEXT NOT NULL, name TEXT NOT NULL, template TEXT NOT NULL,
    content_type TEXT NOT NULL, created_at REAL NOT NULL, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One execution as it is stored."""

    id: str
    digest: str | None
    """Of the flow's definition, None in ``SelectFlow``."""
    owner_id: str
    owner_name: str
    dataset_id: str | None = None
    content_type: str = ""
    """Of the input; empty where there is none."""
    story: Story
    purged: bool = False


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """One document with its bytes."""

    id: str
    execution: str
    name: str
    template: str
    content_type: str
    created_at: float
    """Epoch seconds."""
    content: bytes = field(repr=False)


class Store:
    """
    The server's memory. Safe to use from any thread.

    :param path: of the SQLite file, or ``:memory:``.
    """

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self._flows: dict[str, Flow] = {}
        rows = self._database.execute("SELECT record FROM executions ORDER BY number").fetchall()
        records = [_record(json.loads(text)) for (text,) in rows]
        self._records = {record.id: record for record in records}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def add(self, record: Record, *, flow: Flow | None, body: bytes) -> None:
        """Keep a new execution with its input and its flow's definition."""
        with self._lock:
            self._keep_definition(flow)
            self._database.execute(
                "INSERT INTO executions (id, record, input) VALUES (?, ?, ?)",
                (record.id, json.dumps(asdict(record)), body),
            )
            self._records[record.id] = record

    def change(self, record: Record, *, flow: Flow | None = None) -> None:
        """Keep what became of an execution."""
        with self._lock:
            self._keep_definition(flow)
            self._database.execute(
                "UPDATE executions SET record = ? WHERE id = ?", (json.dumps(asdict(record)), record.id)
            )
            self._records[record.id] = record

    def record(self, execution_id: str) -> Record | None:
        """Return an execution, None if there is none."""
        return self._records.get(execution_id)

    def records(self) -> list[Record]:
        """Return all executions, oldest first."""
        with self._lock:
            return list(self._records.values())

    def input_of(self, execution_id: str) -> bytes:
        """Return the bytes an execution was started with."""
        with self._lock:
            query = "SELECT input FROM executions WHERE id = ?"
            row = self._database.execute(query, (execution_id,)).fetchone()
        return bytes(row[0]) if row else b""

    def flow(self, digest: str) -> Flow:
        """Return the definition an execution was started with."""
        with self._lock:
            if digest not in self._flows:
                query = "SELECT source FROM definitions WHERE digest = ?"
                (source,) = self._database.execute(query, (digest,)).fetchone()
                self._flows[digest] = read_flow(json.loads(source))
            return self._flows[digest]

    def add_document(self, document: StoredDocument) -> None:
        """Keep a document; one that is there already stays."""
        with self._lock:
            self._database.execute(
                "INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    document.id,
                    document.execution,
                    document.name,
                    document.template,
                    document.content_type,
                    document.created_at,
                    document.content,
                ),
            )

    def document(self, document_id: str) -> StoredDocument | None:
        """Return a document, None if there is none."""
        with self._lock:
            found = self._database.execute("SELECT * FROM documents WHERE id = ?", (document_id,))
            names = [column[0] for column in found.description]
            row = found.fetchone()
        return StoredDocument(**dict(zip(names, row, strict=True))) if row else None

    def setting(self, name: str) -> str | None:
        """Return a remembered setting."""
        with self._lock:
            row = self._database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Remember a setting."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def _keep_definition(self, flow: Flow | None) -> None:
        if flow is not None and flow.digest not in self._flows:
            self._database.execute(
                "INSERT OR IGNORE INTO definitions VALUES (?, ?)", (flow.digest, json.dumps(flow.source))
            )
            self._flows[flow.digest] = flow


def with_story(record: Record, **changes: Any) -> Record:
    """Return the record with changes to its story."""
    return replace(record, story=replace(record.story, **changes))


def _record(raw: Mapping[str, Any]) -> Record:
    story = raw["story"]
    stimuli = {step: Stimulus(**stimulus) for step, stimulus in story["stimuli"].items()}
    return Record(**{**raw, "story": Story(**{**story, "stimuli": stimuli})})
