"""The table, with and without a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from cli_executions import NOW, execution

from smartflows_provider.cli.table import as_object, table
from smartflows_provider.cli.text import cells
from smartflows_provider.wire.run import Reference

GUID = "5fb8061a-b953-41bc-a065-0d0188ff2767"


def lines(*found: Any, width: int | None = None) -> list[str]:
    return table(found, now=NOW, width=width)


def test_without_a_terminal_each_execution_is_a_line() -> None:
    assert lines(execution(GUID), execution("7", status="UserInput", flow=Reference(id="F9"))) == [
        "ID                                    FLOW    STATUS     AGE        CREATED (UTC)     CREATED BY",
        f"{GUID}  Letter  Running    1 h 0 min  2026-11-24 11:00  Me",
        "7                                     F9      UserInput  1 h 0 min  2026-11-24 11:00  Me",
    ]


def test_a_wide_terminal_gets_the_same() -> None:
    assert lines(execution(GUID), width=120) == lines(execution(GUID))


def test_a_narrow_terminal_gets_two_lines_for_each() -> None:
    assert lines(execution(GUID, created_by=Reference(id="u", name="A rather long name")), width=80) == [
        "ID                                    STATUS   AGE        CREATED (UTC)",
        "  FLOW    CREATED BY",
        f"{GUID}  Running  1 h 0 min  2026-11-24 11:00",
        "  Letter  A rather long name",
    ]


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_long_names_are_cut_to_the_terminal_and_nothing_else_is(width: int) -> None:
    long = execution(
        GUID,
        status="Interrupted",
        flow=Reference(id="f", name="見積もり " * 40),
        created_by=Reference(id="u", name="Somebody " * 40),
        created_at="2026-11-01T00:00:00Z",
    )
    shown = lines(long, width=width)
    assert all(cells(line) <= width for line in shown)
    text = " ".join(shown)
    for part in (GUID, "見積もり", "Some", "…", "Interrupted", "23 d 12 h", "2026-11-01 00:00"):
        assert part in text


def test_what_the_service_does_not_tell_is_called_unknown() -> None:
    odd = execution("7", flow=Reference(id=""), created_at="", created_by=None)
    assert lines(odd)[1].split() == ["7", "unknown", "Running", "unknown", "unknown", "unknown"]
    assert as_object(odd, now=NOW) == {
        "id": "7",
        "flow": None,
        "status": "Running",
        "age_seconds": None,
        "created_at": None,
        "modified_at": None,
        "created_by": None,
    }


def test_a_time_that_cannot_be_read_is_shown_as_it_came() -> None:
    assert "last \\x1bTuesday" in lines(execution("7", created_at="last \x1bTuesday"))[1]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z"])
def test_a_time_at_the_end_of_all_calendars_is_shown_as_it_came(text: str) -> None:
    assert text in lines(execution("7", created_at=text))[1]


def test_foreign_signs_are_escaped_in_every_column() -> None:
    evil = "\x1b[2J\n"
    odd = execution(
        f"1{evil}",
        status=f"Odd{evil}",
        flow=Reference(id="f", name=f"F{evil}"),
        created_by=Reference(id="u", name=f"U{evil}"),
        created_at=evil,
    )
    for width in (None, 80, 200):
        shown = lines(odd, width=width)
        assert all(line.isprintable() for line in shown)
        assert "".join(shown).count("\\x1b[2J\\n") == 5
