"""The table of the fault suite: one line for each fault and mode, kept by Airflow version.

Why this module exists: "never lost, never doubled, never left behind" is a claim about numbers, so the
numbers are printed, written down, and laid side by side for each Airflow they were taken on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.rows import Outcome

ROOT = Path(__file__).resolve().parents[2]


RESULTS = ROOT / ".demo" / "faults"
COLUMNS = ("fault", "mode", "runs", "started (expected)", "doubled", "orphaned (unnamed)", "lost", "verdict")


def lines_of(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return the outcomes added up by fault and mode, in the order of their first."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for one in outcomes:
        entry = sums.setdefault(
            (one.fault, one.mode),
            {"fault": one.fault, "mode": one.mode, "runs": 0, "failed": 0}
            | dict.fromkeys(("started", "expected", "doubled", "orphaned", "unnamed", "lost"), 0),
        )
        entry["runs"] += 1
        entry["failed"] += bool(one.problem)
        for key in ("started", "expected", "doubled", "orphaned", "unnamed", "lost"):
            entry[key] += getattr(one, key)
    return list(sums.values())


def write(version: str, outcomes: Sequence[Outcome], *, folder: Path = RESULTS) -> Path:
    """Write the results taken on one Airflow beside those taken on others, and return the file.

    Rows that are not among the outcomes keep their earlier results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version}.json"
    lines = lines_of(outcomes)
    fresh = {(line["fault"], line["mode"]) for line in lines}
    earlier = load(folder).get(version, [])
    lines += [line for line in earlier if (line["fault"], line["mode"]) not in fresh]
    path.write_text(
        json.dumps(
            {
                "airflow": version,
                "lines": lines,
                "runs": [one.as_dict() for one in outcomes],
            },
            indent=1,
        ),
        encoding="utf-8",
    )
    (folder / f"{version}.md").write_text(render(load(folder)), encoding="utf-8")
    return path


def load(folder: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of every results file, by Airflow version."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        read = json.loads(path.read_text(encoding="utf-8"))
        found[read["airflow"]] = read["lines"]
    return found


def render(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the table in Markdown: the numbers of each version in columns of its own."""
    keys = list(dict.fromkeys((line["fault"], line["mode"]) for lines in results.values() for line in lines))
    head = ["fault", "mode"]
    for version in results:
        head += [f"{version}: runs", "started (expected)", "orphaned (unnamed)", "lost", "verdict"]
    rows = [head, ["---"] * len(head)]
    for key in keys:
        cells = list(key)
        for lines in results.values():
            line = next((one for one in lines if (one["fault"], one["mode"]) == key), None)
            cells += ["-"] * 5 if line is None else _cells(line)
        rows.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n" + _totals(results)


def _cells(line: Mapping[str, Any]) -> list[str]:
    return [
        str(line["runs"]),
        f"{line['started']} ({line['expected']})",
        f"{line['orphaned']} ({line['unnamed']})",
        str(line["lost"]),
        verdict(line),
    ]


def verdict(line: Mapping[str, Any]) -> str:
    """Return a line's verdict in words."""
    faults = [
        f"{line[key]} {word}"
        for key, word in (("doubled", "doubled"), ("unnamed", "orphaned unnamed"), ("lost", "lost"))
        if line[key]
    ]
    if line["failed"]:
        faults.append(f"{line['failed']} not as expected")
    return ", ".join(faults) or "ok"


def _totals(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    texts = []
    for version, lines in results.items():
        sums = {
            key: sum(line[key] for line in lines)
            for key in ("runs", "doubled", "lost", "orphaned", "unnamed", "failed")
        }
        texts.append(
            f"\nAirflow {version}: {len(lines)} rows, {sums['runs']} runs, {sums['doubled']} doubled, "
            f"{sums['lost']} lost, {sums['orphaned']} left running of which {sums['unnamed']} without a "
            f"message that names them, {sums['failed']} not as expected."
        )
    return "".join(texts) + "\n"
