"""The pages a person may open: the list of calls, the flows and the executions.

They stand alone, without scripts or anything from another host, so that links into the product resolve
in a demo. Invariant: every text that came from outside is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from smartflows_provider import __version__
from smartflows_provider.wire.smart_flows import API_PREFIX, KEY_HEADER

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h1,h2{color:#1f3b63}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd}code{color:#1f3b63}"
)

ApiRoute = tuple[str, str, str]
"""Method, path below the prefix, what it does."""


def openapi(routes: Sequence[ApiRoute]) -> dict[str, Any]:
    """Return the interface as an OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, text in routes:
        summary, _, rest = text.partition(" (")
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", path)
        ]
        parameters += [
            {"name": name, "in": "query", "schema": {"type": "string"}}
            for name in rest.rstrip(")").split(", ")
            if name
        ]
        paths.setdefault(path, {})[method.lower()] = {
            "summary": summary,
            "parameters": parameters,
            "responses": {"2XX": {"description": "Done"}, "4XX": {"description": "Refused"}},
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Smart Flows devserver", "version": __version__},
        "servers": [{"url": API_PREFIX}],
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}}},
        "security": [{"key": []}],
        "paths": paths,
    }


def api_page(routes: Sequence[ApiRoute]) -> str:
    """Return a page that lists the calls."""
    rows = "".join(
        f"<tr><td><code>{method}</code></td><td><code>{escape(API_PREFIX + path)}</code></td>"
        f"<td>{escape(text)}</td></tr>"
        for method, path, text in routes
    )
    return _page("API", f"<p>Every call needs the header <code>{KEY_HEADER}</code>.</p><table>{rows}</table>")


def panel_page(flows: Sequence[tuple[str, str]], executions: Sequence[tuple[str, str, str, int]]) -> str:
    """
    Return a page that lists flows and executions.

    :param flows: name and id of each.
    :param executions: id, flow name, status and percentage of each, the newest first.
    """
    flow_rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(flow_id)}</code></td></tr>" for name, flow_id in flows
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(status)}</td><td>{percentage} %</td>"
        f"<td><code>{escape(execution_id)}</code></td></tr>"
        for execution_id, name, status, percentage in executions
    )
    return _page(
        "Flows",
        f"<h2>Flows</h2><table><tr><th>Name</th><th>Id</th></tr>{flow_rows}</table>"
        f"<h2>Executions</h2><table><tr><th>Flow</th><th>Status</th><th>Done</th><th>Id</th></tr>{rows}</table>"
        '<p><a href="/swagger-ui/">API</a></p>',
    )


def _page(title: str, body: str) -> str:
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{title} - Smart Flows devserver"
        f"</title><style>{_STYLE}</style></head><body><h1>Smart Flows devserver: {title}</h1>{body}"
        "</body></html>"
    )
