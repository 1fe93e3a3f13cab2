"""The pages of the reference, made from the provider info: what Airflow is told about is what is documented.

Each entry of the provider info that names a module or an object of ours gets its place; beside them stand the
errors and the embedded server, which Airflow is told nothing about. The pages are written into
`docs/reference`, which is not kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any

from smartflows_provider.get_provider_info import DEVSERVER_SECTION, get_provider_info

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = "smartflows_provider"
FOLDER = "reference"
TITLES = {"errors": "Error classes", "devserver": "Embedded server"}
WITH_MEMBERS = ("hooks", "devserver")
"""Pages whose classes are called; of the others a DAG author gives the arguments only."""
INTERNAL = ("smartflows_provider.exceptions.SystemHints",)
"""Classes that are public for other rooms of the package."""
NOT_FOR_USERS = "hints, system, terms, read_settings"
"""Members that are public for other rooms of the package."""
DEVSERVER = (
    "pytest_plugin.smart_flows_server",
    "pytest_plugin.smart_flows_directory",
    "server.DevServer",
    "server.running_server",
    "faults.Fault",
)
"""What tests use of the embedded server, beside its sections."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the reference."""

    name: str
    title: str
    paths: tuple[str, ...]
    """Modules and objects, as dotted paths."""


def pages(info: Mapping[str, Any]) -> list[Page]:
    """
    Return the pages in the provider info's order; what an earlier page has is not on a later one.

    :param info: as Airflow gets it.
    """
    sections = [one[DEVSERVER_SECTION] for one in info["connection-types"] if DEVSERVER_SECTION in one]
    devserver = [*(f"{PACKAGE}.devserver.{name}" for name in DEVSERVER), *sections]
    wanted = {
        **{key: list(_paths(value)) for key, value in info.items() if key != "connection-types"},
        "errors": [f"{PACKAGE}.exceptions"],
        "devserver": devserver,
    }
    return [
        Page(
            name=key,
            title=TITLES.get(key, key.replace("-", " ").capitalize()),
            paths=tuple(dict.fromkeys(paths)),
        )
        for key, paths in wanted.items()
        if paths
    ]


def _paths(value: object) -> Iterator[str]:
    """Return the dotted paths of ours within a value of the provider info."""
    if isinstance(value, str):
        if value.startswith(f"{PACKAGE}."):
            yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _paths(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)


def public_classes(module: ModuleType) -> dict[str, type]:
    """Return the classes that a module brings and does not keep to itself."""
    return {
        name: one
        for name, one in vars(module).items()
        if inspect.isclass(one)
        and one.__module__ == module.__name__
        and not name.startswith("_")
        and f"{module.__name__}.{name}" not in INTERNAL
    }


def text_of(page: Page) -> str:
    """Return a page as reStructuredText, which is what docstrings are written in."""
    lines = [page.title, "=" * len(page.title), ""]
    for module, kinds in _by_module(page).items():
        summary, *_ = (inspect.getdoc(import_module(module)) or "").splitlines()
        heading = module.rpartition(".")[2]
        lines += [heading, "-" * len(heading), "", f"``{module}``: {summary}", ""]
        for name, one in kinds.items():
            lines += [f".. {_directive(one)}:: {module}.{name}"]
            if is_dataclass(one):
                lines[-1] += "()"
                lines += ["   :members:", "   :exclude-members: hints"]
            elif inspect.isclass(one) and page.name in WITH_MEMBERS:
                lines += ["   :members:", f"   :exclude-members: {NOT_FOR_USERS}"]
            lines += [""]
    return "\n".join(lines)


def _by_module(page: Page) -> dict[str, dict[str, object]]:
    """Return a page's classes and functions by module, at the end bases that document what they share."""
    found: dict[str, dict[str, object]] = {}
    for path in page.paths:
        one = resolve_name(path)
        if isinstance(one, ModuleType):
            found[path] = {**public_classes(one)}
        else:
            module, _, name = path.rpartition(".")
            found.setdefault(module, {})[name] = one
    for base in [base for kinds in found.values() for one in kinds.values() for base in _bases(one)]:
        found.setdefault(base.__module__, {})[base.__name__] = base
    return found


def _bases(one: object) -> list[type]:
    """Return the public classes of ours that a class takes documented arguments from."""
    return [
        base
        for base in (one.__mro__[1:] if inspect.isclass(one) else ())
        if base.__module__.startswith(f"{PACKAGE}.")
        and not base.__name__.startswith("_")
        and ":param" in (base.__doc__ or "")
    ]


def _directive(one: object) -> str:
    if inspect.isclass(one):
        return "autoexception" if issubclass(one, BaseException) else "autoclass"
    return "autofunction"


def skip_exchanges(
    _app: Sphinx, _what: str, _name: str, member: object, skip: bool, _options: object
) -> bool:
    """Leave out the calls of a hook that are for its own machinery: they only describe what is to be sent."""
    returned = str(getattr(member, "__annotations__", {}).get("return", ""))
    return skip or returned.startswith(("Exchange[", "Request"))


def write_pages(app: Sphinx) -> None:
    """Write the pages that have changed, and remove those that are no more."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    all_pages = pages(get_provider_info())
    texts = {f"{page.name}.rst": text_of(page) for page in all_pages}
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
