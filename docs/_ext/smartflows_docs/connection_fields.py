"""The directive `connection-fields`: the fields of a connection type, as the provider info declares them.

They are what Airflow's form shows, so the page and the form cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docutils import nodes

from smartflows_docs.tables import TableDirective
from smartflows_provider.get_provider_info import get_provider_info

STANDARD = ("host", "port", "login", "password", "schema")
"""The fields that every connection of Airflow's has, in the order of its form."""


class ConnectionFields(TableDirective):
    """`connection-fields TYPE`, a table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.table(
            ("field", "in the form", "meaning", "type", "default"), list(rows(form_of(self.arguments[0])))
        )


def form_of(connection_type: str) -> Mapping[str, Any]:
    """
    Return what the provider info says of a connection type.

    :raises ValueError: if there is no such type.
    """
    declared: list[Mapping[str, Any]] = get_provider_info()["connection-types"]
    forms = {one["connection-type"]: one for one in declared}
    if connection_type not in forms:
        raise ValueError(f"no connection type {connection_type!r}; there are {', '.join(forms)}")
    return forms[connection_type]


def rows(form: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Return a row for each field: those of every connection, then those of the type."""
    behaviour = form["ui-field-behaviour"]
    for name in STANDARD:
        if name not in behaviour["hidden-fields"]:
            label = behaviour["relabeling"].get(name, name.capitalize())
            yield f"`{name}`", label, behaviour["placeholders"].get(name, ""), "", ""
    for name, field in form["conn-fields"].items():
        schema = field["schema"]
        (kind,) = (one for one in schema["type"] if one != "null")
        if "enum" in schema:
            kind = ", ".join(f"`{one}`" for one in schema["enum"])
        default = schema.get("default")
        shown = default if isinstance(default, str) else json.dumps(default)
        yield (
            f"`{name}`",
            field["label"],
            field["description"],
            kind,
            "" if default is None else f"`{shown}`",
        )
