"""The site: every page has its place in it, and what is made from the package is complete."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
from docutils import nodes
from smartflows_docs import connection_fields, error_classes, figures, outside, patterns, reference
from sphinx.util.inventory import InventoryFile
from support.pages import ROOT, blocks_of

from smartflows_provider import exceptions
from smartflows_provider.get_provider_info import get_provider_info

DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
MODULES = [
    module
    for key in ("operators", "sensors", "hooks", "triggers")
    for one in get_provider_info()[key]
    for module in one["python-modules"]
]
OBJECTS = [
    *get_provider_info()["extra-links"],
    *get_provider_info().get("notifications", []),
    *(one["class-name"] for one in get_provider_info()["task-decorators"]),
    "smartflows_provider.devserver.pytest_plugin.smart_flows_server",
]
PUBLIC = [
    *OBJECTS,
    *(
        f"{module}.{name}"
        for module in [*MODULES, "smartflows_provider.exceptions"]
        for name, one in vars(import_module(module)).items()
        if inspect.isclass(one)
        and one.__module__ == module
        and not name.startswith("_")
        and f"{module}.{name}" not in reference.INTERNAL
    ),
]
ANYTHING: Any = None
"""Sphinx's application where nothing of it is read."""
BENCHMARKS = (DOCS / "benchmarks.md").read_text()


def places() -> list[str]:
    """Return the entries of the index's tables of contents."""
    return [
        line
        for block in blocks_of(INDEX)
        if block.language == "{toctree}"
        for line in block.code.splitlines()
        if line and not line.startswith(":")
    ]


@pytest.mark.parametrize("page", [one.stem for one in DOCS.glob("*.md") if one != INDEX])
def test_every_page_is_in_one_table_of_contents(page: str) -> None:
    assert len([place for place in places() if fnmatch(page, place)]) == 1


def test_what_the_tables_of_contents_name_is_there() -> None:
    named = [place for place in places() if not place.endswith("*")]
    assert [place for place in named if not (DOCS / f"{place}.md").exists()] == []


def test_all_that_airflow_is_told_about_is_in_the_reference() -> None:
    assert len(PUBLIC) > 50
    text = "\n".join(reference.text_of(page) for page in reference.pages(get_provider_info()))
    documented = set(re.findall(r":: ([\w.]+)(?:\(\))?$", text, re.MULTILINE))
    assert set(PUBLIC) - documented == set()


def test_a_key_that_the_provider_info_gets_is_a_page_of_the_reference() -> None:
    info = {**get_provider_info(), "notifications": ["smartflows_provider.links.FlowExecutionLink"]}
    (page,) = [page for page in reference.pages(info) if page.name == "notifications"]
    assert page.title == "Notifications"
    assert ".. autoclass:: smartflows_provider.links.FlowExecutionLink" in reference.text_of(page)


@pytest.mark.parametrize("path", OBJECTS)
def test_what_the_reference_names_can_be_imported(path: str) -> None:
    assert resolve_name(path).__doc__


@pytest.mark.parametrize("form", get_provider_info()["connection-types"], ids=lambda form: form["hook-name"])
def test_the_fields_of_a_connection_are_those_of_its_form(form: dict[str, Any]) -> None:
    rows = list(connection_fields.rows(connection_fields.form_of(form["connection-type"])))
    names = [row[0].strip("`") for row in rows]
    assert names[0] == "host"
    assert names[-len(form["conn-fields"]) :] == list(form["conn-fields"])
    assert not set(names) & set(form["ui-field-behaviour"]["hidden-fields"])
    said = "Seconds until a connection must stand."
    assert ("`connect_timeout`", "Connect timeout", said, "number", "`10`") in rows


def test_a_connection_type_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no connection type 'smartflow'; there are smartflows, "):
        connection_fields.form_of("smartflow")


def test_the_pages_know_every_type_of_connection() -> None:
    text = (DOCS / "connection_fields.md").read_text()
    for form in get_provider_info()["connection-types"]:
        assert f"```{{connection-fields}} {form['connection-type']}\n" in text


def test_the_table_of_errors_says_of_each_class_whether_a_retry_helps() -> None:
    rows = {row[0]: row[1] for row in error_classes.rows()}
    assert rows["`FlowInputError`"] == "no"
    assert rows["`FlowConnectionError`"] == "yes"
    kinds = [one for one in vars(exceptions).values() if inspect.isclass(one) and hasattr(one, "retry_helps")]
    assert len(rows) == len(kinds) - 1


