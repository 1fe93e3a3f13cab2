"""Stands for Airflow's metrics: keeps what it is sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from smartflows_provider.lifecycle import metrics


@dataclass
class Sent:
    """What was sent, in its order."""

    entries: list[tuple[str, str, float, dict[str, str] | None]] = field(default_factory=list)

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, str] | None = None) -> None:
        self.entries.append(("counter", stat, count, tags))

    def gauge(self, stat: str, value: float, *, tags: dict[str, str] | None = None) -> None:
        self.entries.append(("gauge", stat, value, tags))

    def timing(self, stat: str, dt: float, *, tags: dict[str, str] | None = None) -> None:
        self.entries.append(("timer", stat, dt, tags))

    def settle(self) -> None:
        """Wait until what was told on an event loop is sent."""
        metrics._outbox()._threads.submit(lambda: None).result(timeout=60)

    def named(self, name: str) -> list[float]:
        """Return the values that were sent under a name."""
        self.settle()
        return [value for _, stat, value, _ in self.entries if stat == name]

    def counts(self) -> dict[str, int]:
        """Return the sums of the counters, by their names with the values of their tags."""
        self.settle()
        found: Counter[str] = Counter()
        for kind, stat, value, tags in self.entries:
            if kind == "counter" and tags is not None:
                behind = [one for name, one in tags.items() if name not in {"system", "conn_id"}]
                found[".".join([stat.removeprefix("smartflows."), *behind])] += int(value)
        return dict(found)

    def clear(self) -> None:
        """Forget all that was sent."""
        self.settle()
        self.entries.clear()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What is sent to Airflow's metrics."""
    found = Sent()
    monkeypatch.setattr(metrics, "Stats", found)
    return found