def test_the_figures_are_those_of_the_page_of_benchmarks() -> None:
    rows = {row[0]: row[1:] for row in figures.rows(BENCHMARKS)}
    assert figures.peers(BENCHMARKS)[:3] == ["bare aiohttp loop", "dbt-cloud", "databricks"]
    for measure, (ours, *theirs) in rows.items():
        assert re.search(r"\d", ours), measure
        assert len(theirs) == len(figures.peers(BENCHMARKS))
        for cell in (ours, *theirs):
            number = cell.split()[0] if cell else ""
            assert number in BENCHMARKS
    assert all(rows["CPU time per status check"])
    assert all(rows["memory per additional wait"])


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("# Nothing", "with nobody"),
        ("| CPU time per status check, beside dbt | 1 ms | 2 ms |", "no row for memory per additional wait"),
    ],
)
def test_a_page_of_benchmarks_without_a_figure_is_an_error(page: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(figures.rows(page))


def test_a_figure_is_the_median_without_lowest_and_highest() -> None:
    assert figures.median("0.40 (0.33 to 0.44) ms") == "0.40 ms"
    assert figures.median("2.8") == "2.8"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("../README.md", "index.md"),
        ("../README.md#connection", "connections.md"),
        ("../README.md#on-call", "index.md"),
        ("../CHANGELOG.md", "../CHANGELOG.md"),
    ],
)
def test_a_link_to_the_readme_leads_to_the_page_that_stands_for_it(link: str, target: str) -> None:
    content = [f"see [it]({link})"]
    outside.lead_to_stand_ins(ANYTHING, "page", content)
    assert content == [f"see [it]({target})"]


def test_only_a_name_that_there_is_may_lead_nowhere() -> None:
    shown = nodes.literal(text="WaitEvent")
    there = {"reftarget": "smartflows_provider.waiting.event.WaitEvent"}
    assert outside.show_names(ANYTHING, None, there, shown) is shown
    nowhere = {"reftarget": "smartflows_provider.waiting.Nothing"}
    assert outside.show_names(ANYTHING, None, nowhere, shown) is None
    assert outside.show_names(ANYTHING, None, {"reftarget": "json.loads"}, shown) is None


def test_a_pattern_that_no_page_fits_is_left_out_of_the_index_only() -> None:
    project = SimpleNamespace(docnames={"forms"})
    app: Any = SimpleNamespace(config=SimpleNamespace(root_doc="index"), project=project)
    index, other = ["forms*\npeople*\nretries"], ["people*"]
    patterns.drop_unmatched(app, "index", index)
    patterns.drop_unmatched(app, "forms", other)
    assert (index, other) == (["forms*\nretries"], ["people*"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-E", "-q", "-b", "html"]
    result = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return folder / "html"


@pytest.mark.full
def test_the_site_has_a_place_for_every_public_class(site: Path) -> None:
    known = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    names = {name for kind in ("py:class", "py:exception", "py:function") for name in known.data[kind]}
    assert set(PUBLIC) - names == set()


@pytest.mark.full
def test_a_class_that_a_page_names_leads_to_the_reference(site: Path) -> None:
    name = "smartflows_provider.operators.smart_flows.SmartFlowsRunFlowOperator"
    assert f'href="reference/operators.html#{name}"' in (site / "input.html").read_text()


@pytest.mark.full
def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    of_page = r'<(?:script|link|img|iframe)[^>]+(?:src|href)="((?:https?:)?//[^"]+)"'
    of_style = r"""(?:url\(|@import )["']?(?:https?:)?//"""
    foreign = [page.name for page in site.rglob("*.html") if re.search(of_page, page.read_text())]
    foreign += [style.name for style in site.rglob("*.css") if re.search(of_style, style.read_text())]
    assert foreign == []


@pytest.mark.full
def test_pictures_are_brought_along(site: Path) -> None:
    text = (site / "benchmarks.html").read_text()
    (source,) = re.findall(r'<img[^>]+src="([^"]+)"', text)
    assert (site / source).read_bytes()[:4] == b"\x89PNG"
